import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from stages import audit, normalize, paths, probe, split
from stages.contract import Machine
from stages.probe import ProbeParams


def figures(root: Path) -> dict[str, Any]:
    found = json.loads((root / paths.PROBES).read_text())
    assert isinstance(found, dict)
    return found


def test_the_command_writes_what_it_shows(project: Path, machine: Machine) -> None:
    report = probe.run(ProbeParams(), project, machine)
    found = figures(project)
    assert list(found["models"]) == ["majority", "metadata", "border", "ridge", "nearest_neighbour"]
    assert report.lines[0].split() == ["accuracy", "train", "leak_probe", "val", "test"]
    ridge = found["models"]["ridge"]["splits"]
    assert [f"{100 * ridge[name]['accuracy']:.1f}" for name in ("train", "val")] == [
        report.lines[4].split()[place] for place in (1, 5)
    ]
    assert report.done == sum(of_split["films"] for of_split in ridge.values())
    assert report.written == (paths.PROBES,)


def test_only_what_looks_at_the_test_films_is_noted_as_a_look(project: Path, machine: Machine) -> None:
    probe.run(ProbeParams(test=False), project, machine)
    assert not (project / paths.TEST_PEEKS).exists()
    assert "test" not in figures(project)["models"]["ridge"]["splits"]
    assert figures(project)["adversarial"] == {}
    for number in (1, 2):
        report = probe.run(ProbeParams(seed=7), project, machine)
        assert figures(project)["test_peeks"] == number
        assert report.lines[-1] == f"looks at the test films so far: {number} (reports/test_peeks.jsonl)"
    peek = json.loads((project / paths.TEST_PEEKS).read_text().splitlines()[0])
    assert peek["model_sha256"] is None
    assert peek["params"] == {"test": True, "seed": 7}


def test_the_same_run_writes_the_same_bytes(project: Path, machine: Machine, upside_down: Machine) -> None:
    written = []
    for on in (machine, upside_down):
        probe.run(ProbeParams(test=False), project, on)
        written.append((project / paths.PROBES).read_bytes())
    assert written[0] == written[1]


def test_a_class_without_test_films_has_no_adversary_and_the_others_have(project: Path, machine: Machine) -> None:
    probe.run(ProbeParams(), project, machine)
    # one test patient per class in these films: too few to tell
    assert figures(project)["adversarial"] == dict.fromkeys(("normal", "bacterial", "viral"))


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"split": "test"}, {"test": "often"}])
def test_parameters_that_cannot_be_used_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ProbeParams.model_validate(wrong)


def test_the_command_needs_no_torch_and_loads_no_cv2_until_it_reads_films() -> None:
    script = "import sys, stages.probe; print({'torch', 'cv2', 'matplotlib', 'jinja2'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "set()"


def test_the_whole_command_runs_without_torch(project: Path) -> None:
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "from pipeline.cli import main\n"
        f"main(['probe', '--root', {str(project)!r}, '--backend', 'sequential'], standalone_mode=False)"
    )
    found = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert "a network has to beat the ridge" in found.stdout


@pytest.mark.real
def test_on_real_films_the_file_alone_tells_the_class(tmp_path: Path, machine: Machine, real_films: Path) -> None:
    on_raw = Machine(fan_out=machine.fan_out, track=machine.track, device="cpu", raw=real_films / "kermany-raw")
    audit.run(audit.AuditParams(), tmp_path, on_raw)
    split.run(split.SplitParams(val_fraction=0.3), tmp_path, on_raw)
    normalize.run(normalize.NormalizeParams(height=64, width=75), tmp_path, on_raw)
    report = probe.run(ProbeParams(), tmp_path, on_raw)
    models = figures(tmp_path)["models"]
    assert models["metadata"]["splits"]["val"]["recall"]["normal"] >= 0.9
    assert any(line.startswith("the file alone (metadata) tells the class") for line in report.lines)
