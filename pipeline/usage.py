"""Wrong usage that click would take, or would refuse without a word on what to type instead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

UNEXPECTED = "Got unexpected extra argument"


class Command(click.Command):
    """A command that answers a stray word with the option that it was meant for, where that can be told."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the command line as click does."""
        given = [*args]  # click's parser uses the list up
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            if error.message.startswith(UNEXPECTED) and (meant := self._meant(given)):
                raise click.UsageError(f"{error.message}. Did you mean '{meant}'?", ctx) from error
            raise

    def _meant(self, args: list[str]) -> str:
        """Return the option that a word stands for: a folder is --raw's, and NAME=VALUE an option's of that name."""
        known = {option for parameter in self.params for option in parameter.opts}
        for word in (word for word in args if not word.startswith("-")):
            if "=" in word and f"--{word.partition('=')[0]}" in known:
                return f"--{word}"
            if "--raw" in known and "--raw" not in args and Path(word).expanduser().is_dir():
                return f"--raw {word}"
        return ""


def refuse_root_within_raw(root: Any, raw: Any) -> None:
    """Refuse a raw folder that holds what is written under the root: the next audit would take that for films.

    Raises:
        click.UsageError: where it does.
    """
    if (
        isinstance(root, Path)
        and isinstance(raw, Path)
        and (root / "data/audit").resolve().is_relative_to(raw.resolve())
    ):
        raise click.UsageError(
            f"--raw {raw} holds the root {root.resolve()}, where results are written: they would be taken for films. "
            "Run the command in another folder, or name one with --root, outside the films"
        )
