"""What `reports/audit.json` holds, field by field: `docs/audit.schema.json` is written from it.

Whatever adds a figure to the file adds it here: a test holds the file of a real run against these classes, and an
unknown key is an error.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from manifests.rows import Flag, NearKind
from stages.told import Share, Told

Split = Literal["train", "val", "test", "none"]
Count = Annotated[int, Field(ge=0)]


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
    delivered_split: Literal["train", "val", "test"] | None
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
    delivered_split: Literal["train", "val", "test"] | None
    width: int
    height: int
    lost: Share
    padded: Share
    stretch: float


PolicyName = Literal["crop", "cover", "letterbox", "squeeze"]


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

    policy: PolicyName
    runner_up: PolicyName
    scores: dict[PolicyName, Score]
    why: list[str] = Field(description="Sentences.")


class Costs(Told):
    """What normalization costs under each policy; without films, nothing."""

    policies: dict[PolicyName, PolicyCosts]
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


class Borders(Told):
    """The black borders of a class's films; all but the count absent where no film was looked at."""

    films: Count
    median: Share | None = Field(None, description="Of the share of a film that is black and connected to its edge.")
    mean: Share | None = None
    bordered_share: Share | None = Field(None, description="Share of the films whose border is more than 1 %.")
    bars_share: Share | None = Field(None, description="Share of the films with a straight black bar at a side.")
    deepest_px: dict[Literal["left", "top", "right", "bottom"], Count] | None = Field(
        None, description="The deepest bar at each side, pixels of the file."
    )


class Levels(Told):
    """The grey levels of a class's films within their black borders."""

    films: Count
    contrast_median: float | None = Field(None, description="Of the 95th less the 5th percentile.")
    contrast_min: float | None = None
    middle_median: float | None = Field(None, description="Of the median grey level.")
    clipped_max: Share | None = Field(None, description="Of the share that is pure black or white.")


class Flagged(Told):
    """The films with a flag."""

    films: Count
    by_class: dict[Split, dict[str, Count]] = Field(description="By delivered split and class.")
    examples: list[str] = Field(max_length=12, description="Their paths, the worst first.")


class Pictures(Told):
    """What a person should look at."""

    compared: bool = Field(description="Whether films were compared with the set's others.")
    why_not: str | None = Field(description="Why they were not.")
    likeness: float | None = Field(description="Median correlation of the films with drawn chests.")
    flags: dict[Flag, Flagged]
    levels: dict[Split, dict[str, Levels]] = Field(description="By delivered split and class.")


class Twin(Told):
    """How a film resembles the one that it points to; null where it points to none."""

    path: str
    how: NearKind | Literal["same_bytes"] | None
    similarity: float | None = Field(description="Correlation of both films' details; null for the same bytes.")


class Pair(Twin):
    """A film, and another that it shows the same as."""

    of: str


class TwinShown(Twin):
    """A film of a radiograph that is there more than once."""

    label: str | None
    delivered_split: Literal["train", "val", "test"] | None


class Radiograph(Told):
    """Films that show one radiograph."""

    conflicts: list[Literal["label", "delivered_split", "patient"]] = Field(description="What its films disagree in.")
    number: int = Field(ge=2, description="Its films.")
    films: list[TwinShown] = Field(description="Some of them, in the order of their paths.")


class TwinConflicts(Told):
    """Radiographs whose films disagree."""

    label: Count
    delivered_split: Count
    patient: Count = Field(description="By name two patients, held together by the split all the same.")


class Duplicates(Told):
    """Films that are there more than once."""

    exact: int = Field(ge=0, description="Files with the bytes of another, set aside.")
    near: int = Field(ge=0, description="Films that show the radiograph of another in other bytes.")
    near_by_kind: dict[NearKind, Count] = Field(description="By what tells them from that film.")
    near_threshold: float = Field(description="Correlation of details from which films show one radiograph.")
    near_threshold_siblings: float = Field(description="As near_threshold, for two films of one patient.")
    near_threshold_source: str = Field(description="How it was found.")
    radiographs: int = Field(ge=0, description="That are there more than once, in whatever bytes.")
    conflicts: TwinConflicts
    groups: list[Radiograph] = Field(description="The first to look at: conflicts first, then the most films.")
    examples: list[Pair]


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
    policy: PolicyName = Field(description="How films came into it where they were searched for shortcuts.")
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
