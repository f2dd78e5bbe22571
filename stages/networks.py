"""networks: what each network takes to train, and whether it fits, told before a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from stages.contract import Machine, Params, Report, Root, Stage, StageError
from stages.films.frame import Frame
from stages.learning.names import OWN, PREFIX, NetworkName
from stages.reporting import text

if TYPE_CHECKING:
    from stages.learning.footprint import Footprint
    from stages.learning.room import Room

SOME = tuple(
    PREFIX + name
    for name in (
        "resnet18",
        "resnet50",
        "densenet121",
        "mobilenet_v3_small",
        "efficientnet_b0",
        "convnext_tiny",
        "swin_t",
        "vit_b_16",
    )
)
MIB = 2**20
HEADINGS = (
    "network",
    "parameters",
    "GFLOP/image",
    "weights MB",
    "gradients MB",
    "optimiser MB",
    "activations MB",
    "working MB",
    "total MB",
    "fits",
    "largest batch",
)


class NetworksParams(Params):
    """Which networks are told of, and the step that is asked about."""

    networks: tuple[NetworkName, ...] = Field(
        (),
        description="Networks of the table, or torchvision:NAME for one of torchvision's classification networks; none "
        "for ours and a choice of torchvision's.",
    )
    all_: bool = Field(default=False, description="All of torchvision's as well; takes minutes.")
    batch_size: int = Field(35, ge=1, description="Images of a step.")
    height: int = Field(256, ge=8, le=4096, description="Height of the images in pixels.")
    width: int = Field(300, ge=8, le=4096, description="Width of the images in pixels.")
    classes: int = Field(3, ge=1, description="Classes that the network tells apart.")
    optimizer: Literal["adamw", "sgd"] = Field(
        "adamw", description="adamw remembers two numbers of each weight, sgd one (its momentum)."
    )

    @property
    def frame(self) -> Frame:
        """The frame of the images."""
        return Frame(height=self.height, width=self.width)


def run(params: NetworksParams, _root: Root, machine: Machine) -> Report:
    """Tell of each network its size, its work and the memory of a training step, and what would fit."""
    from stages.learning import devices, room  # noqa: PLC0415 - torch is slow to import

    device = devices.device_for(machine.device)
    free = room.free_on(device)
    names = asked(params)
    rows, refused = [list(HEADINGS)], []
    with machine.track(len(names), unit="networks") as advance:
        for name in names:
            try:
                rows.append(_row(name, params, free, device.type))
            except StageError as error:
                if len(names) == 1:
                    raise
                refused.append(str(error))
            advance(1, name)
    frame = f"{params.height}x{params.width}"
    return Report(
        done=len(names),
        unit="networks",
        lines=[
            f"a training step of {params.batch_size:,} images of {frame}, {params.optimizer}, float32; "
            f"{free.free / MIB:,.0f} MB free: {free.what}",
            *text.aligned(rows),
            *refused,
            "GFLOP: forward, two for each multiply-add; backward takes about twice as much. working: the most held "
            "besides for a moment, and on the CPU an allowance for what the C library keeps",
        ],
        verdict="nothing was trained",
    )


def asked(params: NetworksParams) -> Sequence[str]:
    """Return the networks to tell of: those that are named, each once, or ours and some of torchvision's, or all."""
    from stages.learning import borrowed  # noqa: PLC0415 - torch

    if params.networks:
        return list(dict.fromkeys(params.networks))
    return [*OWN, *(borrowed.names() if params.all_ else SOME)]


def _row(name: str, params: NetworksParams, free: Room, device: str) -> list[str]:
    """Return a network's line of the table.

    Raises:
        StageError: where there is no such network, or it cannot take the frame.
    """
    from stages.learning import footprint, networks  # noqa: PLC0415 - torch

    network = networks.blank(name, params.frame, params.classes)
    needs = footprint.footprint(network, params.frame, params.batch_size, optimizer=params.optimizer, device=device)
    flops = footprint.forward_flops(network, params.frame)
    return [name, text.count(networks.count_parameters(network)), f"{flops / 1e9:.2f}", *_memory(needs, free)]


def _memory(needs: Footprint, free: Room) -> list[str]:
    parts = (needs.weights, needs.gradients, needs.optimizer, needs.activations, needs.working + needs.kept)
    fits = "yes" if needs.total <= free.free else "no"
    return [*(f"{part / MIB:,.0f}" for part in (*parts, needs.total)), fits, text.count(needs.largest_batch(free.free))]


STAGE = Stage("networks", NetworksParams, reads=(), writes=(), run=run, arguments="networks")
