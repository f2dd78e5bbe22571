"""The names of networks, checked without loading torch: a parameter is refused before anything is read."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Annotated, TypeAlias

from pydantic import AfterValidator

OWN = ("alexnet", "cifar", "residual")
PREFIX = "torchvision:"
_BORROWED = re.compile(PREFIX + r"[a-z][a-z0-9_]{1,40}")


def known(name: str) -> bool:
    """Tell whether a name is in our table or may be one of torchvision's, which building the network decides."""
    return name in OWN or _BORROWED.fullmatch(name) is not None


def _require_known(name: str) -> str:
    """Return the name.

    Raises:
        ValueError: where it can be no network's; pydantic tells the parameter.
    """
    if not known(name):
        raise ValueError(unknown(name, OWN))
    return name


def unknown(name: str, names: tuple[str, ...]) -> str:
    """Return the words for a name that is none of `names`, with the nearest of them."""
    near = get_close_matches(name[:100], names, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(OWN)} and {PREFIX}resnet18"
    return f"network '{name[:100]}' is not known; {hint}{'' if near else ' or another classification model there'}"


NetworkName: TypeAlias = Annotated[str, AfterValidator(_require_known)]
