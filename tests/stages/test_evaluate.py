import csv
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from shutil import copytree
from typing import Any, cast

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from manifests import store
from manifests.checks import ManifestError
from manifests.columns import Schema
from manifests.rows import NORMALIZED, PREDICTIONS, AugmentedRow, NormalizedRow, Split
from manifests.shards import ImageFolder
from stages import evaluate, evaluation_report, paths, probe_summary, scoring
from stages.contract import Machine, StageError
from stages.drawn import AUGMENTED
from stages.evaluate import EvaluateParams
from stages.evaluation_schema import Evaluation
from stages.films.codec import decode, encode
from stages.films.frame import Frame
from stages.leaks import LEAKS
from stages.learning import batches, checkpoint, networks, prediction
from stages.statistics.gap import PARTS

CLASSES = ("normal", "bacterial", "viral")
FRAME = Frame(height=40, width=48)
FILMS: Mapping[Split, int] = {"train": 24, "val": 9, "test": 12}
PROBED = 6  # films of a leak probe, where there is one
MEAN, STD = 0.47, 0.23
COPIES = 3
QUICK = EvaluateParams(draws=200)
HEAD = ["split", "films", "patients", "accuracy", "95", "%", "interval", "macro", "recall"]


def film_rows(films: Mapping[Split, int]) -> Iterator[tuple[NormalizedRow, bytes]]:
    """Yield films, two of each patient, whose brightness follows their class more or less."""
    for split, count in films.items():
        for number in range(count):
            name = f"{split}{number}"
            label = number // 2 % 3
            words = np.random.Generator(np.random.Philox(key=number + 1000 * len(split)))
            grey = 60 * label + words.normal(60, 30)
            pixels = np.clip(grey + words.normal(0, 10, (FRAME.height, FRAME.width)), 0, 255)
            data = encode(pixels.astype(np.uint8), encoding="pgm")
            yield (
                NormalizedRow(
                    film_id=hashlib.sha256(name.encode()).hexdigest(),
                    path=f"{split}/{CLASSES[label]}/{name}.pgm",
                    label=CLASSES[label],
                    label_index=label,
                    group_id=f"{split}-person{number // 2}",
                    split=split,
                    status="ok",
                    reason=None,
                    shard=None,
                    index=None,
                    sha256=hashlib.sha256(data).hexdigest(),
                    encoded_bytes=len(data),
                    scale_x=1,
                    scale_y=1,
                    film_left=0,
                    film_top=0,
                    film_right=FRAME.width,
                    film_bottom=FRAME.height,
                    lost=0,
                    padded=0,
                ),
                data,
            )


def copies_of(row: NormalizedRow, data: bytes) -> Iterator[tuple[AugmentedRow, bytes]]:
    """Yield a film and its copies, which are the film again."""
    shared = {name: getattr(row, name) for name in ("film_id", "label", "label_index", "group_id", "split", "status")}
    for copy in range(COPIES + 1):
        yield (
            AugmentedRow(
                **shared,
                path=row.path.replace(".pgm", f"-{copy}.pgm"),
                reason=None,
                shard=None,
                index=None,
                sha256=row.sha256,
                encoded_bytes=row.encoded_bytes,
                copy=copy,
                unfilled=0,
                drawn={},
            ),
            data,
        )


