"""Whether parameters are those of the images that lie there: tried before any of them is made anew."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from manifests import store
from manifests.places import AnyPath, at_hand, files_in
from manifests.rows import NormalizedRow, SplitRow
from manifests.shards import SHARDS, ImageFolder, prefix_of
from stages import augment, normalize, paths
from stages.augment_params import AugmentParams
from stages.contract import Params
from stages.films import codec
from stages.films.frame import Frame
from stages.proof.bench import Bench, films_divided, films_for_training, source_of

FILMS_TRIED = 3


def fits(params: Params, bench: Bench) -> bool:
    """Return whether the images that lie there are those that the parameters give, or none lie there."""
    root = bench.root
    if isinstance(params, normalize.NormalizeParams):
        films = {film.film_id: film for film in films_divided(root)}
        folder = ImageFolder(root / paths.NORMALIZED, params.layout)
        if params.layout == "shards":
            return _names_fit(folder, films, partial(normalize.job_of, params=params))
        raw = normalize.raw_folder(store.read_footer(root / paths.SPLIT).facts, root, bench.machine)
        return _files_fit(folder, films.values(), partial(_normalized_of, params=params, raw=raw))
    if isinstance(params, AugmentParams):
        copied = {film.film_id: film for film in films_for_training(root)}
        source, frame = source_of(root)
        folder = ImageFolder(root / paths.AUGMENTED, params.layout)
        if params.layout == "shards":
            return _names_fit(folder, copied, partial(augment.job_of, params=params, frame=frame))
        return _files_fit(folder, copied.values(), partial(_copies_of, params=params, source=source, frame=frame))
    return True


def _names_fit(folder: ImageFolder, films: Mapping[str, Any], job_of: Callable[[str, Sequence[Any]], Any]) -> bool:
    """Return whether the parameters give most of the shards the names that they have, of the films within them."""
    fit = []
    for name in folder.shards_on_disk():
        try:
            ids = dict.fromkeys(pq.read_table(at_hand(folder.path / SHARDS / name), columns=["film_id"])[0].to_pylist())
        except (OSError, pa.ArrowException):
            continue  # spoilt: it tells nothing
        known = [films[film_id] for film_id in ids if film_id in films]
        fit.append(job_of(prefix_of(name), known).shard == name)
    return 2 * sum(fit) >= len(fit) if fit else _holds_nothing(folder, but=SHARDS)


def _files_fit(folder: ImageFolder, films: Iterable[Any], images_of: Callable[[Any], Mapping[str, bytes]]) -> bool:
    """Return whether the parameters give a film's files as they lie there; a few films are tried, for one is spoilt."""
    if _holds_nothing(folder):
        return True
    made = ([(folder.path / path, data) for path, data in images_of(film).items()] for film in films)
    there = ([(file, data) for file, data in images if file.is_file()] for images in made)
    tried = islice((images for images in there if images), FILMS_TRIED)
    return any(file.read_bytes() == data for images in tried for file, data in images)


def _holds_nothing(folder: ImageFolder, *, but: str = "") -> bool:
    """Return whether a folder holds no file beside the manifest, and those of one folder in it."""
    files = [name.split("/") for name in files_in(folder.path)]
    return all(parts[0] in {store.MANIFEST, but} for parts in files)


def _normalized_of(film: SplitRow, *, params: normalize.NormalizeParams, raw: AnyPath) -> dict[str, bytes]:
    """Return a film's normalized image by its path."""
    image, _ = normalize.normalize_film(film, params=params, raw=raw)
    return {normalize.path_of(film, params): codec.encode(image, encoding=params.encoding)}


def _copies_of(film: NormalizedRow, *, params: AugmentParams, source: ImageFolder, frame: Frame) -> dict[str, bytes]:
    """Return a film's original and copies by their paths."""
    ((_, encoded),) = source.read_images([film])
    image = augment.pixels_of(film, encoded, frame)
    made = augment.augment_one(film, image, chain=params.chain(frame), params=params)
    return dict(zip(augment.paths_of(film, params.copies + 1, params), made.images, strict=True))
