"""What one machine takes for one film: the rates that a plan multiplies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRates:
    """What one stage takes; a unit is a film, for augment and verify an image.

    Attributes:
        start_s: of the command by the clock, however few the films: Python, libraries, worker processes, plots.
        start_cpu_s: the same, processor time of all its processes.
        work_s: of a worker, each unit.
        parent_s: of the parent, each unit, while workers work: jobs, results, rows, the disk's acknowledgement.
        serial_s: of the parent, each unit, while no worker has anything to do.
        square_s: the same, each unit times the number of units: what compares all with all.
    """

    start_s: float
    start_cpu_s: float = 0.0
    work_s: float = 0.0
    parent_s: float = 0.0
    serial_s: float = 0.0
    square_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What was measured in one round.

    Attributes:
        audit, split, normalize, augment, verify: by stage.
        look_s: of the audit for each film that it searches for shortcuts, beyond any other.
        look_after_s: of its parent for each of these, once all films are looked at: figures, pictures, plots.
        build_start_s, build_start_cpu_s: of `build`, as of a stage.
        build_saved_s: what `build` saves of a film, since it decodes each once.
        raw_bytes: of a raw film.
        normalized_bytes: of a normalized film, its share of the shard's other bytes with it.
        image_bytes: of an augmented image, the same.
        audit_row_bytes, split_row_bytes, normalized_row_bytes, augmented_row_bytes: of a row of each manifest.
        worker_mb: largest resident memory of a worker.
    """

    audit: StageRates
    split: StageRates
    normalize: StageRates
    augment: StageRates
    verify: StageRates
    look_s: float
    look_after_s: float
    build_start_s: float
    build_start_cpu_s: float
    build_saved_s: float
    raw_bytes: float
    normalized_bytes: float
    image_bytes: float
    audit_row_bytes: float
    split_row_bytes: float
    normalized_row_bytes: float
    augmented_row_bytes: float
    worker_mb: float


STAGES = ("audit", "split", "normalize", "augment", "verify")
NUMBERS = tuple(field.name for field in fields(Rates) if field.name not in STAGES)


def combined(rounds: Sequence[Rates], how: Callable[[Sequence[float]], float]) -> Rates:
    """Return rates of which each is made of those of all rounds: their median, least or most.

    Starts are the least of all rounds in any case: they alone are by the clock, and a busy machine lengthens them.
    """

    def of_stage(name: str) -> StageRates:
        parts = [getattr(one, name) for one in rounds]
        of_each = {field.name: [getattr(part, field.name) for part in parts] for field in fields(StageRates)}
        return StageRates(**{of: (min if of.startswith("start") else how)(values) for of, values in of_each.items()})

    numbers: dict[str, Any] = {name: how([getattr(one, name) for one in rounds]) for name in NUMBERS}
    numbers |= {name: min(getattr(one, name) for one in rounds) for name in NUMBERS if "start" in name}
    return Rates(**{name: of_stage(name) for name in STAGES} | numbers)
