"""verify: every byte on disk against every row, every row against the row it came from, and mending what is wrong.

What covers what: a manifest and a shard hold a seal over all their own bytes; a manifest names the seals of its
shards, the sha256 of its image files and the sha256 of the manifests it was made from; the audit names the sha256
of every raw film. A change of a single byte breaks at least one of these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from pydantic import Field

from manifests.verify import Checked, Finding, Kind
from stages import paths
from stages.contract import Machine, Params, Report, Root, Stage, StageError
from stages.leaks import leak_warning
from stages.normalize import raw_folder
from stages.proof.chain import CHAIN, IMAGES, Manifests, check_chain, read_manifests
from stages.proof.claims import Job, check_extra, check_one, check_shards_known, claims, drawn, raw_jobs
from stages.proof.draw import Draw, chance_to_find, most_spoilt
from stages.proof.mending import mend
from stages.proof.rows import check_rows
from stages.reporting import text

SHOWN = 40  # findings that are listed
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
    sample: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Share of the shards and files to read, drawn by their names; manifests are read whole all the "
        "same, and rows compared with the rows that they came from.",
    )
    seed: int = Field(0, description="Decides which files a sample holds: another seed looks at others.")

    @property
    def draw(self) -> Draw:
        """Which shards and files are read."""
        return Draw(self.sample, self.seed)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of looking at everything.

    Attributes:
        findings: what is wrong.
        by_folder: what was read, by folder.
        unseen: what was not looked at, and is not wrong for that.
        warnings: what is as its manifests say, and not to be trusted all the same.
    """

    findings: tuple[Finding, ...]
    by_folder: Mapping[str, Checked]
    unseen: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


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
    claimed = [job for name in IMAGES if name in found.footers for job in claims(found, name, params.draw)]
    findings += check_extra(found, claimed)
    unseen: tuple[str, ...] = ()
    if paths.AUDIT in found.footers:
        unseen = _raw_unseen(found, machine)
        of_raw, new = raw_jobs(found, machine)
        claimed, findings = [*of_raw, *claimed], [*findings, *new]
    jobs = drawn(claimed, params.draw)
    checked = list(machine.fan_out(partial(check_one, pixels=params.pixels), jobs, unit="files", weigh=_weight))
    by_folder: dict[str, Checked] = {}
    for job, result in zip(jobs, checked, strict=True):
        by_folder[job.where] = _sum(by_folder.get(job.where, Checked()), result)
    for name, sealed in found.seals.items():
        where = name.rpartition("/")[0]
        by_folder[where] = _sum(by_folder.get(where, Checked()), Checked(files=1, size=sealed.size))
    spoilt = [finding for result in checked for finding in result.findings]
    unseen += _sampled(jobs, claimed, len(spoilt))
    return Verdict((*findings, *spoilt), by_folder, unseen, _leaks(found))


def _sampled(jobs: Sequence[Job], claimed: Sequence[Job], spoilt: int) -> tuple[str, ...]:
    """Return what a sample says of all; nothing where all were read."""
    read, there = (sum(map(_weight, some)) for some in (jobs, claimed))
    if read == there:
        return ()
    told = f"a sample: {read:,} of {there:,} shards and files were read"
    if not read:
        return (f"{told}: it says nothing of the others; take a larger --sample",)
    if spoilt:
        return (f"{told}, and {spoilt:,} of them are not as claimed: read all, without --sample",)
    found = text.percent(chance_to_find(0.01, read))
    return (
        f"{told}, none spoilt: with 95 % confidence fewer than {text.percent(most_spoilt(read), 2)} of all are; were "
        f"1 % spoilt, such a sample would show it with probability {found}",
    )


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


def _leaks(found: Manifests) -> tuple[str, ...]:
    """Return a warning where the set's split leaks by its own account."""
    told = [warning for footer in found.footers.values() for warning in leak_warning(footer.facts)]
    return tuple(told[:1])


def run(params: VerifyParams, root: Root, machine: Machine) -> Report:
    """Look at everything, mend it where that is asked for, and look again."""
    verdict = inspect(params, root, machine)
    told: list[str] = []
    if params.repair and verdict.findings:
        told += [f"found: {finding}" for finding in verdict.findings[:SHOWN]]
        mended, failed = mend(verdict.findings, root, machine)
        told += [*(f"mended: {what}" for what in mended), *(f"NOT mended: {what}" for what in failed)]
        verdict = inspect(params, root, machine)
    files = sum(checked.files for checked in verdict.by_folder.values())
    wrong = verdict.findings
    listed = [f"{finding}; {_todo(finding)}" for finding in wrong[:SHOWN]]
    more = [f"and {len(wrong) - SHOWN:,} more"] if len(wrong) > SHOWN else []
    good = "every byte and every row as the manifests say"
    if params.sample < 1:
        good = "every row and every byte that was read as the manifests say"
    return Report(
        done=files,
        unit="files",
        lines=[*told, *_table(verdict), *verdict.unseen, *verdict.warnings, *listed, *more],
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
