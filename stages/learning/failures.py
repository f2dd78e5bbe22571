"""What torch raises, in words that say what to do: no memory, no compiler, a batch that cannot be normed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from stages.contract import StageError

ONE_VALUE = "more than 1 value per channel"  # batch norm over one image whose last map is one pixel
NO_MEMORY_ON_HOST = "can't allocate memory"  # of torch's allocator; it has no class of its own


@contextmanager
def explained(would_fit: Callable[[], str]) -> Iterator[None]:
    """Raise what a user can act on, where memory runs out, compiling fails, or one image is all there is to norm.

    Args:
        would_fit: says what would fit into the memory at hand; asked only where memory ran out.

    Raises:
        StageError: in place of torch's own errors.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise StageError(f"out of memory on the device ({_first_line(error)}); {would_fit()}") from error
    except MemoryError as error:
        raise StageError(f"out of memory; {would_fit()}") from error
    except ValueError as error:
        if ONE_VALUE in str(error):
            raise StageError(
                "a batch, or a part of one, holds one image alone, and the network norms it to nothing; choose another "
                "batch_size or accumulation, or a larger frame"
            ) from error
        raise
    except RuntimeError as error:
        if NO_MEMORY_ON_HOST in str(error):
            raise StageError(f"out of memory ({_first_line(error)}); {would_fit()}") from error
        if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise StageError(f"--compile: {_first_line(error)}; train with --no-compile") from error
        raise


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
