import csv
import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from manifests import store
from manifests.checks import ManifestError
from manifests.fields import columns_of
from manifests.rows import NORMALIZED, AugmentedRow, ImageRow, NormalizedRow, Split
from manifests.shards import ImageFolder
from stages import paths, train_room
from stages.contract import Machine, ParamsError, StageError, Training
from stages.drawn import AUGMENTED
from stages.films.codec import encode
from stages.films.frame import Frame, Gray
from stages.films.placement import place
from stages.leaks import LEAKS
from stages.learning import checkpoint, networks
from stages.learning.room import Room
from stages.normalize import placement_columns
from stages.train import STAGE, TrainParams, run
from stages.train_sources import read_sources

Layout = Literal["shards", "folder"]

FRAME = Frame(height=48, width=56)
CLASSES = ("normal", "bacterial", "viral")
QUICK = TrainParams(network="residual", epochs=6, batch_size=8, learning_rate=1e-3)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small networks on a busy machine are much faster on one thread, which waits for nobody."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@contextmanager
def silent(total: int, *, unit: str) -> Iterator[Callable[..., None]]:
    assert (total > 0, unit) == (True, "images")
    yield lambda *_: None


def machine(device: str = "cpu") -> Machine:
    """Return a machine that shows nothing; training fans nothing out."""

    def in_order(work: Callable[..., Any], jobs: Any, **_: Any) -> list[Any]:
        return [work(job) for job in jobs]

    return Machine(fan_out=in_order, track=silent, device=device)


def pixels(class_index: int, key: int) -> Gray:
    """Return a noisy film whose brightness tells its class."""
    noise = np.random.default_rng(key).integers(0, 60, (FRAME.height, FRAME.width))
    return (noise + 70 * class_index).astype(np.uint8)


def film_row(number: int, split: Split, image: bytes, layout: Layout) -> NormalizedRow:
    film_id = hashlib.sha256(str(number).encode()).hexdigest()
    label = CLASSES[number % 3]
    return NormalizedRow(
        film_id=film_id,
        path=f"{split}/{label}/{number}.pgm",
        label=label,
        label_index=number % 3,
        group_id=str(number),
        split=split,
        status="ok",
        reason=None,
        shard="films.parquet" if layout == "shards" else None,
        index=number if layout == "shards" else None,
        sha256=hashlib.sha256(image).hexdigest(),
        encoded_bytes=len(image),
        **placement_columns(place(FRAME, frame=FRAME, policy="squeeze")),
    )


def copy_row(film: NormalizedRow, copy: int, index: int, image: bytes) -> AugmentedRow:
    shared = {name: value for name, value in asdict(film).items() if name in ImageRow.__dataclass_fields__}
    own = {
        "path": film.path.replace(".pgm", f"-{copy:04d}.jpeg"),
        "shard": None if film.shard is None else "copies.parquet",
        "index": None if film.shard is None else index,
        "sha256": hashlib.sha256(image).hexdigest(),
        "encoded_bytes": len(image),
    }
    return AugmentedRow(**{**shared, **own}, copy=copy, unfilled=0.0, drawn={})


def write_films(root: Path, layout: Layout, rows: list[NormalizedRow]) -> None:
    """Write the manifest of normalized films."""
    footer = store.Footer(
        params={"layout": layout},
        facts={"classes": list(CLASSES), "frame": {"height": FRAME.height, "width": FRAME.width}},
    )
    store.write(rows, NORMALIZED, root / "data/normalized/manifest.parquet", footer)


def write_set(root: Path, layout: Layout = "shards") -> list[NormalizedRow]:
    """Write 12 training and 6 validation films, and 2 copies of each training film; return the films' rows."""
    splits: list[Split] = ["train" if number < 12 else "val" for number in range(18)]
    images = [encode(pixels(number % 3, number), encoding="pgm") for number in range(18)]
    films = [film_row(number, split, images[number], layout) for number, split in enumerate(splits)]
    ImageFolder(root / "data/normalized", layout).write("films.parquet", NORMALIZED.table(films), images)
    write_films(root, layout, films)
    sources = [(film, copy) for film in films if film.split == "train" for copy in range(3)]
    copies = [
        encode(pixels(film.label_index or 0, 100 + index), encoding="jpeg") for index, (film, _) in enumerate(sources)
    ]
    rows = [copy_row(*source, index, copies[index]) for index, source in enumerate(sources)]
    folder = ImageFolder(root / "data/augmented", layout)
    folder.write("copies.parquet", AUGMENTED.table(rows), copies)
    store.write(rows, AUGMENTED, folder.manifest, store.Footer(params={"layout": layout}))
    return films


