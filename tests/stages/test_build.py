"""Build: four stages in one run, the same bytes as one by one, each film decoded once."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from stages import build, normalize, paths
from stages.ahead import kept_ahead
from stages.auditing import pictured
from stages.augment_params import AugmentParams
from stages.build import BuildParams
from stages.contract import Machine, ParamsError, Root, StageError
from stages.films import decode
from stages.films.frame import Frame
from stages.films.placement import fit, place
from stages.normalize import NormalizeParams

FilesOf = Callable[[Path], dict[str, bytes]]
FRAME = Frame(height=32, width=40)
PARAMS = BuildParams(normalize=NormalizeParams(height=32, width=40), augment=AugmentParams(copies=2))


@pytest.fixture
def raw(project: Path) -> Path:
    """Return a raw folder with a film that is there twice and one that is cut off."""
    folder = project / paths.RAW
    films = sorted((folder / "train").rglob("*.jpeg"))
    (folder / "train/NORMAL/IM-0777-0001.jpeg").write_bytes(films[0].read_bytes())
    (folder / "train/NORMAL/IM-0778-0001.jpeg").write_bytes(films[1].read_bytes()[:-200])
    return folder


@pytest.mark.parametrize(
    "params",
    [
        PARAMS,
        PARAMS.model_copy(
            update={"normalize": NormalizeParams(height=32, width=40, policy="letterbox", encoding="png")}
        ),
        PARAMS.model_copy(update={"normalize": NormalizeParams(height=32, width=40, policy="crop", layout="folder")}),
    ],
    ids=["cover", "letterbox, png", "crop, folder"],
)
def test_a_build_leaves_the_bytes_that_its_stages_leave_one_by_one(
    tmp_path: Path, raw: Path, machine: Machine, files_of: FilesOf, params: BuildParams
) -> None:
    """Every file under data and reports, and nothing else."""
    own = replace(machine, raw=raw)
    report = build.run(params, tmp_path / "built", own)
    for stage in build.CHAIN:
        stage.run(getattr(params, stage.name), tmp_path / "by-stage", own)
    assert files_of(tmp_path / "built") == files_of(tmp_path / "by-stage")
    assert not list((tmp_path / "built").rglob(".ahead*"))
    assert report.set_aside == {"duplicate": 1, "truncated": 1}
    assert report.done == 3 * sum(split == "train" for split in _splits(tmp_path / "built"))


def _splits(root: Path) -> list[Any]:
    import pyarrow.parquet as pq  # noqa: PLC0415 - beside its one use

    splits: list[Any] = pq.read_table(root / paths.SPLIT).column("split").to_pylist()
    return splits


def test_a_build_decodes_each_file_once(
    tmp_path: Path, raw: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which is what it is for. Those few that the audit's page shows are decoded again, when it is known which."""
    decoded: list[int] = []
    whole = decode.decode

    def counted(data: bytes, **told: Any) -> Any:
        decoded.append(len(data))
        return whole(data, **told)

    monkeypatch.setattr(decode, "decode", counted)
    build.run(PARAMS, tmp_path, replace(machine, raw=raw))
    shown = pictured.paths_of(json.loads((tmp_path / paths.AUDIT_SUMMARY).read_text()))
    assert len(decoded) == sum(path.is_file() for path in raw.rglob("*")) + len(shown)


def test_parameters_that_cannot_hold_are_refused_before_a_film_is_read(
    tmp_path: Path, raw: Path, machine: Machine
) -> None:
    """Not after an hour, when augment comes to its turn."""
    impossible = BuildParams(
        normalize=NormalizeParams(height=32, width=40),
        augment=AugmentParams.model_validate(
            {"operations": [{"op": "rotate", "degrees": 90}, {"op": "shift", "share": 0.45}]}
        ),
    )
    with pytest.raises(ParamsError, match="cannot hold"):
        build.run(impossible, tmp_path / "new", replace(machine, raw=raw))
    assert not (tmp_path / "new").exists()


