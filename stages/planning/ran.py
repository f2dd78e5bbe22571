"""What the stages took and left on the sample, and the rates of one film and one image that follow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pyarrow.parquet as pq

from stages import paths
from stages.planning.clock import Clocked
from stages.planning.rates import Rates, StageRates
from stages.planning.sample import Sample
from stages.planning.tables import Tables

ROW_BYTES = {
    "audit_row_bytes": paths.AUDIT,
    "split_row_bytes": paths.SPLIT,
    "normalized_row_bytes": paths.NORMALIZED_MANIFEST,
    "augmented_row_bytes": paths.AUGMENTED_MANIFEST,
}


@dataclass(frozen=True, slots=True)
class Ran:
    """What a stage took.

    Attributes:
        clocked: its jobs.
        serial_s: of this process, while no job was under way.
    """

    clocked: Clocked
    serial_s: float


def after_looking_s(ran: Ran) -> float:
    """Return what the audit does once all films are looked at: figures of the sample, pictures, the page."""
    return ran.serial_s + sum(call.work_s for call in ran.clocked.calls[1:])


def rates_of(ran: Mapping[str, Ran], plain: Clocked, root: Path, sample: Sample, large: Tables) -> Rates:
    """Return the rates of a round, but for what follows from commands and from `build`: those are 0.

    Args:
        ran: what each stage took, by name.
        plain: what the audit's jobs took, were no film searched for shortcuts.
        root: where the stages left what they made.
        sample: the films.
        large: what only shows in large sets.
    """
    films, images = (pq.read_metadata(root / path).num_rows for path in (paths.SPLIT, paths.AUGMENTED_MANIFEST))
    files = len(sample.files)
    looked = ran["audit"].clocked.calls[0]
    audit_rates = StageRates(
        start_s=0.0,
        work_s=plain.work_s / files,
        parent_s=max(0.0, looked.parent_s) / files,
        serial_s=large.audit_s + large.search_s,
        square_s=large.compare_s,
    )
    row_bytes: dict[str, Any] = {name: _row_bytes(root / path) for name, path in ROW_BYTES.items()}
    return Rates(
        audit=audit_rates,
        split=StageRates(start_s=0.0, serial_s=large.split_s),
        normalize=_stage_rates(ran["normalize"], films),
        augment=_stage_rates(ran["augment"], images),
        verify=replace(_stage_rates(ran["verify"], images), serial_s=max(0.0, ran["verify"].serial_s) / images),
        look_after_s=0.0,
        look_s=max(0.0, looked.work_s - plain.work_s) / files,
        build_start_s=0.0,
        build_start_cpu_s=0.0,
        build_saved_s=0.0,
        raw_bytes=fmean((sample.raw / path).stat().st_size for path in sample.files),
        normalized_bytes=_bytes_under(root / paths.NORMALIZED) / films,
        image_bytes=_bytes_under(root / paths.AUGMENTED) / images,
        **row_bytes,
        worker_mb=max(one.clocked.worker_mb for one in ran.values()),
    )


def _stage_rates(ran: Ran, units: int) -> StageRates:
    """Return the rates of a stage of one fan-out."""
    call = ran.clocked.calls[0]
    return StageRates(start_s=0.0, work_s=call.work_s / units, parent_s=max(0.0, call.parent_s) / units)


def _bytes_under(folder: Path) -> int:
    """Return how many bytes the images of a folder take, its manifest left out."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.parent != folder)


def _row_bytes(manifest: Path) -> float:
    """Return what a row of a manifest takes, its footer left out."""
    told = pq.read_metadata(manifest)
    groups = [told.row_group(at) for at in range(told.num_row_groups)]
    columns = (group.column(at) for group in groups for at in range(group.num_columns))
    size = sum(int(column.total_compressed_size) for column in columns)
    return float(size / max(1, told.num_rows))
