"""Replay: every image is made anew from its raw film and its row, byte for byte; whatever differs is named."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from shutil import rmtree
from typing import Any

import pytest
from click.testing import CliRunner

from manifests import store
from manifests.rows import NORMALIZED, AugmentedRow, NormalizedRow
from manifests.shards import ImageFolder
from pipeline.cli import main
from stages import augment, normalize, paths, replay
from stages.augment_params import AugmentParams
from stages.contract import Failure, Machine, ParamsError, Report, StageError
from stages.drawn import AUGMENTED
from stages.films import codec, decode
from stages.films.header import DecodeError
from stages.films.operations import Brightness, Contrast, Flip, Gamma, Rotate, Shift
from stages.normalize import NormalizeParams
from stages.replay import ReplayParams

SMALL = {"height": 32, "width": 40}
FILMS = 36
COPIES = 3
RECIPES: dict[str, tuple[NormalizeParams, AugmentParams]] = {
    "default": (NormalizeParams(**SMALL), AugmentParams(copies=COPIES)),
    "2020": (
        NormalizeParams(**SMALL, policy="crop"),
        AugmentParams(copies=COPIES, margins="black", interpolation="nearest", quality=75),
    ),
    "all operations": (
        NormalizeParams(**SMALL),
        AugmentParams(
            copies=COPIES,
            operations=(Contrast(), Gamma(), Brightness(), Shift(), Rotate(), Flip()),
            margins="reflect",
        ),
    ),
    "folders": (NormalizeParams(**SMALL, layout="folder"), AugmentParams(copies=COPIES, layout="folder")),
    "png": (NormalizeParams(**SMALL, encoding="png"), AugmentParams(copies=COPIES, encoding="png")),
    "letterbox": (NormalizeParams(**SMALL, policy="letterbox"), AugmentParams(copies=COPIES, margins="replicate")),
    "squeeze": (NormalizeParams(**SMALL, policy="squeeze"), AugmentParams(copies=COPIES, seed=9, encoding="pgm")),
    "originals alone": (NormalizeParams(**SMALL), AugmentParams(copies=0)),
}


def make(root: Path, machine: Machine, recipe: str = "default") -> Path:
    normalized, augmented = RECIPES[recipe]
    normalize.run(normalized, root, machine)
    augment.run(augmented, root, machine)
    return root


@pytest.fixture
def made(project: Path, machine: Machine) -> Path:
    """Return the root of 36 films and three copies of each of those for training."""
    return make(project, machine)


@pytest.fixture
def in_folders(project: Path, machine: Machine) -> Path:
    """Return the same in the folder layout."""
    return make(project, machine, "folders")


def copies_of(root: Path) -> list[AugmentedRow]:
    return store.read(AUGMENTED, root / paths.AUGMENTED_MANIFEST)


def whole(root: Path, machine: Machine) -> Report:
    return replay.run(ReplayParams(all_=True), root, machine)


def one(root: Path, machine: Machine, **asked: Any) -> Report:
    return replay.run(ReplayParams(**asked), root, machine)


def rewrite(root: Path, rows: Sequence[AugmentedRow], **footer: Any) -> None:
    """Put other rows, or another footer, into the augmented manifest, under a seal that fits."""
    path = root / paths.AUGMENTED_MANIFEST
    store.write(rows, AUGMENTED, path, replace(store.read_footer(path), **footer))


def darken(path: Path) -> None:
    """Replace an image file by a darker one."""
    grey = codec.decode(path.read_bytes())
    path.write_bytes(codec.encode(grey // 2, encoding="jpeg"))


# --- the whole set ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_image_of_a_set_is_replayed_byte_for_byte(project: Path, machine: Machine, recipe: str) -> None:
    make(project, machine, recipe)
    report = whole(project, machine)
    rows = copies_of(project)
    assert not report.failed, report.lines
    assert report.verdict == "all byte for byte the same"
    assert report.done == FILMS + len(rows)
    assert any(f"the stored: {report.done:,} of {report.done:,}" in line for line in report.lines)
    copies = sum(row.copy > 0 for row in rows)
    assert any(f"the same numbers for {copies} of {copies}" in line for line in report.lines)


def test_a_set_that_is_not_augmented_yet_is_replayed_as_far_as_it_goes(project: Path, machine: Machine) -> None:
    report = whole(project, machine)
    assert not report.failed
    assert report.done == FILMS


def test_films_that_crashed_have_no_image_to_replay(project: Path, machine: Machine) -> None:
    films = store.read(NORMALIZED, project / paths.NORMALIZED_MANIFEST)
    lost = next(film.film_id for film in films if film.split == "train")

    def fan_out(work: Any, jobs: Any, *, retry: Any = None, **_shown: Any) -> list[Any]:
        return [work(retry.without(job, {lost: Failure("crashed", "ended its process")})) for job in jobs]

    rmtree(project / paths.NORMALIZED)
    make(project, replace(machine, fan_out=fan_out))
    report = whole(project, machine)
    assert not report.failed, report.lines
    assert report.done == FILMS - 1 + len(copies_of(project))
    with pytest.raises(ParamsError, match=r"no image was made of that film \(ended its process\)"):
        one(project, machine, film=lost)


# --- one image -------------------------------------------------------------------------------------------------


def test_an_image_is_named_by_the_start_of_its_films_hash_and_its_copy(made: Path, machine: Machine) -> None:
    row = next(row for row in copies_of(made) if row.copy == 2)
    report = one(made, machine, film=row.film_id[:12], copy_=2)
    text = "\n".join(report.lines)
    assert not report.failed
    assert report.verdict == "byte for byte the same as the manifest's and the stored"
    for said in (row.film_id, row.path, str(row.sha256), f"2 of {COPIES}", f"{row.drawn['angle_deg']:.4f}"):
        assert said in text
    assert "drawn again from seed 0: the same numbers" in text
    assert "as when it was made" in text


def test_an_image_is_named_by_its_path_or_by_its_raw_films(made: Path, machine: Machine) -> None:
    row = next(row for row in copies_of(made) if row.copy == 1)
    assert not one(made, machine, path=row.path).failed
    raw = next(line for line in one(made, machine, path=row.path).lines if line.startswith("raw"))
    found = re.search(r"train/\S+\.jpeg", raw)
    assert found
    assert row.film_id in "\n".join(one(made, machine, film=found[0]).lines)


def test_a_normalized_film_outside_train_is_replayed_by_its_path(made: Path, machine: Machine) -> None:
    films = store.read(NORMALIZED, made / paths.NORMALIZED_MANIFEST)
    film = next(film for film in films if film.split == "test")
    report = one(made, machine, path=film.path)
    assert not report.failed
    assert any(film.sha256 in line for line in report.lines)


def test_out_writes_the_image_as_it_was_made_anew(made: Path, machine: Machine, tmp_path: Path) -> None:
    row = copies_of(made)[-1]
    report = one(made, machine, path=row.path, out=str(tmp_path / "image.jpeg"))
    ((_, stored),) = ImageFolder(made / paths.AUGMENTED, "shards").read_images([row])
    assert (tmp_path / "image.jpeg").read_bytes() == stored
    assert report.written == (str(tmp_path / "image.jpeg"),)


# --- what differs ----------------------------------------------------------------------------------------------


def test_a_raw_film_that_changed_is_named_and_replayed_by_none(made: Path, machine: Machine) -> None:
    raw = made / "data/raw/train/NORMAL/IM-0001-0001.jpeg"
    raw.write_bytes(raw.read_bytes() + b"x")
    report = whole(made, machine)
    assert report.failed
    assert any("IM-0001-0001.jpeg: has changed since the audit" in line for line in report.lines)
    with pytest.raises(StageError, match="has changed since the audit"):
        one(made, machine, film="train/NORMAL/IM-0001-0001.jpeg")


def test_a_raw_film_that_the_codecs_no_longer_read_is_named_and_the_others_are_replayed(
    made: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw, as_ever = (made / "data/raw/test/NORMAL/IM-0101-0001.jpeg").read_bytes(), decode.decode

    def without_its_codec(data: bytes) -> Any:
        if data == raw:
            raise DecodeError("undecodable", "a codec is missing")
        return as_ever(data)

    monkeypatch.setattr(decode, "decode", without_its_codec)
    report = whole(made, machine)
    assert report.failed
    assert any("IM-0101-0001.jpeg: the audit could read it" in line for line in report.lines)
    assert report.done == FILMS - 1 + len(copies_of(made))
    assert report.verdict == f"1 of {report.done + 1:,} cannot be made"
    assert not any("differ: " in line for line in report.lines)
    with pytest.raises(StageError, match="a codec is missing"):
        one(made, machine, film="test/NORMAL/IM-0101-0001.jpeg")


def test_a_stored_image_that_changed_is_told_in_grey_levels(in_folders: Path, machine: Machine) -> None:
    row = next(row for row in copies_of(in_folders) if row.copy == 1)
    darken(in_folders / paths.AUGMENTED / row.path)
    told = r"grey levels differ by at most \d+, by \d+\.\d{3} on average"
    single, every = one(in_folders, machine, path=row.path), whole(in_folders, machine)
    assert single.failed
    assert re.fullmatch(told, single.verdict)
    assert every.failed
    assert any(re.search(f"{row.path}: {told}", line) for line in every.lines)
    assert any("a row or an image was changed; run `cxr-pipeline verify`" in line for line in every.lines)


def test_a_stored_image_that_is_gone_is_told_and_the_others_are_replayed(in_folders: Path, machine: Machine) -> None:
    rows = copies_of(in_folders)
    (in_folders / paths.AUGMENTED / rows[0].path).unlink()
    report = whole(in_folders, machine)
    assert report.failed
    assert any(f"{rows[0].path}: the stored image cannot be read" in line for line in report.lines)
    assert report.verdict == f"1 of {FILMS + len(rows):,} differ"


def test_a_number_that_was_changed_in_a_row_is_found_by_the_pixels_and_by_the_seed(
    made: Path, machine: Machine
) -> None:
    rows = copies_of(made)
    at = next(at for at, row in enumerate(rows) if row.copy == 1)
    drawn = {**rows[at].drawn, "brightness": float(rows[at].drawn["brightness"]) * 0.9}
    rewrite(made, [*rows[:at], replace(rows[at], drawn=drawn), *rows[at + 1 :]])
    report = one(made, machine, path=rows[at].path)
    assert report.failed
    assert "grey levels differ by at most" in report.verdict
    assert "the row's numbers are not those that the seed gives" in report.verdict
    assert any("OTHER NUMBERS: the row was changed" in line for line in report.lines)
    assert whole(made, machine).verdict == f"1 of {FILMS + len(rows):,} differ"


def test_other_versions_than_those_of_the_footer_are_named(in_folders: Path, machine: Machine) -> None:
    rows = copies_of(in_folders)
    versions = store.read_footer(in_folders / paths.AUGMENTED_MANIFEST).versions
    rewrite(in_folders, rows, versions={**versions, "pillow": "1.2.3"})
    told = f"OTHERS THAN WHEN IT WAS MADE: pillow 1.2.3 then, {versions['pillow']} now"
    report = one(in_folders, machine, path=rows[0].path)
    assert not report.failed, "other versions alone are no difference"
    assert any(told in line for line in report.lines)
    darken(in_folders / paths.AUGMENTED / rows[0].path)
    for failing in (one(in_folders, machine, path=rows[0].path), whole(in_folders, machine)):
        assert failing.failed
        assert any(told in line for line in failing.lines)
        assert any("install those that made the set to decide" in line for line in failing.lines)


def test_a_normalized_film_that_changed_is_told_though_its_copies_are_as_they_were(
    in_folders: Path, machine: Machine
) -> None:
    row = copies_of(in_folders)[0]
    films: list[NormalizedRow] = store.read(NORMALIZED, in_folders / paths.NORMALIZED_MANIFEST)
    film = next(film for film in films if film.film_id == row.film_id)
    path = in_folders / paths.NORMALIZED / film.path
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    report = one(in_folders, machine, path=row.path)
    assert report.failed
    assert report.verdict == "the image is the same, its normalized film is not"


# --- what is asked ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, r"expected one of --film DIGITS \[--copy N\], --path PATH or --all; found 0 of them"),
        ({"film": "ab", "all_": True}, "found 2 of them"),
        ({"path": "a.jpeg", "copy_": 1}, "a path names its copy already"),
        ({"all_": True, "out": "x.jpeg"}, "--out writes one image"),
        ({"film": "no-such-film"}, "no such film or image in the manifests"),
        ({"path": "train/normal/no.jpeg"}, "no such film or image in the manifests"),
    ],
)
def test_what_names_no_image_is_refused(made: Path, machine: Machine, asked: dict[str, Any], said: str) -> None:
    with pytest.raises(ParamsError, match=said):
        one(made, machine, **asked)


def test_digits_that_several_films_begin_with_are_refused(made: Path, machine: Machine) -> None:
    ids = sorted(film.film_id for film in store.read(NORMALIZED, made / paths.NORMALIZED_MANIFEST))
    digit = next(one[0] for one, other in pairwise(ids) if one[0] == other[0])
    with pytest.raises(
        ParamsError, match=rf"--film {digit}: \d+ films begin so \(.*\); expected one; give more digits"
    ):
        one(made, machine, film=digit)


def test_a_copy_that_a_film_does_not_have_is_refused(made: Path, machine: Machine) -> None:
    film = copies_of(made)[0].film_id
    with pytest.raises(ParamsError, match=f"has copies 0 to {COPIES}"):
        one(made, machine, film=film, copy_=COPIES + 1)
    films = store.read(NORMALIZED, made / paths.NORMALIZED_MANIFEST)
    test_film = next(film.film_id for film in films if film.split == "test")
    with pytest.raises(ParamsError, match="has no copies"):
        one(made, machine, film=test_film, copy_=1)


def test_the_command_ends_in_0_where_all_is_the_same_1_where_not_2_where_nothing_is_named(
    in_folders: Path, files_of: Callable[[Path], dict[str, bytes]]
) -> None:
    def run(*arguments: str) -> int:
        command = ["replay", "--root", str(in_folders), "--backend", "sequential", *arguments]
        return CliRunner().invoke(main, command).exit_code

    before = files_of(in_folders)
    assert (run("--all"), run()) == (0, 2)
    assert files_of(in_folders) == before, "replay writes nothing, not even a lock"
    row = copies_of(in_folders)[0]
    darken(in_folders / paths.AUGMENTED / row.path)
    assert (run("--all"), run("--path", row.path)) == (1, 1)
