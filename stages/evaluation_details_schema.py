"""What `reports/evaluation.json` holds beside the gap: the classes that `stages/evaluation_schema.py` is made of."""

from __future__ import annotations

from pydantic import Field

from stages.told import ByClass, Share, Told


class ClassErrors(Told):
    """How many of a class's films are named wrongly, and in what way; of several models, added up over them."""

    films: int = Field(ge=0)
    detection: int = Field(ge=0)
    cause: int = Field(ge=0)


class Errors(ClassErrors):
    """A split's errors: those of detection and of cause are all of them."""

    errors: int = Field(ge=0, description="Of both kinds: detection + cause.")
    false_alarms: int = Field(ge=0, description="Films of the normal class that are named otherwise.")
    missed: int = Field(ge=0, description="Films of other classes that are named normal; with false_alarms: detection.")
    specificity: Share | None = Field(description="Share of the normal films that are named so; null without any.")
    found: Share | None = Field(description="Share of the other films that are not named normal.")
    named: Share | None = Field(description="Share of those found that are given their own class.")
    by_class: dict[str, ClassErrors]


class FurtherScores(Told):
    """Scores beside accuracy; of several models, the means over them; null where they are not defined."""

    macro_recall: Share | None
    mcc: float | None = Field(description="Matthews correlation for several classes; null where the truth is of one.")
    auc: dict[str, Share | None] = Field(description="Of each class against the rest; null where either kind lacks.")
    brier: float | None = Field(description="Summed over the classes, 0 to 2.")
    log_loss: float | None = Field(description="In nats; a probability counts as 2^-23 at least.")
    calibration_error: Share | None = Field(description="Expected calibration error over 15 bins of equal width.")


class Bin(Told):
    """Films whose confidence, the probability of the class that is named, lies in (low, high]."""

    low: Share
    high: Share
    films: int = Field(ge=1, description="Of several models, added up over them.")
    confidence: Share = Field(description="Mean.")
    accuracy: Share


class Subgroup(Told):
    """How the films of a split that share a value are judged, at their own class shares."""

    films: int = Field(ge=1)
    patients: int = Field(ge=1)
    class_films: dict[str, int]
    accuracy: Share
    accuracy_low: Share
    accuracy_high: Share
    macro_recall: Share
    recall: ByClass
    recall_low: ByClass
    recall_high: ByClass


class Margins(Told):
    """What normalize did to a class's films in a split."""

    films: int = Field(ge=1)
    lost_mean: Share = Field(description="Mean share of the film's area that was cut away.")
    padded_films: Share = Field(description="Share of the films that were padded.")
    padded_mean: Share = Field(description="Mean share of the frame that shows no film.")


class Unfilled(Told):
    """How much of a class's copies came from outside the film; originals are not counted."""

    copies: int = Field(ge=1)
    mean: Share
    most: Share
    copies_with_any: Share = Field(description="Share of the copies in which any pixel did.")


class WrongFilm(Told):
    """A film that the network is sure of and wrong about; of several models, by the mean of their probabilities."""

    film_id: str = Field(pattern=r"^[0-9a-f]{64}$")
    path: str = Field(description="Within data/normalized.")
    patient: str | None
    truth: str
    said: str
    confidence: Share
    of_truth: Share = Field(description="Probability of the class that it is.")


class Details(Told):
    """Every figure beside the gap and the probes."""

    normal_class: str | None = Field(None, description="The class without findings, by its name; absent without one.")
    errors: dict[str, Errors] | None = Field(None, description="By split; absent where no class is the normal one.")
    errors_not_split: str | None = Field(None, description="Why errors are not divided; absent where they are.")
    further: dict[str, FurtherScores] = Field(description="By split.")
    reliability: dict[str, list[Bin]] = Field(description="By split; bins without films are left out.")
    subgroups: dict[str, dict[str, dict[str, Subgroup]]] = Field(
        description="By split (val and test), property and value; a property in which films do not differ is left out."
    )
    margins: dict[str, dict[str, Margins]] = Field(description="By split and class.")
    unfilled: dict[str, Unfilled] = Field(description="By class; empty where there are no copies.")
    gallery: dict[str, list[WrongFilm]] = Field(description="By split (val and test); the films stand in the page.")
