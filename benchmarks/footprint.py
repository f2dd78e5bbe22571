"""The memory that `networks` tells before a run, against what training steps on the CPU took.

python benchmarks/footprint.py [NETWORK:BATCH ...]

Each network in a fresh process: libraries loaded and warm, then three steps over random images; the most resident
memory since, less what was resident before. Once as it is, once with MALLOC_MMAP_THRESHOLD_=65536, under which glibc
gives every larger block back when it is let go: what is measured then is what tensors took.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

FRAME = (256, 300)  # height, width
CASES = (
    "alexnet:16",
    "alexnet:35",
    "residual:16",
    "residual:35",
    "torchvision:resnet18:16",
    "torchvision:resnet18:35",
    "torchvision:mobilenet_v3_small:35",
    "torchvision:densenet121:6",
    "torchvision:resnet50:8",
    "torchvision:swin_t:8",
)
MIB = 2**20


def resident_mb(name: str) -> float:
    """Return a line of this process's status, such as VmHWM."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def measure(case: str) -> None:
    """Print the most memory that three steps took, in MB, and the estimate, with and without its allowance."""
    import torch
    from torch.nn.functional import cross_entropy

    from stages.films.frame import Frame
    from stages.learning.footprint import footprint
    from stages.learning.networks import blank, initialised

    name, _, batch = case.rpartition(":")
    frame, size = Frame(height=FRAME[0], width=FRAME[1]), int(batch)
    told = footprint(blank(name, frame, 3), frame, size)
    small = initialised("residual", Frame(height=32, width=32), 3, how="he", seed=0)
    small(torch.zeros(4, 1, 32, 32)).sum().backward()
    torch.optim.AdamW(small.parameters(), fused=True).step()
    before = resident_mb("VmRSS")
    network = initialised(name, frame, 3, how="he", seed=0).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)
    grey = torch.randint(0, 256, (size, frame.height, frame.width), dtype=torch.uint8)
    for _ in range(3):
        logits = network(grey.unsqueeze(1).to(torch.float32).sub_(128.0).div_(50.0))
        loss = cross_entropy(logits, torch.zeros(size, dtype=torch.int64))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    print(resident_mb("VmHWM") - before, told.total / MIB, (told.total - told.kept) / MIB)


def fresh(case: str, **environment: str) -> tuple[float, float, float]:
    """Return what `measure` prints in a process of its own."""
    command = [sys.executable, __file__, "--measure", case]
    path = str(Path(__file__).resolve().parents[1])
    told = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": path, **environment},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    measured, total, bare = map(float, told.split())
    return measured, total, bare


def main(arguments: list[str]) -> None:
    """Print the table."""
    print("| network | batch | told MB | took MB | error | of it tensors, told MB | took MB | error |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for case in arguments or CASES:
        took, told, _ = fresh(case)
        took_bare, _, bare = fresh(case, MALLOC_MMAP_THRESHOLD_="65536")
        name, _, batch = case.rpartition(":")
        first = f"{told:,.0f} | {took:,.0f} | {100 * (told / took - 1):+.0f} %"
        second = f"{bare:,.0f} | {took_bare:,.0f} | {100 * (bare / took_bare - 1):+.0f} %"
        print(f"| {name} | {batch} | {first} | {second} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(sys.argv[2])
    else:
        main(sys.argv[1:])
