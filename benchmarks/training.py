"""Training against the bare model step, and its memory against the loop of 2020: what the data's way costs.

python benchmarks/training.py                 five rounds on the real films: some 12 minutes on two cores
python benchmarks/training.py --rounds 1      a quick look
python benchmarks/training.py --device cuda   on a GPU
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]  # started as a script, Python sees this folder alone

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from benchmarks.films import real_films
from benchmarks.prepared import prepared, silent
from benchmarks.printed import LEARNING, machine, markdown, versions
from benchmarks.processes import WORK, finish
from pipeline.workers import Workers
from stages import augment, paths, train
from stages.augment_params import AugmentParams
from stages.contract import Machine
from stages.learning import devices, loop, networks, residence
from stages.learning.online import OnlineSource
from stages.learning.plan import Recipe, Sets, Site
from stages.learning.source import Resident, Source
from stages.learning.update import optimizer_of
from stages.stored import StoredImages
from stages.train_sources import Sources, read_sources
from stages.training import recipe_of

BATCH = 35
SCORED = 70  # films of either set, so that a round's scoring takes no time worth the name
IN_2020 = 109_872  # images
LOOP_OF_2020 = """
import sys
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

from benchmarks.prepared import silent
from stages.learning import batches, networks
from stages.train_sources import read_sources

root, images = Path(sys.argv[1]), int(sys.argv[2])
torch.set_num_threads(int(sys.argv[3]))
sources = read_sources(root)
stored = sources.augmented
grey = batches.resident(stored.folder, stored.all_places(), sources.frame, silent)
places = [place % len(stored) for place in range(images)]
labels = stored.labels.tolist()
# as ToTensor gave them, a tensor each
shown = [(grey[place].unsqueeze(0).to(torch.float32) / 255, labels[place]) for place in places]
network = networks.initialised("alexnet", sources.frame, 3, how="default", seed=0)
optimizer = torch.optim.Adam(network.parameters(), lr=3e-4)
for step, (levels, classes) in enumerate(DataLoader(shown, batch_size=35, shuffle=True)):
    optimizer.zero_grad()
    cross_entropy(network(levels), classes).backward()
    optimizer.step()
    if step == 3:
        break
