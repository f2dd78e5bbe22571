"""What every command can be told of the machine, beside its parameters."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from pipeline.backends import FILM_TIMEOUT_S, Backend
from pipeline.folders import Folder, LocalFolder

if TYPE_CHECKING:
    from pipeline.catalog import Entry


def common_options(entry: Entry, *, trains: bool) -> list[click.Option]:
    """Return the options that a command has beside its parameters."""
    return [
        *([_raw_option()] if entry.reads_raw else []),
        *(_training_options() if trains else []),
        *_folder_options(),
        *_worker_options(),
        *_telling_options(foresees=entry.foresees),
    ]


def _raw_option() -> click.Option:
    return click.Option(
        ["--raw"],
        type=Folder(),
        metavar="FOLDER",
        help="Folder of the raw films, anywhere, or s3://bucket/prefix. [default: data/raw under the root, or the "
        "audit's]",
    )


def _folder_options() -> list[click.Option]:
    return [
        click.Option(
            ["--root"],
            type=Folder(),
            default=Path(),
            show_default=True,
            metavar="FOLDER",
            help="Folder that every other path lies under, or s3://bucket/prefix (extra s3; docs/object-stores.md).",
        ),
        click.Option(
            ["--params", "params_file"],
            type=click.Path(path_type=Path, dir_okay=False, exists=True),
            help="Parameters file. [default: params.yaml under the root; built-in defaults where there is none]",
        ),
    ]


def _worker_options() -> list[click.Option]:
    return [
        click.Option(
            ["--jobs"],
            type=click.IntRange(0),
            default=0,
            show_default="one per core",
            help="Workers; 0 for one per core. On a cluster that runs already: tasks at a time; 0 for all it can do.",
        ),
        *_backend_options(),
        click.Option(
            ["--film-timeout"],
            type=click.FloatRange(0),
            default=FILM_TIMEOUT_S,
            show_default=True,
            metavar="SECONDS",
            help="A film that takes longer is set aside as timed_out; 0 for no limit. Not for threading, sequential.",
        ),
        click.Option(
            ["--device"],
            type=click.Choice(["auto", "cpu", "cuda"]),
            default="auto",
            show_default=True,
            help="Where the network runs; auto takes CUDA where there is one.",
        ),
    ]


def _backend_options() -> list[click.Option]:
    return [
        click.Option(
            ["--backend"],
            is_eager=True,  # --scheduler and --address look at it
            type=click.Choice(get_args(Backend)),
            default="loky",
            show_default=True,
            help="What runs the workers: processes, threads, none, or a cluster (extras dask, ray; docs/clusters.md).",
        ),
        click.Option(
            ["--scheduler"],
            default="",
            show_default="$DASK_SCHEDULER_ADDRESS, else workers here",
            callback=partial(_of_backend, "dask"),
            help="With --backend dask: address of the scheduler (tcp://host:port).",
        ),
        click.Option(
            ["--address"],
            default="",
            show_default="$RAY_ADDRESS, else workers here",
            callback=partial(_of_backend, "ray"),
            help="With --backend ray: address of the cluster (auto, host:port or ray://host:port).",
        ),
    ]


def _telling_options(*, foresees: bool) -> list[click.Option]:
    dry_run = click.Option(
        ["--dry-run"], is_flag=True, help="Tell what would be written, kept and deleted; write nothing."
    )
    return [
        *([dry_run] if foresees else []),
        click.Option(
            ["--progress/--no-progress"], default=True, show_default=True, help="Progress bars on a terminal."
        ),
        click.Option(["--json"], is_flag=True, help="Say what was done as one line of JSON, for programs."),
        click.Option(["--strict"], is_flag=True, help="Exit 1 where any film is set aside."),
    ]


def _of_backend(backend: str, context: click.Context, option: click.Parameter, address: str) -> str:
    """Return an address, and refuse one that the backend has no use for."""
    chosen = context.params.get("backend")
    if address and chosen != backend:
        raise click.BadParameter(f"goes with --backend {backend}; found --backend {chosen}", context, option)
    return address


def _training_options() -> list[click.Option]:
    return [
        click.Option(
            ["--residence"],
            type=click.Choice(["auto", "device", "host", "stream"]),
            default="auto",
            show_default="by the memory at hand",
            help="Where the images lie: in the device's memory, the host's, or on the disk, read ahead. "
            "The batches are the same.",
        ),
        click.Option(
            ["--save-every"],
            type=click.FloatRange(0),
            default=60.0,
            show_default=True,
            metavar="SECONDS",
            help="How often the state is saved that a stopped run goes on from, and at each epoch's end in any case; "
            "0: after every update.",
        ),
        click.Option(
            ["--compile/--no-compile"],
            default=False,
            show_default=True,
            help="Compile the network first (torch.compile; CUDA graphs on CUDA): a slow start, faster steps, results "
            "equal within rounding.",
        ),
        click.Option(["--anew"], is_flag=True, help="Leave a stopped run's state behind and begin anew."),
        click.Option(
            ["--tensorboard"],
            type=LocalFolder(),
            show_default="none",
            help="Write TensorBoard's event files into this folder as well (extra tensorboard).",
        ),
    ]
