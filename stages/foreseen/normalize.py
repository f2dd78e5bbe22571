"""What normalize would write, keep and delete."""

from __future__ import annotations

from functools import partial

from manifests.places import AnyPath
from manifests.rows import NORMALIZED, SplitRow
from manifests.shards import ImageFolder
from stages import paths
from stages.contract import Machine, Root, begin
from stages.films import codec
from stages.foreseen import images
from stages.foreseen.amounts import Foreseen
from stages.normalize import NormalizeParams, jobs_of, normalize_film, path_of, read_divided


def foresee(params: NormalizeParams, root: Root, machine: Machine) -> Foreseen:
    """Return what a run would do.

    Raises:
        StageError: where the run would, before its first film.
    """
    divided = read_divided(root, machine)
    asked = images.Asked(
        where=paths.NORMALIZED,
        folder=ImageFolder(root / paths.NORMALIZED, params.layout),
        schema=NORMALIZED,
        jobs=jobs_of(divided.films, params),
        unit="films",
        per_film=1,
        paths_of=lambda film: [path_of(film, params)],
        bytes_of=partial(_bytes_of, params=params, raw=divided.raw),
    )
    return images.foresee(asked, machine)


def _bytes_of(film: SplitRow, *, params: NormalizeParams, raw: AnyPath) -> int:
    """Return how many bytes a film takes in the frame."""
    begin(film.film_id)
    image, _ = normalize_film(film, params=params, raw=raw)
    return len(codec.encode(image, encoding=params.encoding))
