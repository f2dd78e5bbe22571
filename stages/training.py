"""How a training run is put together: the device, the network, the sets, and what is known of them afterwards."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from manifests.places import place_of
from manifests.store import TOOL_VERSION
from stages import paths
from stages.augment_params import AugmentParams
from stages.contract import Machine, Root, StageError
from stages.learning import batches, devices, live, loop, networks, ranks, residence, weights
from stages.learning.checkpoint import Checkpoint
from stages.learning.failures import explained
from stages.learning.footprint import Footprint, footprint
from stages.learning.online import OnlineSource
from stages.learning.order import Places, in_order
from stages.learning.plan import Fitted, Recipe, Sets, Site
from stages.learning.prediction import SCORING_BATCH
from stages.learning.progress import Found, Keeper
from stages.learning.room import at_hand
from stages.learning.schedule import scaled_rate
from stages.stored import StoredImages
from stages.train_sources import Sources

if TYPE_CHECKING:
    import torch
    from torch import nn

    from stages.train import TrainParams

FILMS_READ_AHEAD = 1024  # of those that are scored, in their own order: 79 MB where they are not compressed
NOT_OF_THE_RECIPE = {"network", "weights", "initialisation", "augment", "scale_learning_rate", "deterministic"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What a run came to.

    Attributes:
        checkpoint: the network.
        fitted: how it went.
        images: shown in an epoch.
        used: what it ran on, by name.
        keeper: of the state that is of no use once the network is written.
        lines: what the user should read.
    """

    checkpoint: Checkpoint
    fitted: Fitted
    images: int
    used: Mapping[str, Any]
    keeper: Keeper
    lines: Sequence[str]


def learn(params: TrainParams, sources: Sources, root: Root, machine: Machine) -> Trained:
    """Train a network as the parameters say.

    Raises:
        StageError: where the device is missing, the memory is too small, or a loss is no number.
        ManifestError: where a file that an image lies in is missing.
    """
    how = machine.training
    device = devices.device_for(machine.device, local_rank=how.local_rank)
    with ExitStack() as stack:
        stack.enter_context(devices.deterministic(params.deterministic))
        _require_room(params, sources, device)
        group = stack.enter_context(ranks.together(how.rank, how.ranks, device))
        network, of_weights, lines = _begun(params, sources)
        placed = _Placed.of(params, sources, machine, device)
        mean, std = batches.pixel_statistics(
            grey for grey, _ in placed.sets.train.batches(in_order(len(placed.sets.train), SCORING_BATCH))
        )
        keeper, lines = _keeper(params, sources, root, of_weights), [*lines, *placed.lines]
        recipe = recipe_of(params)
        log = live.logs(root / paths.TRAIN_LOG, root / paths.TRAIN_STEPS, how.tensorboard) if group.first else None
        site = Site(
            device=device,
            ranks=group,
            keeper=keeper,
            found=(lambda: None) if how.anew else partial(_found, keeper, lines),
            save_every_s=how.save_every_s,
            compiled=how.compiled,
            advance=stack.enter_context(machine.track(recipe.epochs * placed.images_per_epoch, unit="images")),
            log=stack.enter_context(log) if log is not None else (lambda _: None),
        )
        with explained(partial(_would_fit, params, sources, device)):
            fitted = loop.fit(network, placed.sets, recipe, site, mean=mean, std=std)
    trained = Checkpoint(
        network_name=params.network,
        classes=sources.classes,
        frame=sources.frame,
        mean=mean,
        std=std,
        network=network,
        facts={**_facts(params, sources, fitted), **({"weights_sha256": of_weights} if of_weights else {})},
    )
    used = {
        "parameters": networks.count_parameters(network),
        "residence": placed.residence,
        "processes": how.ranks,
        **devices.used(device),
    }
    return Trained(
        checkpoint=trained,
        fitted=fitted,
        images=len(placed.sets.augmented),
        used=used,
        keeper=keeper,
        lines=lines,
    )


