"""A trained network on disk: safetensors, so that loading weights runs no code."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from manifests.footers import LARGEST_SIDE
from manifests.places import AnyPath, at_hand
from manifests.store import TOOL_VERSION, written_aside
from stages.contract import StageError
from stages.films.frame import Frame
from stages.learning.networks import blank
from stages.learning.weights import put


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A network and what one must know to use it.

    Attributes:
        network_name: its name in the table of networks.
        classes: the classes in the order of its outputs.
        frame: of the images it takes.
        mean: of the training films' grey levels, white being 1.
        std: their standard deviation.
        network: the network, with its weights.
        facts: what else is known of it, such as its best epoch; text.
    """

    network_name: str
    classes: tuple[str, ...]
    frame: Frame
    mean: float
    std: float
    network: nn.Module
    facts: Mapping[str, str] = field(default_factory=dict)


def save(path: AnyPath, checkpoint: Checkpoint) -> None:
    """Put the checkpoint at `path`, whole or not at all; equal checkpoints give equal bytes."""
    metadata = {
        "tool_version": TOOL_VERSION,
        **checkpoint.facts,
        "network": checkpoint.network_name,
        "classes": json.dumps(list(checkpoint.classes), ensure_ascii=False),
        "height": str(checkpoint.frame.height),
        "width": str(checkpoint.frame.width),
        "mean": repr(checkpoint.mean),
        "std": repr(checkpoint.std),
    }
    weights = {name: values.cpu().contiguous() for name, values in checkpoint.network.state_dict().items()}
    with written_aside(path) as aside:
        save_file(weights, aside, metadata)
        _sort_header(aside)


def _sort_header(path: Path) -> None:
    """Sort the header's keys in place: safetensors writes metadata in the random order of a hash map."""
    with path.open("r+b") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        text = json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        assert len(text) <= length, "the same header in compact form is no longer than it was"
        file.seek(8)
        file.write(text.ljust(length))


def load(path: AnyPath, device: torch.device) -> Checkpoint:
    """Return the checkpoint at `path`, its network on the device and in eval mode.

    Raises:
        StageError: where the file is missing, is not safetensors, or does not hold a network of the table.
    """
    if not path.exists():
        raise StageError(f"{path}: not found; run train first")
    if not path.is_file():  # reading a pipe would wait for ever
        raise StageError(f"{path}: is no plain file; run train again")
    try:
        with safe_open(at_hand(path), framework="pt") as file:
            metadata = dict(file.metadata() or {})
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not iterable itself
    except (SafetensorError, OSError) as error:
        raise StageError(f"{path}: not a safetensors file ({error}); run train again") from error
    try:
        return _assembled(metadata, weights, device)
    except KeyError as error:
        raise StageError(f"{path}: its metadata has no {error}; expected a network that train wrote") from error
    except (ValueError, TypeError, RuntimeError, OverflowError, RecursionError, StageError) as error:
        raise StageError(f"{path}: does not fit this version's networks ({error}); run train again") from error


def _assembled(metadata: Mapping[str, str], weights: Mapping[str, torch.Tensor], device: torch.device) -> Checkpoint:
    """Return the checkpoint that a file's metadata and weights describe.

    Raises:
        KeyError: where the metadata lacks something.
        ValueError: where it makes no sense; so do the other errors that `load` catches.
    """
    own = ("network", "classes", "height", "width", "mean", "std")
    name, classes, height, width, mean, std = (metadata[key] for key in own)
    names = json.loads(classes)
    are_classes = isinstance(names, list) and all(isinstance(known, str) for known in names)
    if not (are_classes and math.isfinite(float(mean)) and 0 < float(std) < math.inf):
        raise ValueError(f"classes {classes[:80]}, mean {mean[:20]} and standard deviation {std[:20]} make no sense")
    frame = Frame(height=int(height), width=int(width))
    if not (0 < frame.height <= LARGEST_SIDE and 0 < frame.width <= LARGEST_SIDE):
        raise ValueError(f"frame {height[:20]} x {width[:20]}; expected sides of 1 to {LARGEST_SIDE}")
    network = blank(name, frame, len(names))
    put(network, weights, assign=True)
    return Checkpoint(
        network_name=name,
        classes=tuple(names),
        frame=frame,
        mean=float(mean),
        std=float(std),
        network=network.to(device).eval(),
        # in an order of its own: safetensors gives metadata in the random one of a hash map, and pages show the facts
        facts={key: metadata[key] for key in sorted(metadata) if key not in own},
    )
