"""Build: four stages in one run, the same bytes as one by one, each film decoded once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from stages import build, normalize, paths
from stages.ahead import kept_ahead
from stages.augment import AugmentParams
from stages.build import BuildParams
from stages.contract import Machine, ParamsError, StageError
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
    """Which is what it is for."""
    decoded: list[int] = []
    whole = decode.decode

    def counted(data: bytes) -> Any:
        decoded.append(len(data))
        return whole(data)

    monkeypatch.setattr(decode, "decode", counted)
    build.run(PARAMS, tmp_path, replace(machine, raw=raw))
    assert len(decoded) == sum(path.is_file() for path in raw.rglob("*"))


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

    def fail(_params: Any, root: Path, _machine: Machine) -> Any:
        assert len(list(root.rglob(".ahead*/*"))) > 30
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


def test_a_kept_film_is_what_normalize_makes_of_the_file_and_is_taken_once(tmp_path: Path) -> None:
    """Pixels and placement."""
    image = Image.linear_gradient("L").resize((90, 61))
    with kept_ahead(tmp_path, FRAME, "cover") as ahead:
        ahead.keep("a" * 64, image)
        placement = place(Frame(height=61, width=90), frame=FRAME, policy="cover")
        taken = ahead.take("a" * 64)
        assert taken is not None
        assert taken[0].tobytes() == fit(image, placement).tobytes()
        assert taken[1] == placement
        assert ahead.take("a" * 64) is None
        assert ahead.take("b" * 64) is None
    assert not list(tmp_path.iterdir())


def test_a_film_that_changes_after_it_was_decoded_is_as_the_audit_saw_it(
    tmp_path: Path, raw: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row's film_id and pixels stay true to each other; a run stage by stage refuses the film."""
    own = replace(machine, raw=raw)
    victim = min(raw.rglob("person1_bacteria*"))
    split_run = build.CHAIN[1].run

    def spoil(params: Any, root: Path, within: Machine) -> Any:
        victim.write_bytes(b"another film")
        return split_run(params, root, within)

    monkeypatch.setattr(build, "CHAIN", (build.CHAIN[0], replace(build.CHAIN[1], run=spoil), *build.CHAIN[2:]))
    build.run(PARAMS, tmp_path, own)
    with pytest.raises(StageError, match="changed since the audit"):
        normalize.run(NormalizeParams(height=33, width=40), tmp_path, own)