@dataclass(frozen=True, slots=True)
class _Placed:
    """The sets, where they lie, and what the user should know of that."""

    sets: Sets
    residence: str
    lines: Sequence[str]

    @classmethod
    def of(cls, params: TrainParams, sources: Sources, machine: Machine, device: torch.device) -> _Placed:
        """Load the sets, or get ready to read them as they are shown."""
        augmented = sources.augmented
        stored = [images for images in (augmented, sources.train, sources.val) if images is not None]
        needed = sum(map(len, stored)) * sources.frame.pixels
        where = residence.choose(machine.training.residence, needed, device)

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
    return [place.path for place in images.places(chosen // images_per_film)]


def _online(sources: Sources, machine: Machine, films: Any, where: str) -> tuple[OnlineSource, list[str]]:
    """Return the training films with copies drawn anew for every epoch, and by whose recipe."""
    if where == "stream":
        raise StageError(
            "augment online: the films must lie in memory, and they do not fit; train on the stored images"
        )
    told = sources.augmentation
    lines = [] if told is not None else [f"{paths.AUGMENTED}: not there; copies are drawn by augment's parameters"]
    recipe = AugmentParams.model_validate(machine.sections.get("augment", {}) if told is None else told)
    film_ids = sources.train.table.column("film_id").to_pylist()
    online = OnlineSource(
        films.images.to(films.device), films.labels, film_ids, chain=recipe.chain(sources.frame), copies=recipe.copies
    )
    return online, lines


def recipe_of(params: TrainParams) -> Recipe:
    """Return how the loop trains, the learning rate scaled as asked."""
    told = params.model_dump(exclude=NOT_OF_THE_RECIPE)
    rate = scaled_rate(params.learning_rate, params.batch_size, how=params.scale_learning_rate)
    return Recipe(**{**told, "learning_rate": rate})


def _begun(params: TrainParams, sources: Sources) -> tuple[nn.Module, str, list[str]]:
    """Return the network with its first weights, the sha256 of the file that they are from, and what it lacked."""
    name, frame, classes = params.network, sources.frame, len(sources.classes)
    if not params.weights:
        return networks.initialised(name, frame, classes, how=params.initialisation, seed=params.seed), "", []
    file = place_of(params.weights)
    begun = weights.from_file(name, frame, classes, how=params.initialisation, seed=params.seed, file=file)
    return begun.network, begun.sha256, list(begun.remarks)


def _footprint(params: TrainParams, sources: Sources, device: torch.device) -> Footprint:
    return footprint(
        networks.blank(params.network, sources.frame, len(sources.classes)),
        sources.frame,
        math.ceil(params.batch_size / params.accumulation),
        optimizer=params.optimizer,
        momentum=params.momentum,
        averaged=params.ema_decay > 0,
        device=device.type,
    )


def _require_room(params: TrainParams, sources: Sources, device: torch.device) -> None:
    """Refuse, before anything is loaded, what cannot fit: a host that runs out of memory kills without a word.

    Raises:
        StageError: saying what would fit.
    """
    takes, room = _footprint(params, sources, device), at_hand(device)
    if takes.total > room.free:
        raise StageError(
            f"network {params.network}: a step takes about {takes.total / 1e9:.1f} GB, and "
            f"{room.free / 1e9:.1f} GB are free of {room.what}; {_would_fit(params, sources, device)}"
        )


def _would_fit(params: TrainParams, sources: Sources, device: torch.device) -> str:
    """Say which batch would fit into the memory that is free, or that none does."""
    largest = _footprint(params, sources, device).largest_batch(at_hand(device).free)
    if not largest:
        return "not even one image at a time would fit; take a smaller network (`cxr-pipeline networks`)"
    parts = math.ceil(params.batch_size / largest)
    return f"batch_size {largest} would fit, or the same batch with accumulation {max(2, parts)}"


def _keeper(params: TrainParams, sources: Sources, root: Root, of_weights: str) -> Keeper:
    """Return the keeper of the run's state, which knows what decides the weights."""
    run = {
        **{name: json.dumps(value) for name, value in params.model_dump(mode="json").items()},
        **sources.digests,
        "file of weights": of_weights,
        "version of cxr-pipeline": TOOL_VERSION,
        "version of torch": devices.torch_version(),
    }
    return Keeper(root / paths.TRAIN_STATE, run)


def _found(keeper: Keeper, lines: list[str]) -> Found | None:
    """Return the state of a stopped run; None where there is none that this run can go on from, which is said."""
    try:
        return keeper.find()
    except StageError as error:
        lines.append(f"{paths.TRAIN_STATE}: a stopped run's state is left behind, for {error}; training began anew")
        return None


def _facts(params: TrainParams, sources: Sources, fitted: Fitted) -> dict[str, str]:
    """Return what the network's file says of it beside what one must know to use it."""
    return {
        "initialisation": params.initialisation,
        "epoch": str(fitted.best.epoch),
        "val_accuracy": repr(fitted.best.val_accuracy),
        "params": params.model_dump_json(),
        "sources": json.dumps(sources.digests),
        "normalization": json.dumps(sources.normalization, sort_keys=True),
    }
