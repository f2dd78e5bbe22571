"""What `reports/evaluation.json` holds, field by field: `docs/evaluation.schema.json` is written from it.

Whatever adds a figure to the file adds it here: a test holds the file of a real run against these classes, and an
unknown key is an error.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from stages.evaluation_details_schema import Details
from stages.told import ByClass, Share, Told

VERSION = 1  # grows where a key is renamed, removed or given another meaning, and not where one is added

Loss = Annotated[float, Field(ge=-1 - 1e-9, le=1 + 1e-9)]
PartName = Annotated[
    str,
    Field(
        pattern=r"^(augmentation|fit|leakage|prior|shift|threshold)(\+(augmentation|fit|leakage|prior|shift|threshold))*$",
        description="A part, or several that cannot be told apart, joined by +.",
    ),
]
SetName = Literal["augmented", "train", "leak_probe", "val", "test"]
PartLabel = Literal["augmentation", "fit", "leakage", "prior", "shift", "threshold"]


class Scores(Told):
    """How a set is judged; of several models, the means over them."""

    patients: int = Field(ge=1, description="Patients, each counted once per class.")
    accuracy: Share = Field(description="Share of the films that were given their own class.")
    accuracy_low: Share = Field(description="Lower end of its 95 % interval, by redrawing patients within class.")
    accuracy_high: Share = Field(description="Upper end.")
    macro_recall: Share = Field(description="Mean of the classes' recalls.")
    recall: ByClass
    recall_low: ByClass
    recall_high: ByClass
    confusion: dict[str, dict[str, int]] = Field(
        description="Films by class (outer) and what was said (inner); of several models, added up over them."
    )


class SplitScores(Scores):
    """How a split's films are judged."""

    films: int = Field(ge=1)


class ImageScores(Scores):
    """How the augmented training images are judged, the originals included."""

    images: int = Field(ge=1)


class Difference(Told):
    """By how much the left set scores above the right one."""

    difference: Loss
    low: Loss
    high: Loss


class Differences(Difference):
    """A difference of accuracy, each at its own class shares, and those of the recalls."""

    recall: dict[str, Difference] = Field(description="By class; one that either set lacks is left out.")


class Figure(Told):
    """A value with its 95 % percentile interval, by redrawing patients within class; in shares of 1."""

    value: float
    low: float
    high: float


class Part(Figure):
    """What a step of the gap costs in accuracy, and class by class."""

    recall: dict[str, Figure] = Field(
        description="By how much each class's recall falls; over the parts they sum to its fall from first to last."
    )
    contribution: dict[str, Figure] = Field(
        description="Each class's share of the value, p_c r_c before less after: over the classes they sum to the "
        "value, over the parts to the class's share of the total."
    )


class StepAccuracy(Figure):
    """The accuracy at a step of the gap."""

    films: SetName | Literal["test_refitted"] = Field(
        description="The set that is judged; test_refitted is the test, its class thresholds fitted on the other half "
        "of its patients: a diagnosis, which reads the test's labels."
    )
    shares: Literal["train", "test"] = Field(description="The set at whose class shares it stands.")


class Gap(Told):
    """The gap from the first set to the last, and the parts that it is the sum of; docs/evaluation.md defines them."""

    total: Part | None = Field(description="A(first) - A(last); null where no class has films in every set.")
    parts: dict[PartName, Part] = Field(description="In the order of the steps; their values sum to the total.")
    reverse: dict[PartName, Part] = Field(description="Prior and shift, where the shift is taken first.")
    accuracies: list[StepAccuracy] = Field(description="At every step, the first set first.")
    shares: dict[Literal["train", "test"], dict[str, Share]] = Field(
        description="Of the classes that are counted, in either set; held fixed while patients are redrawn."
    )
    classes: list[str] = Field(description="That are counted: those with films in every set.")
    left_out: dict[str, list[SetName]] = Field(description="Classes that are not counted, and which sets lack them.")
    missing: list[SetName] = Field(description="Sets that were not scored, or have no films.")
    joint: list[list[PartLabel]] = Field(description="Parts that cannot be told apart, for want of a set between them.")
    not_given: list[PartLabel] = Field(description="Parts before the first set or behind the last one.")


class Model(Told):
    """One model's accuracies and parts."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="Of its file.")
    accuracy: dict[SetName, Share]
    total: Figure | None
    parts: dict[PartName, Figure]


class OverModels(Told):
    """What becomes of a figure over the models."""

    mean: float
    sd: float | None = Field(description="Sample standard deviation (n - 1); null for one model.")
    values: list[float] = Field(description="In the order of `models`.")


class Spread(Told):
    """Mean, standard deviation and all values over the models."""

    accuracy: dict[SetName, OverModels]
    total: OverModels | None
    parts: dict[PartName, OverModels]


class ProbeScores(Told):
    """How a probe judges a split."""

    films: int = Field(ge=1)
    accuracy: Share
    macro_recall: Share
    recall: ByClass


class ProbeModel(Told):
    """A simple model that learned from the films of train."""

    penalty: float | None = Field(
        None, gt=0, description="Of a ridge on standardised features; absent where the probe has none."
    )
    splits: dict[Literal["train", "leak_probe", "val", "test"], ProbeScores]


class Adversary(Told):
    """How well a ridge tells the test's films of a class from train's, by cross-validation over patients."""

    auc: Share = Field(description="1 where every film gives away which of the two it is of; 0.5 or less where none.")
    low: Share = Field(description="Lower end of its 95 % interval over patients.")
    high: Share = Field(description="Upper end.")
    control: Share | None = Field(
        description="The same for patients of train drawn at random in place of the test's; null where too few."
    )


class Probes(Told):
    """What simple models on the same films reach: checks of the data, and what a network has to beat."""

    models: dict[Literal["majority", "metadata", "border", "ridge", "nearest_neighbour"], ProbeModel] = Field(
        description="metadata is absent where no audit lies beside the films."
    )
    adversarial: dict[str, Adversary | None] = Field(
        description="By class; null with fewer than two patients on a side, empty where the test was not scored."
    )


class Evaluation(Details):
    """`reports/evaluation.json`: how networks judge each split, and what lies between; shares are of 1, not per cent.

    Of several models every figure is the mean over them, and its interval that of the mean: patients are redrawn, the
    models held fixed. What another seed would change stands under `spread`.
    """

    version: Literal[1] = Field(description="Of this schema: grows where a key changes its name or meaning.")
    gap: Gap
    splits: dict[Literal["train", "leak_probe", "val", "test"], SplitScores] = Field(description="That were scored.")
    majority: dict[str, Share] = Field(
        description="What naming the most frequent class of train every time would reach on each split."
    )
    differences: dict[str, Differences] = Field(
        description="LEFT_minus_RIGHT: what the right set scores less, each at its own class shares."
    )
    augmented_accuracy: Share | None = Field(None, description="As in `augmented`; absent where that is.")
    augmented: ImageScores | None = Field(None, description="Absent where the images were not scored.")
    models: dict[str, Model] = Field(description="By their files.")
    spread: Spread
    probes: Probes
    callout: str | None = Field(description="Says so where the network does not beat the ridge on val; else null.")
    test_peeks: int | None = Field(
        None, ge=1, description="How often a model was scored on the test; absent where it was not, this time."
    )
    split_arms: dict[Literal["unit", "holdout"], str] = Field(
        description="How the split was drawn, where it says so: unit film is the careless one, which leaks."
    )
