"""How a training run is put together: the device, the network, its site, and what is known of them afterwards."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from manifests import store
from manifests.places import place_of
from stages import paths
from stages.contract import Machine, Root, StageError
from stages.learning import batches, devices, live, loop, networks, ranks, weights
from stages.learning.checkpoint import Checkpoint
from stages.learning.failures import explained
from stages.learning.order import in_order
from stages.learning.plan import Fitted, Recipe, Site
from stages.learning.prediction import SCORING_BATCH
from stages.learning.progress import Found, Keeper
from stages.learning.ranks import Ranks
from stages.learning.schedule import scaled_rate
from stages.learning.weights import Started
from stages.train_room import require_room, would_fit
from stages.train_sets import Placed
from stages.train_sources import Sources

if TYPE_CHECKING:
    import torch

    from stages.train import TrainParams

# parameters that are used up before the loop begins, in which a `Recipe` has no part
NOT_OF_THE_RECIPE = {"network", "weights", "initialisation", "augment", "scale_learning_rate", "deterministic"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What a run came to.

    Attributes:
        checkpoint: the network.
        fitted: how it went.
        images: shown in an epoch.
        used: what it ran on, by the names of `reports/train.json`.
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
    with devices.deterministic(params.deterministic):
        require_room(params, sources, device, ranks=how.ranks)
        with ranks.together(how.rank, how.ranks, device) as group:
            started = _started(params, sources)
            placed = Placed.of(params, sources, machine, device)
            grey = placed.sets.train.batches(in_order(len(placed.sets.train), SCORING_BATCH))
            mean, std = batches.pixel_statistics(levels for levels, _ in grey)
            keeper = _keeper(params, sources, root, started.sha256)
            lines = [*started.remarks, *placed.lines]
            recipe = recipe_of(params)
            images = recipe.epochs * placed.images_per_epoch
            with (
                _site(root, machine, device, group, keeper=keeper, lines=lines, images=images) as site,
                explained(partial(would_fit, params, sources, device, how.ranks)),
            ):
                fitted = loop.fit(started.network, placed.sets, recipe, site, mean=mean, std=std)
    return Trained(
        checkpoint=_checkpoint(params, sources, started, fitted, mean=mean, std=std),
        fitted=fitted,
        images=len(placed.sets.augmented),
        used={
            "parameters": networks.count_parameters(started.network),
            "residence": placed.residence,
            "processes": how.ranks,
            **devices.used(device),
        },
        keeper=keeper,
        lines=lines,
    )


@contextmanager
def _site(
    root: Root, machine: Machine, device: torch.device, group: Ranks, *, keeper: Keeper, lines: list[str], images: int
) -> Iterator[Site]:
    """Yield where the run takes place, its progress bar and logs open until it ends.

    Args:
        root: the logs lie under it.
        machine: how training uses it, and its progress bar.
        device: computes.
        group: the processes that train together; the first one writes the logs.
        keeper: of the run's state.
        lines: what the user should read; it grows where a stopped run's state is left behind.
        images: that are shown or scored in all epochs.
    """
    how = machine.training
    logs = live.logs(root / paths.TRAIN_LOG, root / paths.TRAIN_STEPS, how.tensorboard) if group.first else None
    with machine.track(images, unit="images") as advance, logs or nullcontext(lambda _: None) as log:
        yield Site(
            device=device,
            ranks=group,
            keeper=keeper,
            found=(lambda: None) if how.anew else partial(_found, keeper, lines),
            save_every_s=how.save_every_s,
            compiled=how.compiled,
            advance=advance,
            log=log,
        )


def recipe_of(params: TrainParams) -> Recipe:
    """Return how the loop trains, the learning rate scaled as asked."""
    told = params.model_dump(exclude=NOT_OF_THE_RECIPE)
    rate = scaled_rate(params.learning_rate, params.batch_size, how=params.scale_learning_rate)
    return Recipe(**{**told, "learning_rate": rate})


def _started(params: TrainParams, sources: Sources) -> Started:
    """Return the network with its first weights: those of a file, or drawn."""
    name, frame, classes = params.network, sources.frame, len(sources.classes)
    if not params.weights:
        return Started(networks.initialised(name, frame, classes, how=params.initialisation, seed=params.seed))
    file = place_of(params.weights)
    return weights.from_file(name, frame, classes, how=params.initialisation, seed=params.seed, file=file)


def _keeper(params: TrainParams, sources: Sources, root: Root, weights_sha256: str) -> Keeper:
    """Return the keeper of the run's state, which knows what decides the weights."""
    run = {
        **{name: json.dumps(value) for name, value in params.model_dump(mode="json").items()},
        **sources.digests,
        "file of weights": weights_sha256,
        "version of cxr-pipeline": store.TOOL_VERSION,
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


def _checkpoint(
    params: TrainParams, sources: Sources, started: Started, fitted: Fitted, *, mean: float, std: float
) -> Checkpoint:
    """Return the network with what its file says of it."""
    facts = {
        "initialisation": params.initialisation,
        "epoch": str(fitted.best.epoch),
        "val_accuracy": repr(fitted.best.val_accuracy),
        "params": params.model_dump_json(),
        "sources": json.dumps(sources.digests),
        "normalization": json.dumps(sources.normalization, sort_keys=True),
    }
    if started.sha256:
        facts["weights_sha256"] = started.sha256
    return Checkpoint(
        network_name=params.network,
        classes=sources.classes,
        frame=sources.frame,
        mean=mean,
        std=std,
        network=started.network,
        facts=facts,
    )
