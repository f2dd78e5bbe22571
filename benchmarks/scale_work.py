"""What `scale.py` measures, each in a process of its own: the project's own code on rows that are made up.

No film is read: the audit's rows are made up, and normalize gets its films, of 8 x 8 pixels, as `build` hands them on.
From there on everything is real: shards, seals, manifests, workers.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.prepared import silent
from manifests import store
from manifests.columns import Schema
from manifests.prefixes import films_by_prefix
from manifests.rows import AUDITED, NORMALIZED, PREDICTIONS
from manifests.verify import tables_of
from stages import compare, judgement, labels, nih, normalize, paths, query, split, verify
from stages.contract import Machine
from stages.films.frame import Frame, Gray
from stages.films.placement import Placement, place
from stages.planning import made_up

SIDE = 8  # of a film: the smallest frame that normalize takes
FRAME = Frame(height=SIDE, width=SIDE)
EVERY_FILM = split.SplitParams(val_fraction=0.0, leak_probe_fraction=0.0, test_fraction=0.0)
SMALL = normalize.NormalizeParams(height=SIDE, width=SIDE)
DRAWS = 10_000
SCORED = "scored.parquet"
SPLIT_OF_TEN = ("train",) * 7 + ("val", "leak_probe", "test")


@dataclass(frozen=True, slots=True)
class Asked:
    """One measurement.

    Attributes:
        root: the folder of the set.
        films: how many.
        copies: of each.
        jobs: workers.
        share: of the shards that verify reads.
    """

    root: Path
    films: int
    copies: int
    jobs: int
    share: float


@dataclass(frozen=True, slots=True)
class MadeUp:
    """Films as `build` hands them on to normalize: of each hash the picture that follows from it."""

    def found(self, film_ids: Iterable[str]) -> dict[str, tuple[Gray, Placement]]:
        """Return a picture of each film, and how it came into the frame."""
        placement = place(FRAME, frame=FRAME, policy="cover")
        return {film_id: (_picture(film_id), placement) for film_id in film_ids}


def _picture(film_id: str) -> Gray:
    return np.frombuffer(bytes.fromhex(film_id) * 2, np.uint8).reshape(SIDE, SIDE)


def _machine(asked: Asked, *, ahead: Any = None) -> Machine:
    from pipeline.workers import Workers

    return Machine(fan_out=Workers(backend="loky", jobs=asked.jobs, track=silent), track=silent, ahead=ahead)


# --- the stages ------------------------------------------------------------------------------------------------


def audit(asked: Asked) -> int:
    """Make up the audit's rows and write them."""
    facts = {"raw": "data/raw", "classes": list(made_up.CLASSES), "beside": [], "label_source": "made up"}
    rows = made_up.audited(asked.films)
    store.write(rows, AUDITED, asked.root / paths.AUDIT, store.Footer(facts=facts))
    return len(rows)


def split_films(asked: Asked) -> int:
    """Split, as it does by default."""
    return split.run(split.SplitParams(), asked.root, _machine(asked)).done


def all_in_train(asked: Asked) -> int:
    """Split so that copies are made of every film."""
    return split.run(EVERY_FILM, asked.root, _machine(asked)).done


def normalize_films(asked: Asked) -> int:
    """Normalize films of 8 x 8: plan, shards, seals, manifest."""
    return normalize.run(SMALL, asked.root, _machine(asked, ahead=MadeUp())).done


def augment_films(asked: Asked) -> int:
    """Make all copies, of 8 x 8 as well."""
    from stages import augment
    from stages.augment_params import AugmentParams

    params = AugmentParams(copies=asked.copies, encoding="pgm")
    return augment.run(params, asked.root, _machine(asked)).done


def verify_sample(asked: Asked) -> int:
    """Verify with a share of the shards read."""
    report = verify.run(verify.VerifyParams(sample=asked.share), asked.root, _machine(asked))
    assert not report.failed, report.lines
    return report.done


def plan_shards(asked: Asked) -> int:
    """Plan the shards of all films as augment does, and make every job, one at a time."""
    from stages import augment
    from stages.augment_params import AugmentParams

    films = store.read_table(NORMALIZED, asked.root / paths.NORMALIZED_MANIFEST)
    jobs = augment.jobs_of(films, AugmentParams(copies=asked.copies, encoding="pgm"), FRAME)
    return sum(len(job.films) for job in jobs)


def plan_export(asked: Asked) -> int:
    """Plan the output shards of an export: every image by its hash, 1,000 a shard."""
    return len(films_by_prefix(_column(asked, "sha256"), films_per_shard=1000))