@pytest.fixture
def films(tmp_path: Path) -> list[NormalizedRow]:
    """The rows of a small set that can be learned, written under tmp_path."""
    return write_set(tmp_path)


def summary(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / "reports/train.json").read_text())
    return found


def test_the_defaults_are_the_network_and_the_batch_of_2020() -> None:
    assert TrainParams().network == "alexnet"
    assert TrainParams().batch_size == 35


def test_a_network_that_cannot_be_is_refused_with_the_nearest_names() -> None:
    with pytest.raises(ValidationError, match="did you mean residual"):
        TrainParams(network="residul")


@pytest.mark.usefixtures("films")
def test_the_model_is_the_same_wherever_the_images_lie(tmp_path: Path) -> None:
    models = set()
    for where in ("device", "host", "stream"):
        found = replace(machine(), training=Training(residence=where))
        run(replace_params(QUICK, epochs=2, shuffle_window=10), tmp_path, found)
        assert summary(tmp_path)["residence"] == where
        models.add((tmp_path / paths.MODEL).read_bytes())

    assert len(models) == 1


@pytest.mark.usefixtures("films")
def test_copies_can_be_drawn_anew_for_every_epoch_by_the_recipe_of_the_stored_ones(tmp_path: Path) -> None:
    manifest = tmp_path / paths.AUGMENTED_MANIFEST
    store.write(
        store.read(AUGMENTED, manifest), AUGMENTED, manifest, store.Footer(params={"layout": "shards", "copies": 3})
    )
    report = run(replace_params(QUICK, augment="online"), tmp_path, machine())

    assert summary(tmp_path)["images"] == 12 * 4
    assert summary(tmp_path)["val_accuracy"] > 0.8
    assert not any("not there" in line for line in report.lines)

    shutil.rmtree(tmp_path / paths.AUGMENTED)
    told = replace(machine(), sections={"augment": {"copies": 1}})
    report = run(replace_params(QUICK, augment="online", epochs=1), tmp_path, told)

    assert summary(tmp_path)["images"] == 12 * 2
    assert list(summary(tmp_path)["sources"]) == [paths.NORMALIZED_MANIFEST]
    assert any("data/augmented: not there; copies are drawn by augment's parameters" in line for line in report.lines)


@pytest.mark.usefixtures("films")
def test_a_recipe_of_copies_that_is_none_is_refused_in_one_line_wherever_it_stands(tmp_path: Path) -> None:
    online, manifest = replace_params(QUICK, augment="online"), tmp_path / paths.AUGMENTED_MANIFEST
    old = store.Footer(params={"layout": "shards", "copies_of_each": 3})
    store.write(store.read(AUGMENTED, manifest), AUGMENTED, manifest, old)
    with pytest.raises(StageError, match=r"augmented/manifest\.parquet: .*copies_of_each"):
        run(online, tmp_path, machine())

    shutil.rmtree(tmp_path / paths.AUGMENTED)
    with pytest.raises(ParamsError, match=r"params\.yaml, section augment: copies: .*valid integer"):
        run(online, tmp_path, replace(machine(), sections={"augment": {"copies": "many"}}))


@pytest.mark.usefixtures("films")
def test_a_process_that_shares_its_batches_with_others_needs_room_for_its_share_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources, params = read_sources(tmp_path), replace_params(QUICK, batch_size=4000)
    monkeypatch.setattr(train_room, "free_on", lambda _device: Room(500_000_000, "this test's memory"))
    with pytest.raises(StageError, match=r"; batch_size \d+ would fit") as alone:
        train_room.require_room(params, sources, torch.device("cpu"), ranks=1)
    with pytest.raises(StageError, match=r"; batch_size \d+ would fit") as of_two:
        train_room.require_room(params, sources, torch.device("cpu"), ranks=2)
    one, two = (int(re.findall(r"batch_size (\d+)", str(error.value))[0]) for error in (alone, of_two))
    assert two == 2 * one

    train_room.require_room(params, sources, torch.device("cpu"), ranks=400)


@pytest.mark.usefixtures("films")
def test_copies_cannot_be_drawn_of_films_that_stay_on_the_disk(tmp_path: Path) -> None:
    found = replace(machine(), training=Training(residence="stream"))
    with pytest.raises(StageError, match="augment online: the films must lie in memory"):
        run(replace_params(QUICK, augment="online"), tmp_path, found)


@pytest.mark.usefixtures("films")
def test_deterministic_kernels_are_asked_for_and_given_back(tmp_path: Path) -> None:
    run(replace_params(QUICK, deterministic=True, epochs=1), tmp_path, machine())

    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.usefixtures("films")
