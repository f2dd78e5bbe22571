"""A folder as a flag names it: of this machine, or in an object store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from manifests.addresses import missing_package, refusal
from manifests.objects import ObjectPath

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")  # what `fetch` takes


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


class Folder(click.Path):
    """A folder on this machine, or an address in an object store."""

    name = "folder or address"

    def __init__(self) -> None:
        super().__init__(path_type=Path, file_okay=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the folder's path, or the address as a path."""
        if isinstance(value, ObjectPath):  # a default of ours
            return value
        if "://" not in str(value):
            if problem := _no_folder(str(value)):
                self.fail(problem, param, ctx)
            return super().convert(value, param, ctx)
        if problem := refusal(str(value)) or missing_package(str(value)):
            self.fail(problem, param, ctx)
        return ObjectPath.of(str(value))


def _no_folder(name: str) -> str:
    """Return why a name cannot be a folder's, and what to give instead; empty where it can."""
    if not name:
        return "is empty (a shell variable that is not set?); expected a folder"
    if name.lower().endswith(ARCHIVES) and Path(name).is_file():
        unpack = f"`cxr-pipeline fetch --url '{name}' --out FOLDER` unpacks it"
        return f"'{name}' is an archive; expected a folder: unpack it first ({unpack})"
    if Path(name).is_file():
        return f"'{name}' is a file; expected the folder that holds it"
    return ""
