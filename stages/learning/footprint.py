"""How much memory a training step takes, told before a run: the step is taken on tensors that hold nothing.

What is counted is every tensor's bytes from when it is made until it is let go, in the order of the loop: forward
while the last step's gradients are there, backward, the optimiser. Two steps, of two and of three images, give each
moment's bytes as a line over the batch size, so that every other batch is known without a step.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import FlopCounterMode

from stages.films.frame import Frame

FEW = (2, 3)  # images of the two steps: batch norm refuses a single one
# glibc keeps blocks under 32 MiB after they are let go, to hand them out again: measured, no more than six of them
KEPT_ON_HOST = 6 * 2**25
LARGEST_BATCH = 2**20

Line: TypeAlias = tuple[int, int]  # bytes at no image, bytes of each image


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """Memory of a training step in bytes, float32 throughout.

    Attributes:
        batch_size: images of the step.
        weights: parameters, and buffers such as the means of batch norm; twice where an average is kept.
        gradients: of the parameters.
        optimizer: what it remembers of each parameter.
        activations: kept from the forward pass for the backward pass.
        moments: a line for each moment of the step that can be the one with the most bytes.
        kept_of: the line of the activations, of which the C library may keep as much (`kept`); 0 where it keeps none.
    """

    batch_size: int
    weights: int
    gradients: int
    optimizer: int
    activations: int
    moments: tuple[Line, ...]
    kept_of: Line

    @property
    def total(self) -> int:
        """The most bytes that a step holds at once."""
        return self.total_at(self.batch_size)

    @property
    def kept(self) -> int:
        """On the CPU, what the C library keeps of blocks that were let go (glibc; an allowance, measured)."""
        return self._kept_at(self.batch_size)

    @property
    def working(self) -> int:
        """The most that is held beside weights and all else at once: the batch itself, results on their way."""
        others = self.weights + self.gradients + self.optimizer + self.activations
        return max(0, self.total - self.kept - others)

    def total_at(self, batch_size: int) -> int:
        """Return the most bytes that a step of another batch size holds at once."""
        return max(_at(moment, batch_size) for moment in self.moments) + self._kept_at(batch_size)

    def largest_batch(self, free_bytes: int) -> int:
        """Return the most images of a step that fits into so many bytes; 0 where a single one does not."""
        fits, too_many = 0, LARGEST_BATCH
        while too_many - fits > 1:
            middle = (fits + too_many) // 2
            fits, too_many = (middle, too_many) if self.total_at(middle) <= free_bytes else (fits, middle)
        return fits

    def _kept_at(self, batch_size: int) -> int:
        return min(KEPT_ON_HOST, _at(self.kept_of, batch_size))


def footprint(
    network: nn.Module,
    frame: Frame,
    batch_size: int,
    *,
    optimizer: Literal["adamw", "sgd"] = "adamw",
    momentum: float = 0.9,
    averaged: bool = False,
    device: str = "cpu",
) -> Footprint:
    """Return what a training step of the network takes; nothing is computed.

    Args:
        network: without memory, as `networks.blank` gives it; its gradients are gone afterwards.
        frame: of the images.
        batch_size: images of a step.
        optimizer: as the training stage names it.
        momentum: of sgd, which remembers nothing without it.
        averaged: whether a moving average of the weights is kept as well.
        device: `cpu` or `cuda`: what is kept of freed blocks differs.
    """
    moments, kept_back = _lines([_step(network, frame, few, optimizer, momentum) for few in FEW])
    weights = _bytes(network.parameters()) + _bytes(network.buffers())
    gradients = _bytes(weight for weight in network.parameters() if weight.requires_grad)
    average = weights if averaged else 0
    return Footprint(
        batch_size=batch_size,
        weights=weights + average,
        gradients=gradients,
        optimizer=gradients * (2 if optimizer == "adamw" else int(momentum > 0)),
        activations=_at(kept_back, batch_size),
        moments=_highest([(fixed + average, each) for fixed, each in moments]),
        kept_of=kept_back if device == "cpu" else (0, 0),
    )


def forward_flops(network: nn.Module, frame: Frame) -> int:
    """Return the floating point operations of one image's way through the network: two for each multiply-add.

    Convolutions and matrix products alone, as is the custom; all else is a small share.
    """
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network.train()(torch.empty(FEW[0], 1, frame.height, frame.width, device="meta"))
    return int(counter.get_total_flops()) // FEW[0]


@dataclass(frozen=True, slots=True)
class _Step:
    """What a step holds.

    Attributes:
        held: bytes after each tensor that it made, in their order.
        kept_back: bytes that are kept for the backward pass.
    """

    held: Sequence[int]
    kept_back: int


class _Ledger(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Keeps count of the bytes that living tensors hold."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = 0
        self.held: list[int] = []
        self._living: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Do what is asked, and count what it made."""
        made = func(*args, **(kwargs or {}))
        self.count(part for part in tree_iter(made) if isinstance(part, torch.Tensor))
        return made

    def count(self, tensors: Iterable[torch.Tensor]) -> None:
        """Count tensors until they are let go; views of what is counted already add nothing."""
        for tensor in tensors:
            storage = tensor.untyped_storage()
            place, size = _place(tensor), storage.nbytes()
            if place not in self._living:

                def gone(_: object, place: int = place, size: int = size) -> None:
                    self.now -= size
                    del self._living[place]

                self._living[place] = weakref.ref(storage, gone)
                self.now += size
            self.held.append(self.now)


