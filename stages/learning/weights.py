"""First weights from a file on this machine: torchvision's, or those of a network that we trained. Never fetched."""

from __future__ import annotations

import pickle
import re
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from manifests.places import AnyPath, at_hand
from manifests.store import file_sha256
from stages.contract import StageError
from stages.films.frame import Frame
from stages.learning.borrowed import first_convolution, last_layer
from stages.learning.networks import Initialisation, initialised

State = Mapping[str, torch.Tensor]

AUXILIARY = re.compile(r"(AuxLogits|aux1|aux2)\.")  # heads of inception_v3 and googlenet, which ours go without
OLD_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|conv))\.([12]\.\w+)$")  # torchvision's densenet.py, likewise
SHOWN = 3  # names that an error tells


@dataclass(frozen=True, slots=True)
class Started:
    """A network with its first weights.

    Attributes:
        network: with its weights.
        sha256: of the file that they are from; empty where they were drawn.
        remarks: what of the file was not taken as it is; a sentence each.
    """

    network: nn.Module
    sha256: str = ""
    remarks: tuple[str, ...] = ()


def from_file(name: str, frame: Frame, classes: int, *, how: Initialisation, seed: int, file: AnyPath) -> Started:
    """Return the network with the weights of a file: a state dict of torchvision (.pth), or .safetensors.

    Where the file's first convolution has three channels, its sum over them is taken: a grey film then gets the
    answer that the original network gives to the film in three equal channels. A last layer for other classes is
    drawn anew, as `initialised` does.

    Raises:
        StageError: where there is no such file, it is no state dict, or it holds another network.
    """
    network = initialised(name, frame, classes, how=how, seed=seed)
    found = _read(file)
    taken, remarks = _adapted(found, network, file)
    put(network, {**_left(network, taken, name, file), **taken})
    return Started(network, file_sha256(file), remarks)


def put(network: nn.Module, weights: State, *, assign: bool = False) -> None:
    """Give the network all its weights; with `assign`, these very tensors.

    Raises:
        RuntimeError: where a name or a shape is not the network's.
    """
    state = OrderedDict(weights)
    # the version of each layer's layout, without which mnasnet refuses its own weights
    state._metadata = network.state_dict()._metadata  # type: ignore[attr-defined]  # noqa: SLF001 - no other name
    network.load_state_dict(state, strict=True, assign=assign)


def _read(file: AnyPath) -> dict[str, torch.Tensor]:
    """Return what a file holds, by name.

    Raises:
        StageError: where there is no such file or it is no state dict.
    """
    if not file.is_file():
        raise StageError(f"{file}: no such file; expected weights that were downloaded before (.pth or .safetensors)")
    try:
        if file.suffix == ".safetensors":
            return dict(load_file(at_hand(file)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of odd pickles; what matters raises
            found = torch.load(at_hand(file), map_location="cpu", weights_only=True)
    except (
        SafetensorError,
        OSError,
        RuntimeError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        EOFError,
    ) as error:
        raise _no_state_dict(file, str(error)) from error
    except pickle.UnpicklingError as error:
        raise _no_state_dict(file, "it holds more than tensors, which would run code") from error
    if not isinstance(found, Mapping) or not all(
        isinstance(name, str) and isinstance(held, torch.Tensor) for name, held in found.items()
    ):
        raise _no_state_dict(file, f"it holds a {type(found).__name__}{_some_keys(found)}")
    return dict(found)


def _no_state_dict(file: AnyPath, found: str) -> StageError:
    what = " ".join(found.split())[:200]
    return StageError(
        f"{file}: is no state dict ({what}); expected names with tensors, as torchvision's .pth files hold"
    )


def _some_keys(found: object) -> str:
    return f" of {', '.join(map(str, list(found)[:SHOWN]))}" if isinstance(found, Mapping) else ""


def _adapted(found: State, network: nn.Module, file: AnyPath) -> tuple[dict[str, torch.Tensor], tuple[str, ...]]:
    """Return the file's weights as this network names and shapes them, and a sentence for each thing done to them."""
    own, remarks = network.state_dict(), []
    taken = {OLD_DENSENET.sub(r"\1\2", name): held for name, held in found.items() if not AUXILIARY.match(name)}
    if len(taken) < len(found):
        remarks.append(f"{file.name}: its auxiliary heads are left out")
    first = f"{first_convolution(network)[0]}.weight"
    if first in taken and taken[first].ndim == 4 and taken[first].shape[1] == 3 and own[first].shape[1] == 1:
        taken[first] = taken[first].float().sum(dim=1, keepdim=True)
        remarks.append(f"{file.name}: the three channels of {first} are summed, for grey films")
    last = last_layer(network)
    weight = taken.get(f"{last}.weight")
    if weight is not None and weight.ndim and len(weight) != len(own[f"{last}.weight"]):
        taken = {name: held for name, held in taken.items() if name not in (f"{last}.weight", f"{last}.bias")}
        remarks.append(
            f"{file.name}: answers {len(weight)} classes, not {len(own[f'{last}.weight'])}; {last} is drawn anew"
        )
    return taken, tuple(remarks)


def _left(network: nn.Module, taken: State, name: str, file: AnyPath) -> dict[str, torch.Tensor]:
    """Return the network's own weights that the file may lack: the last layer's, and counters of old versions.

    Raises:
        StageError: where the file lacks others, has more than the network, or has them in other shapes.
    """
    own, last = network.state_dict(), last_layer(network)
    may_lack = {key for key in own if key.startswith(f"{last}.") or key.endswith(".num_batches_tracked")}
    lacking = sorted(own.keys() - taken.keys() - may_lack)
    strange = sorted(taken.keys() - own.keys())
    other = [
        f"{key} is {tuple(held.shape)}, not {tuple(own[key].shape)}"
        for key, held in taken.items()
        if key in own and held.shape != own[key].shape
    ]
    for problem, names in (("lacks", lacking), ("has besides", strange), ("has other shapes:", other)):
        if names:
            more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
            told = f"{problem} {', '.join(names[:SHOWN])}{more}"
            raise StageError(f"{file}: holds no weights of {name}: it {told}; expected the state dict of that network")
    return {key: held for key, held in own.items() if key not in taken}
