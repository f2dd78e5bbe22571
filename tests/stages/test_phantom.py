"""Phantoms: what the truth table says is what the files are."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from stages import phantom as tool
from stages.contract import Machine, Report, StageError
from stages.films import codec
from stages.films import phantom as drawing
from stages.films.frame import Frame, Gray, frame_of
from stages.films.phantom_canvas import blurred
from stages.films.phantom_faults import FAULTS, with_faults
from stages.films.phantom_plan import FEWEST_FILMS, LABELS, LARGEST, SMALLEST, PhantomFilm, plan
from tests.conftest import in_order, silent

Truth = dict[str, dict[str, str]]  # by path
NAMES = re.compile(
    r"(train|val|test)/(NORMAL/(NORMAL2-)?IM-\d{4}-\d{4}|PNEUMONIA/person\d+_(bacteria|virus)_\d+)\.(jpeg|png)"
)
UNDRAWN = {"empty", "truncated", "not_an_image", "undecodable", "too_large"}  # faults
MODES = {"L", "RGB", "CMYK", "LA", "1"}
QUICK = tool.PhantomParams(films=FEWEST_FILMS, seed=3, faults="all", longest_side_px=300)


def truth_of(folder: Path) -> Truth:
    """Read the truth table beside a folder."""
    text = folder.with_name(f"{folder.name}-truth.csv").read_text()
    return {row["path"]: row for row in csv.DictReader(io.StringIO(text))}


def files_of(folder: Path) -> dict[str, bytes]:
    """Return every file under a folder by its relative path."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    """Write the smallest set with every fault, once."""
    root = tmp_path_factory.mktemp("phantoms")
    return root / "data/raw", tool.run(QUICK, root, Machine(fan_out=in_order, track=silent))


def planted(made: tuple[Path, Report], fault: str) -> list[tuple[bytes, dict[str, str]]]:
    """Return bytes and truth of the files with a fault, at least two."""
    found = [row for row in truth_of(made[0]).values() if row["fault"] == fault]
    assert len(found) >= 2
    return [((made[0] / row["path"]).read_bytes(), row) for row in found]


def test_the_same_parameters_write_the_same_bytes_in_any_order(
    made: tuple[Path, Report], tmp_path: Path, upside_down: Machine
) -> None:
    tool.run(QUICK, tmp_path, upside_down)
    assert files_of(tmp_path / "data/raw") == files_of(made[0])
    assert truth_of(tmp_path / "data/raw") == truth_of(made[0])


def test_another_seed_writes_other_films() -> None:
    film = plan(FEWEST_FILMS, 0, longest_side_px=128)[0]
    assert not np.array_equal(drawing.draw(film, seed=0), drawing.draw(film, seed=1))


def test_the_truth_table_has_a_line_for_every_file(made: tuple[Path, Report]) -> None:
    truth = truth_of(made[0])
    assert set(files_of(made[0])) == set(truth)
    assert tuple(next(iter(truth.values()))) == tool.TRUTH_COLUMNS
    assert made[1].done == len(truth)
    assert made[1].written == ("data/raw", "data/raw-truth.csv")


def test_the_files_that_open_have_the_size_and_mode_of_the_truth(made: tuple[Path, Report]) -> None:
    for path, row in truth_of(made[0]).items():
        if row["fault"] not in UNDRAWN:
            with Image.open(made[0] / path) as image:
                image.load()
                assert (str(image.width), str(image.height), image.mode) == (row["width"], row["height"], row["mode"])


def test_names_and_tree_are_kaggles_and_tell_split_class_and_patient() -> None:
    films = with_faults(plan(300, 1, longest_side_px=2916), FAULTS, seed=1, longest_side_px=2916)
    for film in (film for film in films if film.fault != "unlabelled"):
        assert NAMES.fullmatch(film.path), film.path
        split, folder, name = film.path.split("/")
        assert split == film.delivered_split
        assert (folder == "NORMAL") == (film.label == "normal")
        number = re.search(r"(?:person|IM-)(\d+)", name)
        assert number is not None
        assert int(number[1]) == film.patient.number
        assert ("bacteria" in name, "virus" in name) == (film.label == "bacterial", film.label == "viral")


def test_patients_have_one_to_five_films_and_about_one_and_a_half() -> None:
    films = plan(600, 0, longest_side_px=2916)
    counted = Counter(film.patient for film in films)
    assert set(counted.values()) <= {1, 2, 3, 4, 5}
    assert 1.3 < len(films) / len(counted) < 1.7


def test_good_patients_never_cross_splits_and_numbers_restart_per_class() -> None:
    films = plan(200, 0, longest_side_px=2916)
    splits: dict[str, set[str]] = {}
    for film in films:
        splits.setdefault(film.patient.group, set()).add(film.delivered_split)
    assert all(len(of_group) == 1 for of_group in splits.values())
    numbers = {label: {film.patient.number for film in films if film.label == label} for label in LABELS}
    assert numbers["bacterial"] & numbers["viral"]


def test_class_shares_are_near_kaggles() -> None:
    films = plan(1000, 0, longest_side_px=2916)
    counted = Counter((film.delivered_split, film.label) for film in films)
    assert len(films) == 1000
    assert counted["test", "normal"] == 45
    assert [sum(counted[split, label] for label in LABELS) for split in ("test", "val")] == [120, 4]
    train = sum(counted["train", label] for label in LABELS)
    shares = [counted["train", label] / train for label in LABELS]
    assert shares == pytest.approx([0.26, 0.48, 0.26], abs=0.01)


def test_the_smallest_and_the_largest_real_size_are_there() -> None:
    frames = [film.frame for film in plan(FEWEST_FILMS, 0, longest_side_px=2916)]
    assert Frame(height=157, width=460) == SMALLEST
    assert Frame(height=2583, width=2916) == LARGEST
    assert {SMALLEST, LARGEST} <= set(frames)
    assert all(max(frame.height, frame.width) <= 2916 for frame in frames)


def test_a_limit_shrinks_films_and_keeps_their_shape() -> None:
    limited = plan(60, 0, longest_side_px=200)
    free = plan(60, 0, longest_side_px=2916)
    assert max(max(film.frame.height, film.frame.width) for film in limited) == 200
    for small, large in zip(limited, free, strict=True):
        assert small.path == large.path
        aspect = large.frame.width / large.frame.height
        assert small.frame.width / small.frame.height == pytest.approx(aspect, rel=0.02)


def test_only_a_few_pneumonia_films_are_rgb(made: tuple[Path, Report]) -> None:
    films = plan(400, 0, longest_side_px=2916)
    assert {film.label for film in films if film.mode == "RGB"} <= {"bacterial", "viral"}
    ill = [film for film in films if film.label != "normal"]
    assert 0.03 < sum(film.mode == "RGB" for film in ill) / len(ill) < 0.08
    assert {row["mode"] for row in truth_of(made[0]).values() if row["mode"]} == MODES


def test_a_minority_of_normal_films_is_narrower_than_the_frame() -> None:
    normal = [film.frame for film in plan(1000, 0, longest_side_px=2916) if film.label == "normal"]
    assert 0.1 < sum(frame.width / frame.height < 300 / 256 for frame in normal) / len(normal) < 0.5


def test_truncated_files_open_but_do_not_load(made: tuple[Path, Report]) -> None:
    for data, row in planted(made, "truncated"):
        assert row["expected_status"] == "truncated"
        with Image.open(io.BytesIO(data)) as image, pytest.raises(OSError, match="truncated"):
            image.load()


def test_empty_files_hold_nothing(made: tuple[Path, Report]) -> None:
    for data, row in planted(made, "empty"):
        assert data == b""
        assert (row["expected_status"], row["width"], row["mode"]) == ("empty", "", "")


def test_files_of_the_wrong_extension_are_good_png(made: tuple[Path, Report]) -> None:
    for data, row in planted(made, "wrong_extension"):
        assert row["expected_status"] == "ok"
        assert row["path"].endswith(".jpeg")
        with Image.open(io.BytesIO(data)) as image:
            assert image.format == "PNG"
            image.load()


def test_duplicates_equal_the_file_that_is_kept_and_sort_after_it(made: tuple[Path, Report]) -> None:
    truth = truth_of(made[0])
    for data, row in planted(made, "duplicate"):
        kept = truth[row["duplicate_of"]]
        assert (made[0] / kept["path"]).read_bytes() == data
        assert (row["expected_status"], kept["expected_status"]) == ("duplicate", "ok")
        assert kept["path"] < row["path"]
        assert kept["group"] != row["group"]
        assert (kept["delivered_split"], kept["label"]) == (row["delivered_split"], row["label"])


def test_no_bytes_are_shared_but_by_duplicates(made: tuple[Path, Report]) -> None:
    truth = truth_of(made[0])
    seen = Counter(hashlib.sha256(data).hexdigest() for data in files_of(made[0]).values() if data)
    faults = Counter(row["fault"] for row in truth.values())
    assert sum(seen.values()) - len(seen) == faults["duplicate"] + faults["label_conflict"] // 2


def test_siblings_across_splits_have_a_film_of_the_same_patient_in_test(made: tuple[Path, Report]) -> None:
    truth = truth_of(made[0])
    for _, row in planted(made, "sibling_across_splits"):
        assert (row["delivered_split"], row["expected_status"]) == ("train", "crosses_test")
        assert any(other["group"] == row["group"] and other["delivered_split"] == "test" for other in truth.values())


@pytest.mark.parametrize("fault", FAULTS)
def test_only_the_faults_asked_for_are_planted(fault: str) -> None:
    params = tool.PhantomParams(films=20, faults=fault, longest_side_px=100)
    films = tool.planned(params)
    assert Counter(film.fault for film in films) == {None: 20, fault: 2}
    assert len({film.path for film in films}) == len(films)


def test_faults_leave_the_good_films_as_they_are() -> None:
    good = plan(40, 0, longest_side_px=100)
    planted_too = with_faults(good, FAULTS, seed=0, longest_side_px=100)
    spoken_of = {"fault": None, "expected_status": "ok", "duplicate_of": None}
    assert set(good) <= {replace(film, **spoken_of) for film in planted_too}  # type: ignore[arg-type]


def test_unknown_faults_are_refused_by_name() -> None:
    with pytest.raises(ValidationError, match=r"holds cut; allowed: none, all"):
        tool.PhantomParams(faults="truncated,cut")


@pytest.mark.parametrize("out", ["", ".", "data/..", "/tmp/raw", "../raw", "data/../../raw"])  # noqa: S108 - refused
def test_a_folder_without_a_name_is_refused(out: str) -> None:
    with pytest.raises(ValidationError, match="expected the name of a folder"):
        tool.PhantomParams(out=out)


def test_a_folder_that_holds_something_is_refused(tmp_path: Path, machine: Machine) -> None:
    (tmp_path / "data/raw").mkdir(parents=True)
    (tmp_path / "data/raw/real.jpeg").write_bytes(b"precious")
    with pytest.raises(StageError, match=r"raw: holds real\.jpeg; expected a new or empty folder.*--force"):
        tool.run(QUICK, tmp_path, machine)
    assert files_of(tmp_path) == {"data/raw/real.jpeg": b"precious"}


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path, machine: Machine) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/raw").write_bytes(b"")
    with pytest.raises(StageError, match="no folder"):
        tool.run(QUICK, tmp_path, machine)


def test_force_writes_beside_what_is_there_and_says_so(tmp_path: Path, machine: Machine) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/real.jpeg").write_bytes(b"precious")
    params = QUICK.model_copy(update={"force": True, "out": "out", "faults": "none"})
    report = tool.run(params, tmp_path, machine)
    assert (tmp_path / "out/real.jpeg").read_bytes() == b"precious"
    assert any(line.startswith("1 files were there before") for line in report.lines)
    assert report.done == FEWEST_FILMS


def thumbnail(image: Gray) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return 32 x 32 grey levels with mean 0 and length 1."""
    small = cv2.resize(image, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float64).ravel()
    small -= small.mean()
    return np.asarray(small / np.linalg.norm(small), np.float64)


