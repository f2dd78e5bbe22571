"""Mending a data set in place: what is wrong is made anew by the stage that made it, and nothing else is touched.

Every rebuilt file is compared with what the rest of the set says of it: a manifest with the sha256 that later
manifests hold, a shard with the seal that its manifest holds, an image file with its row. What cannot be made as
it was is left as it lies, and named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from manifests.checks import ManifestError
from manifests.verify import Finding
from stages import paths
from stages.contract import CxrError, Machine, Root
from stages.proof.bench import Bench
from stages.proof.chain import STAGE_OF
from stages.proof.files_anew import mend_augmented, mend_normalized
from stages.proof.manifests_anew import mend_manifest


def mend(findings: Sequence[Finding], root: Root, machine: Machine) -> tuple[list[str], list[str]]:
    """Make anew what is wrong, from raw on down; return what was mended, and what could not be and why."""
    bench = Bench(findings, root, machine, {one.where for one in findings if one.kind in ("manifest", "other")})
    mended: list[str] = []
    failed: list[str] = [f"{one.where}: a raw film cannot be made anew; restore it" for one in bench.of("raw")]
    for one in bench.of("extra"):
        (root / one.where).unlink(missing_ok=True)
        mended.append(f"{one.where} removed")
    files: Mapping[str, Callable[[Bench], Iterator[str]]] = {
        paths.NORMALIZED_MANIFEST: mend_normalized,
        paths.AUGMENTED_MANIFEST: mend_augmented,
    }
    for name in STAGE_OF:
        try:
            if name in bench.pending:
                mended.append(mend_manifest(name, bench))
            elif name in files:
                mended += files[name](bench)
        except (CxrError, ManifestError) as error:
            failed.append(str(error))
    return mended, failed
