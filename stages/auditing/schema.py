"""What `reports/audit.json` holds, field by field: `docs/audit.schema.json` is written from it.

Whatever adds a figure to the file adds it here: a test holds the file of a real run against these classes, and an
unknown key is an error.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from manifests.rows import DeliveredSplit
from stages.auditing.schema_films import Borders, Duplicates, Pictures
from stages.auditing.schema_shortcuts import Costs, Count, Shift, Shortcuts, Split
from stages.films.placement import Policy
from stages.told import Share, Told


class Size(Told):
    """Height and width in pixels."""

    height: int = Field(ge=1)
    width: int = Field(ge=1)


class FilmsAndPatients(Told):
    """How many films there are, and of how many patients."""

    films: int = Field(ge=1)
    patients: int = Field(ge=1)


class CrossingGroup(Told):
    """A patient with films in several delivered splits."""

    group: str
    films: dict[Split, Count] = Field(description="By split.")


class NamedFilm(Told):
    """A film, and the patient that its name gives it."""

    path: str
    group_id: str


class Rule(Told):
    """What the rule that finds patients does with the usable films."""

    matched: int = Field(ge=0, description="Films that it names a patient of.")
    left_alone: int = Field(ge=0, description="Films that it names none of: each counts as a patient of its own.")
    examples: list[NamedFilm]
    left_alone_examples: list[str]


class OnePatientOfMany(Told):
    """What a name without some of its parts takes for one patient."""

    name: str
    patients: list[str]


class FalseAlarms(Told):
    """What would seem to cross train and test, were parts of the patients' names ignored."""

    ignored: list[str] = Field(description="The parts, such as class or series.")
    crossing: int = Field(ge=0, description="Names with films in train and in test then.")
    real: int = Field(ge=0, description="Those of them that are a patient with films in both.")
    false: int = Field(ge=0, description="The others: several patients that share what is left of the name.")
    example: OnePatientOfMany | None


class Groups(Told):
    """The patient groups of the usable films."""

    count: Count
    largest: int = Field(ge=0, description="Films of the group that has most.")
    largest_id: str = Field(description="That group; empty without any.")
    crossing_delivered_splits: int = Field(ge=0, description="Groups with films in the delivered test and elsewhere.")
    crossing_any: int = Field(ge=0, description="Groups with films in more than one delivered split.")
    crossing: list[CrossingGroup] = Field(description="The first of them.")
    sizes: dict[Literal["1", "2", "3-5", "6-10", "more"], Count] = Field(description="Groups by their films.")
    rule: Rule
    false_alarms: list[FalseAlarms] = Field(description="By what is ignored; empty where names have one part.")


class Sizes(Told):
    """Sizes of a class's films, pixels."""

    width_median: float
    height_median: float
    width_min: int
    width_max: int
    height_min: int
    height_max: int
    aspect_median: float = Field(description="Of width / height.")


class Spread(Told):
    """Quantiles of a class in a split; all absent where nothing is known."""

    min: float | None = None
    p5: float | None = None
    p25: float | None = None
    median: float | None = None
    p75: float | None = None
    p95: float | None = None
    max: float | None = None


class Spreads(Told):
    """How a class's films spread, by delivered split and class."""

    bits_per_pixel: dict[Split, dict[str, Spread]]
    aspect: dict[Split, dict[str, Spread]] = Field(description="Of width / height.")


class Histogram(Told):
    """How many films lie between neighbouring edges, the upper edge of the last bin included."""

    edges: list[float] | None = None
    counts: dict[Split, dict[str, list[Count]]] | None = Field(None, description="By delivered split and class.")


class Histograms(Told):
    """Histograms in bins of equal ratios; empty where nothing is known."""

    bits_per_pixel: Histogram
    aspect: Histogram


class Extreme(Told):
    """A film at an end of size, aspect or compression."""

    path: str
    delivered_split: DeliveredSplit | None
    width: int
    height: int
    bits_per_pixel: float | None


