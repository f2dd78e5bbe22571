"""build: audit, split, normalize and augment in one run, the same bytes as one by one in less time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import Field

from manifests.places import scratch_near
from stages import audit, augment, normalize, paths, split
from stages.ahead import kept_ahead
from stages.audit import AuditParams
from stages.augment_params import AugmentParams
from stages.contract import Machine, Params, Report, Root, Stage, StageError
from stages.memory import give_back
from stages.normalize import NormalizeParams
from stages.split import SplitParams

CHAIN: tuple[Stage[Any], ...] = (audit.STAGE, split.STAGE, normalize.STAGE, augment.STAGE)


class BuildParams(Params):
    """The parameters of the four stages, each in the section of its own."""

    audit: AuditParams = Field(AuditParams(), description="Section `audit`.")
    split: SplitParams = Field(SplitParams(), description="Section `split`.")
    normalize: NormalizeParams = Field(NormalizeParams(), description="Section `normalize`.")
    augment: AugmentParams = Field(AugmentParams(), description="Section `augment`.")


def run(params: BuildParams, root: Root, machine: Machine) -> Report:
    """Run the four stages; workers stay, and normalize takes the films as the audit decoded them.

    Raises:
        StageError: where the audit finds more than its limits allow, and is asked to fail for it.
    """
    augment.refuse_what_cannot_be_covered(params.augment, params.normalize.frame)
    with kept_ahead(scratch_near(root / paths.NORMALIZED), params.normalize.frame, params.normalize.policy) as ahead:
        together = replace(machine, ahead=ahead)
        reports: dict[str, Report] = {}
        for stage in CHAIN:
            reports[stage.name] = stage.run(getattr(params, stage.name), root, together)
            if reports[stage.name].failed:
                raise StageError(f"{stage.name}: {reports[stage.name].verdict}")
            give_back()
    return Report(
        done=reports["augment"].done,
        unit="images",
        set_aside=_in_all(reports),
        lines=[f"{name}: {line}" for name, report in reports.items() for line in report.lines],
        written=reports["augment"].written,
    )


def _in_all(reports: Mapping[str, Report]) -> dict[str, int]:
    """Return how many films got each status, over the stages: none is counted twice, since none goes on."""
    found: dict[str, int] = {}
    for report in reports.values():
        for status, number in report.set_aside.items():
            found[status] = found.get(status, 0) + number
    return found


STAGE = Stage(
    "build",
    BuildParams,
    reads=(paths.RAW,),
    writes=tuple(path for stage in CHAIN for path in stage.writes),
    run=run,
)
