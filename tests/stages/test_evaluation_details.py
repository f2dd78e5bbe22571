import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from shutil import rmtree
from typing import Any

import numpy as np
import pytest

from manifests import store
from manifests.rows import AUDITED, NORMALIZED
from stages import audit, augment, normalize, paths, split
from stages.augment_params import AugmentParams
from stages.contract import Machine, StageError
from stages.evaluation_details import details, series
from stages.scoring import Images, Probabilities, read_images

CLASSES = ["normal", "bacterial", "viral"]
SPLITS = ("train", "val", "test")


def images_of(root: Path) -> dict[str, Images]:
    films = read_images(root, paths.NORMALIZED, NORMALIZED)
    return {name: films.of(name) for name in SPLITS}


def told(images: Mapping[str, Images], classes: int = 3, models: int = 1) -> dict[str, dict[str, Probabilities]]:
    """Return what networks might say of each film: something that its hash decides."""
    return {f"model {number}": _told(images, classes, number) for number in range(models)}


def _told(images: Mapping[str, Images], classes: int, model: int) -> dict[str, Probabilities]:
    found = {}
    for name, of_split in images.items():
        seeds = [int(row.film_id[:8], 16) + model for row in of_split.rows]
        weights = np.array([np.random.Generator(np.random.Philox(key=seed)).random(classes) for seed in seeds])
        found[name] = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return found


def details_of(root: Path, classes: list[str] = CLASSES) -> dict[str, Any]:
    images = images_of(root)
    return details(root, images, told(images), classes, draws=100, seed=0)


@pytest.fixture
def augmented(project: Path, machine: Machine) -> Path:
    """Return the project with copies that have margins."""
    augment.run(AugmentParams(copies=2, margins="black"), project, machine)
    return project


def test_the_details_are_json_of_every_split(augmented: Path) -> None:
    found = details_of(augmented)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    for figure in ("errors", "further", "reliability"):
        assert list(found[figure]) == list(SPLITS)
    for figure in ("subgroups", "gallery"):
        assert list(found[figure]) == ["val", "test"]
    assert found["normal_class"] == "normal"


def test_a_splits_errors_are_its_wrong_films(project: Path) -> None:
    images = images_of(project)
    said = told(images)
    for name, found in details(project, images, said, CLASSES, draws=100, seed=0)["errors"].items():
        wrong = int((said["model 0"][name].argmax(axis=1) != images[name].labels).sum())
        assert found["errors"] == found["detection"] + found["cause"] == wrong


def test_scores_of_several_models_are_means_and_counts_are_sums(project: Path) -> None:
    images = images_of(project)
    said = told(images, models=3)
    together = details(project, images, said, CLASSES, draws=100, seed=0)
    each = [details(project, images, {name: of_model}, CLASSES, draws=100, seed=0) for name, of_model in said.items()]
    for split_name in SPLITS:
        further = [found["further"][split_name] for found in each]
        for score in ("mcc", "brier", "log_loss", "macro_recall", "calibration_error"):
            assert together["further"][split_name][score] == pytest.approx(np.mean([of[score] for of in further]))
        assert together["further"][split_name]["auc"]["viral"] == pytest.approx(
            np.mean([of["auc"]["viral"] for of in further])
        )
        for count in ("films", "errors", "detection", "cause"):
            assert together["errors"][split_name][count] == sum(found["errors"][split_name][count] for found in each)
        assert sum(place["films"] for place in together["reliability"][split_name]) == 3 * len(images[split_name].rows)


def test_without_a_normal_class_the_split_of_errors_says_that_it_does_not_apply(project: Path) -> None:
    found = details_of(project, ["clear", "bacterial", "viral"])
    assert "errors" not in found
    assert "named as one without findings is (normal, no finding, healthy)" in found["errors_not_split"]


def test_the_wrong_films_shown_are_of_the_split_and_wrong(project: Path) -> None:
    images = images_of(project)
    for name, films in details(project, images, told(images), CLASSES, draws=100, seed=0)["gallery"].items():
        by_id = {row.film_id: row for row in images[name].rows}
        assert all(film["truth"] == by_id[film["film_id"]].label != film["said"] for film in films)


