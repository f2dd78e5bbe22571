"""What a command says of its run: to a person in lines that end with one that sums up, or to a program as JSON."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from pipeline.console import harmless, shown
from stages.foreseen.amounts import Foreseen, lines

if TYPE_CHECKING:
    from stages.contract import Report


def print_report(name: str, report: Report, elapsed_s: float, *, err: bool) -> None:
    """Print what the user should read, and last the one line that sums up."""
    for line in report.lines:
        click.echo(f"  {shown(line)}", err=err)
    rate = f" ({_rate(report.done / elapsed_s)} {report.unit}/s)" if elapsed_s > 0 else ""
    unit = report.unit.removesuffix("s") if report.done == 1 else report.unit
    aside = f"; {report.verdict or (set_aside(report) if report.set_aside else 'nothing set aside')}"
    see = f"; see {report.written[0]}" if report.written else ""
    click.echo(f"{name}: {report.done:,} {unit} in {elapsed_s:,.1f} s{rate}{aside}{see}", err=err)


def _rate(per_second: float) -> str:
    return f"{per_second:,.0f}" if per_second >= 10 else f"{per_second:,.1f}"


def print_json(name: str, report: Report, elapsed_s: float, *, err: bool) -> None:
    """Print the same as one JSON object on one line; its keys are part of the tool's contract."""
    told = {
        "command": name,
        "done": report.done,
        "unit": report.unit,
        "seconds": round(elapsed_s, 3),
        "set_aside": dict(report.set_aside),
        "failed": report.failed,
        "verdict": report.verdict,
        "written": list(report.written),
        "lines": list(report.lines),
    }
    click.echo(json.dumps(told), err=err)  # in ASCII: names of films may be no text that a terminal takes


def print_foreseen(name: str, foreseen: Foreseen, *, as_json: bool) -> None:
    """Print what a run would do, for a person or as one JSON object; its keys are part of the tool's contract."""
    if as_json:
        amounts = [asdict(amount) for amount in foreseen.amounts]
        told = {"command": name, "dry_run": True, "unit": foreseen.unit, "amounts": amounts}
        click.echo(json.dumps({**told, "lines": list(foreseen.lines)}))
        return
    for line in lines(foreseen):
        click.echo(f"  {shown(line)}")
    click.echo(f"{name}: dry run; nothing was written or deleted")


def set_aside(report: Report) -> str:
    """Return how many films were set aside, by status."""
    total = sum(report.set_aside.values())
    parts = ", ".join(f"{number:,} {status}" for status, number in report.set_aside.items())
    return f"set aside {total:,}: {parts}"


def write_results(lines: bytes) -> None:
    """Write lines of results to standard output as they are; on a terminal, names of films do nothing to it."""
    click.echo(harmless(lines) if sys.stdout.isatty() else lines, nl=False)
