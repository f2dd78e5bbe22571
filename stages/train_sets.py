"""The sets that a network learns from and is judged by, put where they fit: on the device, the host or the disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from manifests import store
from stages import paths
from stages.augment_params import AugmentParams
from stages.contract import Machine, ParamsError, StageError
from stages.folder import params_of
from stages.learning import residence
from stages.learning.online import OnlineSource
from stages.learning.order import Places
from stages.learning.plan import Sets
from stages.stored import StoredImages
from stages.train_sources import Sources

if TYPE_CHECKING:
    import torch

    from stages.train import TrainParams

FILMS_READ_AHEAD = 1024  # of those that are scored, in their own order: 79 MB where they are not compressed


@dataclass(frozen=True, slots=True)
class Placed:
    """The sets of a run, and where they lie.

    Attributes:
        sets: what is learned from, and what is scored.
        residence: `device`, `host` or `stream`.
        lines: what the user should know of them.
    """

    sets: Sets
    residence: str
    lines: Sequence[str]

    @classmethod
    def of(cls, params: TrainParams, sources: Sources, machine: Machine, device: torch.device) -> Placed:
        """Load the sets, or get ready to read them as they are shown.

        Raises:
            StageError: where they do not fit, or an image cannot be decoded or has another frame.
            ManifestError: where a file that an image lies in is missing.
        """
        augmented = sources.augmented
        stored = [images for images in (augmented, sources.train, sources.val) if images is not None]
        needed = sum(map(len, stored)) * sources.frame.pixels
        where = residence.choose(machine.training.residence, needed, device, sharing=machine.training.local_ranks)

        def place(images: StoredImages, window: int = FILMS_READ_AHEAD) -> Any:
            return residence.placed(images, sources.frame, where, device, window=window, track=machine.track)

        train, val = place(sources.train), place(sources.val)
        if augmented is not None:
            sets = Sets(
                augmented=place(augmented, params.shuffle_window),
                train=train,
                val=val,
                shards=augmented.shards,
                names=partial(_paths, augmented, images_per_film=1),
            )
            return cls(sets, where, ())
        online, lines = _online(sources, machine, train, where)
        sets = Sets(
            augmented=online,
            train=train,
            val=val,
            shards=np.arange(len(online)),
            names=partial(_paths, sources.train, images_per_film=len(online) // len(train)),
        )
        return cls(sets, where, lines)

    @property
    def images_per_epoch(self) -> int:
        """How many images are shown or scored."""
        return len(self.sets.augmented) + len(self.sets.train) + len(self.sets.val)


def _paths(images: StoredImages, chosen: Places, *, images_per_film: int) -> list[str]:
    """Return the paths of the images chosen, or of their films where a set shows several images of each."""
    return [place.path for place in images.places(chosen // images_per_film)]


def _online(sources: Sources, machine: Machine, films: Any, where: str) -> tuple[OnlineSource, list[str]]:
    """Return the training films with copies drawn anew for every epoch, and what to say of their recipe.

    Raises:
        StageError: where the films do not lie in memory, or the augmented images' parameters are not this version's.
        ParamsError: where there are no augmented images, and augment's section cannot be used.
    """
    if where == "stream":
        raise StageError(
            "augment online: the films must lie in memory, and would stay on the disk (--residence stream, or less "
            "memory free than twice theirs); make room, or train with --augment stored"
        )
    if sources.augmentation is not None:
        recipe = params_of(AugmentParams, store.Footer(params=sources.augmentation), paths.AUGMENTED_MANIFEST)
        lines = []
    else:
        recipe = _recipe_of_section(machine.sections.get("augment", {}))
        lines = [f"{paths.AUGMENTED}: not there; copies are drawn by augment's parameters"]
    film_ids = sources.train.table.column("film_id").to_pylist()
    online = OnlineSource(
        films.images.to(films.device), films.labels, film_ids, chain=recipe.chain(sources.frame), copies=recipe.copies
    )
    return online, lines


def _recipe_of_section(section: Mapping[str, Any]) -> AugmentParams:
    """Return augment's parameters as params.yaml has them.

    Raises:
        ParamsError: where it cannot be used, with the first reason.
    """
    try:
        return AugmentParams.model_validate(section)
    except ValidationError as error:
        problem = error.errors()[0]
        found = f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"
        raise ParamsError(f"train: params.yaml, section augment: {found}; expected what `augment` takes") from error
