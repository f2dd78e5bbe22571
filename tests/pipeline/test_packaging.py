"""What is handed on is what was written: sdist and wheel are built, looked into, installed and run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path, PurePosixPath

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = ("pipeline", "stages", "manifests")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of what Git knows or will: what is built leaves no trace in the checkout."""
    folder = tmp_path_factory.mktemp("sources")
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    for name in _output(command, REPOSITORY).splitlines():
        if (REPOSITORY / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def built(sources: Path) -> Path:
    """Return the folder of the sdist, and of the wheel that was built of it, without a network."""
    _output([sys.executable, "-m", "build", "--no-isolation", "--outdir", "out", "."], sources)
    return sources / "out"


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (found,) = built.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the programs' folder of a new environment: the wheel alone in it, the libraries of this one seen."""
    folder = tmp_path_factory.mktemp("installed")
    _output([sys.executable, "-m", "venv", "--without-pip", "environment"], folder)
    python = folder / "environment/bin/python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    _output([*pip, "--disable-pip-version-check", str(wheel)], folder)
    (here,) = (folder / "environment").glob("lib/python*/site-packages")
    (here / "libraries.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return python.parent


def test_the_wheel_holds_the_three_packages_whole_and_nothing_else(wheel: Path, sources: Path) -> None:
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    suffixes = (".py", ".j2", ".typed")
    wanted = {
        path.relative_to(sources).as_posix()
        for package in PACKAGES
        for path in (sources / package).rglob("*")
        if path.suffix in suffixes or path.name == "py.typed"
    }
    assert held == wanted
    assert {f"{package}/py.typed" for package in PACKAGES} <= held
    assert sum(name.endswith(".html.j2") for name in held) > 20


def test_the_sdist_holds_what_the_wheel_is_made_of_and_no_film(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = [PurePosixPath(*PurePosixPath(name).parts[1:]).as_posix() for name in archive.getnames()]
    assert {"pyproject.toml", "LICENSE", "README.md", "pipeline/cli.py"} <= set(names)
    assert not [name for name in names if name.endswith((".jpeg", ".jpg", ".dcm", ".parquet", ".safetensors"))]


def test_the_metadata_says_what_a_reader_of_an_index_wants_to_know(wheel: Path) -> None:
    told = _metadata(wheel)
    assert told["Name"] == "cxr-pipeline"
    assert told["License-Expression"] == "MIT"
    assert told["License-File"] == "LICENSE"
    assert told["Summary"]
    assert told["Keywords"]
    assert told["Requires-Python"] == ">=3.11"
    assert told["Description-Content-Type"] == "text/markdown"
    assert told.get_payload().startswith("# cxr-pipeline")  # type: ignore[union-attr]  # one part: text
    classifiers = told.get_all("Classifier", [])
    assert {f"Programming Language :: Python :: 3.{minor}" for minor in (11, 12, 13)} <= set(classifiers)
    assert "Typing :: Typed" in classifiers
    assert {"dask", "dicom", "onnx", "ray", "s3", "tensorboard"} <= set(told.get_all("Provides-Extra", []))


def _metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return Parser().parsestr(archive.read(name).decode())


def test_what_is_installed_from_the_wheel_runs_and_is_not_the_checkout(
    installed: Path, wheel: Path, tmp_path: Path
) -> None:
    where = "import pipeline, stages, manifests; print(pipeline.__file__, stages.__file__, manifests.__file__)"
    for file in _output([str(installed / "python"), "-c", where], tmp_path).split():
        assert Path(file).is_relative_to(installed.parent)
    told = _output([str(installed / "cxr-pipeline"), "--version"], tmp_path)
    assert told.startswith(f"cxr-pipeline, version {_metadata(wheel)['Version']}\n")


def test_what_is_installed_draws_phantoms_and_audits_them(installed: Path, tmp_path: Path) -> None:
    command = str(installed / "cxr-pipeline")
    _output([command, "phantom", "--films", "20", "--longest-side-px", "120", "--jobs", "2"], tmp_path)
    told = _output([command, "audit", "--jobs", "2"], tmp_path)
    assert "audit: 20 files" in told
    assert (tmp_path / "reports/audit.html").stat().st_size > 10_000  # the templates came along


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_every_python_that_is_promised_compiles_every_module(version: str, sources: Path) -> None:
    python = interpreter(version)
    if python is None:
        pytest.skip(f"no Python {version} on this machine")
    _output([python, "-W", "error", "-m", "compileall", "-q", "-f", *PACKAGES], sources)


def interpreter(version: str) -> str | None:
    """Return a Python of this machine by its version, from the path or from pyenv, or None."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [shutil.which(f"python{version}"), *map(str, versions.glob(f"{version}.*/bin/python"))]
    for python in filter(None, found):
        if subprocess.run([python, "--version"], check=False, capture_output=True).returncode == 0:
            return python
    return None  # pyenv's names on the path lead nowhere where the version is not chosen


def _output(command: list[str], folder: Path) -> str:
    hidden = ("PYTHONPATH", "VIRTUAL_ENV", "PYTHONHOME")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    result = subprocess.run(command, cwd=folder, env=environment, check=False, capture_output=True, text=True)
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout
