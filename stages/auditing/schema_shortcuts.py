"""What `reports/audit.json` holds of what normalization costs, of shortcuts and of shift, field by field."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from manifests.rows import DeliveredSplit
from stages.films.placement import Policy
from stages.told import Share, Told

Split = Literal["train", "val", "test", "none"]
Count = Annotated[int, Field(ge=0)]


class Tell(Told):
    """How well a class is told from the rest: an AUC and its 95 % interval over patients."""

    auc: Share
    low: Share
    high: Share
    films: int = Field(ge=2, description="Of the class and of the rest.")


class Drop(Told):
    """The AUC in train less the AUC in the test, and its 95 % interval."""

    drop: float
    low: float
    high: float


class Cost(Told):
    """What a policy does to the films of a class in a split: means, but for what is called a median."""

    lost_width: Share
    lost_height: Share
    lost: Share = Field(description="Share of a film's area that is cut away.")
    padded_films: Share = Field(description="Share of the films that are padded.")
    padded: Share = Field(description="Share of the frame that shows no film.")
    enlarged_films: Share = Field(description="Share of the films scaled up, one way at least.")
    distortion: float = Field(ge=0, description="Of max(stretch, 1 / stretch) - 1; rounding, but for squeeze.")
    cost: float = Field(ge=0, description="Lost (beyond a quarter twice), padded, for squeeze the distortion.")
    scale_x_median: float = Field(description="Pixels of the frame per pixel of the film, across.")
    scale_y_median: float = Field(description="The same, down.")
    stretch_median: float = Field(description="Of scale_x / scale_y.")


class Mark(Told):
    """How far something that a policy does tells the classes."""

    auc: dict[str, Tell] = Field(description="By class.")
    standardised_difference: float = Field(
        description="Largest between two classes, in SDs within a class; 99 at most."
    )


class CostlyFilm(Told):
    """A film that a policy costs much."""

    path: str
    label: str
    delivered_split: DeliveredSplit | None
    width: int
    height: int
    lost: Share
    padded: Share
    stretch: float


class PolicyCosts(Told):
    """What a policy costs."""

    by_class: dict[Split, dict[str, Cost]] = Field(description="By delivered split and class.")
    marks: dict[Split, dict[Literal["padding", "framing", "shape", "size"], Mark]]
    worst: list[CostlyFilm] = Field(description="The worst first.")


class Score(Told):
    """What a policy comes to; the least is recommended."""

    cost: float
    marks: float
    score: float = Field(description="Their sum.")


class Recommendation(Told):
    """Which policy to normalize with, and why."""

    policy: Policy
    runner_up: Policy
    scores: dict[Policy, Score]
    why: list[str] = Field(description="Sentences.")


class Costs(Told):
    """What normalization costs under each policy; without films, nothing."""

    policies: dict[Policy, PolicyCosts]
    recommendation: Recommendation | None


class Source(Told):
    """How well what is no lung tells each class, several numbers together."""

    within: dict[Split, dict[str, Tell]] = Field(description="By split and class, cross-validated over patients.")
    transfer: dict[str, Tell] = Field(description="By class: learned in train, asked in the test.")
    drop: dict[str, Drop] = Field(description="By class: within train, less transfer.")


class Shortcuts(Told):
    """What tells the classes apart without a look at the lungs."""

    features: dict[Split, dict[str, dict[str, Tell]]] = Field(description="By split, feature of the file and class.")
    feature_drops: dict[str, dict[str, Drop]] = Field(description="By feature and class, from train to test.")
    sample: dict[Split, dict[str, Count]] = Field(description="Films that `joint` and `shift` are about.")
    said: list[str] = Field(description="What the figures mean, in sentences, the surest first.")
    joint: dict[str, Source] = Field(
        description="By source: file, border, traces, blocks, scale, traces at equal scale."
    )


class Apart(Told):
    """How well the test's films are told from train's: an AUC, its interval, and that of patients drawn from train."""

    auc: Share
    low: Share
    high: Share
    control: Share | None


class TrainAndTest(Told):
    """How many films of a class are compared."""

    train: Count
    test: Count


class ShiftOfClass(Told):
    """How well a class's films of the test are told from its films of train, by each source."""

    films: TrainAndTest
    file: Apart | None = None
    border: Apart | None = None
    traces: Apart | None = None
    pixels: Apart | None = None


class Shift(Told):
    """Whether train and test are of one kind, class by class."""

    by_class: dict[str, ShiftOfClass] = Field(description="Of classes in train and in the test.")
    said: list[str] = Field(description="What that means, in sentences.")
