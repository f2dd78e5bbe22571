"""split: every usable film goes to train, leak_probe, val or test; no patient crosses but the probe's.

The test split is kept as delivered, or drawn by patient where none was. Validation holds whole patients, drawn one
by one, or as blocks of consecutive numbers where it is to resemble the official test. The leak probe is drawn film
by film on purpose: its films' siblings may stay in train, so that its score shows what a careless split would have
leaked. `unit: film` makes that careless split itself, and the manifest and every report after it say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field, ValidationInfo, field_validator

from manifests import store
from manifests.rows import AUDITED, SPLIT, SPLITS
from stages import paths
from stages.columns import ok_rows, rows_with, set_aside, tallied
from stages.contract import Machine, Params, Report, Root, Stage, StageError
from stages.leaks import leak_warning
from stages.patients import Patients, clusters_of, films_as_units, patients_as_units
from stages.reporting import text
from stages.statistics.splits import draw_blocks, draw_number, draw_share, rounded_share

READ = (  # of the audit: what tells who is one patient, and what goes on
    *("film_id", "path", "label", "label_index", "group_id", "status", "delivered_split"),
    *("exact_duplicate_of", "near_duplicate_of"),
)


class SplitParams(Params):
    """How the films are divided."""

    val_fraction: float = Field(0.15, ge=0, lt=1, description="Share of each class's patients held out as val.")
    leak_probe_fraction: float = Field(
        0.05, ge=0, lt=1, description="Share of each class's films held out one by one as leak_probe."
    )
    test_fraction: float = Field(
        0.15,
        ge=0,
        lt=1,
        description="Share of each class's patients held out as test where none was delivered.",
    )
    seed: int = Field(0, description="Key of the draws.")
    unit: Literal["patient", "film"] = Field(
        "patient",
        description="patient: no patient crosses; film: val, and a test that is drawn, hold films drawn one by one, "
        "as careless splits do. It leaks, and every report says so.",
    )
    holdout: Literal["patients", "block"] = Field(
        "patients",
        description="patients: val holds patients drawn one by one; block: patients of consecutive numbers in each "
        "class and series of names, as the official test does.",
    )

    @field_validator("holdout")
    @classmethod
    def _blocks_are_of_patients(cls, holdout: str, info: ValidationInfo) -> str:
        if holdout == "block" and info.data.get("unit") == "film":
            raise ValueError("a block holds whole patients; expected unit patient with it, or holdout patients")
        return holdout


def assign(films: pa.Table, patients: Patients, params: SplitParams) -> pa.StringArray:
    """Return the split of each usable film; null where its patient is in the delivered test split.

    Shares are taken by rank of a keyed hash within each class (`draw_share`), so they are exact, repeatable,
    and films that are added later move at most the patients at a boundary. Blocks (`draw_blocks`) are as exact, but
    may move as a whole. What is drawn and held together is the patient; with `unit: film`, each film is its own.
    """
    units = films_as_units(films) if params.unit == "film" else patients_as_units(films, patients)
    delivered = _delivered_as_test(films)
    if delivered.any():
        tested = np.isin(units.of_film, units.of_film[delivered])
    else:
        drawn = draw_share(units.by_class(~delivered), params.test_fraction, seed=params.seed, purpose="test")
        tested = units.among(drawn)
    pool = ~tested
    draw = draw_blocks if params.holdout == "block" else draw_share
    held = units.among(draw(units.by_class(pool), params.val_fraction, seed=params.seed, purpose="val"))
    probe = _leak_probe(films, pool, pool & ~held, params)
    test = delivered if delivered.any() else tested
    conditions = {"test": test, None: tested, "val": held, "leak_probe": probe, "train": pool}  # the first that holds
    place = np.select(list(conditions.values()), range(len(conditions)))
    return pa.array(list(conditions), pa.string()).take(pa.array(place))


def _delivered_as_test(rows: pa.Table) -> NDArray[np.bool_]:
    return np.asarray(pc.equal(pc.fill_null(rows.column("delivered_split"), ""), "test"))


def _leak_probe(
    films: pa.Table, pool: NDArray[np.bool_], rest: NDArray[np.bool_], params: SplitParams
) -> NDArray[np.bool_]:
    """Return the films of the probe: a share of all the pool's films, drawn from those that val left."""
    each = films_as_units(films)
    in_pool = np.bincount(each.label[pool], minlength=len(each.labels)).tolist()
    drawn: set[str] = set()
    for (_, names), number in zip(each.by_class(rest).items(), in_pool, strict=True):
        share = rounded_share(params.leak_probe_fraction, number)
        drawn |= draw_number(names, share, seed=params.seed, purpose="leak_probe")
    return each.among(drawn)


def split_rows(films: pa.Table, splits: pa.StringArray) -> pa.Table:
    """Return the films' rows in the split manifest."""
    assigned = pc.is_valid(splits)
    crossing = pc.if_else(assigned, None, films.column("group_id"))
    why = pc.binary_join_element_wise(
        "patient ", crossing, " is in the delivered test split, or a radiograph of theirs is", ""
    )
    kept = ("film_id", "path", "label", "label_index", "group_id", "delivered_split")
    columns = {
        **{name: films.column(name) for name in kept},
        "split": splits,
        "status": pc.if_else(assigned, "ok", "crosses_test"),
        "reason": why,
    }
    return SPLIT.table_of(columns, len(films))


