"""split: every usable film goes to train, leak_probe, val or test; no patient crosses but the probe's.

The test split is kept as delivered, or drawn by patient where none was. Validation holds whole patients, drawn one
by one, or as blocks of consecutive numbers where it is to resemble the official test. The leak probe is drawn film
by film on purpose: its films' siblings may stay in train, so that its score shows what a careless split would have
leaked. `unit: film` makes that careless split itself, and the manifest and every report after it say so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from manifests import store
from manifests.rows import AUDITED, SPLIT, SPLITS, AuditedRow, Split, SplitRow
from stages import paths
from stages.contract import Machine, Params, Report, Root, Stage, StageError, counts
from stages.leaks import leak_warning
from stages.reporting import text
from stages.statistics.splits import draw_blocks, draw_number, draw_share, gathered, linked, rounded_share


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


def clusters_of(rows: Sequence[AuditedRow]) -> dict[str, str]:
    """Return each patient group's cluster: groups that share a radiograph are taken for one patient."""
    group = {row.path: str(row.group_id) for row in rows if row.group_id}
    pairs = [
        (group[row.path], group[twin])
        for row in rows
        for twin in (row.exact_duplicate_of, row.near_duplicate_of)
        if twin is not None
    ]
    return linked(group.values(), pairs)


def assign(rows: Sequence[AuditedRow], cluster: Mapping[str, str], params: SplitParams) -> dict[str, Split | None]:
    """Return the split of each usable film by its path; None where its patient is in the delivered test split.

    Shares are taken by rank of a keyed hash within each class (`draw_share`), so they are exact, repeatable,
    and films that are added later move at most the patients at a boundary. Blocks (`draw_blocks`) are as exact, but
    may move as a whole. What is drawn and held together is the patient; with `unit: film`, each film is its own.
    """
    unit = {row.path: str(row.film_id) if params.unit == "film" else cluster[str(row.group_id)] for row in rows}
    delivered = [row for row in rows if row.delivered_split == "test"]
    pool = [row for row in rows if row.delivered_split != "test"]
    tested = {unit[row.path] for row in delivered}
    if not delivered:
        tested = draw_share(_units(pool, unit), params.test_fraction, seed=params.seed, purpose="test")
    crossing = [row for row in pool if unit[row.path] in tested]
    pool = [row for row in pool if unit[row.path] not in tested]
    draw = draw_blocks if params.holdout == "block" else draw_share
    held = draw(_units(pool, unit), params.val_fraction, seed=params.seed, purpose="val")
    rest = [row for row in pool if unit[row.path] not in held]
    probe = _leak_probe(pool, rest, params)
    splits: dict[str, Split | None] = {row.path: "test" for row in delivered}
    splits |= {row.path: None if delivered else "test" for row in crossing}
    splits |= {row.path: "val" for row in pool if unit[row.path] in held}
    splits |= {row.path: "leak_probe" if row.film_id in probe else "train" for row in rest}
    return splits


def _units(rows: Sequence[AuditedRow], unit: Mapping[str, str]) -> dict[str, list[str]]:
    """Return what is drawn, by class: a patient whose films disagree counts for the most frequent class."""
    labels = gathered([unit[row.path] for row in rows], [str(row.label) for row in rows])
    of_class = {name: Counter(sorted(found)).most_common(1)[0][0] for name, found in labels.items()}
    return gathered(list(of_class.values()), list(of_class))


def _leak_probe(pool: Sequence[AuditedRow], rest: Sequence[AuditedRow], params: SplitParams) -> set[str]:
    """Return the films of the probe: a share of all the pool's films, drawn from those that val left."""
    found: set[str] = set()
    in_pool = Counter(str(row.label) for row in pool)
    films = gathered([str(row.label) for row in rest], [str(row.film_id) for row in rest])
    for label, ids in films.items():
        number = rounded_share(params.leak_probe_fraction, in_pool[label])
        found |= draw_number(ids, number, seed=params.seed, purpose="leak_probe")
    return found


def split_row(row: AuditedRow, split: Split | None) -> SplitRow:
    """Return a film's row in the split manifest."""
    reason = None
    if split is None:
        reason = f"patient {row.group_id} is in the delivered test split, or a radiograph of theirs is"
    return SplitRow(
        film_id=str(row.film_id),
        path=row.path,
        label=row.label,
        label_index=row.label_index,
        group_id=row.group_id,
        split=split,
        status="ok" if split else "crosses_test",
        reason=reason,
        delivered_split=row.delivered_split,
    )


