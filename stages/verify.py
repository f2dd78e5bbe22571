"""verify: every byte on disk against every row, every row against the row it came from, and mending what is wrong.

What covers what: a manifest and a shard hold a seal over all their own bytes; a manifest names the seals of its
shards, the sha256 of its image files and the sha256 of the manifests it was made from; the audit names the sha256
of every raw film. A change of a single byte breaks at least one of these.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from manifests import seal, store
from manifests import verify as bytes_of
from manifests.columns import ManifestError, Schema
from manifests.rows import AUDITED, NORMALIZED, PREDICTIONS, SPLIT
from manifests.shards import SHARDS
from manifests.verify import Checked, FileClaim, Finding, Kind, ShardClaim
from stages import paths, repair
from stages.audit import files_under, readable
from stages.augment import AugmentParams
from stages.contract import Machine, Params, Report, Root, Stage, StageError
from stages.drawn import AUGMENTED
from stages.films import codec
from stages.films.frame import Frame
from stages.folder import params_of
from stages.normalize import raw_folder
from stages.reporting import text
from stages.split import clusters_of, crossing_clusters

FILES_PER_JOB = 64
SHOWN = 40  # findings that are listed
CHAIN: Mapping[str, Schema[Any]] = {
    paths.AUDIT: AUDITED,
    paths.SPLIT: SPLIT,
    paths.NORMALIZED_MANIFEST: NORMALIZED,
    paths.AUGMENTED_MANIFEST: AUGMENTED,
    paths.PREDICTIONS: PREDICTIONS,
}
IMAGES = (paths.NORMALIZED_MANIFEST, paths.AUGMENTED_MANIFEST)
FROM_THE_FILM = ("label", "label_index", "group_id", "split")  # what every image says of its film
TODO: Mapping[Kind, str] = {
    "raw": "restore it from where it came from, or run all stages again; nothing can make a raw film anew",
    "manifest": "cxr-pipeline verify --repair makes it anew",
    "other": "if it is the one that is meant, run the stages after it; else cxr-pipeline verify --repair brings back "
    "the one that the rest of the set knows",
    "shard": "cxr-pipeline verify --repair makes it anew",
    "image": "cxr-pipeline verify --repair makes it anew",
    "extra": "cxr-pipeline verify --repair removes it",
}


class VerifyParams(Params):
    """How closely to look, and what to do about it."""

    repair: bool = Field(
        default=False, description="Make anew what is missing or changed, remove what no row claims; nothing else."
    )
    pixels: bool = Field(default=False, description="Decode every image whole, not its header alone.")


# --- one job: some bytes, read by a worker ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Job:
    """A shard, or a few files, and what is claimed of them.

    Attributes:
        folder: they lie in.
        where: the folder in the findings' words.
        kind: of what would have to be mended.
        schema: of a shard's rows.
        shard: a shard's claim; None for files.
        files: claims of files.
        frame: of the images; None for raw films.
    """

    folder: Path
    where: str
    kind: Kind
    schema: Schema[Any] | None = None
    shard: ShardClaim | None = None
    files: tuple[FileClaim, ...] = ()
    frame: Frame | None = None


def check_one(job: Job, *, pixels: bool) -> Checked:
    """Read a job's bytes, once, and return what is not as claimed."""
    look = None if job.frame is None else partial(_look, frame=job.frame, pixels=pixels)
    if job.shard is not None:
        assert job.schema is not None
        assert look is not None
        return bytes_of.check_shard(job.shard, folder=job.folder, where=job.where, schema=job.schema, look=look)
    return bytes_of.check_files(job.files, folder=job.folder, where=job.where, kind=job.kind, look=look)


def _look(data: bytes, *, frame: Frame, pixels: bool) -> str:
    """Return what is wrong with an encoded image; empty where it has the frame."""
    try:
        found = codec.frame_of_bytes(data, pixels=pixels)
    except ValueError as error:
        return str(error)
    return "" if found == frame else f"an image of {found.height} x {found.width}, not {frame.height} x {frame.width}"


# --- the manifests: whole, chained, and true to the rows they came from ----------------------------------------


