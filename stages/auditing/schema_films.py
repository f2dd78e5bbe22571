"""What `reports/audit.json` holds of single films: borders, picture quality, and what is there more than once."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from manifests.rows import DeliveredSplit, Flag, NearKind
from stages.auditing.schema_shortcuts import Count, Split
from stages.told import Share, Told


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
    delivered_split: DeliveredSplit | None


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
