"""replay: an image made anew from its raw film and its row alone, and compared with what is stored.

Nothing is taken from the stored image but the comparison: the raw film must be the one whose sha256 the row names,
the parameters are those of the manifests' footers, and the numbers are the row's own, not drawn again. That they
are also the numbers which the seed gives is checked apart.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from manifests import store
from manifests.columns import ManifestError
from manifests.rows import NORMALIZED, SPLIT, AugmentedRow, ImageRow, NormalizedRow, SplitRow
from manifests.shards import SHARDS, ImageFolder
from stages import paths
from stages.augment import AugmentParams
from stages.contract import Machine, Params, ParamsError, Report, Root, Stage, StageError
from stages.drawn import AUGMENTED
from stages.films import codec
from stages.films.chain import Chain
from stages.films.frame import Frame, Gray
from stages.films.geometry import Box
from stages.films.operations import Drawn
from stages.folder import params_of, versions
from stages.normalize import NormalizeParams, normalize_one, placement_columns, raw_folder, read_raw

FILMS_PER_JOB = 48  # with 20 copies each about the images of one shard
SHOWN = 10  # images that differ, in the report of a whole set
SOME = 3  # films that an ambiguous prefix names


class ReplayParams(Params):
    """Which images to make anew."""

    film: str = Field("", description="The film: the first digits of its sha256, or its path in the raw folder.")
    copy_: int = Field(0, ge=0, description="Which of its images: 0 is the original, 1..N its copies.")
    path: str = Field("", description="Or the image's path, as the augmented or normalized manifest names it.")
    all_: bool = Field(default=False, description="Every image of the data set.")
    out: str = Field("", description="File to write the image to, as it was made anew.")


@dataclass(frozen=True, slots=True)
class Made:
    """How the images of a data set were made, by the footers of its two manifests.

    Attributes:
        normalize: parameters of the frame.
        augment: parameters of the copies; None where there are none.
        normalized_by, augmented_by: the versions that made them.
    """

    normalize: NormalizeParams
    augment: AugmentParams | None
    normalized_by: Mapping[str, str]
    augmented_by: Mapping[str, str]

    @property
    def chain(self) -> Chain:
        """The chain of the copies."""
        assert self.augment is not None
        return self.augment.chain(self.normalize.frame)

    @property
    def augmented_layout(self) -> str:
        """How the copies are stored."""
        return self.augment.layout if self.augment is not None else "shards"


@dataclass(frozen=True, slots=True)
class Replayed:
    """One image made anew, against its row and against the stored bytes.

    Attributes:
        row: what the manifest claims.
        data: the bytes as made anew.
        stored: the bytes that lie there; None where they cannot be read.
        as_told: whether the columns that follow from the film (placement, unfilled share) are those of the row.
        redrawn: whether the seed gives the row's numbers.
    """

    row: ImageRow
    data: bytes
    stored: bytes | None
    as_told: bool
    redrawn: bool

    @property
    def same_as_row(self) -> bool:
        """Whether the bytes are those that the manifest claims."""
        return hashlib.sha256(self.data).hexdigest() == self.row.sha256

    @property
    def same(self) -> bool:
        """Whether manifest, stored bytes and numbers all are as made anew."""
        return self.same_as_row and self.stored == self.data and self.as_told and self.redrawn

    def problem(self) -> str:
        """Return what differs; empty where nothing does."""
        problems = []
        if self.stored is None:
            problems.append("the stored image cannot be read")
        elif self.stored != self.data:
            problems.append(grey_difference(self.stored, self.data))
        if not self.same_as_row:
            found = hashlib.sha256(self.data).hexdigest()
            problems.append(f"made anew it has sha256 {found[:12]}, the row says {self.row.sha256[:12]}")
        if not self.as_told:
            problems.append("the row's unfilled share or placement is not what its film gives")
        if not self.redrawn:
            problems.append("the row's numbers are not those that the seed gives")
        return "; ".join(problems)


def grey_difference(stored: bytes, data: bytes) -> str:
    """Return how far two encoded images are apart in grey levels, in words."""
    try:
        one = codec.decode(stored).astype(int)
    except ValueError as error:
        return f"the stored bytes are no image ({error})"
    other = codec.decode(data).astype(int)
    if one.shape != other.shape:
        return (
            f"the stored image is {one.shape[0]} x {one.shape[1]}, made anew it is {other.shape[0]} x {other.shape[1]}"
        )
    apart = np.abs(one - other)
    if not apart.any():
        return "the same grey levels in other bytes"
    return f"grey levels differ by at most {apart.max()}, by {apart.mean():.3f} on average"


# --- making anew: the raw bytes and the row, and nothing else --------------------------------------------------


def copy_of(chain: Chain, image: Gray, row: AugmentedRow, film: Box) -> tuple[Gray, float]:
    """Return the copy that a row's own numbers stand for, and its share of pixels from outside the film."""
    return chain.apply(image, row.drawn, film=film)


