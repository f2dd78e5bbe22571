"""What runs leave unfinished, and which stages can leave anything."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manifests import store
from pipeline.backends.terms import remove_probes

if TYPE_CHECKING:
    from manifests.places import AnyPath
    from stages.contract import Stage


def keeps_shards(params: Any) -> bool:
    """Tell whether a stage, or one of those that a tool runs, writes shards."""
    parts = (params, *(getattr(params, name) for name in type(params).model_fields))
    return any(getattr(part, "layout", "") == "shards" for part in parts)


def writes(stage: Stage[Any], params: Any, options: Mapping[str, Any]) -> bool:
    """Tell whether a stage can write under the root: one that must read there finds nothing where there is no root."""
    reads_there = stage.reads and options.get("raw") is None
    asked = not stage.writes_if or getattr(params, stage.writes_if)
    return bool(stage.writes) and asked and (options["root"].is_dir() or not reads_there)


def remove_partials(stage: Stage[Any], root: AnyPath) -> None:
    """Remove what killed runs left unfinished where a stage writes; for whoever holds the root's lock."""
    if not isinstance(root, Path):
        store.remove_partials(root)  # a store is asked once, for the whole root: nobody else writes there
        return
    for path in stage.writes:
        store.remove_partials(root / path)
    remove_probes(root)


def remove_own_partials(stage: Stage[Any], root: AnyPath) -> None:
    """Remove what this run left unfinished in a folder; a store's uploads may be another's, if the lock was lost."""
    if isinstance(root, Path):
        remove_partials(stage, root)