def write_images(root: Path, images_of: Sequence[tuple[Any, bytes]], schema: Schema[Any], layout: str) -> None:
    """Write images and their manifest as normalize and augment do, the shards in another order than the manifest."""
    rows, images = [row for row, _ in images_of], [image for _, image in images_of]
    folder = ImageFolder(root, layout)
    if layout == "shards":
        rows = [replace(row, shard=f"{place % 2}.parquet", index=place // 2) for place, row in enumerate(rows)]
        for part in range(2):
            folder.write(f"{part}.parquet", schema.table(rows[part::2]), images[part::2])
    else:
        folder.write("", schema.table(rows), images)
    facts = {"classes": list(CLASSES), "frame": {"height": FRAME.height, "width": FRAME.width}}
    store.write(rows, schema, folder.manifest, store.Footer(params={"layout": layout}, facts=facts))


def make_set(root: Path, films: Mapping[Split, int], layout: str = "shards") -> None:
    """Write normalized films, their augmented copies and a network that has learned a little of the films."""
    normalized = list(film_rows(films))
    write_images(root / "data/normalized", normalized, NORMALIZED, layout)
    augmented = [copy for row, data in normalized if row.split == "train" for copy in copies_of(row, data)]
    write_images(root / "data/augmented", augmented, AUGMENTED, layout)
    pixels = torch.from_numpy(np.stack([decode(data) for _, data in normalized]))
    labels = torch.tensor([row.label_index for row, _ in normalized])
    save_network(root, fitted(pixels, labels), CLASSES, FRAME)


def fitted(pixels: torch.Tensor, labels: torch.Tensor) -> torch.nn.Module:
    """Return a network with random features and a last layer that fits them to the labels by least squares."""
    network = networks.initialised("residual", FRAME, len(CLASSES), how="he", seed=3).eval()
    assert isinstance(network, torch.nn.Sequential)
    last = network[-1]
    assert isinstance(last, torch.nn.Linear)
    with torch.inference_mode():
        levels = batches.standardised(pixels, mean=MEAN, std=STD, device=torch.device("cpu"))
        features = network[:-1](levels)[:, :4]  # few, so that some films are named wrongly
        targets = torch.nn.functional.one_hot(labels, len(CLASSES)).float()
        shifted = torch.cat([features, torch.ones(len(features), 1)], dim=1)
        weights = torch.linalg.lstsq(shifted, targets).solution
        last.weight.zero_()[:, :4] = weights[:-1].T
        last.bias.copy_(weights[-1])
    return network


def save_network(
    root: Path, network: torch.nn.Module, classes: Sequence[str], frame: Frame, *, to: str = paths.MODEL
) -> None:
    checkpoint.save(
        root / to,
        checkpoint.Checkpoint(
            network_name="residual", classes=tuple(classes), frame=frame, mean=MEAN, std=STD, network=network
        ),
    )


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Keep torch from waiting for cores that other work holds: these networks are too small for threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("evaluate")
    make_set(root, FILMS)
    return root


@pytest.fixture(scope="module")
def _probed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("probed")
    make_set(root, {**FILMS, "leak_probe": PROBED})
    return root


@pytest.fixture
def probed(_probed: Path, tmp_path: Path) -> Path:
    """Return a set of a test's own that has a leak probe as well."""
    return copytree(_probed, tmp_path / "probed")


@pytest.fixture
def root(untouched: Path, tmp_path: Path) -> Path:
    """Return a set of a test's own."""
    return copytree(untouched, tmp_path / "set")


def summary_of(root: Path) -> dict[str, Any]:
    """Return what a run wrote, once it is what the schema says."""
    found = json.loads((root / paths.EVALUATION_SUMMARY).read_text())
    assert isinstance(found, dict)
    told = Evaluation.model_validate(found, strict=True).model_dump(mode="json", exclude_unset=True)
    assert told == found
    return found


def test_the_stage_writes_what_it_says_and_the_figures_are_those_of_the_predictions(
    root: Path, machine: Machine
) -> None:
    report = evaluate.run(QUICK, root, machine)
    assert all((root / path).is_file() for path in (*evaluate.STAGE.writes, *report.written))

    rows = store.read(PREDICTIONS, root / paths.PREDICTIONS)
    found = summary_of(root)
    assert list(found["splits"]) == ["train", "val", "test"]
    for split, figures in found["splits"].items():
        of_split = [row for row in rows if row.split == split]
        assert figures["films"] == len(of_split) == FILMS[split]
        assert figures["patients"] == len({row.group_id for row in of_split})
        assert figures["accuracy"] == np.mean([row.correct for row in of_split])
        assert figures["accuracy_low"] <= figures["accuracy"] <= figures["accuracy_high"]
    assert all(row.correct == (row.predicted == row.label) for row in rows)
    assert all(np.argmax(row.probabilities) == row.predicted_index for row in rows)
    assert np.sum([row.probabilities for row in rows], axis=1) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("where", "change"),
    [
        ((), {"accuracy": 0.5}),
        (("gap",), {"parts": {"luck": {}}}),
        (("gap", "total"), {"value": "0.5"}),
        (("splits", "test"), {"accuracy": 1.5}),
        (("models", paths.MODEL), {"sha256": "abc"}),
    ],
)
def test_the_schema_refuses_what_it_does_not_say(
    root: Path, machine: Machine, where: tuple[str, ...], change: dict[str, Any]
) -> None:
    evaluate.run(QUICK, root, machine)
    found = summary_of(root)
    inner = found
    for key in where:
        inner = inner[key]
    inner.update(change)
    with pytest.raises(ValidationError):
        Evaluation.model_validate(found, strict=True)


def test_a_film_gets_the_probabilities_that_the_network_gives_its_own_pixels(root: Path, machine: Machine) -> None:
    evaluate.run(QUICK, root, machine)
    pixels = {row.film_id: decode(data) for row, data in film_rows(FILMS)}
    rows = store.read(PREDICTIONS, root / paths.PREDICTIONS)
    assert [row.film_id for row in rows] == list(pixels)
    known = checkpoint.load(root / paths.MODEL, torch.device("cpu"))
    images = torch.from_numpy(np.stack([pixels[row.film_id] for row in rows]))
    expected = prediction.predict(known.network, images, mean=MEAN, std=STD, device=torch.device("cpu"))
    assert np.array([row.probabilities for row in rows]) == pytest.approx(expected, abs=1e-5)
    assert 0.4 < np.mean([row.correct for row in rows]) < 1
    assert {row.predicted for row in rows} == set(CLASSES)


def test_predictions_do_not_depend_on_layout_order_or_how_many_images_are_held_at_once(
    root: Path, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate.run(QUICK, root, machine)
    make_set(tmp_path / "folder", FILMS, layout="folder")
    monkeypatch.setattr(scoring, "IMAGES_AT_ONCE", 20)
    evaluate.run(QUICK, tmp_path / "folder", machine)
    first, second = (store.read(PREDICTIONS, path / paths.PREDICTIONS) for path in (root, tmp_path / "folder"))
    assert [row.film_id for row in first] == [row.film_id for row in second]
    for one, other in zip(first, second, strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)


def test_copies_that_are_the_film_again_score_as_the_training_films_do(root: Path, machine: Machine) -> None:
    report = evaluate.run(QUICK, root, machine)
    found = summary_of(root)
    assert found["augmented"]["images"] == FILMS["train"] * (COPIES + 1)
    assert found["augmented_accuracy"] == found["splits"]["train"]["accuracy"]
    assert found["differences"]["augmented_minus_train"]["difference"] == 0
    assert {found["gap"]["parts"]["augmentation"][key] for key in ("value", "low", "high")} == {0}
    assert report.done == sum(FILMS.values()) + FILMS["train"] * (COPIES + 1)


def test_the_probes_stand_beside_the_network_on_the_splits_that_are_scored_and_no_other(
    root: Path, machine: Machine
) -> None:
    report = evaluate.run(EvaluateParams(split="val", draws=100), root, machine)
    found = summary_of(root)
    network, ridge = found["splits"]["val"]["accuracy"], found["probes"]["models"]["ridge"]["splits"]
    assert list(ridge) == ["train", "val"]
    assert found["probes"]["adversarial"] == {}
    assert network <= ridge["val"]["accuracy"]
    assert found["callout"] == probe_summary.callout(network, found["probes"])
    assert report.lines[0].startswith(f"{found['callout']}; the ridge is a linear model")


def test_a_network_that_beats_the_ridge_is_not_called_out(
    root: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring.Judge, "score", lambda _judge, images: np.eye(3, dtype=np.float32)[images.labels])
    report = evaluate.run(EvaluateParams(split="val", draws=100), root, machine)
    found = summary_of(root)
    assert found["probes"]["models"]["ridge"]["splits"]["val"]["accuracy"] < 1
    assert found["callout"] is None
    assert not any("ridge" in line for line in report.lines)


def test_one_split_is_scored_beside_train_and_its_interval_is_the_same_as_among_all(
    root: Path, machine: Machine
) -> None:
    evaluate.run(QUICK, root, machine)
    among_all = summary_of(root)
    evaluate.run(EvaluateParams(split="val", draws=200), root, machine)
    alone = summary_of(root)
    assert list(alone["splits"]) == ["train", "val"]
    assert list(alone["differences"]) == ["train_minus_val"]
    assert alone["splits"]["val"] == among_all["splits"]["val"]
    assert alone["differences"]["train_minus_val"] == among_all["differences"]["train_minus_val"]
    assert {row.split for row in store.read(PREDICTIONS, root / paths.PREDICTIONS)} == {"train", "val"}


def test_the_confusion_table_holds_the_last_split_for_dvc_plots(root: Path, machine: Machine) -> None:
    evaluate.run(QUICK, root, machine)
    with (root / paths.CONFUSION).open() as file:
        found = list(csv.DictReader(file))
    rows = [row for row in store.read(PREDICTIONS, root / paths.PREDICTIONS) if row.split == "test"]
    assert found == [{"actual": row.label, "predicted": row.predicted} for row in rows]


def test_the_reliability_table_is_the_curve_of_the_last_split_for_dvc_plots(root: Path, machine: Machine) -> None:
    evaluate.run(QUICK, root, machine)
    with (root / paths.RELIABILITY).open() as file:
        found = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    curve = summary_of(root)["reliability"]["test"]
    assert found == [{name: place[name] for name in ("confidence", "accuracy", "films")} for place in curve]
    assert sum(row["films"] for row in found) == FILMS["test"]


def test_films_stand_in_the_page_and_not_in_the_figures_which_are_made_to_be_committed(
    root: Path, machine: Machine
) -> None:
    evaluate.run(QUICK, root, machine)
    wrong = [film for films in summary_of(root)["gallery"].values() for film in films]
    assert wrong
    assert (root / paths.EVALUATION_PAGE).read_text().count('src="data:image/jpeg;base64,') == len(wrong)
    assert "data:image" not in (root / paths.EVALUATION_SUMMARY).read_text()


def test_the_details_agree_with_the_scores(root: Path, machine: Machine) -> None:
    evaluate.run(QUICK, root, machine)
    found = summary_of(root)
    for split, scored in found["splits"].items():
        assert found["further"][split]["macro_recall"] == pytest.approx(scored["macro_recall"])
        assert 1 - found["errors"][split]["errors"] / scored["films"] == pytest.approx(scored["accuracy"])


def test_no_class_is_a_formula_to_the_spreadsheet_that_opens_the_confusion_table(root: Path, machine: Machine) -> None:
    evaluate.run(QUICK, root, machine)
    first, *_ = store.read(PREDICTIONS, root / paths.PREDICTIONS)
    formulas = [replace(first, label="=cmd|' /C calc'!A0"), replace(first, label="normal", predicted="@SUM(1)")]
    lines = evaluation_report.confusion_csv(formulas).decode().splitlines()
    assert lines[1].startswith("'=cmd|")
    assert lines[2] == "normal,'@SUM(1)"


def test_only_what_scores_the_test_films_is_noted_as_a_look_at_them(root: Path, machine: Machine) -> None:
    evaluate.run(EvaluateParams(split="val", draws=100), root, machine)
    assert not (root / paths.TEST_PEEKS).exists()
    assert "test_peeks" not in summary_of(root)
    for number in (1, 2):
        evaluate.run(EvaluateParams(split="test", draws=100), root, machine)
        assert summary_of(root)["test_peeks"] == number
    peeks = [json.loads(line) for line in (root / paths.TEST_PEEKS).read_text().splitlines()]
    assert [set(peek) for peek in peeks] == [{"time", "model_sha256", "params"}] * 2
    assert peeks[0]["model_sha256"] == store.file_sha256(root / paths.MODEL)
    assert peeks[1]["params"] == {"split": "test", "models": "", "draws": 100, "seed": 0}
    assert peeks[0]["time"].endswith("+00:00")


def test_the_same_run_writes_the_same_bytes_but_for_the_count_of_looks(root: Path, machine: Machine) -> None:
    params = EvaluateParams(split="val", draws=150)
    runs = []
    for _ in range(2):
        evaluate.run(params, root, machine)
        runs.append([(root / path).read_bytes() for path in evaluate.STAGE.writes])
    assert runs[0] == runs[1]


def test_the_predictions_say_what_they_were_made_from(root: Path, machine: Machine) -> None:
    evaluate.run(QUICK, root, machine)
    footer = store.read_footer(root / paths.PREDICTIONS)
    assert footer.facts == {"classes": list(CLASSES), "unit": "patient", "holdout": "patients"}
    assert footer.params == {"split": "all", "models": "", "draws": 200, "seed": 0}
    for path in ("data/normalized/manifest.parquet", "models/model.safetensors"):
        assert footer.sources[path] == store.file_sha256(root / path)


def test_the_lines_show_the_total_first_then_its_parts_each_split_and_what_was_skipped(
    root: Path, machine: Machine
) -> None:
    called, *lines = evaluate.run(QUICK, root, machine).lines
    assert called.startswith("the network does not beat the ridge on val: ")
    assert lines[0].split()[-7:] == ["all", "95", "%", "interval", *CLASSES]
    assert lines[1].startswith("total (augmented train - test)")
    parts = ["augmentation (the copies)", "fit+leakage (not told apart)", "prior (class shares)"]
    parts += ["shift (other films)", "threshold (class cut-offs)"]
    assert [line.partition(")")[0] + ")" for line in lines[2:7]] == parts
    assert lines[7].split() == [*HEAD, *CLASSES]
    assert [line.split()[:3] for line in lines[8:11]] == [["train", "24", "12"], ["val", "9", "5"], ["test", "12", "6"]]
    assert lines[11].startswith("the order is a convention; the other way round: shift ")
    assert lines[12:] == [
        "not scored, having no films: leak_probe",
        "fit and leakage cannot be told apart",
        "looks at the test films so far: 1 (reports/test_peeks.jsonl)",
    ]


def test_the_test_alone_is_told_in_a_dozen_lines_with_every_set_that_its_parts_need(
    probed: Path, machine: Machine
) -> None:
    called, *lines = evaluate.run(EvaluateParams(split="test", draws=100), probed, machine).lines
    assert called.startswith("the network does not beat the ridge on val: ")
    assert len(lines) <= 12
    assert [line.split()[0] for line in lines[1:8]] == ["total", *PARTS]
    sets = re.findall(r"([a-z ]+) [0-9.]+ %", lines[8].removeprefix("accuracy:"))
    assert [name.strip() for name in sets] == ["augmented train", "train", "leak probe", "val", "test"]
    assert set(summary_of(probed)["splits"]) == {"train", "leak_probe", "val", "test"}


def test_the_parts_sum_to_the_difference_of_accuracies_in_total_and_class_by_class(
    probed: Path, machine: Machine
) -> None:
    evaluate.run(QUICK, probed, machine)
    found = summary_of(probed)
    gap = found["gap"]
    assert list(gap["parts"]) == list(PARTS)
    assert gap["joint"] == gap["not_given"] == gap["missing"] == []
    expected = found["augmented_accuracy"] - found["splits"]["test"]["accuracy"]
    assert sum(part["value"] for part in gap["parts"].values()) == pytest.approx(expected, abs=1e-9)
    assert gap["total"]["value"] == pytest.approx(expected, abs=1e-9)
    for name in CLASSES:
        fallen = found["augmented"]["recall"][name] - found["splits"]["test"]["recall"][name]
        assert sum(part["recall"][name]["value"] for part in gap["parts"].values()) == pytest.approx(fallen, abs=1e-9)
    for part in (gap["total"], *gap["parts"].values()):
        of_classes = [part["contribution"][name]["value"] for name in CLASSES]
        assert sum(of_classes) == pytest.approx(part["value"], abs=1e-9)
        assert part["low"] <= part["high"]


def test_the_table_for_dvc_plots_and_the_metrics_hold_the_total_and_the_parts(probed: Path, machine: Machine) -> None:
    evaluate.run(QUICK, probed, machine)
    gap = summary_of(probed)["gap"]
    with (probed / paths.GAP).open() as file:
        rows = {row.pop("part"): {key: float(value) for key, value in row.items()} for row in csv.DictReader(file)}
    assert list(rows) == ["total", *PARTS]
    assert rows["total"] == {key: gap["total"][key] for key in ("value", "low", "high")}
    metrics = json.loads((probed / paths.METRICS).read_text())
    assert {part: metrics[f"gap_{part}"] for part in rows} == {part: row["value"] for part, row in rows.items()}


@pytest.fixture
def seeds(probed: Path) -> Path:
    """Return a set with three networks, of which the second says one class of everything."""
    network = checkpoint.load(probed / paths.MODEL, torch.device("cpu"))
    for seed in (1, 2, 3):
        save_network(probed, network.network, CLASSES, FRAME, to=f"models/seed-{seed}.safetensors")
    last = cast("torch.nn.Linear", cast("torch.nn.Sequential", network.network)[-1])
    with torch.inference_mode():
        last.weight.zero_()
    save_network(probed, network.network, CLASSES, FRAME, to="models/seed-2.safetensors")
    return probed


def test_several_models_give_their_mean_their_spread_and_all_their_values(seeds: Path, machine: Machine) -> None:
    report = evaluate.run(EvaluateParams(models="models/seed-*.safetensors", draws=200), seeds, machine)
    found = summary_of(seeds)
    models = [f"models/seed-{seed}.safetensors" for seed in (1, 2, 3)]
    assert list(found["models"]) == models
    values = found["spread"]["accuracy"]["test"]["values"]
    assert values[0] == values[2] != values[1]
    assert found["splits"]["test"]["accuracy"] == pytest.approx(np.mean(values))
    assert found["spread"]["accuracy"]["test"]["sd"] == pytest.approx(np.std(values, ddof=1))
    assert found["splits"]["test"]["films"] == FILMS["test"]
    for part in PARTS:
        of_models = [model["parts"][part]["value"] for model in found["models"].values()]
        assert found["gap"]["parts"][part]["value"] == pytest.approx(np.mean(of_models), abs=1e-12)
    for model in found["models"].values():
        assert sum(part["value"] for part in model["parts"].values()) == pytest.approx(model["total"]["value"])
    assert [line.split()[0] for line in report.lines if line.startswith(("models/", "mean", "SD"))] == [
        *models,
        "mean",
        "SD,",
    ]


def test_the_interval_is_that_of_the_mean_over_the_models(seeds: Path, machine: Machine) -> None:
    evaluate.run(EvaluateParams(models="models/seed-[13].safetensors", draws=200), seeds, machine)
    alike = summary_of(seeds)
    total = {key: alike["gap"]["total"][key] for key in ("value", "low", "high")}
    assert total == pytest.approx(alike["models"]["models/seed-1.safetensors"]["total"])
    evaluate.run(EvaluateParams(models="models/seed-[12].safetensors", draws=200), seeds, machine)
    found = summary_of(seeds)
    one, other = (model["total"] for model in found["models"].values())
    assert other["low"] == other["value"] == other["high"]  # a class for everything: no draw changes a recall
    for end in ("low", "high"):
        assert found["gap"]["total"][end] == pytest.approx((one[end] + other[end]) / 2)
        assert found["splits"]["test"][f"accuracy_{end}"] != alike["splits"]["test"][f"accuracy_{end}"]


def test_one_of_several_models_has_the_parts_and_intervals_that_it_has_alone(seeds: Path, machine: Machine) -> None:
    evaluate.run(EvaluateParams(models="models/seed-*.safetensors", draws=200), seeds, machine)
    among = summary_of(seeds)["models"]["models/seed-1.safetensors"]
    evaluate.run(EvaluateParams(models="models/seed-1.safetensors", draws=200), seeds, machine)
    alone = summary_of(seeds)
    assert alone["models"] == {"models/seed-1.safetensors": among}
    assert alone["spread"]["total"] == {
        "mean": among["total"]["value"],
        "sd": None,
        "values": [among["total"]["value"]],
    }
    assert alone["gap"]["total"]["low"] == among["total"]["low"]


def test_every_model_has_a_row_of_every_film_and_is_a_look_at_the_test(seeds: Path, machine: Machine) -> None:
    evaluate.run(EvaluateParams(split="test", models="models/seed-*.safetensors", draws=100), seeds, machine)
    rows = store.read(PREDICTIONS, seeds / paths.PREDICTIONS)
    films = {row.film_id for row in rows}
    assert len(films) == sum(FILMS.values()) + PROBED
    assert len({(row.model, row.film_id) for row in rows}) == len(rows) == 3 * len(films)
    assert summary_of(seeds)["test_peeks"] == 3
    peeks = [json.loads(line) for line in (seeds / paths.TEST_PEEKS).read_text().splitlines()]
    models = sorted((seeds / "models").glob("seed-*"))
    assert [peek["model_sha256"] for peek in peeks] == [store.file_sha256(model) for model in models]


def test_a_look_is_noted_before_any_score_is_worked_out(
    root: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_told: Any, **_more: Any) -> None:
        raise RuntimeError("stopped here")

    monkeypatch.setattr(evaluate, "summarize", fail)
    with pytest.raises(RuntimeError, match="stopped here"):
        evaluate.run(QUICK, root, machine)
    assert len((root / paths.TEST_PEEKS).read_text().splitlines()) == 1
    assert not (root / paths.EVALUATION_SUMMARY).exists()


def test_models_that_are_not_there_or_not_under_the_root_are_refused(root: Path, machine: Machine) -> None:
    with pytest.raises(StageError, match=r"no file fits --models 'models/seed-\*'"):
        evaluate.run(EvaluateParams(models="models/seed-*"), root, machine)
    for outside in ("/models/*", "../models/*", "/"):
        with pytest.raises(ValidationError, match="leads out of the root"):
            EvaluateParams(models=outside)
    for nothing in (".", "./", "./."):
        with pytest.raises(ValidationError, match="names no file; expected a pattern under the root"):
            EvaluateParams(models=nothing)
    with pytest.raises(ValidationError, match="holds \\*\\* beside other letters"):
        EvaluateParams(models="models/seed**.safetensors")


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"unit": "film", "holdout": "patients"}, LEAKS),
        ({"unit": "patient", "holdout": "block"}, "val is a block of numbers"),
        ({"unit": "patient", "holdout": "patients"}, None),
    ],
)
def test_a_split_that_changes_what_the_parts_mean_is_told(
    root: Path, machine: Machine, facts: dict[str, str], told: str | None
) -> None:
    manifest = root / "data/normalized/manifest.parquet"
    footer = store.read_footer(manifest)
    rows = store.read(NORMALIZED, manifest)
    store.write(rows, NORMALIZED, manifest, replace(footer, facts={**footer.facts, **facts}))
    lines = evaluate.run(QUICK, root, machine).lines
    assert summary_of(root)["split_arms"] == facts
    arms = [line for line in lines if line.startswith((LEAKS, evaluation_report.BLOCKS))]
    assert [line.startswith(str(told)) for line in arms] == ([True] if told else [])


