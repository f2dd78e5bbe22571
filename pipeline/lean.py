"""What no process of ours asks for is kept out of it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


class _NoPandas(MetaPathFinder):
    """Tells whoever imports pandas that it is not installed."""

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None, _target: ModuleType | None = None, /
    ) -> ModuleSpec | None:
        """Return nothing, and leave every other module to others.

        Raises:
            ModuleNotFoundError: for pandas.
        """
        if fullname == "pandas":
            raise ModuleNotFoundError("Arrow does without pandas here", name=fullname)
        return None


def keep_pandas_from_arrow() -> None:
    """Let Arrow do without pandas in this process, where it is installed; whoever else asks for it finds it.

    Arrow imports it with the first array that is made of a list, to ask whether the list is a series: 30 MB and a
    quarter second in each process, for nothing here. It looks once, takes no for an answer, and has no switch.
    """
    import pyarrow as pa  # noqa: PLC0415 - the help of the group does without

    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        pa.array([None])
    finally:
        sys.meta_path.remove(finder)