def drawn_again(chain: Chain, film_id: str, copies: int) -> list[Drawn]:
    """Return what the seed gives for copies 0 to `copies` of a film; nothing is drawn for the original."""
    columns = {name: numbers.tolist() for name, numbers in chain.draws(film_id, copies).items()}
    return [{}, *({name: numbers[copy] for name, numbers in columns.items()} for copy in range(copies))]


@dataclass(frozen=True, slots=True)
class Film:
    """A film as the split and the normalized manifests know it."""

    divided: SplitRow
    normalized: NormalizedRow


def replay_film(
    data: bytes, film: Film, rows: Sequence[AugmentedRow], *, made: Made, stored: Mapping[str, bytes]
) -> Iterator[Replayed]:
    """Yield the normalized film and then the image of each row, made anew from the raw bytes.

    Args:
        data: the raw film.
        film: its rows in the split and normalized manifests.
        rows: of its images in the augmented manifest.
        made: how the images were made.
        stored: the bytes that lie there, by path.
    """
    image, placement = normalize_one(data, params=made.normalize)
    row = film.normalized
    columns = placement_columns(placement)
    yield Replayed(
        row,
        codec.encode(image, encoding=made.normalize.encoding),
        stored.get(row.path),
        as_told=all(getattr(row, name) == value for name, value in columns.items()),
        redrawn=True,
    )
    if not rows or made.augment is None:
        return
    chain = made.chain
    again = drawn_again(chain, row.film_id, max(one.copy for one in rows))
    for one in rows:
        grey, unfilled = copy_of(chain, image, one, placement.shown)
        encoded = codec.encode(grey, encoding=made.augment.encoding, quality=made.augment.quality)
        yield Replayed(
            one,
            encoded,
            stored.get(one.path),
            as_told=unfilled == one.unfilled,
            redrawn=dict(again[one.copy]) == dict(one.drawn),
        )


def read_stored(folder: ImageFolder, rows: Sequence[ImageRow]) -> dict[str, bytes]:
    """Return the stored bytes of some rows by path; of those that can be read."""
    try:
        return {row.path: data for row, data in folder.read_images(rows)}
    except ManifestError:
        if len(rows) < 2:
            return {}
    half = len(rows) // 2  # something is spoilt: what lies beside it can still be read
    return {**read_stored(folder, rows[:half]), **read_stored(folder, rows[half:])}


# --- a whole set -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReplayJob:
    """Some films, and their augmented rows as an Arrow stream: rows as objects would fill the parent's memory."""

    films: tuple[Film, ...]
    rows: bytes


@dataclass(frozen=True, slots=True)
class Tally:
    """What came of a job."""

    normalized: int = 0
    augmented: int = 0
    same: int = 0
    redrawn: int = 0
    copies: int = 0
    problems: tuple[str, ...] = field(default=())