def _column(asked: Asked, name: str) -> pa.ChunkedArray:
    """Return a column of the augmented manifest; 8 x 8 images may be the same twice, and then count once."""
    from stages.drawn import AUGMENTED

    tables = tables_of(AUGMENTED, asked.root / paths.AUGMENTED_MANIFEST)
    column = pa.chunked_array([chunk for table in tables for chunk in table.column(name).chunks])
    return pa.chunked_array([pc.unique(column)])


def read_back(asked: Asked) -> int:
    """Read and check every row of the augmented manifest, some at a time."""
    from stages.drawn import AUGMENTED

    return sum(len(table) for table in tables_of(AUGMENTED, asked.root / paths.AUGMENTED_MANIFEST))


def ask(asked: Asked) -> int:
    """Ask the augmented manifest a question, as `show --where` does: the columns that it names are read."""
    from stages.drawn import AUGMENTED

    text = "label == 'pneumonia' and angle_deg > 10 and flipped"
    schema: Schema[Any] = AUGMENTED.only("label", "angle_deg", "flipped", "status", "path", "film_id", "copy")
    table = store.read_table(schema, asked.root / paths.AUGMENTED_MANIFEST)
    assert len(query.rows_where(table, text))
    return len(table)


def train_rows(asked: Asked) -> int:
    """Read what training reads of the images' rows."""
    from manifests.shards import ImageFolder
    from stages import train_sources
    from stages.drawn import AUGMENTED
    from stages.stored import usable

    images = store.read_table(AUGMENTED.only(*train_sources.READ), asked.root / paths.AUGMENTED_MANIFEST)
    found = usable(ImageFolder(asked.root / paths.AUGMENTED, "shards"), images, "train")
    return len(found.labels)


def evaluate_rows(asked: Asked) -> int:
    """Read what evaluate reads of the augmented images: an object a row."""
    from stages.drawn import AUGMENTED
    from stages.scoring import read_images

    return len(read_images(asked.root, paths.AUGMENTED, AUGMENTED, shared=True).rows)


# --- predictions -----------------------------------------------------------------------------------------------


def _scored(films: int) -> pa.Table:
    """Return rows of normalized films in all four splits, whole patients but for the probe."""
    rows = made_up.audited(films, collection="mimic")
    patient = made_up.patients(films, "mimic", seed=0)
    splits = pa.array([SPLIT_OF_TEN[number % 10] for number in patient.tolist()])
    shared = {name: rows.column(name) for name in ("film_id", "path", "label", "label_index", "group_id", "status")}
    return pa.table({**shared, "split": splits})


def write_scored(asked: Asked) -> int:
    """Write normalized rows in all splits, for `judge`, and two runs' predictions for val, for `compare`."""
    rows = _scored(asked.films)
    digest, films = hashlib.sha256(b"").hexdigest(), asked.films
    constant: dict[str, Any] = {
        "sha256": [digest] * films,
        "encoded_bytes": [1] * films,
        "scale_x": [1.0] * films,
        "scale_y": [1.0] * films,
        "lost": [0.0] * films,
        "padded": [0.0] * films,
        "film_left": [0] * films,
        "film_top": [0] * films,
        "film_right": [SIDE] * films,
        "film_bottom": [SIDE] * films,
    }
    columns = {name: rows.column(name) for name in rows.column_names}
    store.write(NORMALIZED.table_of(columns | constant, films), NORMALIZED, asked.root / SCORED, _footer())
    for number in range(2):
        _write_predictions(rows, asked.root / f"run-{number}.parquet", np.random.default_rng(number))
    return films


def _footer() -> store.Footer:
    return store.Footer(facts={"classes": list(made_up.CLASSES)})


def _write_predictions(films: pa.Table, path: Path, words: np.random.Generator) -> None:
    truth = films.column("label_index").to_numpy()
    odds = _answers(truth, words)
    said = odds.argmax(axis=1)
    columns = {
        **{name: films.column(name) for name in films.column_names},
        "split": ["val"] * len(films),
        "model": ["models/model.safetensors"] * len(films),
        "predicted": pa.array(made_up.CLASSES).take(pa.array(said)),
        "predicted_index": said,
        "correct": said == truth,
        "probabilities": pa.FixedSizeListArray.from_arrays(pa.array(odds.ravel()), 3).cast(pa.list_(pa.float32())),
    }
    store.write(PREDICTIONS.table_of(columns, len(films)), PREDICTIONS, path, _footer())


def _answers(truth: Any, words: np.random.Generator) -> Any:
    """Return probabilities that name the right class in seven films of ten."""
    odds = words.random((len(truth), len(made_up.CLASSES))).astype(np.float32)
    odds[np.arange(len(truth)), truth] += 0.6
    return odds / odds.sum(axis=1, keepdims=True)


