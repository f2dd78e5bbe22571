"""Films that crash or hang, files that vanish, disks that are full: on a few phantoms, by the command line."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from manifests import store
from manifests.columns import Schema
from manifests.rows import AUDITED, NORMALIZED, PREDICTIONS, SPLIT
from pipeline.cli import main
from stages import paths
from stages.drawn import AUGMENTED
from tests.attacks import runs

FILMS = 40
COPIES = 3
STAGES: dict[str, tuple[Schema[Any], str, str]] = {  # a stage's rows, where they lie, and what decodes its films
    "audit": (AUDITED, paths.AUDIT, "decode"),
    "normalize": (NORMALIZED, paths.NORMALIZED_MANIFEST, "decode"),
    "augment": (AUGMENTED, paths.AUGMENTED_MANIFEST, "codec"),
}
SEGFAULT = "ctypes.string_at(0)"
SIGKILL = "os.kill(os.getpid(), 9)"
HANG = "time.sleep(600)"
FATAL = '''
"""Loaded by every Python process that finds this folder on its path: makes some films fatal."""
import ctypes, hashlib, os, time
from stages.films import codec, decode

def fatal(function):
    def decoded(data, **kwargs):
        if {fatal!r} in ("all", hashlib.sha256(data).hexdigest()):
            {act}
        return function(data, **kwargs)
    return decoded

{module}.decode = fatal({module}.decode)
'''


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> runs.Project:
    """Return a project on which all stages up to augment have run without trouble."""
    return runs.prepared(tmp_path_factory.mktemp("clean") / "root", films=FILMS, copies=COPIES)


@pytest.fixture(scope="module")
def culprit(clean: runs.Project) -> Any:
    """Return the normalized row of the film that will be fatal: one that is trained on."""
    return next(row for row in rows(clean, "normalize") if row.split == "train")


@pytest.fixture(scope="module")
def lacking(clean: runs.Project, culprit: Any, tmp_path_factory: pytest.TempPathFactory) -> runs.Project:
    """Return the project as it is where the culprit was never in it."""
    other = copied(clean, tmp_path_factory.mktemp("lacking") / "root")
    manifest = other.root / paths.SPLIT
    films = [film for film in store.read(SPLIT, manifest) if film.film_id != culprit.film_id]
    store.write(films, SPLIT, manifest, store.read_footer(manifest))
    other.run("normalize")
    other.run("augment")
    return other


@pytest.fixture
def own(clean: runs.Project, tmp_path: Path) -> runs.Project:
    """Return a copy of the project that may be spoilt."""
    return copied(clean, tmp_path / "own")


def copied(project: runs.Project, root: Path) -> runs.Project:
    shutil.copytree(project.root, root)
    return replace(project, root=root)


def rows(project: runs.Project, stage: str) -> list[Any]:
    schema, path, _ = STAGES[stage]
    return store.read(schema, project.root / path)


def alone(films: list[Any]) -> list[Any]:
    """Return audited rows without what compares a film with the set's others, of which one is gone."""
    return [replace(film, askew=None, distance=None) for film in films]


def shards(project: runs.Project, stage: str) -> dict[str, bytes]:
    folder = project.root / runs.OUTPUTS[stage][0] / "shards"
    return {path.name: path.read_bytes() for path in folder.glob("*")}


def hurt(project: runs.Project, folder: Path, *, stage: str, fatal: str, act: str, jobs: int = 2) -> runs.Project:
    """Return the project with a film's bytes, or all, fatal to whoever decodes them."""
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(FATAL.format(module=STAGES[stage][2], fatal=fatal, act=act))
    return replace(project, jobs=jobs, environment={"PYTHONPATH": f"{folder}:{runs.REPOSITORY}"})


def here(project: runs.Project, *command: str) -> str:
    """Run a command in this process, where torch is loaded once, and return what it printed."""
    result = CliRunner().invoke(main, [*command, "--root", str(project.root), "--backend", "sequential"])
    assert result.exit_code == 0, result.output
    return result.output


def one_line(said: str) -> str:
    (line,) = said.splitlines()
    assert line.startswith("Error: ")
    return line


@pytest.mark.parametrize(
    ("stage", "jobs", "act", "status", "word"),
    [
        ("audit", 1, SEGFAULT, "crashed", "SIGSEGV"),
        ("audit", 2, SIGKILL, "crashed", "SIGKILL"),
        ("audit", 8, HANG, "timed_out", "took longer than 2 s"),
        ("normalize", 1, SIGKILL, "crashed", "SIGKILL"),
        ("normalize", 2, HANG, "timed_out", "took longer than 2 s"),
        ("normalize", 8, SEGFAULT, "crashed", "SIGSEGV"),
        ("augment", 1, HANG, "timed_out", "took longer than 2 s"),
        ("augment", 2, SEGFAULT, "crashed", "SIGSEGV"),
        ("augment", 8, SIGKILL, "crashed", "SIGKILL"),
    ],
)
def test_a_film_that_ends_or_holds_its_process_is_a_row_and_all_others_are_as_ever(  # noqa: PLR0917 - many fixtures
    clean: runs.Project,
    lacking: runs.Project,
    own: runs.Project,
    culprit: Any,
    tmp_path: Path,
    stage: str,
    jobs: int,
    act: str,
    status: str,
    word: str,
) -> None:
    good = [row for row in rows(clean, stage) if row.film_id != culprit.film_id]
    own.clear(stage)
    fatal = culprit.sha256 if stage == "augment" else culprit.film_id
    broken = hurt(own, tmp_path / "fatal", stage=stage, fatal=fatal, act=act, jobs=jobs)
    assert f"set aside 1: 1 {status}" in broken.run(stage, "--film-timeout", "2")
    found = rows(own, stage)
    (failed,) = [row for row in found if row.status != "ok"]
    assert (failed.film_id, failed.status) == (culprit.film_id, status)
    assert failed.path in {row.path for row in rows(clean, stage)}
    assert word in failed.reason
    if stage == "audit":
        assert alone([row for row in found if row != failed]) == alone(good)
        return
    assert (failed.shard, failed.sha256, failed.encoded_bytes) == (None, None, None)
    assert shards(own, stage) == shards(lacking, stage)
    assert [row for row in found if row != failed] == rows(lacking, stage)
    assert "nothing set aside" in own.run(stage)  # without the cause, the film is back
    assert rows(own, stage) == rows(clean, stage)


@pytest.mark.parametrize("act", [SEGFAULT, HANG])
def test_a_dry_run_passes_over_a_fatal_film(own: runs.Project, tmp_path: Path, act: str) -> None:
    first = min(path for path in (own.root / paths.RAW).rglob("*") if path.is_file())  # of every sample
    fatal = hashlib.sha256(first.read_bytes()).hexdigest()
    before = own.digest()
    well = own.run("build", "--dry-run")
    ill = hurt(own, tmp_path / "fatal", stage="audit", fatal=fatal, act=act).run(
        "build", "--dry-run", "--film-timeout", "2"
    )
    made = [int(re.findall(r"by (\d+) films", text)[0]) for text in (well, ill)]
    assert made[1] == made[0] - 1
    assert own.digest() == before


def test_a_build_with_a_fatal_film_is_the_four_stages_with_it(own: runs.Project, culprit: Any, tmp_path: Path) -> None:
    broken = hurt(own, tmp_path / "fatal", stage="audit", fatal=culprit.film_id, act=SEGFAULT)
    own.clear("build")
    assert "set aside 1: 1 crashed" in broken.run("build")
    built = own.digest()
    own.clear("build")
    for stage in ("audit", "split", "normalize", "augment"):
        broken.run(stage)
    assert own.digest() == built
    assert not own.unfinished()


def test_rows_of_fatal_films_reach_neither_training_nor_evaluation(
    own: runs.Project, culprit: Any, tmp_path: Path
) -> None:
    sections = {"normalize": {"height": 64, "width": 75}, "augment": {"copies": COPIES}, "evaluate": {"draws": 200}}
    (own.root / "params.yaml").write_text(json.dumps(sections))  # small, to train in a moment; JSON is YAML
    hurt(own, tmp_path / "fatal", stage="normalize", fatal=culprit.film_id, act=SEGFAULT).run("normalize")
    own.run("augment")
    assert culprit.film_id not in {row.film_id for row in rows(own, "augment")}
    said = here(own, "train", "--network", "residual", "--epochs", "1", "--device", "cpu")
    assert f"{sum(row.status == 'ok' for row in rows(own, 'augment')):,} images" in said
    here(own, "evaluate", "--device", "cpu")
    predicted = store.read_table(PREDICTIONS, own.root / paths.PREDICTIONS).column("film_id").to_pylist()
    assert culprit.film_id not in predicted


@pytest.mark.parametrize("stage", ["audit", "normalize"])
def test_films_that_are_all_fatal_are_the_machines_fault_and_change_nothing(
    own: runs.Project, tmp_path: Path, stage: str
) -> None:
    before = own.digest()
    broken = hurt(own, tmp_path / "fatal", stage=stage, fatal="all", act=SEGFAULT)
    flags = ["--policy", "crop"] if stage == "normalize" else []  # other shards than those that lie there
    line = one_line(broken.run(stage, *flags, code=1))
    assert "5 films in a row ended the process that worked on them (SIGSEGV)" in line
    assert "mend it and run again" in line
    assert own.digest() == before


def test_a_handful_of_films_that_are_all_fatal_leaves_nothing_to_split(own: runs.Project, tmp_path: Path) -> None:
    films = sorted(path for path in (own.root / "data/raw").rglob("*.jpeg") if path.is_file())
    for film in films[3:]:
        film.unlink()
    own.clear("build")
    said = hurt(own, tmp_path / "fatal", stage="audit", fatal="all", act=SEGFAULT).run("build", code=1)
    assert "3 files, none usable" in one_line(said)


@pytest.mark.parametrize("how", ["gone", "changed"])
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_raw_film_gone_or_changed_since_the_audit_is_one_line_and_the_old_manifest_stays(
    own: runs.Project, culprit: Any, how: str, jobs: int
) -> None:
    (film,) = [row for row in rows(own, "audit") if row.film_id == culprit.film_id]
    file = own.root / "data/raw" / film.path
    if how == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes() + b"!")
    manifest = (own.root / paths.NORMALIZED_MANIFEST).read_bytes()
    line = one_line(replace(own, jobs=jobs).run("normalize", "--policy", "crop", code=1))
    assert film.path in line
    assert "run the audit again" in line
    assert (own.root / paths.NORMALIZED_MANIFEST).read_bytes() == manifest
    assert not own.unfinished()


def test_a_normalized_shard_that_vanished_is_one_line(own: runs.Project) -> None:
    shard = next((own.root / paths.NORMALIZED / "shards").iterdir())
    shard.unlink()
    own.clear("augment")
    line = one_line(own.run("augment", code=1))
    assert shard.name in line
    assert "run the stage that writes it again" in line
    assert not (own.root / paths.AUGMENTED_MANIFEST).exists()


@pytest.fixture
def disk(tmp_path: Path) -> Any:
    """Return a disk of its own and the function that mounts it anew, or skip: mounting takes an administrator."""
    try:
        with runs.small_disk(tmp_path / "disk", 500_000) as remount:
            yield tmp_path / "disk", remount
    except OSError as error:
        pytest.skip(str(error))


def used_kb(folder: Path) -> int:
    return shutil.disk_usage(folder).used // 1024


@pytest.mark.parametrize(
    ("stage", "layout"), [("normalize", "shards"), ("normalize", "folder"), ("augment", "folder"), ("build", "shards")]
)
def test_a_full_disk_is_one_line_and_the_run_after_it_ends_well(
    clean: runs.Project, disk: tuple[Path, Callable[[str], None]], stage: str, layout: str
) -> None:
    folder, remount = disk
    project = copied(clean, folder / "root")
    project.clear(stage)
    section = "normalize" if stage == "normalize" else "augment"
    (project.root / "params.yaml").write_text(f"{section}: {{layout: {layout}}}\n")
    remount(f"size={used_kb(folder) + 400}k")
    line = one_line(project.run(stage, code=1))
    assert "No space left on device; mend that and run the same command again" in line
    assert not project.unfinished()
    manifest = paths.NORMALIZED_MANIFEST if stage == "normalize" else paths.AUGMENTED_MANIFEST
    assert not (project.root / manifest).exists()
    remount("size=500000k")
    project.run(stage)
    after = project.digest()
    project.clear(stage)
    project.run(stage)
    assert project.digest() == after


def test_a_disk_that_fills_leaves_what_was_there_whole(clean: runs.Project, disk: Any) -> None:
    folder, remount = disk
    project = copied(clean, folder / "root")
    before = project.digest()
    remount(f"size={used_kb(folder) + 400}k")
    one_line(project.run("augment", "--copies", "20", "--quality", "100", code=1))
    manifest = rows(project, "augment")
    assert {row.shard for row in manifest} <= set(shards(project, "augment"))
    assert manifest == rows(clean, "augment")
    assert not project.unfinished()
    remount("size=500000k")
    project.run("augment")
    assert project.digest() == before


@pytest.mark.parametrize("stage", ["audit", "normalize", "augment", "build"])
def test_a_folder_that_may_only_be_read_is_one_line(clean: runs.Project, disk: Any, stage: str) -> None:
    folder, remount = disk
    project = copied(clean, folder / "root")
    before = project.digest()
    remount("ro")
    line = one_line(project.run(stage, code=1))
    assert "nothing can be written there (Read-only file system); expected a folder for results" in line
    assert project.digest() == before
