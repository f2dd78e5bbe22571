"""A folder as a flag names it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


class LocalFolder(click.Path):
    """A folder on this machine; an address of an object store is refused, not taken for a name."""

    name = "directory"

    def __init__(self) -> None:
        super().__init__(path_type=Path, file_okay=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the folder's path."""
        if "://" in str(value):
            self.fail(f"'{value}' is an address; expected a folder on this machine", param, ctx)
        return super().convert(value, param, ctx)
