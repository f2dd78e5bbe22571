"""The device that computes: which one, how much memory it and the host have, and how much was used."""

from __future__ import annotations

import os
import platform
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from stages.contract import StageError

CGROUP = Path("/sys/fs/cgroup")
MEMORY_LIMITS = (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"))


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


def peak_memory_mb() -> float:
    """Return the most memory that this process held, MiB."""
    unit = 1024 if platform.system() == "Darwin" else 1  # macOS counts bytes, Linux KiB
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit / 1024, 1)


def free_bytes(device: torch.device) -> int:
    """Return how much memory of a device, or of the host where it is the CPU, can still be taken."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return free_host_bytes()


def free_host_bytes() -> int:
    """Return how much of the host's memory can still be taken: what the machine has left, or a container's limit."""
    return min([_available(), *_left_in_container()])


def _available() -> int:
    """Return what the kernel thinks it can give without swapping."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        found = dict(line.split(":", 1) for line in lines)
        return int(found["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):  # not Linux
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _left_in_container() -> Iterator[int]:
    for limit, usage in MEMORY_LIMITS:
        try:
            yield int((CGROUP / limit).read_text()) - int((CGROUP / usage).read_text())
        except (OSError, ValueError):  # no such limit: `max`, or no cgroup of this version
            continue


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
