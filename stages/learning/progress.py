"""How far a run came, on disk: what a killed run goes on from, to the same weights as one that was left alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from manifests.places import AnyPath, at_hand
from manifests.store import written_aside
from stages.contract import StageError
from stages.learning.weights import put

Tensors = Mapping[str, torch.Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """One line of the training log. Shares and losses of `train_*` and `val_*` are taken in eval mode."""

    epoch: int
    updates: int
    learning_rate: float
    train_loss: float
    augmented_accuracy: float
    train_accuracy: float
    train_clean_loss: float
    val_loss: float
    val_accuracy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One line of the log within epochs: the mean loss of the updates since the line before."""

    update: int
    epoch: int
    learning_rate: float
    loss: float


@dataclass(slots=True)
class Progress:
    """Where a run is.

    Attributes:
        updates: how many are done.
        epochs: the log of those that are done and scored.
        steps: the log within epochs.
        seen: images of the epoch under way that were learned from.
        loss: the sum of their losses.
        hits: how many of them were right.
        since: the same loss and images, since the last line within epochs.
        train_s: seconds spent on updates, over all runs that it took.
        best: the weights of the epoch that is best so far; empty before the first is scored.
    """

    updates: int = 0
    epochs: list[Epoch] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    seen: int = 0
    loss: float = 0.0
    hits: int = 0
    since: tuple[float, int] = (0.0, 0)
    train_s: float = 0.0
    best: Tensors = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Keeper:
    """Saves a run's state, and finds it again.

    Attributes:
        path: the file.
        run: what decides the weights, by name: only a run of which all of it is the same may go on from the file.
    """

    path: AnyPath
    run: Mapping[str, str]

    def save(
        self, progress: Progress, network: nn.Module, optimizer: torch.optim.Optimizer, average: nn.Module | None
    ) -> None:
        """Put the state at `path`, whole or not at all; the disk has it when this returns."""
        tensors = {
            **_named("network", network.state_dict()),
            **_named("average", average.state_dict() if average is not None else {}),
            **_named("best", progress.best),
            **_named("optimizer", _flat(optimizer)),
        }
        told = json.dumps({name: value for name, value in asdict(progress).items() if name != "best"})
        metadata = {"run": json.dumps(dict(self.run)), "progress": told, "sha256": _digest(tensors, told)}
        with written_aside(self.path) as aside:
            save_file(tensors, aside, metadata)

    def find(self) -> Found | None:
        """Return the state that was saved; None where there is none.

        Raises:
            StageError: where the file is spoilt, or is another run's; it names what differs.
        """
        if not self.path.exists():
            return None
        try:
            with safe_open(at_hand(self.path), framework="pt") as file:
                metadata = file.metadata() or {}
                run = dict(json.loads(metadata["run"]))
                if differing := sorted(name for name in {*run, *self.run} if run.get(name) != self.run.get(name)):
                    raise StageError(f"it was saved under another {', '.join(differing)}")
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not iterable itself
            if _digest(tensors, metadata["progress"]) != metadata["sha256"]:
                raise StageError("its bytes are not those that were saved")
            return Found(tensors, json.loads(metadata["progress"]))
        except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
            raise StageError(f"it cannot be read ({error})") from error

    def forget(self) -> None:
        """Delete the state: the run is done, or starts anew."""
        self.path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Found:
    """A state that was saved.

    Attributes:
        tensors: of network, average, best epoch and optimiser, each name beginning with `part/`.
        told: the fields of `Progress`, but for the best weights, as JSON has them.
    """

    tensors: Tensors
    told: Mapping[str, Any]

    def restore(self, network: nn.Module, optimizer: torch.optim.Optimizer, average: nn.Module | None) -> Progress:
        """Give network, optimiser and mean their state, and return the run's progress."""
        put(network, self._of("network"))
        if average is not None:
            put(average, self._of("average"))
        _restore(optimizer, self._of("optimizer"))
        told = {**self.told, "since": tuple(self.told["since"])}
        epochs = [Epoch(**line) for line in told.pop("epochs")]
        steps = [Step(**line) for line in told.pop("steps")]
        return Progress(**told, epochs=epochs, steps=steps, best=self._of("best"))

    def _of(self, part: str) -> dict[str, torch.Tensor]:
        """Return a part's tensors by the names that `_named` got."""
        begins = f"{part}/"
        return {name.removeprefix(begins): values for name, values in self.tensors.items() if name.startswith(begins)}


def _named(part: str, tensors: Tensors) -> dict[str, torch.Tensor]:
    return {f"{part}/{name}": values.detach().cpu().contiguous() for name, values in tensors.items()}


def _flat(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Return an optimiser's state as tensors by weight and name."""
    state = optimizer.state_dict()["state"]
    return {f"{weight}/{name}": values for weight, of_weight in state.items() for name, values in of_weight.items()}


def _restore(optimizer: torch.optim.Optimizer, tensors: Tensors) -> None:
    """Give an optimiser the state that `_flat` took from it."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, values in tensors.items():
        number, _, what = name.partition("/")
        weight = weights[int(number)]
        # in the weights' own layout: a fused step goes through memory, and takes channels-last for what it looks like
        laid_out = torch.empty_like(weight).copy_(values) if values.shape == weight.shape else values
        state.setdefault(int(number), {})[what] = laid_out
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _digest(tensors: Tensors, told: str) -> str:
    """Return a sha256 over a text and all tensors, their names, and where each ends."""
    whole = hashlib.sha256(f"{told}\n".encode())
    for name in sorted(tensors):
        values = tensors[name]
        whole.update(f"{name} {values.dtype} {tuple(values.shape)}\n".encode())
        whole.update(values.reshape(-1).view(torch.uint8).numpy().data)
    return whole.hexdigest()
