"""What `reports/audit.json` holds, field by field: `docs/audit.schema.json` is written from it.

Whatever adds a figure to the file adds it here: a test holds the file of a real run against these classes, and an
unknown key is an error.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from manifests.rows import NearKind
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


class Audit(Told):
    """`reports/audit.json`: what is in the raw folder; shares are of 1, not per cent."""

    raw: str = Field(description="The folder, relative to the root where it lies there.")
    classes: list[str] = Field(description="In the order of label_index.")
    label_source: Literal["kermany", "folder", "csv"]
    label_source_reason: str
    group_source: str
    near_threshold: float = Field(description="As in `duplicates`.")
    near_threshold_siblings: float = Field(description="As in `duplicates`.")
    near_threshold_source: str = Field(description="As in `duplicates`.")
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
    shortcuts: dict[Split, dict[str, ByClass]] = Field(
        description="AUC of each class against the rest, by delivered split and feature of the file."
    )
    duplicates: Duplicates
    set_aside_films: list[SetAside] = Field(description="The first of them.")