def test_subgroups_join_the_raw_film_by_its_hash(tmp_path: Path, machine: Machine, film_file: Any) -> None:
    """Films of three sizes and two modes; those of val are scored."""
    for seed in range(60):
        mode = "RGB" if seed % 4 == 0 else "L"
        size = {"height": 40 + 20 * (seed % 3), "width": 60 + 2 * seed}
        film_file(tmp_path / f"data/raw/{('ill', 'normal')[seed % 2]}/{seed:02d}.png", seed, mode=mode, **size)
    audit.run(audit.AuditParams(), tmp_path, machine)
    split.run(split.SplitParams(), tmp_path, machine)
    normalize.run(normalize.NormalizeParams(height=32, width=40, policy="crop"), tmp_path, machine)
    images = images_of(tmp_path)
    found = details(tmp_path, images, told(images, 2), ["ill", "normal"], draws=100, seed=0)["subgroups"]
    raw = {row.film_id: row for row in store.read(AUDITED, tmp_path / paths.AUDIT)}
    for name in ("val", "test"):
        films = [raw[row.film_id] for row in images[name].rows]
        modes = {mode: figures["films"] for mode, figures in found[name]["mode"].items()}
        assert modes == {mode: sum(film.mode == mode for film in films) for mode in ("L", "RGB")}
        low, high = (sorted(film.width * film.height for film in raw.values())[place] for place in (20, 40))  # type: ignore[operator]
        sizes = [film.width * film.height for film in films]  # type: ignore[operator]
        expected = [sum(size < low for size in sizes), sum(low <= size < high for size in sizes)]
        counted = [figures["films"] for figures in found[name]["raw size, megapixels"].values()]
        assert counted == [*expected, len(sizes) - sum(expected)]
        assert set(found[name]["margins"]) == {"padded", "without margin"}
        assert "series" not in found[name], "patients of the folder names have none"


def test_without_the_audit_the_subgroups_of_raw_files_are_left_out(project: Path) -> None:
    known = details_of(project)["subgroups"]["test"]
    rmtree(project / "data/audit")
    assert details_of(project)["subgroups"]["test"] == {
        name: figures for name, figures in known.items() if name in ("series", "margins")
    }
    assert set(known["series"]) == {"IM", "person"}


def test_margins_are_those_of_the_manifest_class_by_class(project: Path, machine: Machine) -> None:
    normalize.run(normalize.NormalizeParams(height=32, width=60, policy="letterbox"), project, machine)
    rows = [row for row in store.read(NORMALIZED, project / paths.NORMALIZED_MANIFEST) if row.split == "train"]
    found = details_of(project)["margins"]["train"]
    for name in CLASSES:
        of_class = [row for row in rows if row.label == name]
        assert found[name]["films"] == len(of_class)
        assert found[name]["padded_mean"] == pytest.approx(np.mean([row.padded for row in of_class]))
        assert found[name]["padded_films"] == 1
        assert found[name]["lost_mean"] == 0


def test_what_the_copies_lack_is_told_by_class_and_without_copies_not_at_all(augmented: Path) -> None:
    found = details_of(augmented)["unfilled"]
    assert list(found) == CLASSES
    assert all(0 < of_class["mean"] < of_class["most"] < 0.5 for of_class in found.values())
    rmtree(augmented / paths.AUGMENTED)
    assert details_of(augmented)["unfilled"] == {}


def test_a_network_whose_probabilities_are_no_numbers_is_refused(project: Path) -> None:
    images = images_of(project)
    probabilities = told(images)
    probabilities["model 0"]["val"][1] = np.nan
    with pytest.raises(StageError, match=r"probabilities of 1 of \d+ films of val are no numbers; .*; train again"):
        details(project, images, probabilities, CLASSES, draws=100, seed=0)


def test_a_series_is_read_from_kermanys_groups_alone(project: Path) -> None:
    row = images_of(project)["test"].rows[0]
    for group, expected in ((f"{row.label}/IM/101", "IM"), ("film/normal/1", None), (f"{row.label}/1", None)):
        assert series(replace(row, group_id=group)) == expected
    assert series(replace(row, group_id=f"{row.label}/IM/one")) is None
    assert series(replace(row, group_id=None)) is None


@pytest.mark.real
def test_of_real_films_the_crop_pads_the_normal_ones_and_cuts_the_others(
    real_films: Path, tmp_path: Path, machine: Machine
) -> None:
    """Normal films are nearly square, films with pneumonia are wide: the frame of the 2020 recipe tells them apart."""
    audit.run(audit.AuditParams(), tmp_path, replace(machine, raw=real_films / "kermany-raw/test"))
    split.run(split.SplitParams(leak_probe_fraction=0), tmp_path, machine)
    normalize.run(normalize.NormalizeParams(policy="crop"), tmp_path, machine)
    found = details_of(tmp_path)
    films = {name: [of_split[name] for of_split in found["margins"].values()] for name in CLASSES}
    assert {name: sum(part["films"] for part in parts) for name, parts in films.items()} == {
        "normal": 34,
        "bacterial": 39,
        "viral": 23,
    }
    padded = {name: sum(part["films"] * part["padded_films"] for part in parts) for name, parts in films.items()}
    assert padded["normal"] / 34 > (padded["bacterial"] + padded["viral"]) / 62
    lost = {name: sum(part["films"] * part["lost_mean"] for part in parts) for name, parts in films.items()}
    assert lost["normal"] / 34 < lost["bacterial"] / 39
    for name in ("val", "test"):
        assert set(found["subgroups"][name]["series"]) == {"IM", "NORMAL2-IM", "person"}