@dataclass(frozen=True, slots=True)
class Manifests:
    """What lies under the root, manifest by manifest.

    Attributes:
        root: the root.
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


def _holds_something(folder: Path) -> bool:
    return folder.is_dir() and any(path.is_file() and path.name != ".gitignore" for path in folder.rglob("*"))


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
    later = [other for other in believed if name in found.footers[other].sources]
    if later:
        told = f"whole, but another one (sha256 {found.seals[name].sha256[:12]})"
        digest = found.footers[later[0]].sources[name]
        return Finding("other", name, told, f"the one that {later[0]} was made from (sha256 {digest[:12]})")
    source = next(source for one, source in _disagreements(found, [name, *believed]) if one == name)
    return Finding("other", name, f"was made from another {source}", "made from the one that lies there")


def _check_source(root: Root, name: str, source: str, digest: str) -> list[Finding]:
    expected = f"made from the one that lies there ({source})"
    if not (root / source).exists():
        return [Finding("manifest", name, f"was made from {source}, which is gone", expected)]
    if store.file_sha256(root / source) != digest:
        return [Finding("manifest", name, f"was made from another {source}", expected)]
    return []


def _check_facts(found: Manifests, before: str, after: str) -> list[Finding]:
    one, other = found.footers[before], found.footers[after]
    differing = [name for name, value in one.facts.items() if other.facts.get(name) != value]
    findings = [
        Finding("manifest", after, f"its footer says {name} = {other.facts.get(name)!r}", f"{one.facts[name]!r}")
        for name in differing
    ]
    stage = repair.STAGE_OF[before]
    if stage in other.recipes and other.recipes[stage] != one.params:
        findings.append(Finding("manifest", after, f"names other parameters of {stage}", f"those of {before}"))
    return findings


def check_rows(found: Manifests) -> list[Finding]:
    """Return where rows contradict the rows that they came from, manifest by manifest."""
    findings: list[Finding] = []
    if found.have(paths.AUDIT, paths.SPLIT):
        audited, divided = found.table(paths.AUDIT), found.table(paths.SPLIT)
        columns = ("path", "label", "label_index", "group_id", "delivered_split")
        findings += _children(divided, _ok(audited), columns, (paths.SPLIT, paths.AUDIT))
        findings += _crossing(found)
    if found.have(paths.SPLIT, paths.NORMALIZED_MANIFEST):
        normalized = found.table(paths.NORMALIZED_MANIFEST)
        parents = _ok(found.table(paths.SPLIT))
        findings += _children(normalized, parents, FROM_THE_FILM, (paths.NORMALIZED_MANIFEST, paths.SPLIT))
    if found.have(paths.NORMALIZED_MANIFEST, paths.AUGMENTED_MANIFEST):
        findings += _check_copies(found)
    if found.have(paths.NORMALIZED_MANIFEST, paths.PREDICTIONS):
        predicted, parents = found.table(paths.PREDICTIONS), found.table(paths.NORMALIZED_MANIFEST)
        places = (paths.PREDICTIONS, paths.NORMALIZED_MANIFEST)
        for model in predicted.column("model").unique():  # a film has one row for each
            of_model = predicted.filter(pc.equal(predicted.column("model"), model))
            findings += _children(of_model, parents, FROM_THE_FILM, places, every=False)
    return findings


def _ok(table: pa.Table) -> pa.Table:
    return table.filter(pc.equal(table.column("status"), "ok"))


def _children(
    rows: pa.Table, parents: pa.Table, columns: Sequence[str], places: tuple[str, str], *, every: bool = True
) -> list[Finding]:
    """Return where rows have no parent, contradict it, come twice, or are missing; one row per film."""
    where, source = places
    films = rows.column("film_id")
    findings = _contradictions(rows, parents, columns, places)
    if pc.count_distinct(films).as_py() < len(rows):
        twice = pc.value_counts(films).filter(pc.greater(pc.value_counts(films).field("counts"), 1))
        findings.append(Finding("manifest", where, f"film {twice[0]['values'].as_py()[:12]} comes twice", "each once"))
    missing = parents.filter(pc.invert(pc.is_in(parents.column("film_id"), value_set=films.combine_chunks())))
    if every and len(missing):
        one = missing.column("film_id")[0].as_py()[:12]
        told = f"holds no row of film {one}" + (f" and {len(missing) - 1} others" if len(missing) > 1 else "")
        findings.append(Finding("manifest", where, told, f"a row of every film that {source} passes on"))
    return findings


def _contradictions(
    rows: pa.Table, parents: pa.Table, columns: Sequence[str], places: tuple[str, str]
) -> list[Finding]:
    where, source = places
    position = pc.index_in(rows.column("film_id"), value_set=parents.column("film_id").combine_chunks())
    orphans = rows.filter(pc.is_null(position))
    findings = []
    if len(orphans):
        one = orphans.column("film_id")[0].as_py()[:12]
        findings.append(
            Finding(
                "manifest", where, f"{len(orphans):,} rows, such as of film {one}", f"films that {source} passes on"
            )
        )
        rows, position = rows.filter(pc.is_valid(position)), pc.drop_null(position)
    theirs = parents.take(position)
    for name in columns:
        mine, of_parent = rows.column(name).to_pylist(), theirs.column(name).to_pylist()
        if mine != of_parent:
            at = next(at for at, (one, other) in enumerate(zip(mine, of_parent, strict=True)) if one != other)
            film = rows.column("film_id")[at].as_py()[:12]
            findings.append(
                Finding(
                    "manifest", where, f"{name} of film {film} is {mine[at]!r}", f"{of_parent[at]!r}, as in {source}"
                )
            )
    return findings


def _crossing(found: Manifests) -> list[Finding]:
    clusters = clusters_of(AUDITED.rows(found.table(paths.AUDIT)))
    try:
        crossing = crossing_clusters(SPLIT.rows(found.table(paths.SPLIT)), clusters)
    except KeyError as error:  # a group that the audit does not know, which is a finding of its own
        return [Finding("manifest", paths.SPLIT, f"names the patient {error}", "a patient that the audit knows")]
    if not crossing:
        return []
    told = f"{len(crossing)} patients lie in several of train, val and test, such as {crossing[0]}"
    return [Finding("manifest", paths.SPLIT, told, "each patient in one")]


def _check_copies(found: Manifests) -> list[Finding]:
    """Return where a training film has not each of its images once, or where a row contradicts its film.

    A film that ended its process has one row, of copy 0, and no images.
    """
    where = paths.AUGMENTED_MANIFEST
    films = _ok(found.table(paths.NORMALIZED_MANIFEST))
    films = films.filter(pc.equal(films.column("split"), "train"))
    copies = params_of(AugmentParams, found.footers[where], where).copies
    ids = films.column("film_id").combine_chunks()
    seen = np.zeros((len(films), copies + 1), np.int32)
    findings: list[Finding] = []
    for rows in bytes_of.tables_of(AUGMENTED, found.root / where):
        findings += _contradictions(rows, films, FROM_THE_FILM, (where, paths.NORMALIZED_MANIFEST))
        inside = pc.and_(pc.is_in(rows.column("film_id"), value_set=ids), pc.less_equal(rows.column("copy"), copies))
        if beyond := len(rows) - pc.sum(pc.less_equal(rows.column("copy"), copies)).as_py():
            findings.append(Finding("manifest", where, f"{beyond:,} rows of copies above {copies}", f"0 to {copies}"))
        known = rows.filter(inside)
        film = pc.index_in(known.column("film_id"), value_set=ids).to_numpy()
        np.add.at(seen, (film, known.column("copy").to_numpy()), 1)
        failed = pc.not_equal(known.column("status"), "ok").to_numpy()
        seen[film[failed], 1:] += 1
    for film, copy in np.argwhere(seen != 1)[:1]:
        wrong = int((seen != 1).sum())
        told = f"copy {copy} of film {ids[int(film)].as_py()[:12]} comes {seen[film, copy]} times ({wrong:,} such)"
        findings.append(Finding("manifest", where, told, f"each film's images 0 to {copies}, each once"))
    return findings


# --- the files: what the manifests claim, and nothing else -----------------------------------------------------


def claims(found: Manifests, name: str) -> Iterator[Job]:
    """Yield a job for every shard, or every few files, that a manifest of images claims."""
    footer, folder = found.footers[name], (found.root / name).parent
    where, frame, schema = name.rpartition("/")[0], Frame(**footer.facts["frame"]), CHAIN[name]
    tables = (_ok(table) for table in bytes_of.tables_of(schema, found.root / name))
    if footer.params["layout"] == "folder":
        files = [
            FileClaim(path, sha256)
            for table in tables
            for path, sha256 in zip(table.column("path").to_pylist(), table.column("sha256").to_pylist(), strict=True)
        ]
        yield from _file_jobs(files, folder, where, "image", frame)
        return
    for shard, rows in bytes_of.by_shard(tables):
        claim = ShardClaim(shard, footer.files.get(shard, ""), len(rows), bytes_of.rows_digest(rows))
        yield Job(folder, where, "shard", schema, claim, frame=frame)


def _file_jobs(files: Sequence[FileClaim], folder: Path, where: str, kind: Kind, frame: Frame | None) -> Iterator[Job]:
    for start in range(0, len(files), FILES_PER_JOB):
        yield Job(folder, where, kind, files=tuple(files[start : start + FILES_PER_JOB]), frame=frame)


def check_shards_known(found: Manifests) -> list[Finding]:
    """Return which manifests name no shard that is there, while others are, and take them out of what is whole."""
    findings = []
    for name in IMAGES:
        if name not in found.footers or found.footers[name].params["layout"] != "shards":
            continue
        there = {path.name for path in (found.root / name).parent.glob(f"{SHARDS}/*.parquet")}
        claimed = set(found.footers[name].files)
        if there and claimed and not there & claimed:
            told = f"names {len(claimed):,} shards, none of which is there, while {len(there):,} others are"
            findings.append(Finding("other", name, told, "the manifest of the shards that are there"))
            del found.footers[name]
    return findings


def check_extra(found: Manifests, jobs: Sequence[Job]) -> list[Finding]:
    """Return the files in the stages' folders that nothing claims."""
    findings = []
    for name in CHAIN:
        where = name.rpartition("/")[0]
        folder = found.root / where
        if not folder.is_dir() or (name in IMAGES and name not in found.footers):
            continue  # nothing tells what a spoilt manifest claims: making it anew removes what it does not
        of_folder = [job for job in jobs if job.where == where]
        claimed = {f"{SHARDS}/{job.shard.name}" for job in of_folder if job.shard is not None}
        claimed |= {claim.path for job in of_folder for claim in job.files}
        findings += bytes_of.extra_files(folder, {*claimed, Path(name).name}, where)
    return findings


