"""The command line: one command per catalogue entry. The only place that prints."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.catalog import COMMANDS, STAGES, TOOLS, Entry

if TYPE_CHECKING:
    from pipeline.params import Scalar
    from stages.contract import Machine, Report, Stage


class Catalogue(click.Group):
    """The commands of the catalogue; a stage is imported when its command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order of the pipeline."""
        return [entry.name for entry in COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command, made of its stage's parameters."""
        entry = next((entry for entry in COMMANDS if entry.name == cmd_name), None)
        return None if entry is None else _command(entry)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands by the catalogue's summaries, so that help loads no stage."""
        for title, entries in (("Stages, in the order of `dvc repro`", STAGES), ("Tools", TOOLS)):
            with formatter.section(title):
                formatter.write_dl([(entry.name, entry.summary) for entry in entries])


@click.group(
    cls=Catalogue,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Every command has --help. Exit codes: 0 done, 1 the run failed, 2 wrong usage or parameters.",
)
@click.version_option(version("cxr-pipeline"), prog_name="cxr-pipeline")
def main() -> None:
    """Turn a folder of chest X-rays into a data set that can be trusted.

    Audited, normalized, augmented, described by Parquet manifests, handed to training, and judged by an
    evaluation. Put films under data/raw (or draw phantoms), then run the stages one by one, or all by `dvc repro`.
    """


def _command(entry: Entry) -> click.Command:
    from pipeline.params import scalars  # noqa: PLC0415 - pydantic: `--help` of the group does without

    stage = entry.load()
    parameters = scalars(stage.params)
    wrote = ", ".join(stage.writes)
    reads = ", ".join(stage.reads)
    about = f"Reads {reads}; writes {wrote}." if reads else f"Writes {wrote}."
    return click.Command(
        entry.name,
        callback=_callback(stage, [scalar.name for scalar in parameters]),
        params=[*(_flag(scalar) for scalar in parameters), *_common_options(entry)],
        help=f"{entry.summary}\n\n{about} A flag beats its value in params.yaml, which beats the default.",
        short_help=entry.summary,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    )


def _flag(scalar: Scalar) -> click.Option:
    """Return a parameter's flag; unset, it leaves params.yaml and the default alone."""
    name = scalar.name.replace("_", "-")
    declaration = f"--{name}/--no-{name}" if scalar.type is bool else f"--{name}"
    default = "none" if scalar.default in ("", None) else scalar.default
    return click.Option(
        [declaration],
        type=click.Choice(scalar.choices) if scalar.choices else scalar.type,
        default=None,
        help=f"{scalar.description} [default: {default}]",
    )


class LocalFolder(click.Path):
    """A folder on this machine; an address of an object store is refused, not taken for a name."""

    name = "directory"

    def __init__(self) -> None:
        super().__init__(path_type=Path, file_okay=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the folder's path."""
        if "://" in str(value):
            self.fail(f"'{value}' is an address; expected a folder on this machine", param, ctx)
        return super().convert(value, param, ctx)


def _common_options(entry: Entry) -> list[click.Option]:
    folder = LocalFolder()
    raw = click.Option(
        ["--raw"],
        type=folder,
        help="Folder of the raw films, anywhere. [default: data/raw under the root, or the audit's]",
    )
    return [
        *([raw] if entry.reads_raw else []),
        click.Option(
            ["--root"], type=folder, default=Path(), show_default=True, help="Folder that every other path lies under."
        ),
        click.Option(
            ["--params", "params_file"],
            type=click.Path(path_type=Path, dir_okay=False, exists=True),
            help="Parameters file. [default: params.yaml under the root; built-in defaults where there is none]",
        ),
        click.Option(
            ["--jobs"],
            type=click.IntRange(0),
            default=0,
            show_default="one per core",
            help="Workers; 0 for one per core.",
        ),
        click.Option(
            ["--backend"],
            type=click.Choice(["loky", "threading", "sequential", "dask", "ray"]),
            default="loky",
            show_default=True,
            help="What runs the workers: processes, threads, none, or a cluster (extras dask, ray).",
        ),
        click.Option(
            ["--scheduler"],
            default="",
            show_default="workers here",
            help="Address of the Dask scheduler (tcp://host:port).",
        ),
        click.Option(
            ["--address"], default="", show_default="workers here", help="Address of the Ray cluster (ray://host:port)."
        ),
        click.Option(
            ["--device"],
            type=click.Choice(["auto", "cpu", "cuda"]),
            default="auto",
            show_default=True,
            help="Where the network runs; auto takes CUDA where there is one.",
        ),
        click.Option(
            ["--progress/--no-progress"], default=True, show_default=True, help="Progress bars on a terminal."
        ),
        click.Option(["--strict"], is_flag=True, help="Exit 1 where any film is set aside."),
    ]


def _callback(stage: Stage[Any], names: list[str]) -> Callable[..., None]:
    def run(**options: Any) -> None:
        from manifests.columns import ManifestError  # noqa: PLC0415 - pyarrow: `--help` does without
        from pipeline.params import read_file, resolve  # noqa: PLC0415 - pydantic, as above
        from stages.contract import CxrError, ParamsError  # noqa: PLC0415 - pydantic, as above

        root = options["root"]
        started = time.perf_counter()
        try:
            flags = {name: options[name] for name in names}
            params = resolve(stage, read_file(options["params_file"], root), flags)
            report = stage.run(params, root, _machine(stage, options))
        except ParamsError as error:
            raise click.UsageError(str(error)) from error
        except (CxrError, ManifestError) as error:
            raise click.ClickException(f"{stage.name}: {error}") from error
        except OSError as error:  # a full disk, a folder that may not be written
            raise click.ClickException(f"{stage.name}: {error.filename or root}: {error.strerror or error}") from error
        _print(stage.name, report, time.perf_counter() - started)
        if options["strict"] and report.set_aside:
            raise click.ClickException(f"{stage.name}: --strict, and {_set_aside(report)}")

    return run


def _machine(stage: Stage[Any], options: dict[str, Any]) -> Machine:
    from pipeline.console import ProgressBar  # noqa: PLC0415 - not needed for help
    from pipeline.workers import Workers  # noqa: PLC0415 - joblib: not needed for help
    from stages.contract import Machine  # noqa: PLC0415 - pydantic: not needed for help

    track = ProgressBar(stage.name, wanted=options["progress"])
    workers = Workers(
        backend=options["backend"],
        jobs=options["jobs"],
        track=track,
        scheduler=options["scheduler"],
        address=options["address"],
    )
    return Machine(fan_out=workers, track=track, device=options["device"], raw=options.get("raw"))


def _print(name: str, report: Report, elapsed_s: float) -> None:
    """Print what the user should read, and last the one line that sums up."""
    for line in report.lines:
        click.echo(f"  {line}")
    rate = f" ({report.done / elapsed_s:,.0f} {report.unit}/s)" if elapsed_s > 0 else ""
    aside = f"; {_set_aside(report)}" if report.set_aside else "; nothing set aside"
    see = f"; see {report.written[0]}" if report.written else ""
    click.echo(f"{name}: {report.done:,} {report.unit} in {elapsed_s:,.1f} s{rate}{aside}{see}")


def _set_aside(report: Report) -> str:
    total = sum(report.set_aside.values())
    parts = ", ".join(f"{number:,} {status}" for status, number in report.set_aside.items())
    return f"set aside {total:,}: {parts}"


if __name__ == "__main__":
    main()