def replay_job(job: ReplayJob, *, made: Made, raw: Path, root: Root) -> Tally:
    """Make every image of some films anew, each raw film read and decoded once; return what came of it."""
    rows = AUGMENTED.rows(unpacked(job.rows))
    of_film: dict[str, list[AugmentedRow]] = {}
    for row in rows:
        of_film.setdefault(row.film_id, []).append(row)
    normalized = ImageFolder(root / paths.NORMALIZED, made.normalize.layout)
    augmented = ImageFolder(root / paths.AUGMENTED, made.augmented_layout)
    stored = {**read_stored(normalized, [film.normalized for film in job.films]), **read_stored(augmented, rows)}
    replayed: list[Replayed] = []
    problems: list[str] = []
    for film in job.films:
        mine = of_film.get(film.normalized.film_id, [])
        try:
            data = read_raw(raw, film.divided)
        except StageError as error:
            problems.append(str(error))
            continue
        for one in replay_film(data, film, mine, made=made, stored=stored):
            problems += [f"{one.row.path}: {one.problem()}"] if not one.same else []
            replayed.append(one)
    images = [(one, one.row) for one in replayed if isinstance(one.row, AugmentedRow)]
    return Tally(
        normalized=len(replayed) - len(images),
        augmented=len(images),
        same=sum(one.same for one in replayed),
        redrawn=sum(one.redrawn for one, row in images if row.copy),
        copies=sum(row.copy > 0 for _, row in images),
        problems=tuple(problems),
    )


def packed(table: pa.Table) -> bytes:
    """Return a table as an Arrow stream."""
    stream = io.BytesIO()
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    return stream.getvalue()


def unpacked(data: bytes) -> pa.Table:
    """Return the table of an Arrow stream."""
    return pa.ipc.open_stream(data).read_all()


def jobs_of(films: Sequence[Film], rows: pa.Table) -> list[ReplayJob]:
    """Return a job for every few films, with their rows."""
    ids = pa.array([film.normalized.film_id for film in films], pa.string())
    position = pc.fill_null(pc.index_in(rows.column("film_id"), value_set=ids), -1).to_numpy()
    order = np.argsort(position, kind="stable")
    starts = np.searchsorted(position[order], np.arange(0, len(films) + FILMS_PER_JOB, FILMS_PER_JOB))
    return [
        ReplayJob(
            tuple(films[first : first + FILMS_PER_JOB]),
            packed(rows.take(order[starts[number] : starts[number + 1]])),
        )
        for number, first in enumerate(range(0, len(films), FILMS_PER_JOB))
    ]


# --- the manifests ---------------------------------------------------------------------------------------------


def recorded(root: Root) -> tuple[Made, Mapping[str, Any]]:
    """Return how the images were made, and the facts of the set, by the manifests' footers."""
    normalized = store.read_footer(root / paths.NORMALIZED_MANIFEST)
    augmented = root / paths.AUGMENTED_MANIFEST
    copies = store.read_footer(augmented) if augmented.exists() else store.Footer()
    made = Made(
        params_of(NormalizeParams, normalized, paths.NORMALIZED_MANIFEST),
        params_of(AugmentParams, copies, paths.AUGMENTED_MANIFEST) if augmented.exists() else None,
        normalized.versions,
        copies.versions,
    )
    if made.normalize.frame != Frame(**normalized.facts["frame"]):
        raise StageError(
            f"{paths.NORMALIZED_MANIFEST}: its footer says frame {normalized.facts['frame']}; expected that of its "
            f"parameters, {made.normalize.height} x {made.normalize.width}; run `cxr-pipeline verify`"
        )
    return made, normalized.facts


