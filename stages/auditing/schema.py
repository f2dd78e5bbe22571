"""What `reports/audit.json` holds, field by field: `docs/audit.schema.json` is written from it.

Whatever adds a figure to the file adds it here: a test holds the file of a real run against these classes, and an
unknown key is an error.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from manifests.rows import Flag
from stages.told import ByClass, Share, Told

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


class Groups(Told):
    """The patient groups of the usable films."""

    count: Count
    largest: int = Field(ge=0, description="Films of the group that has most.")
    largest_id: str = Field(description="That group; empty without any.")
    crossing_delivered_splits: int = Field(ge=0, description="Groups with films in the delivered test and elsewhere.")


class Sizes(Told):
    """Sizes of a class's films, pixels."""

    width_median: float
    height_median: float
    width_min: int
    width_max: int
    height_min: int
    height_max: int
    aspect_median: float = Field(description="Of width / height.")


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


class Pair(Told):
    """A film, and another that it shows the same as."""

    path: str
    of: str


class Duplicates(Told):
    """Films that are there more than once."""

    exact: Count
    near: Count
    near_threshold: float = Field(description="Correlation of thumbnails from which films are near duplicates.")
    examples: list[Pair]


class SetAside(Told):
    """A file that is no film of the data set."""

    path: str
    status: str
    reason: str | None


class Audit(Told):
    """`reports/audit.json`: what is in the raw folder; shares are of 1, not per cent."""

    raw: str = Field(description="The folder, relative to the root where it lies there.")
    classes: list[str] = Field(description="In the order of label_index.")
    label_source: Literal["kermany", "folder", "csv"]
    label_source_reason: str
    group_source: str
    near_threshold: float = Field(description="As in `duplicates`.")
    frame: Size = Field(description="The frame of the crop that is judged.")
    files: Count
    usable: int = Field(ge=0, description="Films that are not set aside; all figures by class are theirs.")
    set_aside: dict[str, Count] = Field(description="Files by status.")
    warnings: dict[str, Count] = Field(description="Films by what is odd about them.")
    groups: Groups
    by_class: dict[Split, dict[str, FilmsAndPatients]] = Field(description="By delivered split and class.")
    sizes: dict[str, Sizes] = Field(description="By class.")
    modes: dict[str, dict[str, Count]] = Field(description="By class and Pillow's name of the pixel layout.")
    formats: dict[str, Count]
    jpeg_quality: dict[str, Quality] = Field(description="By class.")
    crop: dict[Split, dict[str, Crop]] = Field(description="By delivered split and class.")
    borders: dict[Split, dict[str, Borders]] = Field(description="By delivered split and class.")
    quality: Pictures
    shortcuts: dict[Split, dict[str, ByClass]] = Field(
        description="AUC of each class against the rest, by delivered split and feature of the file."
    )
    duplicates: Duplicates
    set_aside_films: list[SetAside] = Field(description="The first of them.")
