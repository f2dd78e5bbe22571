"""torchvision's classification networks, made for grey films: one input channel, our classes, our frame."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from stages.contract import StageError
from stages.films.frame import Frame
from stages.learning.names import PREFIX, unknown

TRANSFORMERS = ("maxvit_", "swin_", "vit_")
WINDOW = 224  # pixels: five halvings down to the 7 of maxvit's windows


def names() -> list[str]:
    """Return the names of torchvision's classification networks, as we call them."""
    from torchvision import models  # noqa: PLC0415 - a second that our own networks need not pay

    return [PREFIX + name for name in models.list_models(module=models)]


def is_borrowed(name: str) -> bool:
    """Tell whether a name asks for one of torchvision's networks."""
    return name.startswith(PREFIX)


def is_transformer(name: str) -> bool:
    """Tell whether a network is built of attention, for which He's variance was not derived."""
    return name.removeprefix(PREFIX).startswith(TRANSFORMERS)


def drawn(name: str, frame: Frame, classes: int) -> nn.Module:
    """Return the network with torchvision's own first weights, drawn from torch's generator.

    Its first convolution is the sum of the three channels': the answer is that of the original network to the same
    grey film in three equal channels. Auxiliary heads are left out.

    Raises:
        StageError: where torchvision has no such network, or it cannot take the frame.
    """
    if name not in names():
        raise StageError(unknown(name, tuple(names())))
    _require_frame(name, frame)
    network = _in_three_channels(name, frame, classes)
    place, first = first_convolution(network)
    parent, _, child = place.rpartition(".")
    setattr(network.get_submodule(parent), child, _for_one_channel(first))
    return network


def blank(name: str, frame: Frame, classes: int) -> nn.Module:
    """Return the network without memory for its weights.

    Raises:
        StageError: as `drawn` does, or where the frame is too small for its layers.
    """
    with _WithoutMemory():
        network = drawn(name, frame, classes).to("meta")
    _require_room(name, network, frame)
    return network


def first_convolution(network: nn.Module) -> tuple[str, nn.Conv2d]:
    """Return where the convolution is that sees the film, and the convolution."""
    return next((place, layer) for place, layer in network.named_modules() if isinstance(layer, nn.Conv2d))


def last_layer(network: nn.Module) -> str:
    """Return where the layer is that gives a number per class: the last one with weights, in torchvision as in ours."""
    places: list[str] = [at for at, layer in network.named_modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    return places[-1]


class _WithoutMemory(TorchFunctionMode):
    """Let layers hold no memory, while the arithmetic that lays out a network runs as ever.

    torch's own device context takes the numbers as well, and regnet cannot read its widths from them.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Give what a layer asks for to hold its weights without memory."""
        there = {"device": "meta"} if func is torch.empty else {}
        return func(*args, **{**(kwargs or {}), **there})


def _in_three_channels(name: str, frame: Frame, classes: int) -> nn.Module:
    """Return the network as torchvision builds it, with its own first weights."""
    from torchvision import models  # noqa: PLC0415 - as above

    own = name.removeprefix(PREFIX)
    options: dict[str, Any] = {}
    if own in ("googlenet", "inception_v3"):
        options = {"aux_logits": False, "init_weights": True}
    elif own.startswith("vit_"):
        options = {"image_size": frame.height}
    elif own.startswith("maxvit_"):
        options = {"input_size": (frame.height, frame.width)}
    network: nn.Module = models.get_model(own, weights=None, num_classes=classes, **options)
    return network


def _for_one_channel(first: nn.Conv2d) -> nn.Conv2d:
    """Return a convolution that answers one channel as `first` answers three that are equal to it."""
    with torch.device("meta"):
        summed = nn.Conv2d(
            1,
            first.out_channels,
            (first.kernel_size[0], first.kernel_size[1]),
            stride=(first.stride[0], first.stride[1]),
            padding=first.padding if isinstance(first.padding, str) else (first.padding[0], first.padding[1]),
            bias=first.bias is not None,
        )
    summed.weight = nn.Parameter(first.weight.detach().sum(dim=1, keepdim=True))
    summed.bias = first.bias
    return summed


def _require_frame(name: str, frame: Frame) -> None:
    """Refuse frames that a network built of patches or windows cannot divide.

    Raises:
        StageError: saying which frames it takes.
    """
    own, found = name.removeprefix(PREFIX), f"found {frame.height}x{frame.width}"
    advice = f"set normalize's height and width, such as {WINDOW} and {WINDOW}"
    if own.startswith("vit_"):
        patch = int(own.rpartition("_")[2])
        if frame.height != frame.width or frame.height % patch:
            raise StageError(f"network {name}: takes square frames of a multiple of {patch} pixels; {found}; {advice}")
    if own.startswith("maxvit_") and (frame.height % WINDOW or frame.width % WINDOW):
        raise StageError(f"network {name}: takes frames whose sides are multiples of {WINDOW}; {found}; {advice}")


def _require_room(name: str, network: nn.Module, frame: Frame) -> None:
    """Refuse a frame of which nothing is left on the way through the layers.

    Raises:
        StageError: where one image does not pass.
    """
    training = network.training
    try:
        with torch.inference_mode():
            network.eval()(torch.empty(1, 1, frame.height, frame.width, device="meta"))
    except (RuntimeError, ValueError, AssertionError) as error:
        raise too_small(name, frame, error) from error
    finally:
        network.train(training)


def too_small(name: str, frame: Frame, error: Exception) -> StageError:
    """Return the error for a frame of which torch says that nothing is left on the way."""
    size = f"{frame.height}x{frame.width}"
    return StageError(
        f"network {name}: a frame of {size} is too small for its layers ({error}); set normalize's height and width to "
        "more, or take another network (`cxr-pipeline networks`)"
    )