def films_of(root: Root) -> list[Film]:
    """Return every film of the normalized manifest, those without an image too."""
    divided = {row.film_id: row for row in store.read(SPLIT, root / paths.SPLIT)}
    normalized = store.read(NORMALIZED, root / paths.NORMALIZED_MANIFEST)
    lost = [row.film_id for row in normalized if row.film_id not in divided]
    if lost:
        raise StageError(
            f"{root / paths.NORMALIZED_MANIFEST}: film {lost[0][:12]} is not in {paths.SPLIT}; run normalize again"
        )
    return [Film(divided[row.film_id], row) for row in normalized]


def augmented_rows(root: Root) -> pa.Table:
    """Return the rows of the augmented manifest that claim an image; none where nothing was augmented."""
    path = root / paths.AUGMENTED_MANIFEST
    if not path.exists():
        return AUGMENTED.table([])
    table = store.read_table(AUGMENTED, path)
    return table.filter(pc.equal(table.column("status"), "ok"))


def find(params: ReplayParams, films: Sequence[Film], rows: pa.Table) -> tuple[Film, AugmentedRow | None]:
    """Return the film and the row that the parameters name; no row for a film that has no copies.

    Raises:
        ParamsError: where they name none, or several.
    """
    if params.path:
        of_path = rows.filter(pc.equal(rows.column("path"), params.path))
        ids = {row.film_id for row in AUGMENTED.rows(of_path)}
        ids |= {film.normalized.film_id for film in films if film.normalized.path == params.path}
        film = _only([film for film in films if film.normalized.film_id in ids], f"--path {params.path}")
        return film, next(iter(AUGMENTED.rows(of_path)), None)
    wanted = params.film.lower()
    film = _only(
        [film for film in films if film.normalized.film_id.startswith(wanted) or film.divided.path == params.film],
        f"--film {params.film}",
    )
    inside = AUGMENTED.rows(rows.filter(pc.equal(rows.column("film_id"), film.normalized.film_id)))
    if not inside and params.copy_ == 0:
        return film, None
    found = [row for row in inside if row.copy == params.copy_]
    if not found:
        there = f"copies 0 to {max(row.copy for row in inside)}" if inside else "no copies"
        raise ParamsError(
            f"--copy {params.copy_}: film {film.normalized.film_id[:12]} ({film.divided.path}, split "
            f"{film.normalized.split}) has {there}"
        )
    return film, found[0]


def _only(films: Sequence[Film], asked: str) -> Film:
    if not films:
        raise ParamsError(f"{asked}: no such film or image in the manifests; see film_id and path there")
    if len(films) > 1:
        some = ", ".join(film.normalized.film_id[:12] for film in films[:SOME])
        more = ", ..." if len(films) > SOME else ""
        raise ParamsError(f"{asked}: {len(films)} films begin so ({some}{more}); expected one; give more digits")
    if films[0].normalized.status != "ok":
        raise ParamsError(f"{asked}: no image was made of that film ({films[0].normalized.reason})")
    return films[0]


# --- what the user reads ---------------------------------------------------------------------------------------


def explained(film: Film, image: Replayed, made: Made) -> list[tuple[str, str]]:
    """Return what an image is and how it was made, as pairs of a word and a sentence."""
    row, divided = film.normalized, film.divided
    told = [
        ("film", row.film_id),
        ("raw", f"{divided.path}: its sha256 is the film's"),
        ("shows", f"{row.label} (class {row.label_index}), patient {row.group_id}, split {row.split}"),
        ("placed", _placed(row, made.normalize)),
    ]
    if isinstance(image.row, AugmentedRow):
        assert made.augment is not None
        told.append(("copy", _copy(image.row, made.augment)))
        told += _drawn(image.row)
        if image.row.copy:
            same = "the same numbers" if image.redrawn else "OTHER NUMBERS: the row was changed"
            told.append(("draws", f"drawn again from seed {made.augment.seed}: {same}"))
        filled = "as the row says" if image.as_told else "NOT what the row says"
        told.append(("unfilled", f"{image.row.unfilled:.2%} of the pixels come from outside the film, {filled}"))
        encoding = f"{made.augment.encoding}, quality {made.augment.quality}"
    else:
        encoding = made.normalize.encoding
    place = f"{SHARDS}/{image.row.shard}, row {image.row.index}" if image.row.shard else "a file of its own"
    told += [
        ("image", image.row.path),
        ("bytes", f"{image.row.encoded_bytes:,} of {encoding}; sha256 {image.row.sha256}"),
        ("stored", place),
        ("versions", _versions(image, made)),
    ]
    return told


