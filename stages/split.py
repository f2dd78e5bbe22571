"""split: every usable film goes to train, leak_probe, val or test; no patient crosses but the probe's.

The test split is kept as delivered, or drawn by patient where none was. Validation holds whole patients. The
leak probe is drawn film by film on purpose: its films' siblings may stay in train, so that its score shows
what a careless split would have leaked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import Field

from manifests import store
from manifests.rows import AUDITED, SPLIT, SPLITS, AuditedRow, Split, SplitRow
from stages import paths
from stages.contract import Machine, Params, Report, Root, Stage, StageError, counts
from stages.statistics.splits import draw_number, draw_share, gathered, linked, rounded_share


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
    and films that are added later move at most the patients at a boundary.
    """
    delivered = [row for row in rows if row.delivered_split == "test"]
    pool = [row for row in rows if row.delivered_split != "test"]
    tested = {cluster[str(row.group_id)] for row in delivered}
    if not delivered:
        tested = draw_share(_patients(pool, cluster), params.test_fraction, seed=params.seed, purpose="test")
    crossing = [row for row in pool if cluster[str(row.group_id)] in tested]
    pool = [row for row in pool if cluster[str(row.group_id)] not in tested]
    held = draw_share(_patients(pool, cluster), params.val_fraction, seed=params.seed, purpose="val")
    rest = [row for row in pool if cluster[str(row.group_id)] not in held]
    probe = _leak_probe(pool, rest, params)
    splits: dict[str, Split | None] = {row.path: "test" for row in delivered}
    splits |= {row.path: None if delivered else "test" for row in crossing}
    splits |= {row.path: "val" for row in pool if cluster[str(row.group_id)] in held}
    splits |= {row.path: "leak_probe" if row.film_id in probe else "train" for row in rest}
    return splits


def _patients(rows: Sequence[AuditedRow], cluster: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the clusters of each class; one whose films disagree counts for its most frequent class."""
    labels = gathered([cluster[str(row.group_id)] for row in rows], [str(row.label) for row in rows])
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
    """Return films, patients and class shares of each split, and the proof that no patient crosses."""
    in_train = {cluster[str(row.group_id)] for row in rows if row.split == "train"}
    probe = [row for row in rows if row.split == "leak_probe"]
    return {
        "splits": {name: _figures([row for row in rows if row.split == name]) for name in SPLITS},
        "patients_crossing": len(crossing_clusters(rows, cluster)),
        "leak_probe_with_siblings_in_train": sum(cluster[str(row.group_id)] in in_train for row in probe),
        "patients_with_several_groups": len(cluster) - len(set(cluster.values())),
        "set_aside": counts(row.status for row in rows),
        "test": "as delivered" if any(row.delivered_split == "test" for row in rows) else "drawn by patient",
        "params": params.model_dump(mode="json"),
    }


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
    if crossing:
        raise StageError(f"{paths.SPLIT}: patients {crossing[:3]} lie in several splits; expected none; please report")
    source = root / paths.AUDIT
    told = store.read_footer(source)
    footer = store.Footer(
        params=params.model_dump(mode="json"),
        sources={paths.AUDIT: store.file_sha256(source)},
        facts=told.facts,
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
    text = []
    for name, figures in summary["splits"].items():
        shares = ", ".join(f"{of['films']:,} {label}" for label, of in figures["classes"].items())
        text.append(f"{name}: {figures['films']:,} films of {figures['patients']:,} patients ({shares or 'none'})")
    siblings = summary["leak_probe_with_siblings_in_train"]
    text.append(f"test {summary['test']}; no patient crosses; {siblings:,} leak_probe films have siblings in train")
    return text


STAGE = Stage("split", SplitParams, reads=(paths.AUDIT,), writes=(paths.SPLIT, paths.SPLIT_SUMMARY), run=run)
