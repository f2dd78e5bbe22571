"""The log of looks at the test films: every command that scores them appends a line."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from stages.contract import Params


def note_peek(path: Path, model_sha256: str | None, params: Params) -> int:
    """Append to the log that the test films were scored, and return how often they have been.

    Args:
        path: of the log, one JSON object a line.
        model_sha256: of the network's file; None where no network looked, but a probe of the data.
        params: of the command that looked.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    peek = {"time": now, "model_sha256": model_sha256, "params": params.model_dump(mode="json")}
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as log:
        log.write(json.dumps(peek) + "\n")
        log.seek(0)
        return sum(1 for line in log if line.strip())
