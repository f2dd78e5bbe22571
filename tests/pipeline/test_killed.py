"""Runs that are killed, stopped or doubled: on a few phantoms, by the command line."""

from __future__ import annotations

import random
import signal
from subprocess import Popen

import pytest

from stages import paths
from tests.attacks import kill, runs

COPIES = 30
FILMS = 150  # of which some 100 are trained on: a hundred shards of copies, two of films


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> runs.Project:
    """Return a project on which all stages up to augment have run without trouble."""
    return runs.prepared(tmp_path_factory.mktemp("project") / "root", films=FILMS, copies=COPIES)


@pytest.mark.parametrize(
    ("stage", "victim", "trace"),
    [
        ("audit", "run", ".cxr-pipeline.lock"),
        ("normalize", "worker", "data/normalized/shards"),
        ("augment", "run", "data/augmented/shards/*.parquet"),
        ("augment", "worker", "data/augmented/shards"),
        ("build", "run", "data/normalized/.ahead*/*"),
        ("build", "run", "data/normalized/shards/*.parquet"),
    ],
)
def test_a_killed_run_or_worker_changes_no_byte_and_leaves_nothing(
    project: runs.Project, stage: str, victim: str, trace: str
) -> None:
    def at_work(process: Popen[str]) -> bool:
        return runs.working(process) and any(project.root.glob(trace))

    killed = kill.kill_once(project, stage, victim, at_work, random.Random(0))  # noqa: S311 - no secret
    assert killed.hit
    assert killed.identical
    assert (killed.files, killed.processes) == (0, 0)


def test_the_run_after_a_killed_one_keeps_its_shards_and_says_how_many(project: runs.Project) -> None:
    shards = project.root / paths.AUGMENTED / "shards"
    (project.root / paths.AUGMENTED_MANIFEST).unlink()
    lost, *kept = sorted(shards.iterdir())
    lost.unlink()
    (shards / ".x.parquet.123.partial").touch()
    output = project.run("augment")
    assert f"images kept from before: {len(kept)} of {len(kept) + 1} shards" in output
    assert not project.unfinished()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_ends_in_one_line_that_says_how_to_go_on(project: runs.Project, number: signal.Signals) -> None:
    expected = project.digest()
    project.clear("augment")
    stop = kill.stop_once(project, "augment", number, runs.working)
    assert stop.code == 1
    (line,) = stop.lines
    assert line.startswith(f"Error: augment: stopped by {number.name} ")
    assert line.endswith("run the same command again: finished shards are kept")
    assert (stop.files, stop.processes) == (0, 0)
    project.run("augment")
    assert project.digest() == expected