def crossing_clusters(rows: pa.Table, patients: Patients) -> list[str]:
    """Return the patients who lie in more than one of train, val and test; the leak probe may share train's.

    Raises:
        KeyError: where a row's group is none of the patients'.
    """
    assigned = rows.select(["group_id", "split"]).filter(pc.is_valid(rows.column("split")))
    sides = pa.array(["train", "val", "test"])
    side = pc.fill_null(pc.index_in(assigned.column("split"), value_set=sides), 0)  # the probe's is train
    lies_in = np.unique(patients.of(assigned) * len(sides) + side.to_numpy())
    found, times = np.unique(lies_in // len(sides), return_counts=True)
    names: list[str] = patients.groups.take(found[times > 1]).to_pylist()
    return names


def summarize(rows: pa.Table, patients: Patients, params: SplitParams) -> dict[str, Any]:
    """Return films, patients and class shares of each split, and how many patients cross: none, unless by film."""
    rows = rows.select(["label", "label_index", "group_id", "split", "status", "delivered_split"])
    assigned = rows.filter(pc.is_valid(rows.column("split")))
    return {
        "splits": {name: _figures(rows_with(rows, split=name)) for name in SPLITS},
        "unit": params.unit,
        "holdout": params.holdout,
        "leaks": params.unit == "film",
        "patients": len(np.unique(patients.of(assigned))),
        "patients_crossing": len(crossing_clusters(rows, patients)),
        "with_siblings_in_train": _with_siblings_in_train(assigned, patients),
        "patients_with_several_groups": len(patients.cluster) - len(np.unique(patients.cluster)),
        "set_aside": set_aside(rows.column("status")),
        "test": "as delivered" if _delivered_as_test(rows).any() else f"drawn by {params.unit}",
        "params": params.model_dump(mode="json"),
    }


def _with_siblings_in_train(assigned: pa.Table, patients: Patients) -> dict[str, int]:
    """Return how many films of each other split show a patient of train."""
    patient, split = patients.of(assigned), assigned.column("split")
    trained = np.isin(patient, patient[np.asarray(pc.equal(split, "train"))])
    found = tallied(split.filter(pa.array(trained)))
    return {name: found.get(name, 0) for name in SPLITS if name != "train"}


def _figures(films: pa.Table) -> dict[str, Any]:
    """Return how many films and patients a split holds, in all and by class."""
    label, group = films.column("label"), films.column("group_id")
    shown = tallied(label.take(pc.sort_indices(films.column("label_index"))))
    of_label = {name: _distinct(group.filter(pc.equal(label, name))) for name in shown}
    return {
        "films": len(films),
        "patients": _distinct(group),
        "classes": {
            name: {"films": number, "share": round(number / len(films), 4), "patients": of_label[name]}
            for name, number in shown.items()
        },
    }


def _distinct(column: pa.ChunkedArray) -> int:
    number: int = pc.count_distinct(column).as_py()
    return number


def divide(params: SplitParams, root: Root) -> tuple[pa.Table, Patients]:
    """Assign every film that the audit passed, write the manifest, and return its rows and who is one patient."""
    source = root / paths.AUDIT
    audited = store.read_table(AUDITED.only(*READ), source)
    patients, files = clusters_of(audited), len(audited)
    usable = ok_rows(audited)
    del audited  # or it would be there beside them
    if not len(usable):
        raise StageError(f"{source}: {files} files, none usable; see {paths.AUDIT_PAGE} for why")
    rows = split_rows(usable, assign(usable, patients, params))
    crossing = crossing_clusters(rows, patients)
    if crossing and params.unit == "patient":
        raise StageError(f"{paths.SPLIT}: patients {crossing[:3]} lie in several splits; expected none; please report")
    told = store.read_footer(source)
    footer = store.Footer(
        params=params.model_dump(mode="json"),
        sources={paths.AUDIT: store.file_sha256(source)},
        facts={**told.facts, "unit": params.unit, "holdout": params.holdout},
        recipes=told.recipes_with("audit"),
    )
    store.write(rows, SPLIT, root / paths.SPLIT, footer)
    return rows, patients


def run(params: SplitParams, root: Root, _machine: Machine) -> Report:
    """Assign every film that the audit passed and write the manifest and the summary."""
    rows, patients = divide(params, root)
    summary = summarize(rows, patients, params)
    store.write_json(root / paths.SPLIT_SUMMARY, summary)
    return Report(
        done=len(rows),
        unit="films",
        set_aside=summary["set_aside"],
        lines=_lines(summary),
        written=(paths.SPLIT_SUMMARY, paths.SPLIT),
    )


def _lines(summary: Mapping[str, Any]) -> list[str]:
    """Return a table of the splits, what crosses, and a warning where the split is a careless one."""
    splits = summary["splits"]
    classes = list(dict.fromkeys(label for figures in splits.values() for label in figures["classes"]))
    table = [["split", "films", "patients", *classes]]
    for name, figures in splits.items():
        shares = [figures["classes"].get(label, {"films": 0, "share": None}) for label in classes]
        cells = [f"{text.count(of['films'])} ({text.percent(of['share'])})" for of in shares]
        table.append([name, text.count(figures["films"]), text.count(figures["patients"]), *cells])
    siblings = summary["with_siblings_in_train"]
    shown = [name for name in siblings if name == "leak_probe" or siblings[name]]
    proof = f"{summary['patients_crossing']:,} of {summary['patients']:,} patients cross"
    beside = ", ".join(f"{siblings[name]:,} {name} films" for name in shown)
    holdout = "; val holds blocks of consecutive patients" if summary["holdout"] == "block" else ""
    return [
        *text.aligned(table),
        f"test {summary['test']}{holdout}; {proof}; {beside} have siblings in train",
        *leak_warning(summary),
    ]


STAGE = Stage("split", SplitParams, reads=(paths.AUDIT,), writes=(paths.SPLIT, paths.SPLIT_SUMMARY), run=run)