class Quality(Told):
    """Estimated JPEG qualities of a class; all absent where it has no JPEG."""

    median: float | None = None
    min: int | None = None
    max: int | None = None


class Crop(Told):
    """What the 2020 crop does to a class's films."""

    lost_mean: Share = Field(description="Mean share of a film's area that is cut away.")
    padded_share: Share = Field(description="Share of the films that are padded.")
    pad_mean: Share = Field(description="Mean share of the frame that is black.")


class SetAside(Told):
    """A file that is no film of the data set."""

    path: str
    status: str
    reason: str | None


class Check(Told):
    """What was found beside the limit that the parameters set."""

    name: str
    found: float | None = Field(description="The more, the worse; null where it cannot be told.")
    limit: float
    passed: bool
    told: str = Field(description="What the number is of.")
    section: str = Field(description="Of the page, where more is said.")


class Audit(Told):
    """`reports/audit.json`: what is in the raw folder; shares are of 1, not per cent."""

    raw: str = Field(description="The folder, relative to the root where it lies there.")
    classes: list[str] = Field(description="In the order of label_index.")
    label_source: Literal["kermany", "folder", "csv", "nih"]
    label_source_reason: str
    group_source: str
    beside: list[str] = Field(description="Files of the folder that tell of films, and are none.")
    near_threshold: float = Field(description="As in `duplicates`.")
    near_threshold_siblings: float = Field(description="As in `duplicates`.")
    near_threshold_source: str = Field(description="As in `duplicates`.")
    frame: Size = Field(description="The frame that normalization is judged by.")
    policy: Policy = Field(description="How films came into it where they were searched for shortcuts.")
    files: Count
    usable: int = Field(ge=0, description="Films that are not set aside; all figures by class are theirs.")
    set_aside: dict[str, Count] = Field(description="Files by status.")
    warnings: dict[str, Count] = Field(description="Films by what is odd about them.")
    warnings_by_class: dict[str, dict[str, Count]] = Field(description="Usable films by what is odd, and class.")
    groups: Groups
    by_class: dict[Split, dict[str, FilmsAndPatients]] = Field(description="By delivered split and class.")
    sizes: dict[str, Sizes] = Field(description="By class.")
    spreads: Spreads
    histograms: Histograms
    quality_counts: dict[Split, dict[str, dict[str, Count]]] = Field(
        description="By delivered split, class and estimated JPEG quality."
    )
    extremes: dict[str, dict[str, Extreme]] = Field(description="By class and what the film is most.")
    modes: dict[str, dict[str, Count]] = Field(description="By class and Pillow's name of the pixel layout.")
    formats: dict[str, Count]
    bits: dict[str, dict[str, Count]] = Field(description="By class and bits a sample, by which levels were scaled.")
    jpeg_subsampling: dict[str, dict[str, Count]] = Field(description="By class and sampling of the colours.")
    progressive: dict[str, Count] = Field(description="Progressive JPEGs, by class.")
    exif: dict[str, Count] = Field(description="Films with any EXIF tag, by class.")
    transfer_syntaxes: dict[str, dict[str, Count]] = Field(description="DICOMs by class and transfer syntax.")
    photometric: dict[str, dict[str, Count]] = Field(description="DICOMs by class and photometric interpretation.")
    windowing: dict[str, dict[str, Count]] = Field(description="DICOMs by class and what made grey levels of them.")
    jpeg_quality: dict[str, Quality] = Field(description="By class.")
    borders: dict[Split, dict[str, Borders]] = Field(description="By delivered split and class.")
    quality: Pictures
    costs: Costs
    crop: dict[Split, dict[str, Crop]] | None = Field(
        None, description="What the 2020 crop does, by delivered split and class; as in the manifest's columns."
    )
    shortcuts: Shortcuts
    shift: Shift
    duplicates: Duplicates
    checks: list[Check]
    set_aside_films: list[SetAside] = Field(description="The first of them.")
