"""Fresh copies in every epoch against the same twenty: accuracy at equal updates, and what a batch of each costs.

python benchmarks/online.py                          four seeds of five epochs: some 10 minutes on two cores
python benchmarks/online.py --seeds 1 --epochs 2     a quick look
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]  # started as a script, Python sees this folder alone

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import cross_entropy

from benchmarks.films import real_films
from benchmarks.prepared import Films, films_of, prepared, silent
from benchmarks.printed import LEARNING, machine, markdown, versions
from benchmarks.processes import WORK
from manifests import store
from manifests.shards import ImageFolder
from pipeline.workers import Workers
from stages import augment, paths
from stages.augment_params import AugmentParams
from stages.contract import Machine
from stages.drawn import AUGMENTED
from stages.films.codec import decode
from stages.films.frame import frame_of
from stages.learning.batches import standardised
from stages.learning.networks import initialised, seeded
from stages.learning.online import OnlineSource
from stages.learning.source import Resident, Source

CPU = torch.device("cpu")
SMALL, FULL = (64, 76), (256, 300)  # to learn on a CPU, and to time
BATCH = 35
RATE = 3e-4  # of AdamW, at its highest
CLASSES = 3
T_95 = {2: 12.71, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365}  # Student's t, by number of pairs


@dataclass(frozen=True, slots=True)
class Task:
    """What both arms share.

    Attributes:
        sources: by name; as long as each other, the films and their copies at the same places.
        scored: the films of val and of test.
        mean: of the training films' grey levels, white being 1.
        std: their standard deviation.
    """

    sources: Mapping[str, Source]
    scored: Mapping[str, Films]
    mean: float
    std: float

    def prepare(self, grey: torch.Tensor) -> torch.Tensor:
        """Return grey levels as a network takes them."""
        return standardised(grey, mean=self.mean, std=self.std, device=CPU)


def main() -> None:
    """Measure and print."""
    options = _options()
    torch.set_num_threads(options.jobs)
    print(f"{machine()}\n\n{versions(LEARNING)}\n")
    on = Machine(fan_out=Workers(backend="loky", jobs=options.jobs, track=silent), track=silent, raw=options.films)
    small, full = (task_of(options.work, on, *frame) for frame in (SMALL, FULL))
    print(f"Epoch 1 shows the same copies in both: {apart(full):.2f} grey levels apart at 256x300, which JPEG took.\n")
    print(cost_table({"residual, 64x76": small, "alexnet, 256x300": full}), end="\n\n")
    accuracies: dict[str, list[dict[str, float]]] = {name: [] for name in small.sources}
    for seed in range(options.seeds):
        for name, source in small.sources.items():
            accuracies[name].append(train_once(small, source, seed, options.epochs))
            print(f"seed {seed}, {name}: {accuracies[name][-1]}", file=sys.stderr, flush=True)
    updates = options.epochs * -(-len(small.sources["online"]) // BATCH)
    sizes = ", ".join(f"{len(films)} {name}" for name, films in small.scored.items())
    print(f"residual, 64x76, {updates:,} updates of {BATCH} in {options.epochs} epochs; films: {sizes}.\n")
    print(accuracy_table(accuracies))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--films", type=Path, default=real_films() / "kermany-raw", help="raw films [kermany-raw of CXR_REAL_FILMS]"
    )
    parser.add_argument("--epochs", type=int, default=5, help="of the films and their 20 copies [5]")
    parser.add_argument("--seeds", type=int, default=4, help="first weights and orders of the images [4]")
    parser.add_argument(
        "--jobs", type=int, default=len(os.sched_getaffinity(0)), help="threads, and workers [one per core]"
    )
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "cxr-pipeline-online", help=WORK)
    return parser.parse_args()


def task_of(work: Path, on: Machine, height: int, width: int) -> Task:
    """Return both sources of the same training films, by the tool's default recipe."""
    root = prepared(work, on, "cover", height, width)
    params = AugmentParams()
    augment.run(params, root, on)
    films = films_of(root)
    train = films["train"]
    labels, levels = torch.from_numpy(train.labels), train.images / 255.0
    chain = params.chain(frame_of(train.images[0]))
    fresh = OnlineSource(torch.from_numpy(train.images), labels, train.film_ids, chain=chain, copies=params.copies)
    stored = Resident(copies_of(root, train, params.copies), fresh.labels, CPU)
    return Task(
        {"materialised": stored, "online": fresh},
        {name: films[name] for name in ("val", "test")},
        float(levels.mean()),
        float(levels.std()),
    )


def copies_of(root: Path, films: Films, copies: int) -> torch.Tensor:
    """Return the stored images in the places where the fresh ones are: a film, its copies, the next film."""
    rows = store.read(AUGMENTED, root / paths.AUGMENTED_MANIFEST)
    place = {film_id: number * (1 + copies) for number, film_id in enumerate(films.film_ids)}
    images = torch.empty((len(rows), *films.images.shape[1:]), dtype=torch.uint8)
    folder = ImageFolder(root / paths.AUGMENTED, store.read_footer(root / paths.AUGMENTED_MANIFEST).params["layout"])
    for row, data in folder.read_images(rows):
        images[place[row.film_id] + row.copy] = torch.from_numpy(decode(data))
    return images