def test_a_build_that_fails_leaves_no_films_lying_about(
    tmp_path: Path, raw: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are as large as the normalized set."""

    def fail(_params: Any, _root: Root, _machine: Machine) -> Any:
        assert sum(file.stat().st_size for file in tmp_path.rglob(".ahead*/*")) > 30 * FRAME.pixels
        raise StageError("on purpose")

    monkeypatch.setattr(build, "CHAIN", (build.CHAIN[0], replace(build.CHAIN[1], run=fail)))
    with pytest.raises(StageError, match="on purpose"):
        build.run(PARAMS, tmp_path, replace(machine, raw=raw))
    assert not list(tmp_path.rglob(".ahead*"))


def test_a_second_build_keeps_what_is_finished(tmp_path: Path, raw: Path, machine: Machine, files_of: FilesOf) -> None:
    """Shards that are there are not written again."""
    own = replace(machine, raw=raw)
    build.run(PARAMS, tmp_path, own)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("shards/*")}
    bytes_before = files_of(tmp_path)
    build.run(PARAMS, tmp_path, own)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("shards/*")} == before
    assert files_of(tmp_path) == bytes_before


def test_kept_films_are_found_as_normalize_makes_them_of_their_files(tmp_path: Path) -> None:
    """Pixels and placement, of films that share a file as of others; who was not kept is not found."""
    gradient = Image.linear_gradient("L")
    films = {"a" * 64: (90, 61), "aa" + "b" * 62: (50, 60), "c" * 64: (61, 90)}
    with kept_ahead(tmp_path, FRAME, "cover") as ahead:
        for film_id, size in films.items():
            ahead.keep(film_id, gradient.resize(size))
        found = ahead.found([*films, "d" * 64])
        assert set(found) == set(films)
        for film_id, (width, height) in films.items():
            placement = place(Frame(height=height, width=width), frame=FRAME, policy="cover")
            assert found[film_id][0].tobytes() == fit(gradient.resize((width, height)), placement).tobytes()
            assert found[film_id][1] == placement
        assert set(ahead.found(["c" * 64])) == {"c" * 64}
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("cut", [1, FRAME.pixels, FRAME.pixels + 1, FRAME.pixels + 39])
def test_a_film_that_a_killed_process_kept_in_part_is_not_found(tmp_path: Path, cut: int) -> None:
    """Those before it in its file are."""
    image = Image.linear_gradient("L")
    with kept_ahead(tmp_path, FRAME, "cover") as ahead:
        ahead.keep("a" * 64, image)
        ahead.keep("aa" + "b" * 62, image)
        (file,) = ahead.folder.iterdir()
        with file.open("r+b") as opened:
            opened.truncate(file.stat().st_size - cut)
        assert set(ahead.found(["a" * 64, "aa" + "b" * 62])) == {"a" * 64}


def test_a_film_that_the_disk_takes_in_part_ends_the_run(tmp_path: Path) -> None:
    """Another behind it would be read from the middle of this one."""
    image = Image.linear_gradient("L")
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    with kept_ahead(tmp_path, FRAME, "cover") as ahead:
        resource.setrlimit(resource.RLIMIT_FSIZE, (FRAME.pixels // 2, most))
        try:
            with pytest.raises(OSError, match="No space left on device"):
                ahead.keep("a" * 64, image)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))


def test_a_film_that_changes_after_it_was_decoded_is_as_the_audit_saw_it(
    tmp_path: Path, raw: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row's film_id and pixels stay true to each other; a run stage by stage refuses the film."""
    own = replace(machine, raw=raw)
    victim = min(raw.rglob("person1_bacteria*"))
    split_run = build.CHAIN[1].run

    def spoil(params: Any, root: Root, within: Machine) -> Any:
        victim.write_bytes(b"another film")
        return split_run(params, root, within)

    monkeypatch.setattr(build, "CHAIN", (build.CHAIN[0], replace(build.CHAIN[1], run=spoil), *build.CHAIN[2:]))
    build.run(PARAMS, tmp_path, own)
    with pytest.raises(StageError, match="changed since the audit"):
        normalize.run(NormalizeParams(height=33, width=40), tmp_path, own)
