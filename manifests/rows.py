"""One frozen row class per manifest: the columns that other tools rely on, each with its meaning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

import pyarrow as pa

from manifests.columns import Schema
from manifests.fields import Column, Spread

Split = Literal["train", "leak_probe", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
DeliveredSplit = Literal["train", "val", "test"]
Status = Literal[
    "ok",
    "empty",
    "unreadable",
    "missing",
    "not_an_image",
    "truncated",
    "undecodable",
    "unsupported",
    "too_large",
    "blank",
    "unlabelled",
    "label_conflict",
    "duplicate",
    "crosses_test",
    "crashed",
    "timed_out",
]
Flag = Literal[
    "inverted",
    "rotated_90",
    "rotated_180",
    "rotated_270",
    "unlike",
    "low_contrast",
    "clipped",
    "black_border",
    "burnt_in",
]
NearKind = Literal["same_pixels", "recompressed", "resized", "grey_levels", "cropped", "flipped", "linked"]
NEAR_KINDS: tuple[NearKind, ...] = get_args(NearKind)
Scalar = float | bool  # a drawn number

SHA256 = r"^[0-9a-f]{64}$"
SHARD = r"^[0-9A-Za-z][0-9A-Za-z_-]*\.parquet$"  # a name under shards/, and nothing beside or above it
LONGEST_LABEL = 255  # letters
ROUNDED_ONE = 1.001  # what a share may come to: rounding lifts some a little above 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmRow:
    """The columns that every image manifest has."""

    film_id: Annotated[str, Column("sha256 of the raw file, hex", pattern=SHA256)]
    path: Annotated[
        str, Column("POSIX path of the file, relative to the folder that this manifest describes", inside=True)
    ]
    label: Annotated[str | None, Column("class; null where none could be read", longest=LONGEST_LABEL)]
    label_index: Annotated[int | None, Column("index of the class in the footer's 'classes'", pa.int16(), low=0)]
    group_id: Annotated[str | None, Column("patient group: films of one group show one patient")]
    split: Annotated[Split | None, Column("the split the film is assigned to; null before, or where set aside")]
    status: Annotated[Status, Column("ok, or why the film is set aside")]
    reason: Annotated[str | None, Column("what was found and what was expected; null where status is ok")]


def _level(name: str) -> Column:
    return Column(f"{name} percentile of the grey levels within the black border", pa.int16(), low=0, high=255)


def _share(doc: str) -> Column:
    return Column(doc, low=0, high=ROUNDED_ONE)


def _border(side: str) -> Column:
    return Column(f"depth of the black border at the {side}, pixels of the file", pa.int32(), low=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditedRow(FilmRow):
    """One raw file, good or bad."""

    film_id: Annotated[  # type: ignore[assignment]  # a file that cannot be read has no hash
        str | None, Column("sha256 of the raw file, hex; null where the file is not read", pattern=SHA256)
    ]
    width: Annotated[int | None, Column("pixels across", pa.int32(), low=1)]
    height: Annotated[int | None, Column("pixels down", pa.int32(), low=1)]
    mode: Annotated[str | None, Column("Pillow's name of the pixel layout: L, RGB, RGBA, P, I;16, CMYK")]
    format: Annotated[str | None, Column("what the bytes are, whatever the file's extension says: JPEG, PNG")]
    file_bytes: Annotated[int | None, Column("size of the file, bytes", low=0)]
    bits_per_pixel: Annotated[float | None, Column("8 x file_bytes / (width x height)", low=0)]
    jpeg_quality: Annotated[
        int | None,
        Column("IJG quality whose luma quantization table is nearest the file's", pa.int16(), low=1, high=100),
    ]
    bits: Annotated[
        int | None,
        Column(
            "bits a sample by which the grey levels are scaled to 0..255: 8, or what a deeper film states or needs",
            pa.int16(),
            low=1,
            high=64,
        ),
    ]
    jpeg_subsampling: Annotated[str | None, Column("how a JPEG samples colours: 4:4:4, 4:2:0; grey where it has none")]
    progressive: Annotated[bool | None, Column("whether a JPEG is coded in scans from coarse to fine")]
    exif_tags: Annotated[int | None, Column("how many EXIF tags the file has; never what they say", pa.int32(), low=0)]
    transfer_syntax: Annotated[str | None, Column("the standard's name of how a DICOM is coded; null where it is none")]
    photometric: Annotated[str | None, Column("a DICOM's photometric interpretation: MONOCHROME1 is stored inverted")]
    windowing: Annotated[
        str | None,
        Column("what made grey levels of a DICOM's values: VOI LUT, window and its function, or bits stored"),
    ]
    exact_duplicate_of: Annotated[str | None, Column("path of the film with the same bytes that is kept instead")]
    near_duplicate_of: Annotated[
        str | None,
        Column("path of a film that shows the same radiograph in other bytes; both stay in the set"),
    ]
    near_duplicate_how: Annotated[
        NearKind | None,
        Column(
            "what tells it from that film: same_pixels: the bytes alone; recompressed; resized; grey_levels: other "
            "brightness, contrast or gamma; cropped; flipped left to right; of several, the last of these; linked: "
            "like it through a third film"
        ),
    ]
    near_similarity: Annotated[
        float | None, Column("correlation of both films' details, laid over one another", low=-1, high=1)
    ]
    delivered_split: Annotated[DeliveredSplit | None, Column("the split that the folder or the CSV names")]
    crop_lost: Annotated[float | None, Column("share of the film's area that the 2020 crop cuts away", low=0, high=1)]
    pad_added: Annotated[float | None, Column("share of the frame that the 2020 crop fills with black", low=0, high=1)]
    warning: Annotated[str | None, Column("what is odd about a film that can be used all the same")]
    level_1: Annotated[int | None, _level("1st")]
    level_5: Annotated[int | None, _level("5th")]
    level_50: Annotated[int | None, _level("50th")]
    level_95: Annotated[int | None, _level("95th")]
    level_99: Annotated[int | None, _level("99th")]
    clipped: Annotated[float | None, _share("share of the film within its black border that is pure black or white")]
    border: Annotated[float | None, _share("share of the film that is black and connected to its edge")]
    border_left: Annotated[int | None, _border("left")]
    border_top: Annotated[int | None, _border("top")]
    border_right: Annotated[int | None, _border("right")]
    border_bottom: Annotated[int | None, _border("bottom")]
    marks: Annotated[
        int | None, Column("burnt-in letters and the like; null where the film is too small to tell", pa.int16(), low=0)
    ]
    colour: Annotated[
        float | None,
        Column("grey levels that the colours spread beside the black-to-white line; null where grey", low=0),
    ]
    askew: Annotated[
        float | None,
        Column(
            "how much better the film fits the set turned or inverted, in usual margins; null where not compared",
            low=0,
        ),
    ]
    distance: Annotated[
        float | None,
        Column(
            "how unlike the set's other films, in upper quartiles above the median; null where not compared",
        ),
    ]
    flags: Annotated[
        list[Flag] | None, Column("what a person should look at; null where there is no picture", pa.list_(pa.string()))
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitRow(FilmRow):
    """One film that the audit passed, and where it goes."""

    delivered_split: Annotated[DeliveredSplit | None, Column("the split that the folder or the CSV names")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRow(FilmRow):
    """One encoded image of the data set; or, where status is not ok, a film of which no image could be made."""

    shard: Annotated[
        str | None, Column("file under shards/ that holds the bytes; null in the folder layout", pattern=SHARD)
    ]
    index: Annotated[int | None, Column("row within the shard; null in the folder layout", pa.int32(), low=0)]
    sha256: Annotated[str, Column("of the encoded bytes, hex", pattern=SHA256, if_ok=True)]
    encoded_bytes: Annotated[int, Column("length of the encoded image, bytes", low=1, if_ok=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalizedRow(ImageRow):
    """One film in the common frame."""

    scale_x: Annotated[float, Column("pixels of the frame per pixel of the raw film, across", low=0, if_ok=True)]
    scale_y: Annotated[float, Column("pixels of the frame per pixel of the raw film, down", low=0, if_ok=True)]
    film_left: Annotated[int, Column("first column of the frame that shows film", pa.int32(), low=0, if_ok=True)]
    film_top: Annotated[int, Column("first row of the frame that shows film", pa.int32(), low=0, if_ok=True)]
    film_right: Annotated[int, Column("one past the last column that shows film", pa.int32(), low=1, if_ok=True)]
    film_bottom: Annotated[int, Column("one past the last row that shows film", pa.int32(), low=1, if_ok=True)]
    lost: Annotated[float, Column("share of the film's area that the policy cut away", low=0, high=1, if_ok=True)]
    padded: Annotated[float, Column("share of the frame that shows no film", low=0, high=1, if_ok=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentedRow(ImageRow):
    """One image of the training set: an original or one of its copies."""

    copy: Annotated[int, Column("0 is the original, or a film without images; 1..N its copies", pa.int16(), low=0)]
    unfilled: Annotated[float, Column("share of pixels that came from outside the film", low=0, high=1, if_ok=True)]
    drawn: Annotated[Mapping[str, Scalar], Spread()]


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionRow(FilmRow):
    """What a network says of one film."""

    model: Annotated[str, Column("file of the network, relative to the root; a film has a row for each", inside=True)]
    predicted: Annotated[str, Column("the class with the highest probability", longest=LONGEST_LABEL)]
    predicted_index: Annotated[int, Column("its index in the footer's 'classes'", pa.int16(), low=0)]
    correct: Annotated[bool, Column("whether it is the film's label")]
    probabilities: Annotated[
        list[float],
        Column("softmax over the classes, in the footer's order", pa.list_(pa.float32()), low=0, high=ROUNDED_ONE),
    ]


AUDITED = Schema(AuditedRow, version=2)
SPLIT = Schema(SplitRow, version=1)
IMAGES = Schema(ImageRow, version=0)  # what normalized and augmented rows share; no manifest has it
NORMALIZED = Schema(NormalizedRow, version=2)
PREDICTIONS = Schema(PredictionRow, version=2)
