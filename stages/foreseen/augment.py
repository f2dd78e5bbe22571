"""What augment would write, keep and delete."""

from __future__ import annotations

from functools import partial

from manifests.rows import NormalizedRow
from manifests.shards import ImageFolder
from stages import paths
from stages.augment import images_of, jobs_of, paths_of, pixels_of, read_normalized
from stages.augment_params import AugmentParams
from stages.contract import Machine, Root, begin
from stages.drawn import AUGMENTED
from stages.films.frame import Frame, Gray
from stages.foreseen import images
from stages.foreseen.amounts import Foreseen

MOST_COPIES = 20  # of a film of the sample: more would tell no more


def foresee(params: AugmentParams, root: Root, machine: Machine) -> Foreseen:
    """Return what a run would do.

    Raises:
        StageError: where the run would, before its first film.
        ParamsError: where margins are to be covered and cannot be.
    """
    normalized = read_normalized(params, root)
    asked = images.Asked(
        where=paths.AUGMENTED,
        folder=ImageFolder(root / paths.AUGMENTED, params.layout),
        schema=AUGMENTED,
        jobs=jobs_of(normalized.films, params, normalized.frame),
        unit="images",
        per_film=params.copies + 1,
        paths_of=lambda film: paths_of(film, params.copies + 1, params),
        bytes_of=partial(_bytes_of_film, params=params, folder=normalized.folder, frame=normalized.frame),
    )
    return images.foresee(asked, machine)


def _bytes_of_film(film: NormalizedRow, *, params: AugmentParams, folder: ImageFolder, frame: Frame) -> int:
    """Return how many bytes a film's original and copies take."""
    begin(film.film_id)
    ((_, encoded),) = folder.read_images([film])
    return bytes_of(film.film_id, pixels_of(film, encoded, frame), params=params, frame=frame)


def bytes_of(film_id: str, image: Gray, *, params: AugmentParams, frame: Frame) -> int:
    """Return how many bytes the original and the copies of a film in the frame take; many copies by those of some."""
    some = params.model_copy(update={"copies": min(params.copies, MOST_COPIES)})
    _, _, (original, *copies) = images_of(film_id, image, chain=some.chain(frame), params=some)
    return len(original) + sum(map(len, copies)) * params.copies // max(1, len(copies))