"""


def main() -> None:
    """Measure and print."""
    options = _options()
    torch.set_num_threads(options.jobs)
    device = devices.device_for(options.device)
    print(f"{machine()}\n\n{versions(LEARNING)} Device: {devices.used(device)['device']}.\n")
    on = Machine(fan_out=Workers(backend="loky", jobs=options.jobs, track=silent), track=silent, raw=options.films)
    root = prepared(options.work, on, "cover", 256, 300)
    augment.run(AugmentParams(), root, on)
    sources = read_sources(root)
    assert sources.augmented is not None
    images = min(options.updates * BATCH, len(sources.augmented))
    print(f"alexnet, 256x300, batch {BATCH}, {images // BATCH} updates a round, {options.rounds} rounds in turn.\n")
    # first: a process that is started counts as its own what this one holds
    print(memory_table(root, len(sources.augmented), options.jobs), end="\n\n")
    print(speed_table(sources, images, options.rounds, device), end="\n\n")
    print(start_table(root, options.device))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--films", type=Path, default=real_films() / "kermany-raw", help="raw films [kermany-raw of CXR_REAL_FILMS]"
    )
    parser.add_argument("--rounds", type=int, default=5, help="how often every source is timed [5]")
    parser.add_argument("--updates", type=int, default=40, help="of a round [40]")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="where the network runs [cpu]")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="threads [one per core]")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "cxr-pipeline-training", help=WORK)
    return parser.parse_args()


def part_of(images: StoredImages, count: int) -> StoredImages:
    """Return the first images, again and again until there are so many."""
    return StoredImages(images.folder, images.table.take(np.arange(count) % len(images)))


def speed_table(sources: Sources, images: int, rounds: int, device: torch.device) -> str:
    """Return the table of images per second, each source of batches against the bare step on random data."""
    assert sources.augmented is not None
    augmented = part_of(sources.augmented, images)
    films = part_of(sources.train, SCORED)
    place: Callable[[StoredImages, residence.Residence], Source] = lambda stored, where: residence.placed(  # noqa: E731
        stored, sources.frame, where, device, window=32_768, track=silent
    )
    scored = place(films, "device")
    recipe = AugmentParams(copies=max(1, images // len(sources.train) - 1))
    ids = sources.train.table.column("film_id").to_pylist()
    resident = place(sources.train, "device")
    assert isinstance(resident, Resident)
    online = OnlineSource(
        resident.images, resident.labels, ids, chain=recipe.chain(sources.frame), copies=recipe.copies
    )
    ways: dict[str, Source] = {
        "device": place(augmented, "device"),
        "host": place(augmented, "host"),
        "stream": place(augmented, "stream"),
        "online": online,
    }
    rates: dict[str, list[float]] = {"bare step, random data": [], **{name: [] for name in ways}}
    for _ in range(rounds):
        rates["bare step, random data"].append(bare(sources, images, device))
        for name, source in ways.items():
            shards = augmented.shards if name != "online" else np.arange(len(source))
            sets = Sets(augmented=source, train=scored, val=scored, shards=shards, names=lambda _: [])
            rates[name].append(ours(sources, sets, device))
    floor = rates["bare step, random data"]
    rows = [
        [name, f"{median(found):,.1f}", f"{median(one / other for one, other in zip(found, floor, strict=True)):.1%}",
         f"{min(found):,.1f} to {max(found):,.1f}"]
        for name, found in rates.items()
    ]  # fmt: skip
    return markdown([["images come from", "images/s, median", "of the bare step, median of rounds", "range"], *rows])


def bare(sources: Sources, images: int, device: torch.device) -> float:
    """Return images per second of forward, loss, backward and step on random data that lies ready."""
    network = networks.initialised("alexnet", sources.frame, len(sources.classes), how="he", seed=0)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = optimizer_of(network, "adamw", 0.01, 0.9)
    levels = torch.randn(BATCH, 1, sources.frame.height, sources.frame.width, device=device)
    labels = torch.randint(0, len(sources.classes), (BATCH,), device=device)
    network.train()
    started = time.perf_counter()
    for _ in range(images // BATCH):
        optimizer.zero_grad()
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
            logits = network(levels)
        cross_entropy(logits.float(), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return images / (time.perf_counter() - started)


def ours(sources: Sources, sets: Sets, device: torch.device) -> float:
    """Return images per second of the training loop, from its first update to its last."""
    network = networks.initialised("alexnet", sources.frame, len(sources.classes), how="he", seed=0)
    recipe: Recipe = replace(recipe_of(train.TrainParams()), epochs=1)
    fitted = loop.fit(network, sets, recipe, Site(device=device), mean=0.5, std=0.25)
    return len(sets.augmented) / fitted.train_s


def memory_table(root: Path, images: int, jobs: int) -> str:
    """Return the peaks of memory: of `train` by where its images lie, and of the loop of 2020 at two sizes."""
    rows: list[list[str]] = []
    for where in ("device", "stream"):
        flags = ("--residence", where, "--epochs", "1", "--root", str(root), "--device", "cpu", "--anew")
        finish((sys.executable, "-m", "pipeline", "train", *flags))
        told = json.loads((root / paths.TRAIN_SUMMARY).read_text())
        rows.append([f"train, images: {told['residence']}", f"{images:,}", f"{told['peak_memory_mb']:,.0f}"])
    for count in (images, 2 * images):
        done = finish((sys.executable, "-c", LOOP_OF_2020, str(root), str(count), str(jobs)))
        rows.append(["the loop of 2020: all images as float32 tensors", f"{count:,}", f"{done.peak_mb:,.0f}"])
    # what the C library loses between the tensors differs from run to run: the tensors alone are certain
    frame = read_sources(root).frame
    rows.append(["the same, its tensors alone, computed", f"{IN_2020:,}", f"{IN_2020 * frame.pixels * 4 / 2**20:,.0f}"])
    return markdown([["what runs", "images", "peak memory, MB"], *rows])


def start_table(root: Path, device: str) -> str:
    """Return the seconds from the command to the first update's line in the log."""
    log = root / paths.TRAIN_STEPS
    rows = []
    for where in ("device", "stream"):
        log.unlink(missing_ok=True)
        flags = ("--residence", where, "--epochs", "1", "--root", str(root), "--device", device, "--anew")
        rows.append([where, f"{first_update_s((sys.executable, '-m', 'pipeline', 'train', *flags), log):.1f}"])
    return markdown([["images lie", "seconds to the first update"], *rows])


def first_update_s(command: Sequence[str], log: Path) -> float:
    """Start a command, wait until its log has a line, and end it."""
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and (not log.exists() or len(log.read_text().splitlines()) < 2):
            time.sleep(0.01)
        took = time.perf_counter() - started
        process.kill()
    return took


if __name__ == "__main__":
    main()
