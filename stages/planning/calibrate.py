"""Rates of this machine: the stages themselves, run on a sample in a folder of its own, every job clocked.

What grows with each film is measured where it is done, in the workers and in the parent. What a command takes however
few the films, from starting Python to drawing plots, is what a command on few films takes beyond that. What only shows
in large sets is measured by `tables`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import rmtree
from typing import Any

import numpy as np
import pyarrow.compute as pc
import yaml

from manifests import store
from manifests.rows import AUDITED
from stages import audit, augment, build, normalize, paths, split, verify
from stages.audit import AuditParams
from stages.auditing.examine import AuditJob, audit_job
from stages.augment_params import AugmentParams
from stages.columns import ok_rows
from stages.contract import Machine, Params, StageError
from stages.drawn import AUGMENTED
from stages.normalize import NormalizeParams
from stages.planning import forecast
from stages.planning.clock import Clocked
from stages.planning.commands import watched
from stages.planning.forecast import Size
from stages.planning.ran import Ran, after_looking_s, rates_of
from stages.planning.rates import STAGES, Rates
from stages.planning.sample import Sample, part_of
from stages.planning.tables import Tables, clocked
from stages.split import SplitParams

PART = 4  # the small set is this part of the sample
RUNS: Mapping[str, Callable[..., Any]] = {
    "audit": audit.run,
    "split": split.run,
    "normalize": normalize.run,
    "augment": augment.run,
    "verify": verify.run,
}
EVERY_FILM = SplitParams(val_fraction=0, leak_probe_fraction=0, test_fraction=0)  # copies are made of each
EVERY_BYTE = verify.VerifyParams()


@dataclass(frozen=True, slots=True)
class Recipe:
    """The parameters of the stages, as whoever plans has them, but that every film is a training film."""

    audit: AuditParams
    normalize: NormalizeParams
    augment: AugmentParams
    split: SplitParams = EVERY_FILM
    verify: verify.VerifyParams = EVERY_BYTE

    def of(self, stage: str) -> Params:
        """Return a stage's parameters."""
        params: Params = getattr(self, stage)
        return params

    @property
    def build(self) -> build.BuildParams:
        """Return those of `build`."""
        return build.BuildParams(audit=self.audit, split=self.split, normalize=self.normalize, augment=self.augment)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the sample tells of films, beside rates.

    Attributes:
        usable_share: of them.
        test_share: of the usable films, those that came in a test split.
        strata: classes in delivered splits.
        doubt_time: two standard errors of a film's time in the audit, as a share of it.
        doubt_bytes: two standard errors of the bytes of a film's images, as a share of them.
    """

    usable_share: float
    test_share: float
    strata: int
    doubt_time: float
    doubt_bytes: float


@dataclass(frozen=True, slots=True)
class Round:
    """What one look at the sample gives.

    Attributes:
        rates: of this machine, by these films.
        seen: of the films, beside that.
        workers: processes that worked.
        parent_mb: largest resident memory of each command's parent, on few films.
    """

    rates: Rates
    seen: Seen
    workers: int
    parent_mb: Mapping[str, float]


def one_round(recipe: Recipe, sample: Sample, large: Tables, machine: Machine, folder: Path) -> Round:
    """Run the stages over the sample, and their commands over a part of it; both are removed again.

    Raises:
        StageError: where a stage cannot work on the sample, since no film of it is usable, say.
    """
    root, small, built = folder / "whole", folder / "part", folder / "built"
    try:
        few = part_of(sample, PART, small)
        sections = {name: recipe.of(name).model_dump(mode="json") for name in STAGES}
        (small / "params.yaml").write_text(yaml.safe_dump(sections), encoding="utf-8")
        ran = {name: _run(name, recipe, root, replace(machine, raw=sample.raw)) for name in STAGES}
        ran["few"] = _run("audit", recipe, folder / "few", replace(machine, raw=small / paths.RAW))
        plain = _plain(sample, machine)
        together = Clocked(machine.fan_out)
        build.run(recipe.build, built, replace(machine, fan_out=together, raw=sample.raw))
        saved_s = sum(ran[name].clocked.work_s for name in STAGES[:-1]) - together.work_s
        rates = rates_of(ran, plain, root, sample, large)
        after_s = max(0.0, after_looking_s(ran["audit"]) - after_looking_s(ran["few"])) / max(
            1, len(sample.files) - few
        )
        rates = replace(rates, build_saved_s=max(0.0, saved_s / len(sample.files)), look_after_s=after_s)
        workers = len(plain.processes)
        rates, parent_mb = _with_starts(rates, recipe, small, few, workers)
        return Round(rates, _seen(ran["audit"].clocked.seconds, root), workers, parent_mb)
    except StageError as error:
        raise StageError(
            f"nothing can be measured on {sample.source} ({error}); point --raw at films that `build` can use, or plan "
            "in a root without films, where phantoms are measured"
        ) from error
    finally:
        for one in (root, small, built, folder / "few"):
            rmtree(one, ignore_errors=True)


def _run(stage: str, recipe: Recipe, root: Path, machine: Machine) -> Ran:
    """Run a stage in this process, its jobs as the machine does them, and return what it took."""
    fan_out = Clocked(machine.fan_out)
    used_s = clocked(lambda: RUNS[stage](recipe.of(stage), root, replace(machine, fan_out=fan_out)))
    here_s = fan_out.work_s if os.getpid() in fan_out.processes else 0.0
    return Ran(fan_out, used_s - here_s - sum(call.parent_s for call in fan_out.calls))


@dataclass(frozen=True, slots=True)
class _Plain:
    """The audit's work on a file that is not searched for shortcuts."""

    raw: Path

    def __call__(self, job: AuditJob) -> Any:
        return audit_job(job, raw=self.raw)


