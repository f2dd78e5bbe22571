"""Training by the command line: killed, stopped, in two processes, watched."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from manifests import store
from stages import paths
from tests.attacks import kill, runs, training

QUICK = ("--network", "residual", "--epochs", "2", "--batch-size", "8")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> runs.Project:
    """Return a project on which all stages up to augment have run: some 25 training films, three images each."""
    ready = runs.prepared(tmp_path_factory.mktemp("project") / "root", films=36, copies=2)
    # one thread waits for nobody on a busy machine
    return replace(ready, environment={"OMP_NUM_THREADS": "1"})


def test_a_killed_run_goes_on_to_the_bytes_of_an_undisturbed_one(project: runs.Project) -> None:
    chain = training.killed_again_and_again(project, [0.5], *QUICK)

    assert chain.identical
    assert chain.went_on_from is not None
    assert (chain.left, chain.processes) == ([], 0)


def test_a_stopped_run_saves_its_state_and_says_that_the_next_goes_on(project: runs.Project) -> None:
    log = project.root / paths.TRAIN_STEPS
    log.unlink(missing_ok=True)
    stop = kill.stop_once(
        project, "train", signal.SIGTERM, lambda _run: training.steps_logged(project) > 2, "--device", "cpu", *QUICK
    )

    assert stop.code == 1
    (line,) = stop.lines
    assert line.startswith("Error: train: stopped by SIGTERM after ")
    assert line.endswith("run the same command again: it goes on from the state saved last, if there is one")
    assert (stop.files, stop.processes) == (0, 0)
    assert (project.root / paths.TRAIN_STATE).exists()

    changed = project.run("train", "--device", "cpu", *QUICK, "--learning-rate", "0.001")
    assert "it was saved under another learning_rate; training began anew" in changed
    assert not (project.root / paths.TRAIN_STATE).exists()


def test_two_processes_of_torchrun_train_one_network_from_the_same_command(project: runs.Project) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29517"]
    arguments = ["-m", "pipeline", "train", "--root", str(project.root), "--device", "cpu", *QUICK]
    environment = {**os.environ, "PYTHONPATH": str(runs.REPOSITORY), "OMP_NUM_THREADS": "1"}
    project.run("train", "--device", "cpu", *QUICK, "--optimizer", "sgd")
    alone = json.loads((project.root / paths.TRAIN_SUMMARY).read_text())

    done = subprocess.run(
        [*command, *arguments, "--optimizer", "sgd"], env=environment, check=True, capture_output=True, text=True
    )

    found = json.loads((project.root / paths.TRAIN_SUMMARY).read_text())
    assert (found["processes"], alone["processes"]) == (2, 1)
    assert done.stdout.count("train: ") == 1, "one process speaks for both"
    for name in ("val_loss", "val_accuracy", "train_accuracy", "updates"):
        assert found[name] == pytest.approx(alone[name], rel=1e-3)


def test_tensorboard_reads_what_training_writes_while_it_learns(project: runs.Project, tmp_path: Path) -> None:
    project.run("train", "--device", "cpu", *QUICK, "--tensorboard", str(tmp_path / "events"))

    events = EventAccumulator(str(tmp_path / "events"))
    events.Reload()
    steps = [event.value for event in events.Scalars("step/loss")]
    summary = json.loads((project.root / paths.TRAIN_SUMMARY).read_text())
    assert len(steps) == summary["updates"]
    assert [event.step for event in events.Scalars("val/accuracy")] == [summary["updates"] // 2, summary["updates"]]
    assert store.file_sha256(project.root / paths.MODEL)