def crossing_clusters(rows: Iterable[SplitRow], cluster: Mapping[str, str]) -> list[str]:
    """Return the clusters that lie in more than one of train, val and test; the leak probe may share train's."""
    sides: dict[str, set[str]] = {}
    for row in rows:
        if row.split is not None:
            side = "train" if row.split == "leak_probe" else row.split
            sides.setdefault(cluster[str(row.group_id)], set()).add(side)
    return sorted(name for name, found in sides.items() if len(found) > 1)


def summarize(rows: Sequence[SplitRow], cluster: Mapping[str, str], params: SplitParams) -> dict[str, Any]:
    """Return films, patients and class shares of each split, and how many patients cross: none, unless by film."""
    return {
        "splits": {name: _figures([row for row in rows if row.split == name]) for name in SPLITS},
        "unit": params.unit,
        "holdout": params.holdout,
        "leaks": params.unit == "film",
        "patients": len({cluster[str(row.group_id)] for row in rows if row.split is not None}),
        "patients_crossing": len(crossing_clusters(rows, cluster)),
        "with_siblings_in_train": _with_siblings_in_train(rows, cluster),
        "patients_with_several_groups": len(cluster) - len(set(cluster.values())),
        "set_aside": counts(row.status for row in rows),
        "test": _origin_of_test(rows, params),
        "params": params.model_dump(mode="json"),
    }


def _with_siblings_in_train(rows: Sequence[SplitRow], cluster: Mapping[str, str]) -> dict[str, int]:
    """Return how many films of each other split show a patient of train."""
    trained = {cluster[str(row.group_id)] for row in rows if row.split == "train"}
    found = Counter(str(row.split) for row in rows if cluster[str(row.group_id)] in trained)
    return {name: found[name] for name in SPLITS if name != "train"}


def _origin_of_test(rows: Sequence[SplitRow], params: SplitParams) -> str:
    return "as delivered" if any(row.delivered_split == "test" for row in rows) else f"drawn by {params.unit}"


def _figures(rows: Sequence[SplitRow]) -> dict[str, Any]:
    shown = Counter(str(row.label) for row in sorted(rows, key=lambda row: row.label_index or 0))
    return {
        "films": len(rows),
        "patients": len({row.group_id for row in rows}),
        "classes": {
            label: {
                "films": films,
                "share": round(films / len(rows), 4),
                "patients": len({row.group_id for row in rows if row.label == label}),
            }
            for label, films in shown.items()
        },
    }


def divide(params: SplitParams, root: Root) -> tuple[list[SplitRow], dict[str, str]]:
    """Assign every film that the audit passed, write the manifest, and return its rows and each group's cluster."""
    audited = store.read(AUDITED, root / paths.AUDIT)
    usable = [row for row in audited if row.status == "ok"]
    if not usable:
        raise StageError(f"{root / paths.AUDIT}: {len(audited)} files, none usable; see {paths.AUDIT_PAGE} for why")
    cluster = clusters_of(audited)
    splits = assign(usable, cluster, params)
    rows = [split_row(row, splits[row.path]) for row in usable]
    crossing = crossing_clusters(rows, cluster)
    if crossing and params.unit == "patient":
        raise StageError(f"{paths.SPLIT}: patients {crossing[:3]} lie in several splits; expected none; please report")
    source = root / paths.AUDIT
    told = store.read_footer(source)
    footer = store.Footer(
        params=params.model_dump(mode="json"),
        sources={paths.AUDIT: store.file_sha256(source)},
        facts={**told.facts, "unit": params.unit, "holdout": params.holdout},
        recipes=told.recipes_with("audit"),
    )
    store.write(rows, SPLIT, root / paths.SPLIT, footer)
    return rows, cluster


def run(params: SplitParams, root: Root, _machine: Machine) -> Report:
    """Assign every film that the audit passed and write the manifest and the summary."""
    rows, cluster = divide(params, root)
    summary = summarize(rows, cluster, params)
    store.write_json(root / paths.SPLIT_SUMMARY, summary)
    return Report(
        done=len(rows),
        unit="films",
        set_aside=counts(row.status for row in rows),
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
