"""The command line: one command per catalogue entry. The only place that prints."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from manifests.installed import told_version
from pipeline.catalog import COMMANDS, STAGES, TOOLS, Entry
from pipeline.options import common_options
from pipeline.usage import Command, refuse_root_within_raw

if TYPE_CHECKING:
    from manifests.places import AnyPath
    from pipeline.params import Scalar
    from stages.contract import Report, Stage

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

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return what a shell offers for a word: commands by the catalogue, as a key was pressed and no stage runs."""
        named = [entry for entry in COMMANDS if entry.name.startswith(incomplete)]
        commands = [CompletionItem(entry.name, help=entry.summary) for entry in named]
        return [*commands, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands by the catalogue's summaries, so that help loads no stage."""
        for title, entries in (("Stages, in the order of `dvc repro`", STAGES), ("Tools", TOOLS)):
            with formatter.section(title):
                formatter.write_dl([(entry.name, entry.summary) for entry in entries])


def _tell_versions(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 - click's
    """Print the version of the tool, and of Python and the libraries that it runs on here, and end."""
    if wanted and not ctx.resilient_parsing:
        click.echo(f"cxr-pipeline, version {told_version('cxr-pipeline')}")
        click.echo(f"Python {'.'.join(map(str, sys.version_info[:3]))}")
        for name in LIBRARIES:
            click.echo(f"{name} {told_version(name)}")
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
        callback=_callback(entry, stage, [option.name for option in own if option.name]),
        params=[*own, *common_options(entry, trains=stage.trains)],
        help=f"{entry.summary}\n\n{about} A flag beats its value in params.yaml, which beats the default.",
        short_help=entry.summary,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    )


def _words(stage: Stage[Any]) -> list[click.Argument]:
    """Return what a command takes without a flag; none given leave params.yaml and the default alone."""
    if not stage.arguments:
        return []
    return [
        click.Argument(
            [stage.arguments],
            nargs=-1,
            callback=lambda _context, _self, words: words or None,
            shell_complete=_file_names,
        )
    ]


def _file_names(_context: click.Context, _self: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Let the shell offer names of files: what is no choice and no number is often one."""
    return [CompletionItem(incomplete, type="file")]


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
        shell_complete=_file_names if scalar.type is str and not scalar.choices else None,
    )


def _callback(entry: Entry, stage: Stage[Any], names: list[str]) -> Callable[..., None]:
    """Return what a command does with its options."""

    def run(**options: Any) -> None:
        from pipeline.params import read_file, resolve  # noqa: PLC0415 - pydantic: `--help` does without
        from pipeline.printed import print_foreseen  # noqa: PLC0415 - not needed for help
        from pipeline.running import foresee, stores_at_hand  # noqa: PLC0415 - pyarrow, joblib: as above
        from pipeline.running import run as run_stage  # noqa: PLC0415 - as above

        refuse_root_within_raw(options["root"], options.get("raw"))
        started = time.perf_counter()
        flags = {name: options[name] for name in names}
        with _errors_told(stage.name, options["root"]), stores_at_hand(options["root"], options.get("raw")):
            sections = read_file(options["params_file"], options["root"])
            params = resolve(stage, sections, flags)
            if options.get("dry_run"):
                print_foreseen(stage.name, foresee(entry, params, sections, options), as_json=options["json"])
                return
            report = run_stage(stage, params, sections, options)
        _tell(stage, params, report, time.perf_counter() - started, options)

    return run


@contextmanager
def _errors_told(name: str, root: AnyPath) -> Iterator[None]:
    """Let the foreseen errors of a run be click's: wrong usage (exit 2), or a run that failed (exit 1)."""
    from manifests.addresses import StoreError  # noqa: PLC0415 - not needed for help
    from manifests.checks import ManifestError  # noqa: PLC0415 - pyarrow: `--help` does without
    from pipeline.console import shown  # noqa: PLC0415 - not needed for help
    from stages.contract import CxrError, ParamsError  # noqa: PLC0415 - pydantic: as above

    try:
        yield
    except ParamsError as error:
        raise click.UsageError(shown(str(error))) from error
    except (CxrError, ManifestError, StoreError) as error:
        raise click.ClickException(shown(f"{name}: {error}")) from error
    except BrokenPipeError:  # whoever reads the results has seen enough
        raise
    except OSError as error:  # a full disk, a folder that may not be written
        what = f"{name}: {error.filename or root}: {error.strerror or error}"
        raise click.ClickException(shown(f"{what}; mend that and run the same command again")) from error


def _tell(stage: Stage[Any], params: Any, report: Report, elapsed_s: float, options: Mapping[str, Any]) -> None:
    """Print what a run did, and fail where it found that something is not as it should be."""
    from pipeline.printed import print_json, print_report, set_aside  # noqa: PLC0415 - not needed for help
    from pipeline.running import processes  # noqa: PLC0415 - joblib: as above

    if processes(stage).rank == 0:
        rows_alone = bool(stage.results_to) and not getattr(params, stage.results_to)
        tell = print_json if options["json"] else print_report
        tell(stage.name, report, elapsed_s, err=rows_alone)
    if report.failed:
        raise click.ClickException(f"{stage.name}: {report.verdict}")
    if options["strict"] and report.set_aside:
        raise click.ClickException(f"{stage.name}: --strict, and {set_aside(report)}")
