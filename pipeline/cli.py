"""The command line: one command per catalogue entry. The only place that prints."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.catalog import COMMANDS, STAGES, TOOLS, Entry
from pipeline.options import common_options
from pipeline.ranks import Processes, ranks
from pipeline.usage import Command, refuse_root_within_raw

if TYPE_CHECKING:
    from manifests.places import AnyPath
    from pipeline.params import Scalar
    from stages.contract import Machine, Report, Stage, Track

LIBRARIES = ("numpy", "opencv-python-headless", "pillow", "pyarrow", "joblib", "torch", "torchvision")


class Catalogue(click.Group):
    """The commands of the catalogue; a stage is imported when its command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order of the pipeline."""
        return [entry.name for entry in COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command, made of its stage's parameters."""
        entry = next((entry for entry in COMMANDS if entry.name == cmd_name), None)
        return None if entry is None else _command(entry)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that was named; of a name that is none, tell the nearest."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches  # noqa: PLC0415 - for whoever mistypes

            near = get_close_matches(args[0], self.list_commands(ctx), n=1)
            told = f" Did you mean '{near[0]}'?" if near else ""
            raise click.UsageError(f"{error.message}{told}", ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands by the catalogue's summaries, so that help loads no stage."""
        for title, entries in (("Stages, in the order of `dvc repro`", STAGES), ("Tools", TOOLS)):
            with formatter.section(title):
                formatter.write_dl([(entry.name, entry.summary) for entry in entries])


def _tell_versions(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 - click's
    """Print the version of the tool, and of Python and the libraries that it runs on here, and end."""
    if wanted and not ctx.resilient_parsing:
        click.echo(f"cxr-pipeline, version {version('cxr-pipeline')}")
        click.echo(f"Python {'.'.join(map(str, sys.version_info[:3]))}")
        for name in LIBRARIES:
            click.echo(f"{name} {version(name)}")
        ctx.exit()


@click.group(
    cls=Catalogue,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Every command has --help. Exit codes: 0 done, 1 the run failed, 2 wrong usage or parameters.",
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_tell_versions,
    help="Show the versions of the tool and of its libraries, and exit.",
)
def main() -> None:
    """Turn a folder of chest X-rays into a data set that can be trusted.

    Audited, normalized, augmented, described by Parquet manifests, handed to training, and judged by an
    evaluation. Begin with `cxr-pipeline audit --raw FOLDER`, FOLDER being where the films are (it is only read);
    then run the stages one by one. With films under data/raw, `dvc repro` runs them all.
    """


def _command(entry: Entry) -> click.Command:
    from pipeline.lean import keep_pandas_from_arrow  # noqa: PLC0415 - as below
    from pipeline.params import scalars  # noqa: PLC0415 - pydantic: `--help` of the group does without

    keep_pandas_from_arrow()  # before a stage makes its first array
    stage = entry.load()
    own: list[click.Parameter] = [*_words(stage), *(_flag(scalar) for scalar in scalars(stage.params))]
    wrote = ", ".join(stage.writes) + (f" with --{stage.writes_if}" if stage.writes_if else "")
    wrote = wrote or "nothing"
    reads = ", ".join(stage.reads)
    about = f"Reads {reads}; writes {wrote}." if reads else f"Writes {wrote}."
    if stage.arguments:
        about = f"{stage.arguments.upper()}: {stage.params.model_fields[stage.arguments].description}\n\n{about}"
    return Command(
        entry.name,
        callback=_callback(stage, [option.name for option in own if option.name]),
        params=[*own, *common_options(entry, trains=stage.trains)],
        help=f"{entry.summary}\n\n{about} A flag beats its value in params.yaml, which beats the default.",
        short_help=entry.summary,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    )


def _words(stage: Stage[Any]) -> list[click.Argument]:
    """Return what a command takes without a flag; none given leave params.yaml and the default alone."""
    names = [stage.arguments] if stage.arguments else []
    return [click.Argument([name], nargs=-1, callback=lambda _context, _self, words: words or None) for name in names]


def _flag(scalar: Scalar) -> click.Option:
    """Return a parameter's flag; unset, it leaves params.yaml and the default alone."""
    name = scalar.name.rstrip("_").replace("_", "-")  # `copy_` is --copy: a field may not be named as a method is
    declaration = f"--{name}/--no-{name}" if scalar.type is bool else f"--{name}"
    default = "none" if scalar.default in ("", None) else scalar.default
    return click.Option(
        [declaration, scalar.name],
        type=click.Choice(scalar.choices) if scalar.choices else scalar.type,
        default=None,
        help=f"{scalar.description} [default: {default}]",
    )


def _callback(stage: Stage[Any], names: list[str]) -> Callable[..., None]:
    def run(**options: Any) -> None:
        from manifests.addresses import StoreError  # noqa: PLC0415 - not needed for help
        from manifests.checks import ManifestError  # noqa: PLC0415 - pyarrow: `--help` does without
        from pipeline.console import shown  # noqa: PLC0415 - not needed for help
        from pipeline.params import read_file, resolve  # noqa: PLC0415 - pydantic, as above
        from pipeline.printed import print_json, print_report, set_aside  # noqa: PLC0415 - not needed for help
        from stages.contract import CxrError, ParamsError  # noqa: PLC0415 - pydantic, as above

        root = options["root"]
        refuse_root_within_raw(root, options.get("raw"))
        started = time.perf_counter()
        try:
            flags = {name: options[name] for name in names}
            with _stores_at_hand(root, options.get("raw")):
                sections = read_file(options["params_file"], root)
                params = resolve(stage, sections, flags)
                report = _run(stage, params, sections, options)
        except ParamsError as error:
            raise click.UsageError(shown(str(error))) from error
        except (CxrError, ManifestError, StoreError) as error:
            raise click.ClickException(shown(f"{stage.name}: {error}")) from error
        except BrokenPipeError:  # whoever reads the results has seen enough
            raise
        except OSError as error:  # a full disk, a folder that may not be written
            what = f"{stage.name}: {error.filename or root}: {error.strerror or error}"
            raise click.ClickException(shown(f"{what}; mend that and run the same command again")) from error
        if _processes(stage).rank == 0:
            rows_alone = bool(stage.results_to) and not getattr(params, stage.results_to)
            tell = print_json if options["json"] else print_report
            tell(stage.name, report, time.perf_counter() - started, err=rows_alone)
        if report.failed:
            raise click.ClickException(f"{stage.name}: {report.verdict}")
        if options["strict"] and report.set_aside:
            raise click.ClickException(f"{stage.name}: --strict, and {set_aside(report)}")

    return run


@contextmanager
def _stores_at_hand(*folders: AnyPath | None) -> Iterator[None]:
    """Reach the object stores that a command works on, and keep copies of what it reads there as long as it runs."""
    from manifests.objects import ObjectPath  # noqa: PLC0415 - not needed for help
    from manifests.places import cache_of_run  # noqa: PLC0415 - as above

    stores = [folder for folder in folders if isinstance(folder, ObjectPath)]
    with cache_of_run() if stores else nullcontext():
        for folder in stores:
            folder.reach()
        yield


def _run(stage: Stage[Any], params: Any, sections: Mapping[str, Mapping[str, Any]], options: dict[str, Any]) -> Report:
    """Run a stage alone under its root; what it or a killed run before it left unfinished is removed."""
    from pipeline.console import ProgressBar, Tally, shown  # noqa: PLC0415 - not needed for help
    from pipeline.lock import locked  # noqa: PLC0415 - pydantic, by way of the contract: as above
    from pipeline.stopping import Stopped, end_children, stoppable  # noqa: PLC0415 - not needed for help
    from pipeline.unfinished import (  # noqa: PLC0415 - pyarrow: as above
        keeps_shards,
        remove_own_partials,
        remove_partials,
        writes,
    )
    from pipeline.workers import dismiss, let_go  # noqa: PLC0415 - joblib: not needed for help

    tally = Tally(ProgressBar(stage.name, wanted=options["progress"] and _processes(stage).rank == 0))
    machine = _machine(stage, options, sections, tally)
    if not writes(stage, params, options) or machine.training.rank > 0:
        try:
            return stage.run(params, options["root"], machine)
        finally:
            let_go()

    def last_words(name: str) -> str:
        end_children()
        let_go()
        remove_own_partials(stage, options["root"])
        kept = stage.goes_on or ("finished shards are kept" if keeps_shards(params) else "it starts anew")
        return f"{stage.name}: stopped by {name} {tally.text}; run the same command again: {kept}"

    told = threading.Lock()

    def tell(name: str) -> None:
        """Say the last words, once: at the deadline, the run may be on its way out already."""
        words = last_words(name)
        if told.acquire(blocking=False):
            click.echo(f"Error: {shown(words)}", err=True)

    with locked(options["root"], f"cxr-pipeline {stage.name}", lambda text: click.echo(f"Warning: {text}", err=True)):
        try:
            with stoppable(tell):
                remove_partials(stage, options["root"])
                report = stage.run(params, options["root"], machine)
                dismiss()
                return report
        except Stopped as stopped:
            tell(str(stopped))
            raise click.exceptions.Exit(1) from stopped
        except BaseException:
            end_children()  # jobs under way when another one failed
            let_go()
            remove_own_partials(stage, options["root"])
            raise


def _folders(root: AnyPath, raw: AnyPath | None) -> tuple[Path, ...]:
    """Return the folders of this machine that a cluster's workers must see, the root first."""
    if not isinstance(root, Path):  # nothing may be laid down in a raw folder for workers to find
        return ()
    return (root, raw) if isinstance(raw, Path) else (root,)


def _processes(stage: Stage[Any]) -> Processes:
    """Return which of `torchrun`'s processes this one is; a stage that does not train runs alone, under the lock."""
    return ranks() if stage.trains else Processes()


def _machine(
    stage: Stage[Any], options: dict[str, Any], sections: Mapping[str, Mapping[str, Any]], track: Track
) -> Machine:
    from pipeline.printed import write_results  # noqa: PLC0415 - not needed for help
    from pipeline.workers import Workers  # noqa: PLC0415 - joblib: not needed for help
    from stages.contract import Machine, Training  # noqa: PLC0415 - pydantic: not needed for help

    workers = Workers(
        backend=options["backend"],
        jobs=options["jobs"],
        track=track,
        scheduler=options["scheduler"],
        address=options["address"],
        folders=_folders(options["root"], options.get("raw")),
        film_timeout_s=options["film_timeout"],
    )
    processes = _processes(stage)
    training = Training(
        residence=options.get("residence", "auto"),
        save_every_s=options.get("save_every", 0.0),
        anew=options.get("anew", False),
        tensorboard=options.get("tensorboard"),
        compiled=options.get("compile", False),
        rank=processes.rank,
        ranks=processes.count,
        local_rank=processes.local_rank,
    )
    return Machine(
        fan_out=workers,
        track=track,
        device=options["device"],
        raw=options.get("raw"),
        sections=sections,
        training=training,
        results=write_results,
    )
