"""show: a contact sheet of the films or images that a question to a manifest finds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field, field_validator

from manifests import store
from manifests.columns import Schema
from manifests.places import joined
from manifests.rows import AUDITED, NORMALIZED, PREDICTIONS, SPLIT
from manifests.shards import ImageFolder
from stages import paths
from stages.contract import Machine, Params, ParamsError, Report, Root, Stage, StageError
from stages.drawn import AUGMENTED
from stages.normalize import raw_folder
from stages.pictures import picture_of, raw_pictures
from stages.query import columns_named, rows_where, unknown, values
from stages.reporting.text import plain

ManifestName = Literal["audit", "split", "normalized", "augmented", "predictions"]
MOST = 1000  # pictures of a sheet: more is no sheet that anyone looks through
ENDINGS = (".png", ".html")


@dataclass(frozen=True, slots=True)
class Shown:
    """A manifest whose films can be shown.

    Attributes:
        path: of the manifest, under the root.
        schema: its columns.
        caption: what stands under a picture where nothing else is asked for.
    """

    path: str
    schema: Schema[Any]
    caption: tuple[str, ...]


MANIFESTS: Mapping[ManifestName, Shown] = {
    "audit": Shown(paths.AUDIT, AUDITED, ("path", "label", "width", "height", "warning")),
    "split": Shown(paths.SPLIT, SPLIT, ("path", "label", "split", "group_id")),
    "normalized": Shown(paths.NORMALIZED_MANIFEST, NORMALIZED, ("path", "label", "lost", "padded")),
    "augmented": Shown(
        paths.AUGMENTED_MANIFEST,
        AUGMENTED,
        (
            "path",
            "label",
            "copy",
            *(name for name in AUGMENTED.arrow.names if name in ("angle_deg", "zoom")),
            "unfilled",
        ),
    ),
    "predictions": Shown(paths.PREDICTIONS, PREDICTIONS, ("path", "label", "predicted", "split")),
}


class ShowParams(Params):
    """Which films are shown, in what order, and what is said of them."""

    manifest: ManifestName = Field("normalized", description="The manifest that is asked.")
    where: str = Field(
        "",
        description="Which rows, in Python's notation over the manifest's columns: \"label == 'viral' and padded > "
        '0.2", "status != \'ok\'", "near_duplicate_of is not None", "\'IM-01\' in path"; empty: all.',
    )
    film: str = Field(
        "", description="Of one film alone: the first digits of its sha256, or its path in the raw folder."
    )
    sort: str = Field(
        "",
        description="Columns or figures to sort by, comma-separated, a minus before what comes largest first: -padded; "
        "-width/height. By film_id is as good as at random.",
    )
    beside: str = Field(
        "",
        description="A column that names another film's path: that film is shown before those that name it "
        "(near_duplicate_of).",
    )
    caption: str = Field("", description="Columns under each picture, comma-separated; empty: some that fit.")
    limit: int = Field(48, ge=1, le=MOST, description="Most pictures.")
    side_px: int = Field(180, ge=32, le=2048, description="Longer side of a picture at most.")
    columns: int = Field(0, ge=0, le=100, description="Pictures in a row of a PNG; 0 for as many as fit.")
    out: str = Field("reports/show.png", description="File to write under the root: .png or .html.")

    @field_validator("out")
    @classmethod
    def _known_ending(cls, out: str) -> str:
        if Path(out).suffix.lower() not in ENDINGS:
            raise ValueError(f"ends in '{Path(out).suffix}'; expected {' or '.join(ENDINGS)}")
        return out


# --- which rows ------------------------------------------------------------------------------------------------


def read(params: ShowParams, root: Root) -> pa.Table:
    """Return the columns that a question needs of the manifest that it asks.

    Raises:
        ManifestError: where the manifest is missing or spoilt.
        ParamsError: where the parameters name no column, or one of numbers to find films by.
    """
    shown = MANIFESTS[params.manifest]
    known = shown.schema.arrow.names
    questions = [params.where, *(part.removeprefix("-") for part in _parts(params.sort))]
    asked = [name for text in questions if text for name in columns_named(text)]
    asked += [*captions(params), *([params.beside] if params.beside else [])]
    if others := [name for name in asked if name not in known]:
        raise ParamsError(f"show: {shown.path}: {unknown(others[0], known)}")
    if params.beside and not pa.types.is_string(kind := shown.schema.arrow.field(params.beside).type):
        raise ParamsError(
            f"show: --beside {params.beside}: holds {kind}; expected a column that names films by their path"
        )
    needed = {"film_id", "path", "status", "reason", "label", *asked} | ({"shard", "index"} & set(known))
    return store.read_table(shown.schema.only(*needed), root / shown.path)


def captions(params: ShowParams) -> list[str]:
    """Return the columns that stand under each picture."""
    return _parts(params.caption) or list(MANIFESTS[params.manifest].caption)


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def chosen(table: pa.Table, params: ShowParams, root: Root) -> NDArray[np.intp]:
    """Return the places of the rows that are asked for, in their order, however many.

    Raises:
        ParamsError: where a question cannot be answered, or the film is none.
    """
    places = rows_where(table, params.where) if params.where else np.arange(len(table))
    if params.film:
        ids = table.column("film_id")
        mine = np.asarray(pc.fill_null(pc.is_in(ids, value_set=_film_ids(params.film, ids, root)), fill_value=False))
        places = places[mine[places]]
    for part in reversed(_parts(params.sort)):  # the last first: each sort keeps the order within equals
        figure = values(table, part.removeprefix("-")).take(pa.array(places))
        order = "descending" if part.startswith("-") else "ascending"
        try:
            placed = pc.array_sort_indices(figure, order=order, null_placement="at_end")
        except pa.ArrowNotImplementedError as error:
            told = f"holds {figure.type}, which has no order; expected numbers or texts"
            raise ParamsError(f"show: --sort {part}: {told}") from error
        places = places[np.asarray(placed)]
    return places


def _film_ids(film: str, ids: pa.ChunkedArray, root: Root) -> pa.Array:
    """Return the hash of the film that is named.

    Raises:
        ParamsError: where it is none, or one of several.
    """
    found = pc.unique(ids.filter(pc.fill_null(pc.starts_with(ids, film.lower()), fill_value=False)))
    if not len(found) and (root / paths.AUDIT).is_file():
        audited = store.read_table(AUDITED.only("film_id", "path"), root / paths.AUDIT)
        found = pc.unique(audited.filter(pc.equal(audited.column("path"), film)).column("film_id").drop_null())
    if len(found) != 1:
        what = f"{len(found):,} films begin so" if len(found) else "no film's hash begins so, and none has that path"
        raise ParamsError(f"--film {film}: {what}; see film_id and path in the manifest")
    return found


def with_neighbours(table: pa.Table, places: Sequence[int], column: str) -> list[int]:
    """Return the places of rows and, before those that name it, of the film that their column names.

    Films that name the same one come together, where the first of them stood.
    """
    named = table.column(column).take(pa.array(places, pa.int64())).to_pylist()
    place_of = pc.index_in(pa.array(named, pa.string()), value_set=table.column("path").combine_chunks()).to_pylist()
    together: dict[Any, list[int]] = {}
    for place, name, other in zip(places, named, place_of, strict=True):
        alone = () if name is None or other is None else (other,)
        together.setdefault(place if name is None else name, [*alone]).append(place)
    return list(dict.fromkeys(place for group in together.values() for place in group))


# --- their pictures --------------------------------------------------------------------------------------------


def pictures(rows: Sequence[Mapping[str, Any]], params: ShowParams, root: Root, machine: Machine) -> list[bytes | None]:
    """Return the picture of each row, None where there is none."""
    if params.manifest in ("audit", "split"):
        raw = raw_folder(store.read_footer(root / MANIFESTS[params.manifest].path).facts, root, machine)
        found = raw_pictures([row["path"] for row in rows], raw, machine, side=params.side_px)
        return [found.get(row["path"]) for row in rows]
    if params.manifest == "predictions":
        rows = _normalized(rows, root)
    name = paths.AUGMENTED if params.manifest == "augmented" else paths.NORMALIZED
    made = dict(_stored(rows, ImageFolder(root / name, "shards"), side=params.side_px))
    return [made.get(number) for number in range(len(rows))]


def _stored(rows: Sequence[Mapping[str, Any]], folder: ImageFolder, *, side: int) -> Iterator[tuple[int, bytes]]:
    """Yield the number and the picture of each row that has an image."""
    places = [
        SimpleNamespace(number=number, path=row["path"], shard=row["shard"], index=row["index"])
        for number, row in enumerate(rows)
        if row["status"] == "ok"
    ]
    for place, data in folder.read_images(places):
        with suppress(ValueError):  # `verify` says what is wrong with it
            yield place.number, picture_of(data, side=side)


def _normalized(rows: Sequence[Mapping[str, Any]], root: Root) -> list[Mapping[str, Any]]:
    """Return where the normalized films of predictions lie."""
    table = store.read_table(
        NORMALIZED.only("film_id", "path", "status", "shard", "index"), root / paths.NORMALIZED_MANIFEST
    )
    wanted = pa.array([row["film_id"] for row in rows], pa.string())
    place = pc.index_in(wanted, value_set=table.column("film_id").combine_chunks())
    if place.null_count:
        raise StageError(
            f"{paths.PREDICTIONS}: names films that are not in {paths.NORMALIZED_MANIFEST}; evaluate again"
        )
    found: list[Mapping[str, Any]] = table.take(place).to_pylist()
    return found


# --- the sheet -------------------------------------------------------------------------------------------------


def caption(row: Mapping[str, Any], names: Sequence[str], *, is_shown: bool) -> list[str]:
    """Return what stands under a picture, a line for each column that says anything."""
    lines = [
        plain(row["path"]) if name == "path" else f"{name} {plain(row[name])}"
        for name in names
        if row[name] is not None
    ]
    return lines if is_shown else [*lines[:1], f"{row['status']}: {row['reason'] or 'cannot be read now'}", *lines[1:]]


def run(params: ShowParams, root: Root, machine: Machine) -> Report:
    """Write the contact sheet of the films that are asked for."""
    from stages.reporting import sheet  # noqa: PLC0415 - jinja2 and Pillow: `--help` does without

    table = read(params, root)
    found = chosen(table, params, root)
    places = [int(place) for place in found[: params.limit]]
    if params.beside:
        places = with_neighbours(table, places, params.beside)
    rows = table.take(pa.array(places, pa.int64())).to_pylist()
    made = pictures(rows, params, root, machine)
    names = captions(params)
    cells = [
        sheet.Cell(jpeg, caption(row, names, is_shown=jpeg is not None)) for row, jpeg in zip(rows, made, strict=True)
    ]
    title = _title(params)
    note = f"{min(len(found), params.limit):,} of {len(found):,} rows found; the manifest has {len(table):,}"
    out = joined(root, params.out)
    if out.suffix.lower() == ".html":
        data = sheet.page(cells, title=title, note=note).encode()
    else:
        data = sheet.png(cells, side=params.side_px, title=title, note=note, columns=params.columns)
    store.write_bytes(out, data)
    return Report(done=len(cells), unit="pictures", lines=[title, note], written=(params.out,), verdict=_verdict(made))


def _title(params: ShowParams) -> str:
    asked = [f"{params.manifest} manifest"]
    asked += [f"film {params.film}"] if params.film else []
    asked += [f"where {params.where}"] if params.where else []
    asked += [f"sorted by {params.sort}"] if params.sort else []
    asked += [f"beside {params.beside}"] if params.beside else []
    return ", ".join(asked)


def _verdict(made: Sequence[bytes | None]) -> str:
    missing = sum(one is None for one in made)
    return f"{missing:,} without a picture, each with its reason" if missing else "all shown"


STAGE = Stage(
    "show",
    ShowParams,
    reads=(paths.AUDIT, paths.SPLIT, paths.NORMALIZED, paths.AUGMENTED, paths.PREDICTIONS, paths.RAW),
    writes=(),
    run=run,
)
