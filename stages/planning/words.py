"""A plan as a report of figures, and as the lines that a terminal shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stages.planning import forecast, storage
from stages.planning.forecast import Size, Taken
from stages.planning.rates import Rates
from stages.planning.schema import Calibration, FolderPlan, PlanReport, Range, StagePlan
from stages.planning.storage import Prices, Stored
from stages.reporting import text

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400
MOSTLY = 0.5  # of a stage's time: what takes so much is named as its bottleneck


@dataclass(frozen=True, slots=True)
class Here:
    """What this machine has.

    Attributes:
        cores: that this process may use.
        memory: bytes.
    """

    cores: int
    memory: int


def report(
    size: Size, rates: tuple[Rates, Rates, Rates], few_mb: Mapping[str, float], prices: Prices, calibrated: object
) -> PlanReport:
    """Return the plan's figures.

    Args:
        size: of the set.
        rates: the least, the median and the most.
        few_mb: what each command's parent takes on few films.
        prices: what is paid.
        calibrated: what a `Calibration` tells.
    """
    _, middle, _ = rates
    times = [forecast.times(one, size) for one in rates]
    kept = [storage.stored(one, size) for one in rates]
    parents = forecast.parents_mb(few_mb, size)
    asked = storage.requests(size, kept[1])
    priced = any((prices.core_hour, prices.gb_month, prices.puts, prices.gets))
    hours = times[1]["build"].total_s / HOUR_S
    return PlanReport(
        films=size.films,
        usable=size.usable,
        training_films=size.trained,
        copies=size.copies,
        images=size.images,
        workers=size.workers,
        cores=size.cores,
        calibration=Calibration.model_validate(calibrated),
        stages={name: _stage([of[name] for of in times], parents[name]) for name in times[1]},
        folders={name: _folder([of[name] for of in kept]) for name in kept[1]},
        while_it_runs_bytes=middle.normalized_bytes * size.usable + storage.THUMBNAIL_BYTES * size.films,
        worker_mb=round(middle.worker_mb, 1),
        requests={"puts": asked.puts, "gets": asked.gets},
        cost=storage.cost(prices, size, hours, kept[1]) if priced else {},
    )


def _stage(times: Sequence[Taken], parent_mb: float) -> StagePlan:
    low, middle, high = times
    return StagePlan(
        seconds=Range(low=low.total_s, middle=middle.total_s, high=high.total_s),
        start_s=middle.start_s,
        serial_s=middle.serial_s,
        parallel_s=middle.parallel_s,
        cpu_s=middle.cpu_s,
        least_s=middle.least_s,
        grows_with_the_square_s=middle.square_s,
        parent_mb=round(parent_mb, 1),
    )


def _folder(kept: Sequence[Stored]) -> FolderPlan:
    low, middle, high = (one.image_bytes + one.manifest_bytes for one in kept)
    return FolderPlan(
        images=kept[1].images,
        files=kept[1].files,
        bytes=Range(low=low, middle=middle, high=high),
        file_bytes=kept[1].file_bytes,
        manifest_bytes=kept[1].manifest_bytes,
    )


# --- the terminal ----------------------------------------------------------------------------------------------


def lines(told: PlanReport, here: Here) -> list[str]:
    """Return what the terminal shows: tables of time and disk, and what they rest on."""
    return [
        f"{told.films:,} films, {told.usable:,} usable; {told.training_films:,} training films x {told.copies + 1} = "
        f"{told.images:,} images; {told.workers:,} workers",
        *text.aligned(_times(told)),
        *_bottlenecks(told),
        *text.aligned(_disk(told)),
        *_needs(told, here),
        *_costs(told),
        *_rests_on(told, here),
    ]


def _times(told: PlanReport) -> list[list[str]]:
    rows = [["stage", "time", "range", "parent alone", "endless workers", "core time", "parent MB"]]
    for name, plan in told.stages.items():
        spread = f"{duration(plan.seconds.low)} to {duration(plan.seconds.high)}"
        alone = text.percent(plan.serial_s / plan.seconds.middle if plan.seconds.middle else 0.0, 0)
        times = (duration(plan.seconds.middle), spread, alone, duration(plan.least_s), duration(plan.cpu_s))
        cells = (*times, f"{plan.parent_mb:,.0f}")
        rows.append([name, *cells])
    return rows


def _bottlenecks(told: PlanReport) -> list[str]:
    """Return a sentence for each stage that more workers would hardly shorten, but for those that only start."""
    found = []
    for name, plan in told.stages.items():
        whole = plan.seconds.middle
        if plan.grows_with_the_square_s > MOSTLY * whole:
            found.append(
                f"{name}: {duration(plan.grows_with_the_square_s)} compare all films with all for near duplicates, in "
                "the parent: twice the films take four times as long, on any number of workers"
            )
        elif plan.least_s > MOSTLY * whole and plan.start_s < MOSTLY * whole:
            found.append(f"{name}: its parent is the bottleneck: more workers than {told.workers:,} gain little")
    return found


def _disk(told: PlanReport) -> list[list[str]]:
    rows = [["left on the disk", "images", "files", "MB each", "GB", "range", "manifest MB"]]
    for name, kept in told.folders.items():
        spread = f"{kept.bytes.low / 1e9:,.2f} to {kept.bytes.high / 1e9:,.2f}"
        sizes = (f"{kept.file_bytes / 1e6:,.1f}", f"{kept.bytes.middle / 1e9:,.2f}", spread)
        rows.append(
            [name, text.count(kept.images), text.count(kept.files), *sizes, f"{kept.manifest_bytes / 1e6:,.1f}"]
        )
    return rows


def _needs(told: PlanReport, here: Here) -> list[str]:
    """Return what the run needs of disk, requests and memory, and what this machine lacks of it."""
    memory_mb = told.stages["build"].parent_mb + told.workers * told.worker_mb
    lacks = memory_mb * 1e6 > here.memory
    beyond = f": more than the {here.memory / 1e9:,.0f} GB of this machine" if lacks else ""
    return [
        f"build needs {told.while_it_runs_bytes / 1e9:,.1f} GB of disk more until it ends; of an object store it asks "
        f"about {told.requests['puts']:,} writes and {told.requests['gets']:,} reads",
        f"memory: parent {told.stages['build'].parent_mb:,.0f} MB, {told.workers:,} workers of "
        f"{told.worker_mb:,.0f} MB = {memory_mb / 1000:,.1f} GB in all{beyond}",
    ]


def _costs(told: PlanReport) -> list[str]:
    if not told.cost:
        return []
    parts = ", ".join(f"{name} {price:,.2f}" for name, price in told.cost.items() if price)
    return [f"build costs {sum(told.cost.values()):,.2f} with the first month of storage: {parts}"]


def _rests_on(told: PlanReport, here: Here) -> list[str]:
    """Return what was measured, and what was not."""
    measured = told.calibration
    rounds = f"{measured.rounds} {'round' if measured.rounds == 1 else 'rounds'}"
    many = f"{measured.workers} {'worker' if measured.workers == 1 else 'workers'}"
    said = [f"measured on {measured.films}: {rounds}, {many}, {measured.seconds:.0f} s"]
    if told.workers > measured.workers:
        said.append(
            f"{told.workers:,} workers are taken to be as fast each as {many} together here ("
            f"{here.cores} cores); what they share, memory's bandwidth, disk and network, is not in the plan"
        )
    return said


def duration(seconds: float) -> str:
    """Return a time as people say it: 43 s, 27 min, 3.2 h, 2.5 days."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 3 * MINUTE_S:
        return f"{seconds:.0f} s"
    if seconds < 3 * HOUR_S:
        return f"{seconds / MINUTE_S:.0f} min"
    return f"{seconds / HOUR_S:.1f} h" if seconds < 3 * DAY_S else f"{seconds / DAY_S:.1f} days"