def _placed(row: NormalizedRow, params: NormalizeParams) -> str:
    return (
        f"{params.policy} into {params.height} x {params.width} (height x width): scaled by {row.scale_x:.4f} across, "
        f"{row.scale_y:.4f} down; film fills columns {row.film_left} to {row.film_right - 1}, rows {row.film_top} to "
        f"{row.film_bottom - 1}; {row.lost:.1%} of it cut away, {row.padded:.1%} of the frame black"
    )


def _copy(row: AugmentedRow, params: AugmentParams) -> str:
    if row.copy == 0:
        return f"0 of {params.copies}: the original, for which nothing is drawn"
    chain = ", ".join(operation.op for operation in params.operations)
    return f"{row.copy} of {params.copies}: {chain}; margins {params.margins}, {params.interpolation}"


def _drawn(row: AugmentedRow) -> list[tuple[str, str]]:
    meanings = {one.name: one.column.doc for one in AUGMENTED.drawn}
    return [
        (name, f"{('yes' if value else 'no') if isinstance(value, bool) else f'{value:.4f}'}  ({meanings[name]})")
        for name, value in row.drawn.items()
    ]


def _versions(image: Replayed, made: Made) -> str:
    then = made.augmented_by if isinstance(image.row, AugmentedRow) else made.normalized_by
    return version_text({**made.normalized_by, **then})


def version_text(then: Mapping[str, str]) -> str:
    """Return the versions that made an image, and which of them are others now."""
    now = versions()
    if not then:
        listed = ", ".join(f"{name} {number}" for name, number in now.items())
        return f"not recorded (made by an older cxr-pipeline); now {listed}"
    differing = [f"{name} {number} then, {now.get(name, 'none')} now" for name, number in then.items()
                 if now.get(name) != number]  # fmt: skip
    if differing:
        return f"OTHERS THAN WHEN IT WAS MADE: {'; '.join(differing)}"
    return f"{', '.join(f'{name} {number}' for name, number in then.items())}, as when it was made"


def same_versions(made: Made) -> bool:
    """Return whether the libraries are those that made the set."""
    now = versions()
    return all(dict(then) == now for then in (made.normalized_by, made.augmented_by) if then)


def _why(made: Made) -> str:
    if same_versions(made):
        return "with the same versions: a row or an image was changed; run `cxr-pipeline verify`"
    return "other versions of the codecs may give other bytes: install those that made the set to decide"


# --- the command -----------------------------------------------------------------------------------------------


def run(params: ReplayParams, root: Root, machine: Machine) -> Report:
    """Make one image anew and explain it, or every image, and compare."""
    _refuse_contradictions(params)
    made, facts = recorded(root)
    raw = raw_folder(facts, root, machine)
    films, rows = films_of(root), augmented_rows(root)
    if not params.all_:
        return _single(params, films, rows, made, raw, root)
    return _whole([film for film in films if film.normalized.status == "ok"], rows, made, raw, root, machine)


def _refuse_contradictions(params: ReplayParams) -> None:
    asked = [bool(params.film), bool(params.path), params.all_]
    if sum(asked) != 1:
        raise ParamsError(
            "replay: expected one of --film DIGITS [--copy N], --path PATH or --all; "
            f"found {sum(asked)} of them; film ids and paths stand in {paths.AUGMENTED_MANIFEST}"
        )
    if params.copy_ and not params.film:
        raise ParamsError("replay: --copy goes with --film; a path names its copy already")
    if params.out and params.all_:
        raise ParamsError("replay: --out writes one image; expected --film or --path with it")


