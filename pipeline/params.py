"""From params.yaml and flags to a stage's frozen parameters."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import ValidationError

from pipeline.catalog import COMMANDS
from stages.contract import Params, ParamsError, Stage

P = TypeVar("P", bound=Params)
DEFAULT_FILE = "params.yaml"


@dataclass(frozen=True, slots=True)
class Scalar:
    """A parameter that is a flag as well."""

    name: str
    type: type
    choices: tuple[str, ...]
    default: Any
    description: str


def scalars(params: type[Params]) -> list[Scalar]:
    """Return the parameters that hold one number, word or switch: lists and recipes stand in params.yaml alone."""
    found = []
    for name, field in params.model_fields.items():
        annotation = field.annotation
        if get_origin(annotation) in (Union, types.UnionType):
            options = [option for option in get_args(annotation) if option is not type(None)]
            annotation = options[0] if len(options) == 1 else None
        choices = get_args(annotation) if get_origin(annotation) is Literal else ()
        kind: Any = str if choices else annotation
        if kind in (str, int, float, bool):
            found.append(Scalar(name, kind, choices, field.default, field.description or ""))
    return found


def read_file(path: Path | None, root: Path) -> dict[str, dict[str, Any]]:
    """Return the sections of a parameters file: the one that is named, else the root's, else none.

    Raises:
        ParamsError: where the file is missing though named, is no YAML mapping, or has an unknown section.
    """
    file = path if path is not None else root / DEFAULT_FILE
    if path is None and not file.exists():
        return {}
    try:
        sections = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ParamsError(f"{file}: cannot be read as YAML: {error}") from error
    if not isinstance(sections, dict) or not all(isinstance(section, dict | None) for section in sections.values()):
        raise ParamsError(f"{file}: expected a section of parameters per stage, such as 'augment: {{copies: 20}}'")
    names = [entry.name for entry in COMMANDS]
    for name in sections:
        if name not in names:
            raise ParamsError(f"{file}: section '{name}' is no stage{_nearest(str(name), names)}")
    return {name: section or {} for name, section in sections.items()}


def resolve(stage: Stage[P], sections: Mapping[str, Mapping[str, Any]], flags: Mapping[str, Any]) -> P:
    """Return a stage's parameters: the defaults, overridden by its section, overridden by its flags.

    Raises:
        ParamsError: where a key is unknown or a value cannot be used, with every one named.
    """
    given = {**sections.get(stage.name, {}), **{name: value for name, value in flags.items() if value is not None}}
    try:
        return stage.params.model_validate(given)
    except ValidationError as error:
        problems = "; ".join(_problem(problem, stage) for problem in error.errors())
        raise ParamsError(f"{stage.name}: {problems}") from error


def _problem(problem: Any, stage: Stage[Any]) -> str:
    place = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"unknown parameter '{place}'{_nearest(place, list(stage.params.model_fields))}"
    return f"{place} = {problem['input']!r}: {problem['msg']}"


def _nearest(name: str, names: list[str]) -> str:
    near = get_close_matches(name, names, n=1)
    return f"; did you mean '{near[0]}'?" if near else f"; expected one of {', '.join(names)}"
