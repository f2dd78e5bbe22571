"""The manifests of a data set: each whole, and all chained to one another by the sha256 of what they were made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import pyarrow as pa

from manifests import seal, store
from manifests import verify as bytes_of
from manifests.checks import ManifestError
from manifests.columns import Schema
from manifests.places import AnyPath, files_in
from manifests.rows import AUDITED, NORMALIZED, PREDICTIONS, SPLIT
from manifests.verify import Finding
from stages import paths
from stages.contract import Root
from stages.drawn import AUGMENTED

CHAIN: Mapping[str, Schema[Any]] = {
    paths.AUDIT: AUDITED,
    paths.SPLIT: SPLIT,
    paths.NORMALIZED_MANIFEST: NORMALIZED,
    paths.AUGMENTED_MANIFEST: AUGMENTED,
    paths.PREDICTIONS: PREDICTIONS,
}
IMAGES = (paths.NORMALIZED_MANIFEST, paths.AUGMENTED_MANIFEST)
STAGE_OF = {
    paths.AUDIT: "audit",
    paths.SPLIT: "split",
    paths.NORMALIZED_MANIFEST: "normalize",
    paths.AUGMENTED_MANIFEST: "augment",
    paths.PREDICTIONS: "evaluate",
}


@dataclass(frozen=True, slots=True)
class Manifests:
    """What lies under the root, manifest by manifest.

    Attributes:
        root: of the data set.
        seals: of each manifest that is there.
        footers: of those that are whole.
    """

    root: Root
    seals: dict[str, seal.Seal] = field(default_factory=dict)
    footers: dict[str, store.Footer] = field(default_factory=dict)

    def table(self, path: str) -> pa.Table:
        """Return a manifest's rows as a table."""
        return store.read_table(CHAIN[path], self.root / path).replace_schema_metadata(None)

    def have(self, *names: str) -> bool:
        """Return whether all these manifests are whole."""
        return all(name in self.footers for name in names)


def expected_manifests(root: Root) -> list[str]:
    """Return the manifests that must be there: up to the last stage that left anything."""
    names = list(CHAIN)
    left = [number for number, name in enumerate(names) if _holds_something((root / name).parent)]
    last = max(left, default=-1)
    wanted = names[: last + 1]
    skips = paths.AUGMENTED_MANIFEST in wanted and not _holds_something(root / paths.AUGMENTED)
    return [name for name in wanted if not (skips and name == paths.AUGMENTED_MANIFEST)]


def _holds_something(folder: AnyPath) -> bool:
    return any(not name.endswith(".gitignore") for name in files_in(folder))


def read_manifests(root: Root) -> tuple[Manifests, list[Finding]]:
    """Return the manifests that are whole, and what is wrong with the others."""
    found, findings = Manifests(root), list[Finding]()
    for name in expected_manifests(root):
        looked_at = bytes_of.check_manifest(root / name, name)
        if isinstance(looked_at, Finding):
            findings.append(looked_at)
        else:
            found.seals[name] = looked_at
            findings += _read_footer(name, found)
    return found, findings


def _read_footer(name: str, found: Manifests) -> list[Finding]:
    """Put a manifest's footer among those that are whole, or return where its rows break the schema."""
    try:
        footer = store.read_footer(found.root / name)
        store.require(footer, CHAIN[name], found.root / name)
        for _ in bytes_of.tables_of(CHAIN[name], found.root / name):
            pass
    except ManifestError as error:
        return [Finding("manifest", name, f"breaks its schema ({error})", "a manifest of its schema")]
    found.footers[name] = footer
    return []


def check_chain(found: Manifests) -> list[Finding]:
    """Return which manifests are of another run, and take them out of what is whole: their rows prove nothing.

    A manifest names the sha256 of those it was made from. Where some disagree, the largest set that agrees is
    believed; of two as large, the one that reaches further down, since it remembers what was there.
    """
    names = list(found.footers)
    subsets = [one for size in range(len(names), 0, -1) for one in combinations(reversed(names), size)]
    believed = next((one for one in subsets if not _disagreements(found, one)), ())
    findings = [_of_another_run(found, name, believed) for name in names if name not in believed]
    for name in set(names) - set(believed):
        del found.footers[name]
    for name, footer in found.footers.items():
        for source in set(footer.sources) - set(CHAIN):
            findings += _check_source(found.root, name, source, footer.sources[source])
    pairs = ((paths.AUDIT, paths.SPLIT), (paths.SPLIT, paths.NORMALIZED_MANIFEST), IMAGES)
    return findings + [
        one for before, after in pairs if found.have(before, after) for one in _check_facts(found, before, after)
    ]


def _disagreements(found: Manifests, names: Sequence[str]) -> list[tuple[str, str]]:
    """Return the pairs of a manifest and its source, both among the names, that is not the one it was made from."""
    return [
        (name, source)
        for name in names
        for source, digest in found.footers[name].sources.items()
        if source in names and found.seals[source].sha256 != digest
    ]


def _of_another_run(found: Manifests, name: str, believed: Sequence[str]) -> Finding:
    """Return how a manifest disagrees with those that are believed."""
    disagreements = _disagreements(found, [name, *believed])
    later = next((other for other, source in disagreements if source == name), None)
    if later is not None:
        told = f"whole, but another one (sha256 {found.seals[name].sha256[:12]})"
        digest = found.footers[later].sources[name]
        return Finding("other", name, told, f"the one that {later} was made from (sha256 {digest[:12]})")
    _, source = disagreements[0]
    return Finding("other", name, f"was made from another {source}", "made from the one that lies there")


def _check_source(root: Root, name: str, source: str, digest: str) -> list[Finding]:
    """Return whether a file that is no manifest, such as a network, is not the one that a manifest was made from."""
    expected = f"made from the one that lies there ({source})"
    if not (root / source).exists():
        return [Finding("manifest", name, f"was made from {source}, which is gone", expected)]
    if store.file_sha256(root / source) != digest:
        return [Finding("manifest", name, f"was made from another {source}", expected)]
    return []


def _check_facts(found: Manifests, before: str, after: str) -> list[Finding]:
    """Return where a manifest's footer contradicts the footer of the manifest before it."""
    one, other = found.footers[before], found.footers[after]
    differing = [name for name, value in one.facts.items() if other.facts.get(name) != value]
    findings = [
        Finding("manifest", after, f"its footer says {name} = {other.facts.get(name)!r}", f"{one.facts[name]!r}")
        for name in differing
    ]
    stage = STAGE_OF[before]
    if stage in other.recipes and other.recipes[stage] != one.params:
        findings.append(Finding("manifest", after, f"names other parameters of {stage}", f"those of {before}"))
    return findings
