"""The memory that `networks` tells before a run, against what training steps on the CPU took.

python benchmarks/footprint.py                 ten networks, some minutes
python benchmarks/footprint.py alexnet:16      one, a quick look

Each network in a fresh process: libraries loaded and warm, then three steps over random images; the most resident
memory since, less what was resident before. Once as it is, once with MALLOC_MMAP_THRESHOLD_=65536, under which glibc
gives every larger block back when it is let go: what is measured then is what tensors took.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]  # started as a script, Python sees this folder alone

from benchmarks.processes import finish, resident_bytes

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
    before = resident_bytes("VmRSS")
    network = initialised(name, frame, 3, how="he", seed=0).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)
    grey = torch.randint(0, 256, (size, frame.height, frame.width), dtype=torch.uint8)
    for _ in range(3):
        logits = network(grey.unsqueeze(1).to(torch.float32).sub_(128.0).div_(50.0))
        loss = cross_entropy(logits, torch.zeros(size, dtype=torch.int64))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    print((resident_bytes() - before) / MIB, told.total / MIB, (told.total - told.kept) / MIB)


def fresh(case: str, **environment: str) -> tuple[float, float, float]:
    """Return what `measure` prints in a process of its own."""
    printed = finish([sys.executable, __file__, "--measure", case], environment=environment).output
    measured, total, bare = map(float, printed.splitlines()[-1].split())
    return measured, total, bare


def main() -> None:
    """Measure each case, without and with the allowance, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", default=CASES, metavar="NETWORK:BATCH", help=f"[{' '.join(CASES)}]")
    parser.add_argument("--measure", help=argparse.SUPPRESS)  # how a case gets a process of its own
    options = parser.parse_args()
    if options.measure:
        measure(options.measure)
        return
    print("| network | batch | told MB | took MB | error | of it tensors, told MB | took MB | error |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for case in options.cases:
        took, told, _ = fresh(case)
        took_bare, _, bare = fresh(case, MALLOC_MMAP_THRESHOLD_="65536")
        name, _, batch = case.rpartition(":")
        first = f"{told:,.0f} | {took:,.0f} | {100 * (told / took - 1):+.0f} %"
        second = f"{bare:,.0f} | {took_bare:,.0f} | {100 * (bare / took_bare - 1):+.0f} %"
        print(f"| {name} | {batch} | {first} | {second} |", flush=True)


if __name__ == "__main__":
    main()