def test_after_a_careless_split_lines_page_and_predictions_say_that_it_leaks(root: Path, machine: Machine) -> None:
    manifest = root / paths.NORMALIZED_MANIFEST
    rows, footer = store.read(NORMALIZED, manifest), store.read_footer(manifest)
    assert not any(line.startswith(LEAKS) for line in evaluate.run(QUICK, root, machine).lines)
    assert "This split leaks" not in (root / paths.EVALUATION_PAGE).read_text()
    store.write(rows, NORMALIZED, manifest, replace(footer, facts={**footer.facts, "unit": "film"}))
    assert f"{LEAKS}; {evaluation_report.UNSEEN}" in evaluate.run(QUICK, root, machine).lines
    assert "This split leaks" in (root / paths.EVALUATION_PAGE).read_text()
    assert store.read_footer(root / paths.PREDICTIONS).facts["unit"] == "film"


def test_a_split_without_films_is_refused_with_what_the_others_hold(root: Path, machine: Machine) -> None:
    with pytest.raises(
        StageError, match=r"split leak_probe has no films \(found: train 24, leak_probe 0, val 9, test 12\)"
    ):
        evaluate.run(EvaluateParams(split="leak_probe"), root, machine)
    assert not (root / paths.EVALUATION_SUMMARY).exists()


