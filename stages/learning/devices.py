"""The device that computes: which one, how much memory it and the host have, and how much was used."""

from __future__ import annotations

import os
import platform
import resource
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from stages.contract import StageError
from stages.memory import peak_bytes


def device_for(asked: str, *, local_rank: int = 0) -> torch.device:
    """Return the device that `auto`, `cpu` or `cuda` asks for; each process of a machine takes its own.

    Raises:
        StageError: where CUDA is asked for and there is none, or fewer devices than processes.
    """
    available = torch.cuda.device_count() if asked != "cpu" and torch.cuda.is_available() else 0
    if asked == "cuda" and not available:
        raise StageError(f"device cuda: torch {torch.__version__} finds no CUDA device here; use --device cpu, or auto")
    if not available:
        return torch.device("cpu")
    if local_rank >= available:
        raise StageError(
            f"process {local_rank} of this machine: there are {available} CUDA devices; "
            f"start at most {available} processes a machine, or use --device cpu"
        )
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)


def used(device: torch.device) -> dict[str, str | float | None]:
    """Return what ran: torch's version, the device's name, and the most memory that was held, in MiB."""
    cuda = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if cuda else device.type,
        "torch": torch_version(),
        "peak_memory_mb": peak_memory_mb(),
        "peak_cuda_memory_mb": round(torch.cuda.max_memory_allocated(device) / 2**20, 1) if cuda else None,
    }


def torch_version() -> str:
    """Return torch's version."""
    return str(torch.__version__)


def build(device: torch.device) -> str:
    """Return what of torch's build and settings decides how fast a device is: its CUDA, or the CPU's threads."""
    return f"CUDA {torch.version.cuda}" if device.type == "cuda" else f"{torch.get_num_threads()} threads"


def peak_memory_mb() -> float:
    """Return the most memory that this process held, MiB."""
    peak = peak_bytes()
    if peak is None:
        unit = 1 if platform.system() == "Darwin" else 1024  # bytes in macOS's count, elsewhere KiB
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return round(peak / 2**20, 1)


def ready(network: nn.Module, device: torch.device, *, compiled: bool) -> nn.Module:
    """Return the network as steps call it: compiled on request, and on CUDA recorded as a graph that is replayed."""
    if not compiled:
        return network
    mode = "reduce-overhead" if device.type == "cuda" else "default"
    # static shapes: an epoch has two, that of its batches and that of its last one
    made: nn.Module = torch.compile(network, dynamic=False, mode=mode)  # type: ignore[assignment]
    return made


@contextmanager
def deterministic(wanted: bool) -> Iterator[None]:  # noqa: FBT001 - a parameter's value
    """Let torch use deterministic kernels alone: the same run gives the same bits on the same device."""
    if not wanted:
        yield
        return
    # cuBLAS is deterministic under this setting alone; it is read when CUDA starts
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(mode=True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]
