"""Kill training at random moments, again and again, and compare with a run that was left alone.

`python -m tests.attacks.training`. Every run is killed, its successor goes on, is killed too, until one ends: model and
logs must be those of the undisturbed run, byte for byte. `tests/pipeline/test_training.py` does the same once.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stages import paths
from tests.attacks.runs import Project, left_over, prepared, table, wait_unheard, wait_until

WRITTEN = (paths.MODEL, paths.TRAIN_LOG, paths.TRAIN_STEPS)
ALONE = ("--device", "cpu", "--anew")


@dataclass(frozen=True)
class Chain:
    """Runs of training, each but the last killed.

    Attributes:
        kills: how many runs were killed.
        went_on_from: the update that the last run says it went on from; None where it began anew.
        identical: whether model and logs are those of the undisturbed run.
        left: files that are of no use once training is done.
        processes: that outlived their run.
    """

    kills: int
    went_on_from: int | None
    identical: bool
    left: Sequence[str]
    processes: int


def digest(project: Project) -> str:
    """Return a hash over what training writes."""
    whole = hashlib.sha256()
    for path in WRITTEN:
        whole.update((project.root / path).read_bytes())
    return whole.hexdigest()


def steps_logged(project: Project) -> int:
    """Return how many lines the log within epochs has."""
    log = project.root / paths.TRAIN_STEPS
    return len(log.read_text().splitlines()) - 1 if log.exists() else 0


def killed_again_and_again(project: Project, moments_s: Sequence[float], *flags: str) -> Chain:
    """Train undisturbed, then anew with a kill so many seconds after each run's first update."""
    project.run("train", *ALONE, *flags)
    expected = digest(project)
    for path in WRITTEN:
        (project.root / path).unlink()
    outlived = 0
    for moment in moments_s:
        (project.root / paths.TRAIN_STEPS).unlink(missing_ok=True)
        process = project.start("train", "--device", "cpu", "--save-every", "0.2", *flags)
        wait_until(lambda _process: steps_logged(project) > 0, process)
        time.sleep(moment)
        process.kill()
        wait_unheard(process)
        outlived += left_over(process.pid)
    output = project.run("train", "--device", "cpu", *flags)
    said = re.search(r"went on from update ([\d,]+)", output)
    went_on_from = int(said.group(1).replace(",", "")) if said else None
    left = [path.name for path in (project.root / "models").iterdir() if path != project.root / paths.MODEL]
    return Chain(len(moments_s), went_on_from, digest(project) == expected, left, outlived)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--kills", type=int, default=10, help="of each chain")
    parser.add_argument("--networks", default="alexnet,residual")
    parser.add_argument("--films", type=int, default=120, help="phantoms")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--raw", type=Path, help="real films, instead of phantoms")
    given = parser.parse_args()
    draw = random.Random(given.seed)
    rows: list[tuple[str, object]] = []
    with tempfile.TemporaryDirectory() as name:
        project = prepared(Path(name) / "set", films=given.films, copies=4, raw=given.raw)
        for network in given.networks.split(","):
            flags = ("--network", network, "--epochs", str(given.epochs))
            moments = [draw.uniform(0, 3) for _ in range(given.kills)]
            chain = killed_again_and_again(project, moments, *flags)
            print(f"  {network} {chain}", file=sys.stderr, flush=True)
            rows += [
                (f"{network}: SIGKILLs", chain.kills),
                ("  the last run went on from update", chain.went_on_from),
                ("  model and logs identical to those of an undisturbed run", chain.identical),
                ("  files, processes left", (len(chain.left), chain.processes)),
            ]
    print(table(rows))


if __name__ == "__main__":
    main()