def test_films_without_a_training_split_are_refused(root: Path, machine: Machine) -> None:
    write_images(root / "data/normalized", list(film_rows({"test": 6})), NORMALIZED, "shards")
    with pytest.raises(StageError, match="split train has no films"):
        evaluate.run(QUICK, root, machine)


@pytest.mark.parametrize(
    ("classes", "frame", "message"),
    [
        (("normal", "pneumonia"), FRAME, "its classes are normal, pneumonia; .* has normal, bacterial, viral"),
        (CLASSES, Frame(height=48, width=48), "takes 48x48 pixels; .* has 40x48; run train again"),
    ],
)
def test_a_network_made_for_other_films_is_refused(
    root: Path, machine: Machine, classes: Sequence[str], frame: Frame, message: str
) -> None:
    network = networks.initialised("residual", frame, len(classes), how="he", seed=0)
    save_network(root, network, classes, frame)
    with pytest.raises(StageError, match=message):
        evaluate.run(QUICK, root, machine)
    assert not (root / paths.TEST_PEEKS).exists()


def test_a_missing_model_and_a_missing_manifest_name_the_stage_to_run(root: Path, machine: Machine) -> None:
    (root / paths.MODEL).unlink()
    with pytest.raises(StageError, match="run train first"):
        evaluate.run(QUICK, root, machine)
    (root / "data/normalized/manifest.parquet").unlink()
    with pytest.raises(ManifestError, match="run the stage that writes it first"):
        evaluate.run(QUICK, root, machine)


def test_training_films_alone_can_be_scored(root: Path, machine: Machine) -> None:
    evaluate.run(EvaluateParams(split="train", draws=100), root, machine)
    found = summary_of(root)
    assert list(found["differences"]) == ["augmented_minus_train"]
    assert list(found["gap"]["parts"]) == ["augmentation"]
    assert found["gap"]["not_given"] == ["fit", "leakage", "prior", "shift", "threshold"]
    assert "of train the network" in (root / paths.EVALUATION_PAGE).read_text()


@pytest.mark.parametrize("wrong", [{"split": "tests"}, {"draws": 99}, {"seed": -1}, {"splits": "all"}])
def test_parameters_that_cannot_be_used_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        EvaluateParams.model_validate(wrong)


def test_the_stage_can_be_listed_without_torch_cv2_matplotlib_or_jinja() -> None:
    script = "import sys, stages.evaluate; print({'torch', 'cv2', 'matplotlib', 'jinja2'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "set()"