def judge(asked: Asked) -> int:
    """Judge one network's answers for so many films: scores, gap, intervals from draws of patients."""
    from stages.scoring import Images

    folder: Any = None
    rows: list[Any] = [*store.read(NORMALIZED, asked.root / SCORED)]
    films = Images(folder, rows, {"classes": list(made_up.CLASSES)})
    sets = {name: films.of(name) for name in ("train", "leak_probe", "val", "test")}
    words = np.random.default_rng(0)
    said = {"model": {name: _answers(of.labels, words) for name, of in sets.items()}}
    judgement.summarize(sets, said, films, draws=DRAWS, seed=0)
    return asked.films


def compare_runs(asked: Asked) -> int:
    """Compare two runs' answers for so many films of val, from draws of patients."""
    names = tuple(str(asked.root / f"run-{number}.parquet") for number in range(2))
    return compare.run(compare.CompareParams(runs=names, draws=DRAWS), asked.root, _machine(asked)).done


# --- labels ----------------------------------------------------------------------------------------------------


def write_labels(asked: Asked) -> int:
    """Write a labels.csv and a Data_Entry_2017.csv."""
    rows = made_up.audited(asked.films)
    paths_, told, groups = (rows.column(name).to_pylist() for name in ("path", "label", "group_id"))
    (asked.root / "files.txt").write_text("\n".join(paths_), encoding="utf-8")
    with (asked.root / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "label", "group"), *zip(paths_, told, groups, strict=True)])
    findings = {"normal": "No Finding", "other": "Effusion|Mass", "pneumonia": "Pneumonia"}
    names = [path.rpartition("/")[2] for path in paths_]
    lines = [(name, findings[label], 0, name[:8], 50) for name, label in zip(names, told, strict=True)]
    with (asked.root / "Data_Entry_2017.csv").open("w", newline="", encoding="utf-8") as file:
        head = ("Image Index", "Finding Labels", "Follow-up #", "Patient ID", "Patient Age")
        csv.writer(file).writerows([head, *lines])
    return len(lines)


def labels_csv(asked: Asked) -> int:
    """Read a labels.csv of path, label and group, and name every film by it."""
    files = _files(asked)
    return _named(labels.choose("csv", files, asked.root, labels_csv="labels.csv", group_pattern=""), files)


def nih_csv(asked: Asked) -> int:
    """Read a Data_Entry_2017.csv, and name every film by it."""
    files = _files(asked)
    return _named(nih.read(asked.root, "Data_Entry_2017.csv", files, finding="Pneumonia", key=b""), files)


def _files(asked: Asked) -> list[str]:
    return (asked.root / "files.txt").read_text(encoding="utf-8").split("\n")


def _named(found: Any, files: Iterable[str]) -> int:
    return sum(found.name(path).label is not None for path in files)


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of work that is measured.

    Attributes:
        run: does it and returns how many rows it handled.
        what: in words.
        per: what a row of it is: film or image.
        setup: whether it only makes what the next ones need.
    """

    run: Callable[[Asked], int]
    what: str
    per: str
    setup: bool = False


PIECES: Mapping[str, Piece] = {
    "audit": Piece(audit, "make up the audit's rows, write them", "film", setup=True),
    "split": Piece(split_films, "`split`", "film"),
    "all in train": Piece(all_in_train, "`split`, every film to train", "film", setup=True),
    "normalize": Piece(normalize_films, "`normalize`, films of 8 x 8", "film"),
    "plan": Piece(plan_shards, "shards planned, every job made", "film"),
    "augment": Piece(augment_films, "`augment`, 8 x 8, 20 copies", "image"),
    "read": Piece(read_back, "all rows read and checked", "image"),
    "verify": Piece(verify_sample, "`verify --sample`", "image"),
    "query": Piece(ask, "a question to all rows", "image"),
    "train": Piece(train_rows, "`train`: its rows", "image"),
    "export": Piece(plan_export, "shards of an export planned", "image"),
    "evaluate": Piece(evaluate_rows, "`evaluate`: its augmented rows", "image"),
    "scored": Piece(write_scored, "make up normalized rows and predictions", "film", setup=True),
    "judge": Piece(judge, "`evaluate`: one network judged, 10,000 draws", "film"),
    "compare": Piece(compare_runs, "`compare` of two runs, 10,000 draws", "film"),
    "csv": Piece(write_labels, "make up CSVs of labels", "film", setup=True),
    "labels": Piece(labels_csv, "labels.csv read, films named", "film"),
    "nih": Piece(nih_csv, "Data_Entry_2017.csv read, films named", "film"),
}
