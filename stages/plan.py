"""plan: what a set of so many films would take, told before machines are rented.

Rates are measured on a sample of the films at hand, by the stages themselves (`stages/planning`), and multiplied.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from pydantic import Field, field_validator

from manifests import store
from manifests.places import AnyPath
from stages import paths
from stages.audit import AuditParams
from stages.auditing.sample import IN_ALL, OF_A_CLASS
from stages.augment_params import AugmentParams
from stages.checkup.machine import cores
from stages.contract import Machine, Params, ParamsError, Report, Root, Stage
from stages.normalize import NormalizeParams
from stages.planning import calibrate, tables, words
from stages.planning.calibrate import Recipe, Round
from stages.planning.forecast import Size
from stages.planning.rates import Rates, combined
from stages.planning.sample import Sample, films_of, phantoms
from stages.planning.schema import PlanReport
from stages.planning.storage import Prices
from stages.split import SplitParams

MOST_COPIES = 20  # in the calibration: each copy more costs the same


class PlanParams(Params):
    """The set that is asked about, and how closely to measure."""

    films: int | None = Field(None, ge=1, le=10**9, description="Raw films; none: as many as lie in the raw folder.")
    copies: int | None = Field(
        None, ge=0, le=9999, description="Copies of every training film; none: as `augment` has it."
    )
    workers: int = Field(0, ge=0, le=100_000, description="Workers of the run that is planned; 0: one for each core.")
    train_share: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Share of the usable films that are training films; none: as `split` is told, and as many in a "
        "delivered test split as in the sample.",
    )
    sample: int = Field(128, ge=8, le=10_000, description="Films that are measured.")
    rounds: int = Field(3, ge=1, le=100, description="How often; times are the medians, ranges from least to most.")
    side_px: int = Field(
        1500, ge=64, le=8192, description="Longest side of the phantoms that are measured where there are no films."
    )
    price_per_core_hour: float = Field(0.0, ge=0, description="Of a core, in any currency.")
    price_per_gb_month: float = Field(0.0, ge=0, description="Of 10^9 bytes of storage, a month.")
    price_per_1000_puts: float = Field(0.0, ge=0, description="Of an object store, for 1,000 objects written.")
    price_per_1000_gets: float = Field(0.0, ge=0, description="The same for 1,000 reads.")
    out: str = Field("", description="File for the figures as JSON, under the root, such as reports/plan.json.")
    audit: AuditParams = Field(AuditParams(), description="Section `audit`.")
    split: SplitParams = Field(SplitParams(), description="Section `split`.")
    normalize: NormalizeParams = Field(NormalizeParams(), description="Section `normalize`.")
    augment: AugmentParams = Field(AugmentParams(), description="Section `augment`.")

    @field_validator("out")
    @classmethod
    def _known_ending(cls, out: str) -> str:
        if out and Path(out).suffix.lower() != ".json":
            raise ValueError(f"ends in '{Path(out).suffix}'; expected .json")
        return out

    @property
    def prices(self) -> Prices:
        """What is paid."""
        return Prices(
            core_hour=self.price_per_core_hour,
            gb_month=self.price_per_gb_month,
            puts=self.price_per_1000_puts,
            gets=self.price_per_1000_gets,
        )


@dataclass(frozen=True, slots=True)
class Measured:
    """The calibration.

    Attributes:
        low, middle, high: rates of each number's least, median and largest round; low and high are widened by what
            the sample may differ from the set (`doubted`).
        last: the last of the rounds, for what does not differ among them.
        sample: the films that were measured.
        taken_s: seconds that the measuring took.
    """

    low: Rates
    middle: Rates
    high: Rates
    last: Round
    sample: Sample
    taken_s: float


def measured(params: PlanParams, raw: AnyPath, machine: Machine) -> Measured:
    """Return this machine's rates."""
    started = time.perf_counter()
    copies = min(params.augment.copies if params.copies is None else params.copies, MOST_COPIES)
    with tempfile.TemporaryDirectory(prefix="cxr-plan-") as folder:
        sample = _sample(params, raw, machine, Path(folder))
        recipe = Recipe(
            params.audit.model_copy(update={"fail_on": "", **sample.labels}),
            params.normalize,
            params.augment.model_copy(update={"copies": copies}),
        )
        with machine.track(params.rounds, unit="rounds") as advance:
            rounds = []
            for number in range(params.rounds):
                large = tables.measured()
                rounds.append(calibrate.one_round(recipe, sample, large, machine, Path(folder) / str(number)))
                advance(1)
    rates, seen = [one.rates for one in rounds], rounds[-1].seen
    return Measured(
        doubted(combined(rates, min), -seen.doubt_time, -seen.doubt_bytes),
        combined(rates, median),
        doubted(combined(rates, max), seen.doubt_time, seen.doubt_bytes),
        rounds[-1],
        sample,
        time.perf_counter() - started,
    )