def _plain(sample: Sample, machine: Machine) -> Clocked:
    """Return what looking at the films takes where none is searched for shortcuts."""
    fan_out = Clocked(machine.fan_out)
    for _ in fan_out(_Plain(sample.raw), [AuditJob(path) for path in sample.files], unit="files"):
        pass
    return fan_out


def _with_starts(rates: Rates, recipe: Recipe, small: Path, few: int, workers: int) -> tuple[Rates, dict[str, float]]:
    """Return rates with what each command takes however few the films, and the memory of each command's parent."""
    ran = {name: watched(name, small, workers=workers) for name in STAGES}
    for name in (paths.NORMALIZED, paths.AUGMENTED):
        rmtree(small / name)
    ran["build"] = watched("build", small, workers=workers)
    size = Size(
        films=few,
        usable_share=1.0,
        train_share=1.0,
        copies=recipe.augment.copies,
        workers=workers,
        cores=max(workers, 1),
        looked_at=few,
        **limits(recipe),
    )
    told = forecast.times(rates, size)
    start_s = {name: max(0.0, one.wall_s - told[name].total_s) for name, one in ran.items()}
    cpu_s = {name: max(0.0, one.cpu_s - told[name].cpu_s) for name, one in ran.items()}
    each = {name: replace(getattr(rates, name), start_s=start_s[name], start_cpu_s=cpu_s[name]) for name in STAGES}
    rates = replace(rates, **each, build_start_s=start_s["build"], build_start_cpu_s=cpu_s["build"])
    return rates, {name: one.parent_mb for name, one in ran.items()}


def limits(recipe: Recipe) -> dict[str, int]:
    """Return how many films a shard of normalize and of augment may hold; 0 where each image is a file."""
    framed = recipe.normalize.frame
    per_film = normalize.films_per_shard_of(recipe.normalize)
    trained = augment.films_per_shard_of(recipe.augment, framed)
    return {
        "films_per_shard": per_film if recipe.normalize.layout == "shards" else 0,
        "trained_per_shard": trained if recipe.augment.layout == "shards" else 0,
    }


def _seen(seconds: Sequence[float], root: Path) -> Seen:
    """Return what the sample tells of films."""
    rows = store.read_table(AUDITED, root / paths.AUDIT)
    usable = ok_rows(rows)
    tested = pc.sum(pc.equal(pc.fill_null(usable.column("delivered_split"), ""), "test")).as_py() or 0
    strata = usable.select(["label", "delivered_split"]).group_by(["label", "delivered_split"]).aggregate([])
    images = store.read_table(AUGMENTED.only("film_id", "status", "encoded_bytes"), root / paths.AUGMENTED_MANIFEST)
    of_film = images.group_by("film_id").aggregate([("encoded_bytes", "mean")]).column("encoded_bytes_mean")
    return Seen(
        usable_share=len(usable) / len(rows),
        test_share=tested / len(usable),
        strata=len(strata),
        doubt_time=_doubt(np.array(seconds)),
        doubt_bytes=_doubt(of_film.to_numpy()),
    )


def _doubt(values: Any) -> float:
    """Return two standard errors of a mean, as a share of it."""
    return float(2 * np.std(values, ddof=1) / np.sqrt(len(values)) / np.mean(values)) if len(values) > 1 else 0.0
