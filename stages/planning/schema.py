"""`reports/plan.json`, key by key: its published JSON Schema follows from these."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from stages.told import Share, Told

Seconds = Annotated[float, Field(ge=0, description="Seconds.")]
Bytes = Annotated[float, Field(ge=0, description="Bytes.")]


class Range(Told):
    """A figure, and the range that the rounds of the calibration and the doubt of the sample leave it."""

    low: float
    middle: float
    high: float


class StagePlan(Told):
    """What a stage would take."""

    seconds: Range
    start_s: Seconds
    serial_s: Seconds = Field(description="Of the parent alone: no number of workers shortens it.")
    parallel_s: Seconds = Field(description="While workers work.")
    cpu_s: Seconds = Field(description="Processor time of all processes.")
    least_s: Seconds = Field(description="With any number of workers.")
    grows_with_the_square_s: Seconds = Field(description="The part of serial_s that does.")
    parent_mb: float = Field(ge=0, description="Largest resident memory of the parent; a model, see docs/scale.md.")


class FolderPlan(Told):
    """What a stage would leave on the disk."""

    images: int = Field(ge=0)
    files: int = Field(ge=0, description="Shards, or image files.")
    bytes: Range
    file_bytes: Bytes = Field(description="Of a file, on average.")
    manifest_bytes: Bytes


class Calibration(Told):
    """Where the rates are from."""

    films: str = Field(description="What was measured, in words.")
    workers: int = Field(ge=1, description="That worked side by side.")
    rounds: int = Field(ge=1)
    seconds: Seconds
    usable_share: Share
    strata: int = Field(ge=0, description="Classes in delivered splits: the audit looks closer at some films of each.")


class PlanReport(Told):
    """What a set of so many films would take; sizes in bytes, times in seconds."""

    films: int = Field(ge=1)
    usable: int = Field(ge=0)
    training_films: int = Field(ge=0)
    copies: int = Field(ge=0)
    images: int = Field(ge=0, description="Augmented, originals among them.")
    workers: int = Field(ge=1)
    cores: int = Field(ge=1)
    calibration: Calibration
    stages: dict[str, StagePlan] = Field(description="By name; `build` does the first four in one.")
    folders: dict[str, FolderPlan] = Field(description="What is left on the disk, by stage.")
    while_it_runs_bytes: Bytes = Field(description="More disk that `build` needs until it ends.")
    worker_mb: float = Field(ge=0, description="Largest resident memory of a worker in the calibration.")
    requests: dict[str, int] = Field(description="Of an object store, by `build`: puts and gets.")
    cost: dict[str, float] = Field(description="Of `build`, in the currency of the prices; empty without prices.")