def _single(params: ReplayParams, films: Sequence[Film], rows: pa.Table, made: Made, raw: Path, root: Root) -> Report:
    film, row = find(params, films, rows)
    data = read_raw(raw, film.divided)
    folder = ImageFolder(root / paths.NORMALIZED, made.normalize.layout)
    stored = read_stored(folder, [film.normalized])
    if row is not None:
        stored |= read_stored(ImageFolder(root / paths.AUGMENTED, made.augmented_layout), [row])
    replayed = list(replay_film(data, film, [row] if row is not None else [], made=made, stored=stored))
    image = replayed[-1]
    if params.out:
        store.write_bytes(Path(params.out), image.data)
    width = max(len(word) for word, _ in explained(film, image, made))
    lines = [f"{word:<{width}}  {sentence}" for word, sentence in explained(film, image, made)]
    before = [f"{'normalized':<{width}}  {replayed[0].problem()}"] if not replayed[0].same else []
    same = image.same and not before
    verdict = "byte for byte the same as the manifest's and the stored" if same else (image.problem() or "it differs")
    if not same and not image.problem():
        verdict = "the image is the same, its normalized film is not"
    return Report(
        done=1,
        unit="image",
        lines=[*lines, *before, *([] if same else [f"{'why':<{width}}  {_why(made)}"])],
        written=(params.out,) if params.out else (),
        verdict=verdict,
        failed=not same,
    )


def _whole(films: Sequence[Film], rows: pa.Table, made: Made, raw: Path, root: Root, machine: Machine) -> Report:
    work = partial(replay_job, made=made, raw=raw, root=root)
    copies = made.augment.copies + 2 if made.augment is not None else 1
    tallies = machine.fan_out(
        work,
        jobs_of(films, rows),
        unit="images",
        weigh=lambda job: sum(copies if film.normalized.split == "train" else 1 for film in job.films),
    )
    total = _added(list(tallies))
    images = total.normalized + total.augmented
    expected = len(films) + len(rows)
    failed = bool(total.problems) or images != expected
    some = [f"  {text}" for text in total.problems[:SHOWN]]
    more = [f"  and {len(total.problems) - SHOWN:,} more"] if len(total.problems) > SHOWN else []
    lines = [
        f"{total.normalized:,} of {len(films):,} films normalized from their raw bytes, {total.augmented:,} of "
        f"{len(rows):,} images made from the numbers of their rows; each raw film read once",
        f"byte for byte the same as the manifests' and the stored: {total.same:,} of {expected:,}",
        *_seed_line(made, total),
        f"versions: {version_text({**made.normalized_by, **made.augmented_by})}",
        *([f"{len(total.problems):,} differ: {_why(made)}"] if total.problems else []),
        *some,
        *more,
    ]
    verdict = "all byte for byte the same" if not failed else f"{expected - total.same:,} of {expected:,} differ"
    return Report(done=images, unit="images", lines=lines, verdict=verdict, failed=failed)


def _seed_line(made: Made, total: Tally) -> list[str]:
    if made.augment is None:
        return []
    return [f"drawn again from seed {made.augment.seed}: the same numbers for {total.redrawn:,} of {total.copies:,}"]


def _added(tallies: Sequence[Tally]) -> Tally:
    return Tally(
        normalized=sum(tally.normalized for tally in tallies),
        augmented=sum(tally.augmented for tally in tallies),
        same=sum(tally.same for tally in tallies),
        redrawn=sum(tally.redrawn for tally in tallies),
        copies=sum(tally.copies for tally in tallies),
        problems=tuple(text for tally in tallies for text in tally.problems),
    )


STAGE = Stage(
    "replay",
    ReplayParams,
    reads=(paths.SPLIT, paths.NORMALIZED, paths.AUGMENTED, paths.RAW),
    writes=(),
    run=run,
)
