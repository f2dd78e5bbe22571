"""One run of a command: the machine it gets, the root's lock, and how it ends where it is stopped.

`pipeline/cli.py` imports this module when a command runs, and not for help: it needs all that stages need.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from manifests.objects import ObjectPath
from manifests.places import AnyPath, cache_of_run
from pipeline.catalog import Entry
from pipeline.console import ProgressBar, Tally, shown
from pipeline.lock import locked
from pipeline.printed import write_results
from pipeline.ranks import Processes, ranks
from pipeline.stopping import Stopped, end_children, stoppable
from pipeline.unfinished import keeps_shards, remove_own_partials, remove_partials, writes
from pipeline.workers import Workers, dismiss, let_go
from stages.contract import Machine, Report, Stage, Track, Training
from stages.foreseen.amounts import Foreseen

Sections = Mapping[str, Mapping[str, Any]]


def run(stage: Stage[Any], params: Any, sections: Sections, options: Mapping[str, Any]) -> Report:
    """Run a stage alone under its root; what it or a killed run before it left unfinished is removed."""
    root: AnyPath = options["root"]
    tally = _tally(stage, options)
    machine = _machine(stage, options, sections, tally, folders=_folders(root, options.get("raw")))
    if not writes(stage, params, options) or machine.training.rank > 0:
        try:
            return stage.run(params, root, machine)
        finally:
            let_go()
    end = _End(stage, params, root, tally)
    with locked(root, f"cxr-pipeline {stage.name}", lambda text: click.echo(f"Warning: {text}", err=True)):
        try:
            with stoppable(end.stop):
                remove_partials(stage, root)
                report = stage.run(params, root, machine)
                dismiss()
                return report
        except Stopped as stopped:
            end.stop(str(stopped))
            raise click.exceptions.Exit(1) from stopped
        except BaseException:
            end.clear()  # jobs under way when another one failed
            raise


def foresee(entry: Entry, params: Any, sections: Sections, options: Mapping[str, Any]) -> Foreseen:
    """Return what a run would do to the disk; nothing is written, and so no lock is taken."""
    stage = entry.load()
    machine = _machine(stage, options, sections, _tally(stage, options), folders=())
    try:
        return entry.foresee(params, options["root"], machine)
    finally:
        let_go()


@dataclass(frozen=True, slots=True)
class _End:
    """How a run ends that does not come to its own end."""

    stage: Stage[Any]
    params: Any
    root: AnyPath
    tally: Tally
    said: threading.Lock = field(default_factory=threading.Lock)

    def clear(self) -> None:
        """Let go of all that is under way, and remove what it has written."""
        end_children()
        let_go()
        remove_own_partials(self.stage, self.root)

    def stop(self, name: str) -> None:
        """Clear, and say what stopped the run, once: at the deadline, it may be on its way out already."""
        self.clear()
        shards = "finished shards are kept" if keeps_shards(self.params) else "it starts anew"
        kept = self.stage.goes_on or shards
        words = f"{self.stage.name}: stopped by {name} {self.tally.text}; run the same command again: {kept}"
        if self.said.acquire(blocking=False):
            click.echo(f"Error: {shown(words)}", err=True)


@contextmanager
def stores_at_hand(*folders: AnyPath | None) -> Iterator[None]:
    """Reach the object stores that a command works on, and keep copies of what it reads there as long as it runs."""
    stores = [folder for folder in folders if isinstance(folder, ObjectPath)]
    with cache_of_run() if stores else nullcontext():
        for folder in stores:
            folder.reach()
        yield


def processes(stage: Stage[Any]) -> Processes:
    """Return which of `torchrun`'s processes this one is; a stage that does not train runs alone, under the lock."""
    return ranks() if stage.trains else Processes()


def _tally(stage: Stage[Any], options: Mapping[str, Any]) -> Tally:
    return Tally(ProgressBar(stage.name, wanted=options["progress"] and processes(stage).rank == 0))


def _folders(root: AnyPath, raw: AnyPath | None) -> tuple[Path, ...]:
    """Return the folders of this machine that a cluster's workers must see, the root first."""
    if not isinstance(root, Path):  # nothing may be laid down in a raw folder for workers to find
        return ()
    return (root, raw) if isinstance(raw, Path) else (root,)


def _machine(
    stage: Stage[Any], options: Mapping[str, Any], sections: Sections, track: Track, *, folders: tuple[Path, ...]
) -> Machine:
    workers = Workers(
        backend=options["backend"],
        jobs=options["jobs"],
        track=track,
        scheduler=options["scheduler"],
        address=options["address"],
        folders=folders,
        film_timeout_s=options["film_timeout"],
    )
    return Machine(
        fan_out=workers,
        track=track,
        device=options["device"],
        raw=options.get("raw"),
        sections=sections,
        training=_training(stage, options),
        results=write_results,
    )


def _training(stage: Stage[Any], options: Mapping[str, Any]) -> Training:
    of_run = processes(stage)
    return Training(
        residence=options.get("residence", "auto"),
        save_every_s=options.get("save_every", 0.0),
        anew=options.get("anew", False),
        tensorboard=options.get("tensorboard"),
        compiled=options.get("compile", False),
        rank=of_run.rank,
        ranks=of_run.count,
        local_rank=of_run.local_rank,
        local_ranks=of_run.local_count,
    )
