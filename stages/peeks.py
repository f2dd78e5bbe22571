"""The log of looks at the test films: every command that scores them appends to it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime

from manifests import store
from manifests.objects import ObjectPath
from manifests.places import AnyPath
from stages import paths
from stages.contract import Params


def note_peeks(path: AnyPath, models: Sequence[str | None], params: Params) -> int:
    """Append to the log that each model was scored on the test films, and return how many times any was.

    Args:
        path: of the log, JSON lines.
        models: the sha256 of each; None for the probes of one run, which learned from the same films.
        params: of the run.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    of_run = params.model_dump(mode="json")
    peeks = [json.dumps({"time": now, "model_sha256": sha256, "params": of_run}) for sha256 in models]
    lines = "".join(f"{peek}\n" for peek in peeks)
    if isinstance(path, ObjectPath):  # a store appends nothing: the lock on the root lets nobody else write meanwhile
        whole = (path.read_bytes() if path.is_file() else b"") + lines.encode()
        store.write_bytes(path, whole)
        return sum(1 for line in whole.splitlines() if line.strip())
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as log:
        log.write(lines)
        log.seek(0)
        return sum(1 for line in log if line.strip())


def peeks_line(number: int) -> str:
    """Return what the terminal says of so many looks."""
    return f"looks at the test films so far: {number:,} ({paths.TEST_PEEKS})"
