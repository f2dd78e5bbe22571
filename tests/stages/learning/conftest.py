"""The sets of the export's tests: what goes out there, the Datasets read here."""

from __future__ import annotations

from tests.stages.exporting.conftest import roots

__all__ = ["roots"]