def test_what_cannot_fit_is_refused_before_it_is_tried_and_what_would_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_room, "free_on", lambda _device: Room(200_000_000, "this test's memory"))

    with pytest.raises(
        StageError, match=r"takes about .* GB, and 0\.2 GB are free .* batch_size \d+ would fit, or .* accumulation \d+"
    ):
        run(replace_params(QUICK, batch_size=4000), tmp_path, machine())
    monkeypatch.setattr(train_room, "free_on", lambda _device: Room(1_000_000, "this test's memory"))
    with pytest.raises(StageError, match="not even one image at a time would fit"):
        run(QUICK, tmp_path, machine())


@pytest.mark.usefixtures("films")
def test_training_goes_on_from_the_weights_of_a_file(tmp_path: Path) -> None:
    run(QUICK, tmp_path, machine())
    before = summary(tmp_path)
    shutil.copy(tmp_path / paths.MODEL, tmp_path / "first.safetensors")

    run(replace_params(QUICK, epochs=1, weights=str(tmp_path / "first.safetensors")), tmp_path, machine())

    assert summary(tmp_path)["augmented_accuracy"] > before["augmented_accuracy"] - 0.2
    facts = checkpoint.load(tmp_path / paths.MODEL, torch.device("cpu")).facts
    assert facts["weights_sha256"] == store.file_sha256(tmp_path / "first.safetensors")


def test_every_parameter_is_described_and_unknown_ones_are_refused() -> None:
    assert all(field.description for field in TrainParams.model_fields.values())
    with pytest.raises(ValidationError, match="epoch"):
        TrainParams.model_validate({"epoch": 3})


@pytest.mark.parametrize("layout", get_args(Layout))
def test_training_beats_the_most_frequent_class_and_says_so(tmp_path: Path, layout: Layout) -> None:
    write_set(tmp_path, layout)

    report = run(QUICK, tmp_path, machine())

    found = summary(tmp_path)
    assert found["val_accuracy"] > 0.8
    assert found["majority_val_accuracy"] == pytest.approx(1 / 3)
    assert (found["images"], found["films"]) == (36, {"train": 12, "val": 6})
    assert found["updates"] == 6 * 5
    assert found["parameters"] == networks.count_parameters(networks.blank("residual", FRAME, 3))
    assert found["device"] == "cpu"
    assert found["peak_memory_mb"] > 10
    assert found["images_per_s"] > 0
    assert (report.done, report.unit) == (6 * 36, "images")
    assert "best epoch" in report.lines[0]
    assert not any("warning" in line for line in report.lines)
    assert all((tmp_path / name).is_file() for name in report.written)
    assert tuple(report.written) == STAGE.writes


@pytest.mark.usefixtures("films")
def test_after_a_careless_split_training_says_that_it_leaks(tmp_path: Path) -> None:
    manifest = tmp_path / paths.NORMALIZED_MANIFEST
    rows, footer = store.read(NORMALIZED, manifest), store.read_footer(manifest)
    store.write(rows, NORMALIZED, manifest, replace(footer, facts={**footer.facts, "unit": "film"}))
    assert LEAKS in run(QUICK, tmp_path, machine()).lines
    assert summary(tmp_path)["split"] == {"unit": "film", "holdout": "patients"}