def apart(task: Task) -> float:
    """Return the mean difference between both sources' images of the first epoch, in grey levels, over ten batches."""
    chosen = order_of(task.sources["online"], 0, 1)[:10]
    both = (source.batches(chosen) for source in task.sources.values())
    gaps = [(one.int() - other.int()).abs().float().mean().item() for (one, _), (other, _) in zip(*both, strict=True)]
    return fmean(gaps)


def order_of(source: Source, seed: int, epoch: int) -> list[NDArray[np.int64]]:
    """Return an epoch's batches of places, the same for both arms."""
    order = np.random.default_rng([seed, epoch]).permutation(len(source))
    return [order[start : start + BATCH] for start in range(0, len(order), BATCH)]


def train_once(task: Task, source: Source, seed: int, epochs: int) -> dict[str, float]:
    """Return the accuracy after the last epoch on val and on test; nothing was chosen by either."""
    network = network_of("residual", task, seed)
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=0.01)
    steps = epochs * len(order_of(source, seed, 1))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps, pct_start=0.2)
    with seeded(seed):
        for epoch in range(1, epochs + 1):
            for grey, labels in source.batches(order_of(source, seed, epoch), epoch=epoch):
                step(network, optimizer, task.prepare(grey), labels)
                schedule.step()
    return {name: accuracy(network, task, films) for name, films in task.scored.items()}


def network_of(name: str, task: Task, seed: int) -> nn.Module:
    """Return a network for the task's frame, in training mode."""
    network = initialised(name, frame_of(task.scored["val"].images[0]), CLASSES, how="he", seed=seed)
    return network.to(memory_format=torch.channels_last)


def step(network: nn.Module, optimizer: torch.optim.Optimizer, images: torch.Tensor, labels: torch.Tensor) -> None:
    """Take one step down the batch's loss."""
    loss = cross_entropy(network(images), labels)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


def accuracy(network: nn.Module, task: Task, films: Films) -> float:
    """Return the share of the films that the network names rightly."""
    network.eval()
    with torch.no_grad():
        named = network(task.prepare(torch.from_numpy(films.images))).argmax(1)
    return float((named.numpy() == films.labels).mean())


def cost_table(tasks: Mapping[str, Task]) -> str:
    """Return what a batch of each source takes, alone and as a share of a step of the network that it feeds."""
    rows = [["source", "images/s alone", "ms / batch", "ms / step with it", "its share"]]
    for what, task in tasks.items():
        network = network_of(what.partition(",")[0], task, 0)
        optimizer = torch.optim.AdamW(network.parameters(), lr=RATE)
        for name, source in task.sources.items():
            alone_s, whole_s = (_seconds(task, source, trained) for trained in (None, (network, optimizer)))
            times = (f"{1000 * alone_s:.1f}", f"{1000 * whole_s:.1f}", f"{alone_s / whole_s:.1%}")
            rows.append([f"{what}: {name}", f"{BATCH / alone_s:,.0f}", *times])
    return markdown(rows)


def _seconds(task: Task, source: Source, trained: tuple[nn.Module, torch.optim.Optimizer] | None) -> float:
    """Return the median time from batch to batch, standardised, with or without a step; the first two warm up."""
    chosen = order_of(source, 0, 1)[: 12 if trained else 42]
    moments = []
    for grey, labels in source.batches(chosen):
        images = task.prepare(grey)
        if trained:
            step(*trained, images, labels)
        moments.append(time.perf_counter())
    return float(np.median(np.diff(moments)[1:]))


def accuracy_table(accuracies: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """Return a row per set: each arm's accuracies, and their mean difference with a 95 % interval over the seeds."""
    rows = [["films", *(f"{name}: mean (each seed)" for name in accuracies), "difference, points"]]
    for name in next(iter(accuracies.values()))[0]:
        arms = [[100 * found[name] for found in runs] for runs in accuracies.values()]
        shown = [f"{fmean(values):.1f} ({', '.join(f'{value:.1f}' for value in values)})" for values in arms]
        rows.append([name, *shown, interval([fresh - stored for stored, fresh in zip(*arms, strict=True)])])
    return markdown(rows)


def interval(differences: Sequence[float]) -> str:
    """Return the mean of paired differences and what Student's t gives about it."""
    if (pairs := len(differences)) not in T_95:
        return f"{fmean(differences):+.1f}"
    half = T_95[pairs] * stdev(differences) / pairs**0.5
    return f"{fmean(differences):+.1f} ({fmean(differences) - half:+.1f} to {fmean(differences) + half:+.1f})"


if __name__ == "__main__":
    main()