def _step(network: nn.Module, frame: Frame, images: int, optimizer: str, momentum: float) -> _Step:
    """Take a step without memory, as any but the first: gradients and the optimiser's memory are there already."""
    ledger, parameters = _Ledger(), [weight for weight in network.train().parameters() if weight.requires_grad]
    rule = torch.optim.SGD(parameters, lr=1.0, momentum=momentum, weight_decay=1.0, nesterov=momentum > 0)
    for weight in parameters:
        weight.grad = torch.empty_like(weight)
        rule.state[weight] = {"momentum_buffer": torch.empty_like(weight) if momentum else None}
    remembered: list[Any] = [torch.empty_like(weight) for weight in (*parameters, *parameters)]  # adamw's
    if optimizer == "sgd":
        remembered = [held for of_weight in rule.state.values() for held in of_weight.values() if held is not None]
    ledger.count([*network.parameters(), *network.buffers(), *remembered])
    ledger.count(weight.grad for weight in parameters if weight.grad is not None)
    with ledger:
        grey = torch.empty(images, 1, frame.height, frame.width, dtype=torch.uint8, device="meta")
        with _counted() as kept_back:
            logits = network(grey.to(torch.float32).sub_(1.0).div_(1.0))
            loss = cross_entropy(logits.float(), torch.empty(images, dtype=torch.int64, device="meta"))
        network.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if optimizer == "sgd":  # adamw is one fused step in place, and changes no memory
            rule.step()
    network.zero_grad()
    own = {_place(held) for held in (*network.parameters(), *network.buffers())}
    return _Step(tuple(ledger.held), sum(size for place, size in kept_back.items() if place not in own))


@contextmanager
def _counted() -> Iterator[dict[int, int]]:
    """Yield the bytes of what the forward pass keeps for the backward pass, by where they lie; views are one."""
    found: dict[int, int] = {}
    alive = []  # a place must not be given to another tensor while it is counted

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        found[_place(tensor)] = storage.nbytes()
        alive.append(storage)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        yield found
    alive.clear()


def _lines(steps: Sequence[_Step]) -> tuple[list[Line], Line]:
    """Return each moment's bytes as a line over the batch size, and those kept for the backward pass."""
    few, more = steps
    held = [_line(*pair) for pair in zip(few.held, more.held, strict=True)]
    return held, _line(few.kept_back, more.kept_back)


def _line(few: int, more: int) -> Line:
    """Return the line through the bytes of the two steps."""
    each = (more - few) // (FEW[1] - FEW[0])
    return few - each * FEW[0], each


def _highest(lines: Iterable[Line]) -> tuple[Line, ...]:
    """Return the lines that no other is above from the first image on."""
    fixed: dict[int, int] = {}
    for at_none, each in lines:
        fixed[each] = max(at_none, fixed.get(each, at_none))
    found: list[Line] = []
    for each in sorted(fixed, reverse=True):  # the steepest first: a flatter one counts if it begins higher
        if not found or fixed[each] > found[-1][0]:
            found.append((fixed[each], each))
    return tuple(found)


def _at(line: Line, batch_size: int) -> int:
    return line[0] + line[1] * batch_size


def _place(tensor: torch.Tensor) -> int:
    """Return what tells a tensor's storage from all others that live: without memory, it has no address."""
    return int(tensor.untyped_storage()._cdata)  # noqa: SLF001 - nothing public tells them apart


def _bytes(tensors: Iterable[torch.Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)