def test_different_patients_differ_siblings_resemble_and_recompression_changes_nothing() -> None:
    films = plan(40, 5, longest_side_px=300)
    images = [drawing.draw(film, seed=5) for film in films]
    thumbnails = np.stack([thumbnail(image) for image in images])
    alike = thumbnails @ thumbnails.T
    groups = np.array([film.patient.group for film in films])
    same = groups[:, None] == groups[None]
    others = alike[~same]
    siblings = alike[same & ~np.eye(len(films), dtype=bool)]
    assert others.max() < 0.97
    assert np.median(siblings) > np.percentile(others, 95)
    worse = codec.decode(codec.encode(images[0], encoding="jpeg", quality=60))
    assert thumbnail(images[0]) @ thumbnail(worse) > 0.995


def lung_brightness(film: PhantomFilm) -> float:
    """Return how bright the middle of the film is beside what it would be without illness."""
    healthy = replace(film, patient=replace(film.patient, label="normal"))
    ill_image, healthy_image = drawing.draw(film, seed=0), drawing.draw(healthy, seed=0)
    return float(ill_image.mean() - healthy_image.mean())


@pytest.mark.parametrize("label", ["bacterial", "viral"])
def test_illness_brightens_the_lungs(label: str) -> None:
    films = [film for film in plan(30, 0, longest_side_px=200) if film.label == label][:4]
    assert all(lung_brightness(film) > 2 for film in films)


def test_drawing_gives_grey_levels_of_the_planned_size_with_dark_and_bright() -> None:
    for film in plan(FEWEST_FILMS, 0, longest_side_px=300):
        image = drawing.draw(film, seed=0)
        assert image.dtype == np.uint8
        assert frame_of(image) == film.frame
        assert image.min() < 60
        assert image.max() > 180


def test_a_blur_leaves_its_layer_as_it_was() -> None:
    layer = np.random.default_rng(0).random((90, 120), np.float32)
    before = layer.copy()
    for sigma_px in (0.1, 2.0, 9.0):
        assert blurred(layer, sigma_px).shape == layer.shape
    assert np.array_equal(layer, before)
