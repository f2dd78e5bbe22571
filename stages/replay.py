"""replay: an image made anew from its raw film and its row alone, and compared with what is stored."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from manifests import store
from manifests.places import AnyPath, joined
from manifests.rows import AugmentedRow
from manifests.shards import ImageFolder
from stages import paths
from stages.contract import Machine, Params, ParamsError, Report, Root, Stage
from stages.drawn import AUGMENTED
from stages.normalize import raw_folder
from stages.proof.remake import Film, Made, augmented_rows, films_of, read_stored, recorded, replay_film
from stages.proof.told import explained, version_text, why
from stages.proof.whole import Tally, added, jobs_of, replay_job

SHOWN = 10  # images that differ, in the report of a whole set
SOME = 3  # films that an ambiguous prefix names


class ReplayParams(Params):
    """Which images to make anew."""

    film: str = Field("", description="The film: the first digits of its sha256, or its path in the raw folder.")
    copy_: int = Field(0, ge=0, description="Which of its images: 0 is the original, 1..N its copies.")
    path: str = Field("", description="Or the image's path, as the augmented or normalized manifest names it.")
    all_: bool = Field(default=False, description="Every image of the data set.")
    out: str = Field("", description="File under the root to write the image to, as it was made anew.")


# --- the image that is asked for -------------------------------------------------------------------------------


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


def _single(
    params: ReplayParams, films: Sequence[Film], rows: pa.Table, made: Made, raw: AnyPath, root: Root
) -> Report:
    film, row = find(params, films, rows)
    folder = ImageFolder(root / paths.NORMALIZED, made.normalize.layout)
    stored = read_stored(folder, [film.normalized])
    if row is not None:
        stored |= read_stored(ImageFolder(root / paths.AUGMENTED, made.augmented_layout), [row])
    replayed = list(replay_film(film, [row] if row is not None else [], made=made, raw=raw, stored=stored))
    image = replayed[-1]
    if params.out:
        store.write_bytes(joined(root, params.out), image.data)
    width = max(len(word) for word, _ in explained(film, image, made))
    lines = [f"{word:<{width}}  {sentence}" for word, sentence in explained(film, image, made)]
    before = [f"{'normalized':<{width}}  {replayed[0].problem()}"] if not replayed[0].same else []
    same = image.same and not before
    verdict = "byte for byte the same as the manifest's and the stored"
    if not same:
        verdict = image.problem() or "the image is the same, its normalized film is not"
    return Report(
        done=1,
        unit="image",
        lines=[*lines, *before, *([] if same else [f"{'why':<{width}}  {why(made)}"])],
        written=(params.out,) if params.out else (),
        verdict=verdict,
        failed=not same,
    )


def _whole(films: Sequence[Film], rows: pa.Table, made: Made, raw: AnyPath, root: Root, machine: Machine) -> Report:
    work = partial(replay_job, made=made, raw=raw, root=root)
    of_training_film = made.augment.copies + 2 if made.augment is not None else 1  # normalized, original and copies
    tallies = machine.fan_out(
        work,
        jobs_of(films, rows),
        unit="images",
        weigh=lambda job: sum(of_training_film if film.normalized.split == "train" else 1 for film in job.films),
    )
    total = added(list(tallies))
    images = total.normalized + total.augmented
    expected = len(films) + len(rows)
    lines = [
        f"{total.normalized:,} of {len(films):,} films normalized from their raw bytes, {total.augmented:,} of "
        f"{len(rows):,} images made from the numbers of their rows; each raw film read once",
        f"byte for byte the same as the manifests' and the stored: {total.same:,} of {expected:,}",
        *_seed_line(made, total),
        f"versions: {version_text({**made.normalized_by, **made.augmented_by})}",
        *_some(f"{len(total.differing):,} differ: {why(made)}", total.differing),
        *_some(f"of {len(total.unmade):,} films, no image can be made:", total.unmade),
    ]
    counted = {"differ": images - total.same, "cannot be made": expected - images}
    wrong = [f"{number:,} of {expected:,} {what}" for what, number in counted.items() if number]
    verdict = ", ".join(wrong) or "all byte for byte the same"
    return Report(done=images, unit="images", lines=lines, verdict=verdict, failed=bool(wrong))


def _some(head: str, texts: Sequence[str]) -> list[str]:
    """Return a head and the first texts under it; nothing where there is none."""
    more = [f"  and {len(texts) - SHOWN:,} more"] if len(texts) > SHOWN else []
    return [head, *(f"  {text}" for text in texts[:SHOWN]), *more] if texts else []


def _seed_line(made: Made, total: Tally) -> list[str]:
    if made.augment is None:
        return []
    return [f"drawn again from seed {made.augment.seed}: the same numbers for {total.redrawn:,} of {total.copies:,}"]


STAGE = Stage(
    "replay",
    ReplayParams,
    reads=(paths.SPLIT, paths.NORMALIZED, paths.AUGMENTED, paths.RAW),
    writes=(),
    run=run,
)