def _sample(params: PlanParams, raw: AnyPath, machine: Machine, folder: Path) -> Sample:
    """Return films to measure: of the raw folder where there is one, else phantoms."""
    if raw.is_dir():
        return films_of(raw, params.audit, params.sample, folder)
    if params.films is None:
        raise ParamsError(f"films: none given, and {raw} is no folder; say how many with --films, or where with --raw")
    if machine.raw is not None:
        raise ParamsError(f"--raw {raw}: no such folder; leave it out to measure phantoms")
    return phantoms(params.side_px, params.sample, folder, machine)


def doubted(rates: Rates, time_share: float, bytes_share: float) -> Rates:
    """Return rates as they would be if the set's films took more work or more bytes than the sample's.

    Args:
        rates: of the sample.
        time_share: how much more time a film takes to decode, as a share; negative: less.
        bytes_share: how many more bytes its images have, as a share; negative: fewer.
    """
    slower, larger = max(0.0, 1 + time_share), max(0.0, 1 + bytes_share)
    return replace(
        rates,
        audit=replace(rates.audit, work_s=rates.audit.work_s * slower),
        normalize=replace(rates.normalize, work_s=rates.normalize.work_s * slower),
        augment=replace(rates.augment, work_s=rates.augment.work_s * larger),
        verify=replace(rates.verify, work_s=rates.verify.work_s * larger),
        image_bytes=rates.image_bytes * larger,
    )


def size_of(params: PlanParams, found: Measured) -> Size:
    """Return the set that is asked about."""
    here, seen = cores(), found.last.seen
    workers = params.workers or here
    copies = params.augment.copies if params.copies is None else params.copies
    actual = Recipe(params.audit, params.normalize, params.augment.model_copy(update={"copies": copies}))
    return Size(
        films=params.films or found.sample.of,
        usable_share=seen.usable_share,
        train_share=train_share(params, seen.test_share),
        copies=copies,
        workers=workers,
        cores=max(workers, here),
        looked_at=min(OF_A_CLASS * seen.strata, IN_ALL),
        **calibrate.limits(actual),
    )


def train_share(params: PlanParams, test_share: float) -> float:
    """Return the share of the usable films that are training films, as `split` divides them.

    Args:
        params: the plan's.
        test_share: share of the films that came in a test split.
    """
    if params.train_share is not None:
        return params.train_share
    told = params.split
    pool = 1 - (test_share or told.test_fraction)
    return max(0.0, pool * (1 - told.val_fraction - told.leak_probe_fraction))


def run(params: PlanParams, root: Root, machine: Machine) -> Report:
    """Measure, multiply, and tell.

    Raises:
        ParamsError: where neither films nor their number are given.
    """
    told = report_of(params, measured(params, machine.raw or root / paths.RAW, machine))
    if params.out:
        store.write_json(root / params.out, told.model_dump(mode="json"))
    return Report(
        done=len(told.stages),
        unit="stages",
        lines=words.lines(told, _here()),
        written=(params.out,) if params.out else (),
        verdict="nothing was written" if not params.out else "nothing else was written",
    )


def report_of(params: PlanParams, found: Measured) -> PlanReport:
    """Return what the set that is asked about would take, by the rates of this machine."""
    size = size_of(params, found)
    rates = (found.low, found.middle, found.high)
    return words.report(size, rates, found.last.parent_mb, params.prices, _told(params, found))


def _told(params: PlanParams, found: Measured) -> Mapping[str, object]:
    seen = found.last.seen
    return {
        "films": found.sample.source,
        "workers": found.last.workers,
        "rounds": params.rounds,
        "seconds": round(found.taken_s, 1),
        "usable_share": seen.usable_share,
        "strata": seen.strata,
    }


def _here() -> words.Here:
    """Return what this machine has."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return words.Here(cores(), memory)


STAGE = Stage("plan", PlanParams, reads=(paths.RAW,), writes=(paths.PLAN,), run=run, writes_if="out")