@pytest.mark.usefixtures("films")
def test_the_log_has_a_line_per_epoch_and_the_summary_repeats_the_best(tmp_path: Path) -> None:
    run(QUICK, tmp_path, machine())

    with (tmp_path / "reports/train_log.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    found = summary(tmp_path)
    assert [int(line["epoch"]) for line in lines] == [1, 2, 3, 4, 5, 6]
    best = lines[found["best_epoch"] - 1]
    for name in ("train_accuracy", "val_accuracy", "val_loss"):
        assert float(best[name]) == pytest.approx(found[name], rel=1e-5)
    assert max(float(line["val_accuracy"]) for line in lines) == pytest.approx(found["val_accuracy"], rel=1e-5)


@pytest.mark.usefixtures("films")
def test_the_model_carries_what_one_must_know_to_use_it(tmp_path: Path) -> None:
    run(QUICK, tmp_path, machine())

    model = checkpoint.load(tmp_path / "models/model.safetensors", torch.device("cpu"))
    grey = np.stack([pixels(number % 3, number) for number in range(12)]) / 255
    assert (model.network_name, model.classes, model.frame) == ("residual", CLASSES, FRAME)
    assert model.mean == pytest.approx(grey.mean())
    assert model.std == pytest.approx(grey.std())
    assert model.facts["initialisation"] == "he"
    assert int(model.facts["epoch"]) == summary(tmp_path)["best_epoch"]
    assert float(model.facts["val_accuracy"]) == summary(tmp_path)["val_accuracy"]
    manifest = tmp_path / "data/normalized/manifest.parquet"
    assert json.loads(model.facts["sources"])["data/normalized/manifest.parquet"] == store.file_sha256(manifest)
    assert json.loads(model.facts["normalization"]) == store.read_footer(manifest).params


def test_the_same_seed_gives_the_same_files_and_another_seed_others(tmp_path: Path) -> None:
    params = replace_params(QUICK, epochs=2)
    for name, seed in (("first", 0), ("again", 0), ("other", 1)):
        write_set(tmp_path / name)
        run(replace_params(params, seed=seed), tmp_path / name, machine())

    models, logs = (
        [(tmp_path / name / path).read_bytes() for name in ("first", "again", "other")]
        for path in (paths.MODEL, paths.TRAIN_LOG)
    )
    assert models[0] == models[1] != models[2]
    assert logs[0] == logs[1] != logs[2]


def replace_params(params: TrainParams, **changes: Any) -> TrainParams:
    return TrainParams.model_validate({**params.model_dump(), **changes})


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        (lambda row: row.split != "val", "split val holds no good film"),
        (lambda row: row.split != "train", "split train holds no good film"),
        (lambda row: row.split == "val" or row.label != "viral", "holds no film of class viral"),
    ],
    ids=["val", "train", "class"],
)
def test_sets_that_cannot_be_learned_from_are_refused(
    tmp_path: Path, films: list[NormalizedRow], keep: Callable[[NormalizedRow], bool], message: str
) -> None:
    write_films(tmp_path, "shards", [row for row in films if keep(row)])

    with pytest.raises(StageError, match=message):
        run(QUICK, tmp_path, machine())
    assert not (tmp_path / "models").exists()


def test_films_that_were_set_aside_are_not_used(tmp_path: Path, films: list[NormalizedRow]) -> None:
    nothing: dict[str, Any] = {field.name: None for field in columns_of(NormalizedRow) if field.column.if_ok}
    bad = replace(films[-1], status="crashed", reason="SIGSEGV", **nothing)
    write_films(tmp_path, "shards", [*films[:-1], bad])

    run(replace_params(QUICK, epochs=1), tmp_path, machine())

    assert summary(tmp_path)["films"] == {"train": 12, "val": 5}


def test_copies_of_a_film_that_has_left_train_are_refused(tmp_path: Path, films: list[NormalizedRow]) -> None:
    write_films(tmp_path, "shards", [replace(films[0], split="val"), *films[1:]])

    with pytest.raises(StageError, match=r"data/augmented: 3 images, such as .*run augment again"):
        run(QUICK, tmp_path, machine())


@pytest.mark.usefixtures("films")
def test_a_class_that_only_the_copies_lack_is_laid_to_them_and_not_to_split(tmp_path: Path) -> None:
    manifest = tmp_path / "data/augmented/manifest.parquet"
    copies, footer = store.read(AUGMENTED, manifest), store.read_footer(manifest)
    store.write([row for row in copies if row.label != "viral"], AUGMENTED, manifest, footer)

    with pytest.raises(StageError, match=r"data/augmented: holds no image of class viral.*; run augment again"):
        run(QUICK, tmp_path, machine())


def test_a_class_that_val_lacks_is_a_warning(tmp_path: Path, films: list[NormalizedRow]) -> None:
    write_films(tmp_path, "shards", [row for row in films if row.split == "train" or row.label != "viral"])

    report = run(replace_params(QUICK, epochs=1), tmp_path, machine())

    assert any("split val holds no film of class viral" in line for line in report.lines)


@pytest.mark.usefixtures("films")
def test_a_network_that_learned_nothing_is_reported(tmp_path: Path) -> None:
    # PyTorch's first weights name one class for all films, and a rate near 0 leaves them
    params = replace_params(QUICK, network="alexnet", initialisation="default", epochs=1, learning_rate=1e-12)
    report = run(params, tmp_path, machine())

    assert summary(tmp_path)["val_accuracy"] <= summary(tmp_path)["majority_val_accuracy"]
    assert any("no better than always naming the most frequent class" in line for line in report.lines)


def test_a_missing_manifest_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"data/normalized/manifest\.parquet: not found"):
        run(QUICK, tmp_path, machine())


@pytest.mark.usefixtures("films")
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_where_there_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="finds no CUDA device"):
        run(QUICK, tmp_path, machine("cuda"))


def test_importing_the_stage_does_not_load_torch() -> None:
    code = "import sys, stages.train; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
