"""What no process of ours asks for is kept out of it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


class _NoPandas(MetaPathFinder):
    """Tells whoever looks for pandas that it is not installed."""

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None, _target: ModuleType | None = None, /
    ) -> ModuleSpec | None:
        """Return nothing, and leave every other module to others.

        Raises:
            ModuleNotFoundError: for pandas.
        """
        if fullname == "pandas":
            raise ModuleNotFoundError("cxr-pipeline does without pandas", name=fullname)
        return None


def without_pandas() -> None:
    """Let this process do without pandas where it is installed.

    Arrow imports it with the first array that is made of a list, to ask whether the list is a series: 30 MB and a
    quarter second in each process, for nothing here. It takes no for an answer where pandas is not installed, and has
    no switch.
    """
    if not any(isinstance(finder, _NoPandas) for finder in sys.meta_path):
        sys.meta_path.insert(0, _NoPandas())
