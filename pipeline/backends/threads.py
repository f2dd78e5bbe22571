"""One thread for each worker: they fill the cores already."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


def on_one_thread(work: Callable[[Job], Result], job: Job) -> Result:
    """Return what comes of a job, done on one thread."""
    opencv: Any = sys.modules.get("cv2")  # nothing happens where it is not loaded
    if opencv is not None and opencv.getNumThreads() > 1:
        opencv.setNumThreads(1)
    return work(job)
