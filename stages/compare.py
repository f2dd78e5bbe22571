"""compare: which of several evaluated runs is better on the films that they share, and is it more than chance?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from pydantic import Field

from manifests import store
from manifests.rows import SPLITS
from stages import paths
from stages.contract import Machine, Params, ParamsError, Report, Root, Stage, StageError
from stages.leaks import LEAKS, leak_warning
from stages.peeks import note_peeks, peeks_line
from stages.reporting import text
from stages.runs import EvaluatedRun, read_runs
from stages.statistics.contrasts import Films, compare_models


class CompareParams(Params):
    """Which runs are compared, and on what."""

    runs: tuple[str, ...] = Field(
        (),
        description="The evaluated runs, the reference first: folders that hold data/evaluation, predictions.parquet "
        "files, or experiments and revisions that DVC knows. A run of several models counts as several.",
    )
    split: Literal["val", "test"] = Field(
        "val", description="Whose films to compare on; choose by val: each look at test is logged."
    )
    pairs: Literal["all", "first"] = Field(
        "all", description="all: every two runs; first: the others with the first alone, under a milder correction."
    )
    draws: int = Field(10_000, ge=100, description="How often the patients are redrawn for the intervals.")
    seed: int = Field(0, ge=0, lt=2**64, description="Decides which patients each draw holds.")


def read_all(params: CompareParams, root: Root) -> list[EvaluatedRun]:
    """Return the runs, each under a name of its own.

    Raises:
        ParamsError: where they are fewer than two, or one is named twice.
        StageError: where one cannot be read, or has other classes than the first.
    """
    found = [run for name in params.runs for run in read_runs(name, root, params.split)]
    if len(found) < 2:
        told = f"names {len(found)} {'run' if len(found) == 1 else 'runs'}"
        raise ParamsError(f"compare: {told}; expected two or more: cxr-pipeline compare A B")
    name, times = Counter(run.name for run in found).most_common(1)[0]
    if times > 1:
        raise ParamsError(f"compare: names {name} {times} times; expected each run once")
    for run in found[1:]:
        if set(run.classes) != set(found[0].classes):
            raise StageError(
                f"{run.name}: its classes are {', '.join(run.classes)}; {found[0].name} has "
                f"{', '.join(found[0].classes)}; expected runs of the same classes"
            )
    return found


def shared_films(runs: Sequence[EvaluatedRun], split: str) -> list[str]:
    """Return the films that all runs scored, in a fixed order.

    Raises:
        StageError: where there is none, or two runs disagree on a film's class or patient.
    """
    shared = sorted(set(runs[0].answers).intersection(*(run.answers for run in runs[1:])))
    if not shared:
        told = ", ".join(f"{run.name} {len(run.answers):,}" for run in runs)
        raise StageError(f"no film of {split} is in all runs ({told}); expected runs on the same films and split")
    for run in runs[1:]:
        for film in shared:
            one, other = runs[0].answers[film], run.answers[film]
            if (one.label, one.patient) != (other.label, other.patient):
                raise StageError(
                    f"film {film[:12]}: {runs[0].name} has class {one.label} and patient {one.patient}, {run.name} "
                    f"class {other.label} and patient {other.patient}; expected the same of both: compare runs that "
                    "were made from one audit"
                )
    return shared


def summarize(runs: Sequence[EvaluatedRun], params: CompareParams) -> dict[str, Any]:
    """Return what `reports/comparison.json` says, but for the looks at the test films."""
    shared, reference = shared_films(runs, params.split), runs[0]
    index = {name: number for number, name in enumerate(reference.classes)}
    groups = [reference.answers[film].patient for film in shared]
    labels = np.array([index[reference.answers[film].label] for film in shared], np.int64)
    figures = compare_models(
        Films(labels, groups, SPLITS.index(params.split)),
        {run.name: np.array([index[run.answers[film].predicted] for film in shared], np.int64) for run in runs},
        reference.classes,
        draws=params.draws,
        seed=params.seed,
        first_only=params.pairs == "first",
    )
    return {
        "split": params.split,
        "films": len(shared),
        "patients": len(set(groups)),
        "classes": list(reference.classes),
        "films_not_in_common": {run.name: len(run.answers) - len(shared) for run in runs},
        "leaking": [run.name for run in runs if leak_warning(run.split)],
        "model_sha256": {run.name: run.model_sha256 for run in runs},
        **figures,
        "params": params.model_dump(mode="json"),
    }


def lines(summary: Mapping[str, Any]) -> list[str]:
    """Return what the terminal shows: a row per run, a row per difference, and what to doubt about them."""
    models = [["run", "accuracy", "95 % interval", "macro recall", *summary["classes"]]]
    for name, found in summary["models"].items():
        recalls = [text.percent(found["recall"].get(label)) for label in summary["classes"]]
        between = text.percent_range(found["accuracy_low"], found["accuracy_high"])
        models.append([name, text.percent(found["accuracy"]), between, text.percent(found["macro_recall"]), *recalls])
    table = [["second - first", "points", "95 % interval", "alone right", "p (patients)", "p (McNemar)", "p (Holm)"]]
    for one in summary["contrasts"]:
        p_values = [text.p_value(one[f"{test}_p"]) for test in ("permutation", "mcnemar", "holm")]
        right = f"{one['second_alone']:,} : {one['first_alone']:,}"
        between = text.points_range(one["low"], one["high"])
        table.append([f"{one['second']} - {one['first']}", text.points(one["difference"]), between, right, *p_values])
    left_out = ", ".join(f"{films:,} of {name}" for name, films in summary["films_not_in_common"].items() if films)
    shown = [f"{summary['films']:,} films of {summary['patients']:,} patients of {summary['split']} are in all runs"]
    shown[0] += f"; left out: {left_out}" if left_out else ""
    shown += [*text.aligned(models), *text.aligned(table)]
    shown += [f"{name}: {LEAKS}" for name in summary["leaking"]]
    if "test_peeks" in summary:
        shown.append(peeks_line(summary["test_peeks"]))
    return shown


def _verdict(contrasts: int, runs: int) -> str:
    return f"{contrasts:,} {'difference' if contrasts == 1 else 'differences'} between {runs:,} runs"


def run(params: CompareParams, root: Root, _machine: Machine) -> Report:
    """Compare the runs on the films that they share; write the figures and the page."""
    from stages.reporting import comparison_page  # noqa: PLC0415  # jinja2 and matplotlib

    runs = read_all(params, root)
    peeks = {}
    if params.split == "test":  # before anything that its labels tell is worked out
        peeks = {"test_peeks": note_peeks(root / paths.TEST_PEEKS, [run.model_sha256 for run in runs], params)}
    summary = {**summarize(runs, params), **peeks}
    store.write_json(root / paths.COMPARISON, summary)
    facts = {
        "Networks, by the sha256 of their files": {run.name: run.model_sha256 or text.UNKNOWN for run in runs},
        "Parameters": {**params.model_dump(mode="json"), "runs": ", ".join(params.runs)},
        "Versions": {"cxr-pipeline": store.TOOL_VERSION, "numpy": np.__version__},
    }
    store.write_bytes(root / paths.COMPARISON_PAGE, comparison_page.comparison_page(summary, facts=facts).encode())
    return Report(
        done=summary["films"],
        unit="films",
        verdict=_verdict(len(summary["contrasts"]), len(runs)),
        lines=lines(summary),
        written=(paths.COMPARISON_PAGE, paths.COMPARISON),
    )


STAGE = Stage(
    "compare",
    CompareParams,
    reads=(),
    writes=(paths.COMPARISON, paths.COMPARISON_PAGE),
    run=run,
    arguments="runs",
)
