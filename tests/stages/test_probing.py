from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from manifests import store
from manifests.rows import AUDITED, NORMALIZED, NormalizedRow
from stages import audit, normalize, paths, probe_summary, probing, split
from stages.contract import Machine, StageError
from stages.films.codec import decode
from stages.films.frame import Gray
from stages.films.pooled import border, cells
from stages.scoring import Images, read_images

ALL = ("train", "val", "test")
DrawFilm = Callable[..., Gray]


def images_of(root: Path) -> Images:
    return read_images(root, paths.NORMALIZED, NORMALIZED)


def prepared(root: Path, machine: Machine) -> Path:
    """Audit, split and normalize what lies under data/raw."""
    audit.run(audit.AuditParams(), root, machine)
    split.run(split.SplitParams(val_fraction=0.2, leak_probe_fraction=0), root, machine)
    normalize.run(normalize.NormalizeParams(height=64, width=64, policy="squeeze"), root, machine)
    return root


def two_classes(root: Path, encoded: Callable[..., bytes], draw: DrawFilm, mark: Callable[[Gray, bool], Any]) -> None:
    """Write films that tell nothing of their class; `mark` is given each with whether it is of the second class."""
    for number in range(120):
        second = number % 2 == 1
        path = root / f"data/raw/{'train' if number < 96 else 'test'}/{'ab'[second]}/{number}.jpeg"
        path.parent.mkdir(parents=True, exist_ok=True)
        film, options = mark(draw(number, height=96, width=96).copy(), second)
        path.write_bytes(encoded(film, kind="JPEG", **options))


def accuracies(root: Path, machine: Machine, of_split: str = "val") -> dict[str, float]:
    found = probing.summary(root, images_of(root), ALL, machine)
    return {name: model["splits"][of_split]["accuracy"] for name, model in found["models"].items()}


def test_each_film_has_its_own_pixels_border_and_file_facts_in_the_order_of_the_rows(project: Path) -> None:
    images = images_of(project)
    backwards = Images(images.folder, list(images.rows)[::-1], images.facts)
    films = probing.read_films(project, backwards)
    audited = {row.film_id: row for row in store.read(AUDITED, project / paths.AUDIT)}
    encoded = {row.path: data for row, data in images.folder.read_images(images.rows)}
    assert films.file is not None
    width = list(probing.FILE_NUMBERS).index("width")
    for place, row in enumerate(backwards.rows):
        image = decode(encoded[row.path])
        assert np.array_equal(films.pixels[place], cells(image))
        assert np.array_equal(films.border[place], border(image))
        assert films.file[place, width] == audited[row.film_id].width
        assert (films.labels[place], films.groups[place], films.splits[place]) == (
            row.label_index,
            row.group_id,
            row.split,
        )


def test_a_class_that_was_compressed_otherwise_is_found_by_its_file_and_by_nothing_else(
    tmp_path: Path, machine: Machine, encoded: Callable[..., bytes], draw: DrawFilm
) -> None:
    two_classes(tmp_path, encoded, draw, lambda film, second: (film, {"quality": 95 if second else 85}))
    found = accuracies(prepared(tmp_path, machine), machine)
    assert found["metadata"] == 1
    assert max(found["border"], found["ridge"], found["nearest_neighbour"]) < 0.85


def test_a_mark_in_a_corner_is_found_by_the_border(
    tmp_path: Path, machine: Machine, encoded: Callable[..., bytes], draw: DrawFilm
) -> None:
    def mark(film: Gray, second: bool) -> tuple[Gray, dict[str, Any]]:  # noqa: FBT001 - which class it is of
        film[:6, :24] = 255 if second else 0
        return film, {"quality": 90}

    two_classes(tmp_path, encoded, draw, mark)
    found = accuracies(prepared(tmp_path, machine), machine)
    assert found["border"] == 1
    assert found["metadata"] < 0.85


def test_test_films_of_a_class_that_were_taken_otherwise_are_told_from_trains(
    tmp_path: Path, machine: Machine, draw: DrawFilm, encoded: Callable[..., bytes]
) -> None:
    for number in range(160):
        second, test = number % 2 == 1, number >= 110
        path = tmp_path / f"data/raw/{'test' if test else 'train'}/{'ab'[second]}/{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        film = draw(number).astype(np.int64) // (3 if test and second else 1)
        path.write_bytes(encoded(film.astype(np.uint8)))
    prepared(tmp_path, machine)
    found = probing.summary(tmp_path, images_of(tmp_path), ALL, machine)["adversarial"]
    assert list(found) == ["a", "b"]
    assert found["b"]["auc"] > 0.9
    assert found["b"]["low"] > 0.7
    assert found["b"]["control"] < 0.7
    assert found["a"]["auc"] < 0.7


def test_a_split_that_is_not_named_is_not_looked_at(project: Path, machine: Machine) -> None:
    images = images_of(project)
    spoilt = [replace(row, label="viral", label_index=2) if row.split == "test" else row for row in images.rows]
    without = ("train", "val")
    found = probing.summary(project, images, without, machine)
    assert found == probing.summary(project, Images(images.folder, spoilt, images.facts), without, machine)
    assert found["adversarial"] == {}
    assert all(list(model["splits"]) == list(without) for model in found["models"].values())