def raw_jobs(found: Manifests, machine: Machine) -> tuple[list[Job], list[Finding]]:
    """Return jobs for the raw films, and the files that the audit has not seen; nothing where they are not there."""
    footer = found.footers[paths.AUDIT]
    raw = raw_folder(footer.facts, found.root, machine)
    if not raw.is_dir():
        return [], []
    table = found.table(paths.AUDIT)
    known = dict(zip(table.column("path").to_pylist(), table.column("film_id").to_pylist(), strict=True))
    files = [FileClaim(path, film_id) for path, film_id in known.items() if film_id is not None]
    try:
        there = {readable(path) for path in files_under(raw)}
    except StageError:  # an empty folder: all films are missing, and are found to be
        there = set()
    where = str(machine.raw or footer.facts["raw"])
    told = {footer.params.get("labels_csv")} if footer.facts.get("label_source") == "csv" else set()
    new = [
        Finding("raw", f"{where}/{path}", "a raw file that the audit has not seen", "one row in the audit")
        for path in sorted(there - set(known) - told)
    ]
    return list(_file_jobs(files, raw, where, "raw", None)), new


# --- the whole -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of looking at everything.

    Attributes:
        findings: what is wrong.
        by_folder: what was read, by folder.
        unseen: what could not be looked at, and is not wrong for that.
    """

    findings: tuple[Finding, ...]
    by_folder: Mapping[str, Checked]
    unseen: tuple[str, ...] = ()


def inspect(params: VerifyParams, root: Root, machine: Machine) -> Verdict:
    """Look at every file and every row under the root.

    Raises:
        StageError: where there is nothing to look at.
    """
    found, findings = read_manifests(root)
    if not found.seals and not findings:
        raise StageError(f"{root / 'data'}: holds no manifest; expected some; run the stages first")
    findings += check_chain(found)
    findings += check_shards_known(found)
    findings += check_rows(found)
    jobs = [job for name in IMAGES if name in found.footers for job in claims(found, name)]
    findings += check_extra(found, jobs)
    unseen: tuple[str, ...] = ()
    if paths.AUDIT in found.footers:
        unseen = _raw_unseen(found, machine)
        of_raw, new = raw_jobs(found, machine)
        jobs, findings = [*of_raw, *jobs], [*findings, *new]
    checked = list(machine.fan_out(partial(check_one, pixels=params.pixels), jobs, unit="files", weigh=_weight))
    by_folder: dict[str, Checked] = {}
    for job, result in zip(jobs, checked, strict=True):
        by_folder[job.where] = _sum(by_folder.get(job.where, Checked()), result)
    for name, sealed in found.seals.items():
        where = name.rpartition("/")[0]
        by_folder[where] = _sum(by_folder.get(where, Checked()), Checked(files=1, size=sealed.size))
    findings += [finding for result in checked for finding in result.findings]
    return Verdict(tuple(findings), by_folder, unseen)


def _raw_unseen(found: Manifests, machine: Machine) -> tuple[str, ...]:
    """Return a sentence on the raw films where they are not there."""
    raw = raw_folder(found.footers[paths.AUDIT].facts, found.root, machine)
    if raw.is_dir():
        return ()
    return (f"{raw}: no such folder: raw films are not checked; --raw tells where they lie",)


def _weight(job: Job) -> int:
    return len(job.files) or 1


def _sum(one: Checked, other: Checked) -> Checked:
    return Checked((), one.files + other.files, one.images + other.images, one.size + other.size)


def run(params: VerifyParams, root: Root, machine: Machine) -> Report:
    """Look at everything, mend it where that is asked for, and look again."""
    verdict = inspect(params, root, machine)
    told: list[str] = []
    if params.repair and verdict.findings:
        told += [f"found: {finding}" for finding in verdict.findings[:SHOWN]]
        mended, failed = repair.mend(verdict.findings, root, machine)
        told += [*(f"mended: {what}" for what in mended), *(f"NOT mended: {what}" for what in failed)]
        verdict = inspect(params, root, machine)
    files = sum(checked.files for checked in verdict.by_folder.values())
    wrong = verdict.findings
    listed = [f"{finding}; {_todo(finding)}" for finding in wrong[:SHOWN]]
    more = [f"and {len(wrong) - SHOWN:,} more"] if len(wrong) > SHOWN else []
    good = "every byte and every row as the manifests say"
    return Report(
        done=files,
        unit="files",
        lines=[*told, *_table(verdict), *verdict.unseen, *listed, *more],
        verdict=f"{len(wrong):,} {'thing is' if len(wrong) == 1 else 'things are'} wrong" if wrong else good,
        failed=bool(wrong),
    )


def _todo(finding: Finding) -> str:
    if finding.where == paths.PREDICTIONS:
        return "run `cxr-pipeline evaluate` again"
    return TODO[finding.kind]


def _table(verdict: Verdict) -> list[str]:
    rows = [["folder", "files", "images", "MB"]]
    for where, checked in verdict.by_folder.items():
        rows.append([where, text.count(checked.files), text.count(checked.images), f"{checked.size / 1e6:,.1f}"])
    return text.aligned(rows)


STAGE = Stage(
    "verify",
    VerifyParams,
    reads=(paths.RAW, *CHAIN),
    writes=(paths.AUDIT, paths.SPLIT, paths.NORMALIZED, paths.AUGMENTED),
    run=run,
    writes_if="repair",
)
