"""probe: simple models on the films, as a check of the data: what a network can learn without looking at a lung."""

from __future__ import annotations

from pydantic import Field

from manifests import store
from manifests.rows import NORMALIZED
from stages import paths, probe_summary, probing
from stages.contract import Machine, Params, Report, Root, Stage
from stages.peeks import note_peeks, peeks_line
from stages.scoring import choose_splits, read_images


class ProbeParams(Params):
    """What is looked at."""

    test: bool = Field(
        True, description="Whether to score the test films and to tell them from train's; each such look is logged."
    )
    seed: int = Field(0, ge=0, description="Decides the folds by which penalties are chosen.")


def run(params: ProbeParams, root: Root, machine: Machine) -> Report:
    """Run the probes on the normalized films and write their figures."""
    films = read_images(root, paths.NORMALIZED, NORMALIZED)
    splits, _ = choose_splits(films.rows, "all", where=paths.NORMALIZED_MANIFEST)
    splits = [split for split in splits if params.test or split != "test"]
    looked_at = sum(row.split in splits for row in films.rows)
    peeks = {}
    if "test" in splits:  # before anything that its labels tell is worked out, let alone shown
        peeks = {"test_peeks": note_peeks(root / paths.TEST_PEEKS, [None], params)}
    found = {**probing.summary(root, films, splits, machine, seed=params.seed), **peeks}
    shown = probe_summary.lines(found, splits)
    if peeks:
        shown.append(peeks_line(found["test_peeks"]))
    store.write_json(root / paths.PROBES, {**found, "params": params.model_dump(mode="json")})
    return Report(done=looked_at, unit="films", lines=shown, written=(paths.PROBES,))


STAGE = Stage("probe", ProbeParams, reads=(paths.NORMALIZED, paths.AUDIT), writes=(paths.PROBES,), run=run)
