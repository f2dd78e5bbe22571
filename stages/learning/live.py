"""The logs that can be watched while a network learns: CSV files for `dvc plots`, event files for TensorBoard."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Protocol

from manifests.objects import ObjectPath
from manifests.places import AnyPath, scratch
from stages.contract import StageError
from stages.learning.progress import Epoch, Step

PUT_EVERY_S = 30.0  # a log that is an object: a store takes it whole each time


class Log(Protocol):
    """Is told of each line, once."""

    def __call__(self, line: Epoch | Step) -> None: ...  # noqa: D102 - the class says it


@contextmanager
def logs(epochs: AnyPath, steps: AnyPath, tensorboard: Path | None) -> Iterator[Log]:
    """Write a line to its log as soon as it is told: to a CSV file each for epochs and steps, and to TensorBoard's.

    Args:
        epochs: the CSV file of `Epoch` lines.
        steps: that of `Step` lines.
        tensorboard: a folder for event files; None for none.

    Raises:
        StageError: where event files are wanted and tensorboard is not installed.
    """
    with ExitStack() as stack:
        files = {Epoch: stack.enter_context(_table(epochs, Epoch)), Step: stack.enter_context(_table(steps, Step))}
        events = stack.enter_context(_events(tensorboard)) if tensorboard is not None else None

        def tell(line: Epoch | Step) -> None:
            files[type(line)](line)
            if events is not None:
                _draw(events, line)

        yield tell


@contextmanager
def _table(path: AnyPath, kind: type[Epoch | Step]) -> Iterator[Any]:
    """Yield what appends a line to a CSV file; a reader sees whole lines, at once, or an object's after a while."""
    if isinstance(path, ObjectPath):
        with scratch() as folder, _table(folder / path.name, kind) as tell, _put_now_and_then(path, folder) as put:
            yield lambda line: (tell(line), put())
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [column.name for column in fields(kind)], lineterminator="\n")
        writer.writeheader()
        file.flush()

        def tell(line: Epoch | Step) -> None:
            writer.writerow({name: _shown(value) for name, value in asdict(line).items()})
            file.flush()

        yield tell


@contextmanager
def _put_now_and_then(path: ObjectPath, folder: Path) -> Iterator[Callable[[], None]]:
    """Yield what puts a growing file into its store, if it is time, and put it there at the end."""
    put_at = time.monotonic() - PUT_EVERY_S

    def put() -> None:
        nonlocal put_at
        if time.monotonic() - put_at >= PUT_EVERY_S:
            path.upload(folder / path.name)
            put_at = time.monotonic()

    try:
        yield put
    finally:
        path.upload(folder / path.name)


def _shown(value: float) -> str | int:
    return f"{value:.6g}" if isinstance(value, float) else value


@contextmanager
def _events(folder: Path) -> Iterator[Any]:
    """Yield TensorBoard's writer."""
    try:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - an extra, and slow to import
    except ImportError as error:
        raise StageError(
            f"--tensorboard {folder}: the package tensorboard is not installed ({error}); "
            "install cxr-pipeline[tensorboard]"
        ) from error
    with SummaryWriter(str(folder)) as writer:
        yield writer


def _draw(events: Any, line: Epoch | Step) -> None:
    at = line.updates if isinstance(line, Epoch) else line.update
    for name, value in asdict(line).items():
        if name not in {"epoch", "updates", "update"}:
            group, _, what = name.partition("_") if isinstance(line, Epoch) else ("step", "", name)
            events.add_scalar(f"{group}/{what}", value, at)
    events.flush()
