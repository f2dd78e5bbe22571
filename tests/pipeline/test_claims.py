"""What the project's own files say is what the code does."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from docs import reference
from pipeline.catalog import STAGES

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", reference.PAGES)
def test_generated_files_are_up_to_date(name: str) -> None:
    assert (REPOSITORY / name).read_text() == reference.PAGES[name](), "run `make docs` and commit what it writes"


def test_dvc_runs_the_commands_of_the_catalogue_without_flags() -> None:
    stages = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]
    assert {name: stage["cmd"] for name, stage in stages.items()} == {
        entry.name: f"cxr-pipeline {entry.name}" for entry in STAGES
    }


def test_paths_in_the_readme_are_those_that_stages_write() -> None:
    text = (REPOSITORY / "README.md").read_text()
    for entry in STAGES:
        for path in entry.load().writes:
            folder, _, name = path.rpartition("/")
            stem = name.split(".")[0]
            assert folder in text, path
            assert stem in text, path


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the project with small phantoms and small parameters, all stages run by DVC."""
    root = tmp_path_factory.mktemp("clone")
    for name in ("pipeline", "stages", "manifests", ".dvc/config", ".gitignore", "dvc.yaml", "params.yaml"):
        source, target = REPOSITORY / name, root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    params = yaml.safe_load((root / "params.yaml").read_text())
    params["normalize"] |= {"height": 64, "width": 75}
    params["augment"] |= {"copies": 2}
    params["train"] |= {"network": "residual", "epochs": 1}
    params["evaluate"] |= {"draws": 100}
    (root / "params.yaml").write_text(yaml.safe_dump(params))
    _run(root, "cxr-pipeline", "phantom", "--films", "30", "--longest-side-px", "200")
    _run(root, "dvc", "repro")
    return root


def test_dvc_repro_a_second_time_does_nothing(clone: Path) -> None:
    output = _run(clone, "dvc", "repro")
    assert "Running stage" not in output
    assert "up to date" in output


def test_a_changed_parameter_of_train_reruns_train_and_evaluate_alone(clone: Path) -> None:
    text = (clone / "params.yaml").read_text()
    (clone / "params.yaml").write_text(text.replace("label_smoothing: 0.0", "label_smoothing: 0.1"))
    output = _run(clone, "dvc", "repro")
    assert re.findall(r"Running stage '(\w+)'", output) == ["train", "evaluate"]


def test_dvc_shows_the_metrics_and_draws_the_plots(clone: Path) -> None:
    assert "gap_total" in _run(clone, "dvc", "metrics", "show")
    _run(clone, "dvc", "plots", "show")
    page = (clone / "dvc_plots" / "index.html").read_text()
    assert "train_accuracy" in page
    assert "predicted" in page
    assert "augmentation" in page


def _run(root: Path, *command: str) -> str:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(root)}
    result = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr
