"""A real Dask cluster and a real Ray node on this machine: the same results as worker processes, whatever dies."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import time
import weakref
from collections.abc import Collection, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest
from click.testing import CliRunner

from pipeline import workers
from pipeline.backends import cluster as cluster_module
from pipeline.backends import clusters as opened
from pipeline.backends import terms
from pipeline.backends.handed import HandedOut
from pipeline.cli import main
from pipeline.workers import Workers
from stages.contract import CxrError, Made, StageError
from stages.normalize import NormalizeParams
from stages.phantom import PhantomParams, phantom_one, planned
from stages.predict import FilmJob, prepare
from tests.attacks import clusters, kill, runs
from tests.attacks.clusters import Cluster
from tests.attacks.works import BOXES, boxes_of_four, fail_at_three, opencv_threads, square, work_on
from tests.conftest import silent

FILMS = 30
COPIES = 100  # a shard holds nine films


def nothing_serves(cluster: Cluster) -> bool:
    """Tell whether the processes that workers have started for films are gone, soon."""
    deadline = time.monotonic() + 10
    while cluster.serving() and time.monotonic() < deadline:
        time.sleep(0.05)
    return not cluster.serving()


@pytest.fixture
def on(cluster: Cluster) -> Iterator[Workers]:
    """Return workers on a cluster; afterwards, the workers of the cluster have nothing left of the run."""
    yield Workers(
        backend=cluster.backend,  # type: ignore[arg-type]  # one of them
        jobs=0,
        track=silent,
        scheduler=cluster.address if cluster.backend == "dask" else "",
        address=cluster.address if cluster.backend == "ray" else "",
    )
    workers.dismiss()
    assert nothing_serves(cluster)


class Load:
    """A job that knows how many of its kind there are in this process."""

    alive: ClassVar[weakref.WeakSet[Load]] = weakref.WeakSet()

    def __init__(self, number: int) -> None:
        self.number = number
        self.alive.add(self)

    def __reduce__(self) -> Any:
        return int, (self.number,)


def after_a_while(number: int) -> int:
    time.sleep(0.01)
    return number


def where(_number: int) -> tuple[int, int, str]:
    return os.getpid(), os.getppid(), str(Path.cwd())


def test_results_and_progress_come_while_the_run_goes_on_in_the_order_of_the_jobs_few_of_which_are_held(
    on: Workers,
) -> None:
    held, seen = [], []
    told: list[int] = []
    jobs: Any = Made(Load, 300)
    for number, result in enumerate(on(after_a_while, jobs, total=300, within=told.append)):
        assert result == number
        held.append(len(Load.alive))
        seen.append(sum(told))
        known: Any = opened._open.cluster  # noqa: SLF001 - what it keeps of tasks that are done is seen nowhere else
        assert len(known._tasks) <= 4  # noqa: SLF001
    assert len(held) == 300
    assert (seen[0] < 150, seen[-1]) == (True, 300)
    assert max(held) < 200  # two workers, twice as many tasks, each of half a second


def test_work_is_done_in_processes_of_their_own_on_one_thread_in_the_runs_folder(
    on: Workers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = list(on(where, range(8)))
    assert {folder for _, _, folder in found} == {str(tmp_path)}
    assert not {pid for pid, _, _ in found} & {parent for _, parent, _ in found}
    assert list(on(opencv_threads, range(4))) == [1] * 4


def test_an_error_in_a_job_reaches_the_caller_as_itself(on: Workers) -> None:
    with pytest.raises(StageError, match="three"):
        list(on(fail_at_three, range(8)))
    assert list(on(square, range(8))) == [n * n for n in range(8)]


def test_a_film_that_ends_its_process_is_left_out_by_name_and_all_others_are_done(on: Workers) -> None:
    boxes = boxes_of_four(6, "segfault")
    results = list(on(work_on, boxes, retry=BOXES))
    assert [results[0], *results[2:]] == [[film.upper() for film in box.films] for box in (boxes[0], *boxes[2:])]
    assert results[1][:3] == ["1A", "1C", "1D"]
    assert "segfault: crashed: ended the process that worked on it, also alone (SIGSEGV)" in results[1][3]


@pytest.mark.parametrize("cluster", ["dask"], indirect=True)  # the processes are the same on Ray
def test_a_film_that_hangs_is_left_out_and_its_process_ended(on: Workers) -> None:
    results = list(replace(on, film_timeout_s=0.5)(work_on, boxes_of_four(3, "hold"), retry=BOXES))
    assert results[1][:3] == ["1A", "1C", "1D"]
    assert "hold: timed_out: took longer than 0.5 s" in results[1][3]


@pytest.mark.parametrize("cluster", ["dask"], indirect=True)  # as above
def test_a_process_that_is_killed_once_costs_no_film(on: Workers, tmp_path: Path) -> None:
    boxes = boxes_of_four(5, "once")
    results = list(on(partial(work_on, notes=tmp_path), boxes, retry=BOXES))
    assert results == [[film.upper() for film in box.films] for box in boxes]


def test_a_worker_that_is_killed_is_survived(on: Workers, cluster: Cluster) -> None:
    results = []
    for number, result in enumerate(on(after_a_while, range(300))):
        results.append(result)
        if number == 60:
            os.kill(cluster.workers()[-1], signal.SIGKILL)  # of Dask's, the one with a nanny
    assert results == list(range(300))
    deadline = time.monotonic() + 20  # the next tests want the one that the nanny starts
    while cluster.backend == "dask" and len(cluster.workers()) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)


def test_workers_of_other_versions_are_refused_by_name(on: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = {**terms.deciding(), "opencv-python-headless": "1.2.3"}
    theirs = terms.deciding()["opencv-python-headless"]
    monkeypatch.setattr(terms, "deciding", lambda: ours)
    with pytest.raises(CxrError) as refused:
        list(on(square, range(3)))
    assert re.match(r"worker (tcp://127.0.0.1:\d+|[\d.]+ \(Ray node \w{8}\)) has ", str(refused.value))
    assert f"has opencv-python-headless {theirs}; this run has opencv-python-headless 1.2.3" in str(refused.value)


def test_workers_that_see_another_root_are_refused(
    on: Workers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with terms.terms_of([tmp_path], film_timeout_s=1) as agreed:
        assert not terms.unmet(agreed)
        assert len(list(tmp_path.iterdir())) == 1
    assert "sees another" in terms.unmet(agreed)  # the file is gone: as on a machine where it never was
    assert not list(tmp_path.iterdir())
    tmp_path.joinpath("here").touch()
    monkeypatch.setattr(terms, "_some_names", lambda _folder: ("elsewhere",))
    with pytest.raises(CxrError, match=r"worker .* sees another .*elsewhere is not there.*use a shared folder"):
        list(replace(on, folders=(tmp_path,))(square, range(3)))
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


# --- by the command line ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> runs.Project:
    """Return a project that worker processes of this machine have built."""
    return runs.prepared(tmp_path_factory.mktemp("project") / "root", films=FILMS, copies=COPIES)


@pytest.fixture
def own(project: runs.Project, cluster: Cluster, tmp_path: Path) -> runs.Project:
    """Return a copy of it that a cluster works on."""
    shutil.copytree(project.root, tmp_path / "root")
    return replace(project, root=tmp_path / "root", cluster=cluster, jobs=0)


def command(project: runs.Project, *words: str) -> None:
    """Run a command in this process: what it loads is loaded already."""
    flags = project.cluster.flags if project.cluster is not None else ()
    main.main([*words, "--root", str(project.root), *flags], standalone_mode=False)


def test_every_command_gives_the_same_bytes_as_on_worker_processes(
    own: runs.Project, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = own.digest()
    own.clear("build")
    command(own, "build")
    assert own.digest() == expected
    command(own, "verify")
    command(own, "replay", "--all")
    assert "all byte for byte the same" in capsys.readouterr().out
    assert not own.unfinished()


def test_drawn_and_prepared_films_are_the_same_bytes(on: Workers, project: runs.Project, tmp_path: Path) -> None:
    films = planned(PhantomParams(films=12, longest_side_px=200))
    here: Any = partial(phantom_one, folder=tmp_path / "here", seed=0)
    assert list(on(partial(phantom_one, folder=tmp_path / "there", seed=0), films)) == [here(film) for film in films]
    assert [(tmp_path / "there" / film.path).read_bytes() for film in films] == [
        (tmp_path / "here" / film.path).read_bytes() for film in films
    ]
    jobs = [FilmJob(str(path)) for path in sorted((project.root / "data/raw").rglob("*.jpeg"))[:5]]
    work = partial(prepare, params=NormalizeParams())
    for found, job in zip(on(work, jobs), jobs, strict=True):
        assert found.image is not None
        assert found.image.tobytes() == work(job).image.tobytes()  # type: ignore[union-attr]  # the one is as the other


def at_work(project: runs.Project) -> runs.When:
    """Return what tells that a shard is written already, and others are not."""
    return lambda _process: any((project.root / "data/augmented/shards").glob("*.parquet"))


def test_a_killed_run_changes_no_byte_and_leaves_nothing(own: runs.Project) -> None:
    killed = kill.kill_once(own, "augment", "run", at_work(own), random.Random(0))  # noqa: S311 - no secret
    assert killed.hit
    assert killed.identical
    assert (killed.files, killed.processes) == (0, 0)


@pytest.mark.parametrize(
    ("cluster", "number"), [("dask", signal.SIGINT), ("ray", signal.SIGTERM)], indirect=["cluster"]
)
def test_a_stopped_run_ends_in_one_line_and_its_jobs_with_it(own: runs.Project, number: signal.Signals) -> None:
    own.clear("augment")
    stop = kill.stop_once(own, "augment", number, at_work(own))
    assert stop.code == 1
    (line,) = stop.lines
    assert line.startswith(f"Error: augment: stopped by {number.name} ")
    assert (stop.files, stop.processes) == (0, 0)
    assert own.cluster is not None
    assert nothing_serves(own.cluster)  # and so nothing writes


@pytest.mark.parametrize("cluster", ["dask"], indirect=True)
def test_a_scheduler_that_dies_is_one_line_and_the_run_goes_on_elsewhere(own: runs.Project, tmp_path: Path) -> None:
    expected = own.digest()
    own.clear("augment")
    (tmp_path / "dying").mkdir()
    with clusters.dask_cluster(tmp_path / "dying", workers=("--no-nanny",)) as dying:
        process = replace(own, cluster=dying).start("augment")
        runs.wait_until(at_work(own), process)
        os.kill(dying.scheduler, signal.SIGKILL)
        said, _ = process.communicate()
    assert process.returncode == 1
    (line,) = said.splitlines()
    assert line.startswith("Error: augment: the Dask scheduler tcp://127.0.0.1:")
    assert line.endswith("is gone; start it again and run the same command again: finished shards are kept")
    assert not own.unfinished()
    assert "images kept from before" in own.run("augment")
    assert own.digest() == expected


def test_a_cluster_without_any_worker_is_waited_for_and_then_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_module, "PATIENCE_S", 2.0)
    with clusters.dask_cluster(tmp_path, workers=("--no-nanny",)) as dying:
        on = Workers(backend="dask", jobs=0, track=silent, scheduler=dying.address)
        results = on(after_a_while, range(2000))
        assert next(iter(results)) == 0
        os.kill(dying.workers()[0], signal.SIGKILL)
        with pytest.raises(CxrError, match=r"the Dask scheduler tcp://.* has had no worker for 2 s; start some"):
            list(results)
        workers.dismiss()


class Deserted:
    """A cluster whose workers are all gone: what is looked at is counted."""

    name, local, looks = "the deserted cluster", False, 0

    def slots(self) -> int:
        return 0

    def look(self) -> None:
        self.looks += 1

    def drop(self, tasks: Collection[Any]) -> None:
        assert not tasks


def test_a_cluster_without_any_worker_is_looked_at_now_and_then_and_not_all_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cluster_module, "LOOK_S", 0.1)
    monkeypatch.setattr(cluster_module, "PATIENCE_S", 0.5)
    deserted: Any = Deserted()
    run: Any = cluster_module.OnCluster(deserted, terms.Terms("", "", (), {}, 0), square, HandedOut([1]), None, jobs=0)
    with pytest.raises(CxrError, match=r"the deserted cluster has had no worker for 0\.5 s"):
        list(run())
    assert 1 <= deserted.looks <= 6  # once after each wait, however slow the machine


@pytest.mark.parametrize(
    ("flags", "code", "told"),
    [
        (("--scheduler", "tcp://127.0.0.1:1"), 2, "goes with --backend dask; found --backend loky"),
        (("--backend", "dask", "--address", "auto"), 2, "goes with --backend ray; found --backend dask"),
        (("--backend", "dask", "--scheduler", "tcp://127.0.0.1:1"), 1, "no Dask scheduler answers there; start one"),
        (("--backend", "dask", "--scheduler", "ftp://127.0.0.1:1"), 2, "expected tcp://host:port"),
        (("--backend", "ray", "--address", "127.0.0.1:1"), 1, "no Ray cluster answers there"),
        (("--backend", "ray", "--address", "ray://127.0.0.1:1"), 1, "no Ray cluster answers there"),
    ],
)
def test_an_address_where_nobody_listens_or_of_another_backend_is_one_line(
    project: runs.Project, flags: tuple[str, ...], code: int, told: str
) -> None:
    said = CliRunner().invoke(main, ["verify", "--root", str(project.root), *flags])
    assert said.exit_code == code
    assert told in said.output.splitlines()[-1]
    assert not project.unfinished()