def test_figures_do_not_depend_on_the_order_of_jobs_and_rows(
    project: Path, machine: Machine, upside_down: Machine
) -> None:
    images = images_of(project)
    shuffled = Images(images.folder, list(images.rows)[::-1], images.facts)
    forward = probing.summary(project, images, ALL, machine)
    assert probing.summary(project, images, ALL, upside_down) == forward
    again = probing.summary(project, shuffled, ALL, machine)
    assert again["models"]["majority"] == forward["models"]["majority"]
    assert again["models"]["nearest_neighbour"] == forward["models"]["nearest_neighbour"]


def test_training_films_are_their_own_nearest_neighbours_and_recalls_add_up_to_the_accuracy(
    project: Path, machine: Machine
) -> None:
    images = images_of(project)
    models = probing.summary(project, images, ALL, machine)["models"]
    assert models["nearest_neighbour"]["splits"]["train"]["accuracy"] == 1
    for model in models.values():
        for name, figures in model["splits"].items():
            labels = [str(row.label) for row in images.rows if row.split == name]
            assert figures["films"] == len(labels)
            right = sum(labels.count(label) * recall for label, recall in figures["recall"].items())
            assert figures["accuracy"] == pytest.approx(right / len(labels))


def test_without_an_audit_there_is_no_metadata_probe_and_the_others_are_the_same(
    project: Path, machine: Machine
) -> None:
    before = probing.summary(project, images_of(project), ALL, machine)["models"]
    (project / paths.AUDIT).unlink()
    after = probing.summary(project, images_of(project), ALL, machine)["models"]
    assert before.pop("metadata")["penalty"] > 0
    assert after == before


def test_films_that_the_audit_does_not_know_are_refused(project: Path, machine: Machine) -> None:
    manifest = project / paths.AUDIT
    rows = store.read(AUDITED, manifest)
    kept = [row for row in rows if not row.path.endswith("person1_virus_1.jpeg")]
    store.write(kept, AUDITED, manifest, store.read_footer(manifest))
    with pytest.raises(StageError, match=r"does not know 1 of 34 normalized films .*run split and normalize again"):
        probing.summary(project, images_of(project), ALL, machine)


def test_an_image_that_cannot_be_decoded_is_named(project: Path) -> None:
    images = images_of(project)

    class Broken:
        def read_images(self, rows: Sequence[NormalizedRow]) -> list[tuple[NormalizedRow, bytes]]:
            return [(row, b"P5\n9 9\n255\nshort") for row in rows]

    broken: Any = Broken()
    with pytest.raises(StageError, match=r"\.pgm: a PGM of 9 x 9 .*run the stage that wrote it again"):
        probing.read_films(project, Images(broken, images.rows, images.facts))


def figures(told: dict[str, dict[str, float]], adversarial: dict[str, Any] | None = None) -> dict[str, Any]:
    models = {
        name: {"splits": {of: {"accuracy": found} for of, found in by_split.items()}} for name, by_split in told.items()
    }
    return {"models": models, "adversarial": adversarial or {}}


@pytest.mark.parametrize(
    ("network", "ridge", "said"),
    [
        (0.621, 0.659, "the network does not beat the ridge on val: 62.1 % against 65.9 %"),
        (0.659, 0.659, "the network does not beat the ridge on val: 65.9 % against 65.9 %"),
        (0.66, 0.659, None),
        (None, 0.659, None),
    ],
)
def test_a_network_that_does_not_beat_the_ridge_is_called_out(
    network: float | None, ridge: float, said: str | None
) -> None:
    assert probe_summary.callout(network, figures({"ridge": {"train": 0.9, "val": ridge}})) == said


def test_without_val_there_is_nothing_to_beat() -> None:
    assert probe_summary.callout(0.1, figures({"ridge": {"train": 0.9, "test": 0.7}})) is None


def test_a_shortcut_and_a_shift_are_put_into_words_and_what_is_no_finding_is_not() -> None:
    told = figures(
        {
            "majority": {"train": 0.49, "val": 0.48, "test": 0.39},
            "metadata": {"train": 0.98, "val": 0.97, "test": 0.6},
            "border": {"train": 0.6, "val": 0.5, "test": 0.4},
            "ridge": {"train": 0.8, "val": 0.776, "test": 0.69},
        },
        {
            "normal": {"auc": 0.93, "low": 0.9, "high": 0.95, "control": 0.5},
            "bacterial": {"auc": 0.62, "low": 0.55, "high": 0.7, "control": 0.5},
            "viral": None,
        },
    )
    assert probe_summary.meaning(told, ALL) == [
        "the file alone (metadata) tells the class in val with 97.0 % and in test with 60.0 % (the most frequent "
        "class scores 48.0 % in val): a network can learn that shortcut",
        "test films can be told from train's: normal (0.93); a loss on test may be the films', not the network's",
        "a network has to beat the ridge: 77.6 % on val",
    ]
    shown = probe_summary.lines(told, ALL)
    assert shown[0].split() == ["accuracy", *ALL]
    assert shown[2].split() == ["metadata", "98.0", "%", "97.0", "%", "60.0", "%"]
    assert shown[6].split() == ["normal", "0.93", "[0.90,", "0.95]", "0.50"]
    assert shown[8].split() == ["viral", *"\N{EN DASH}" * 3]
