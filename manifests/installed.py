"""Which packages are installed here."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def told_version(name: str) -> str:
    """Return a package's version, or that it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
