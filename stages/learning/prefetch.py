"""Work ahead of whoever takes the results: in a thread for the host, on a stream of its own for a device."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable
from contextlib import closing, suppress
from typing import Any, TypeAlias, TypeVar

import torch

Item = TypeVar("Item")
Batch: TypeAlias = tuple[torch.Tensor, torch.Tensor]  # grey levels uint8 (images, height, width), classes int64

_END = object()


def prefetched(items: Iterable[Item], depth: int) -> Generator[Item, None, None]:
    """Yield the items, made by a thread that is at most `depth` items ahead.

    What the thread raises is raised here, at the item that failed; whoever stops early ends the thread.
    """
    made: queue.Queue[Any] = queue.Queue(depth)
    over = threading.Event()
    thread = threading.Thread(target=_make, args=(items, made, over), daemon=True, name="prefetch")
    thread.start()
    try:
        while (item := made.get()) is not _END:
            if isinstance(item, _Failed):
                raise item.error
            yield item
    finally:
        over.set()
        with suppress(queue.Empty):  # a thread that waits for room goes on, and sees that it is over
            while True:
                made.get_nowait()
        thread.join()


class _Failed:
    """What ended the thread."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


def _make(items: Iterable[Any], made: queue.Queue[Any], over: threading.Event) -> None:
    """Put the items into the queue until all are made, one fails, or nobody wants them."""
    source = iter(items)
    try:
        for item in source:
            _put(made, item, over)
            if over.is_set():
                break
    except BaseException as error:  # noqa: BLE001 - it is raised where the items are taken
        _put(made, _Failed(error), over)
    finally:
        close = getattr(source, "close", None)
        if callable(close):
            close()
        _put(made, _END, over)


def _put(made: queue.Queue[Any], item: object, over: threading.Event) -> None:
    while not over.is_set():
        with suppress(queue.Full):
            made.put(item, timeout=0.1)
            return


def copied_ahead(batches: Generator[Batch, None, None], device: torch.device) -> Generator[Batch, None, None]:
    """Yield the batches on the device; on CUDA each is copied from pinned memory while the one before is used."""
    if device.type != "cuda":
        yield from batches
        return
    copying = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    waiting: tuple[Batch, torch.cuda.Event] | None = None
    with closing(batches):
        for grey, labels in batches:
            with torch.cuda.stream(copying):
                batch = grey.to(device, non_blocking=True), labels.to(device, non_blocking=True)
                copied = copying.record_event()
            if waiting is not None:
                yield _arrived(*waiting)
            waiting = batch, copied
        if waiting is not None:
            yield _arrived(*waiting)


def _arrived(batch: Batch, copied: torch.cuda.Event) -> Batch:
    """Return a batch that the current stream may use; its memory is not given away while that stream does."""
    current = torch.cuda.current_stream()
    current.wait_event(copied)
    for tensor in batch:
        tensor.record_stream(current)
    return batch
