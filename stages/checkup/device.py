"""The device that training would take."""

from __future__ import annotations

from stages.checkup.finding import Finding
from stages.checkup.machine import GB
from stages.contract import StageError


def device(asked: str) -> Finding:
    """Return the device that `auto`, `cpu` or `cuda` gives, and its memory."""
    from stages.learning import devices, room  # noqa: PLC0415 - torch is slow to load

    try:
        found = devices.device_for(asked)
    except StageError as error:
        return Finding("device", str(error), "wrong", "see `nvidia-smi`: driver and CUDA must fit torch's build")
    if found.type == "cuda":
        free = room.free_on(found)
        return Finding("device", f"{free.what}, {free.free / GB:.1f} GB free, {devices.build(found)}")
    told = f"the CPU, {devices.build(found)}"
    if asked == "cpu":
        return Finding("device", told)
    return Finding(
        "device", f"{told}; torch {devices.torch_version()} finds no CUDA device", "slow", "train where there is one"
    )
