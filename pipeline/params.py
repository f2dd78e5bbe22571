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

from manifests.places import AnyPath
from pipeline.catalog import COMMANDS
from stages.contract import Params, ParamsError, Stage

P = TypeVar("P", bound=Params)
DEFAULT_FILE = "params.yaml"
LARGEST_FILE = 100_000  # bytes; ours has a thousand
MOST_VALUES = 20_000  # of a file, its aliases written out
MOST_PROBLEMS = 10  # that an error names
LONGEST_VALUE = 200  # letters of a wrong value that an error shows


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


def read_file(path: Path | None, root: AnyPath) -> dict[str, dict[str, Any]]:
    """Return the sections of a parameters file: the one that is named, else the root's, else none.

    Raises:
        ParamsError: where the file is missing though named, is no YAML mapping, or has an unknown section.
    """
    file: AnyPath = path if path is not None else root / DEFAULT_FILE
    if path is None and not file.exists():
        return {}
    sections = _loaded(file) or {}
    if not isinstance(sections, dict) or not all(isinstance(section, dict | None) for section in sections.values()):
        raise ParamsError(f"{file}: expected a section of parameters per stage, such as 'augment: {{copies: 20}}'")
    names = [entry.name for entry in COMMANDS]
    for name in sections:
        if name not in names:
            raise ParamsError(f"{file}: section '{_short(name)}' is no stage{_nearest(_short(name), names)}")
    return {name: section or {} for name, section in sections.items()}


def _loaded(file: AnyPath) -> Any:
    try:
        if file.exists() and not file.is_file():  # reading a pipe would wait for ever
            raise ParamsError(f"{file}: is no plain file; expected YAML")
        if (size := file.stat().st_size) > LARGEST_FILE:
            raise ParamsError(f"{file}: has {size:,} bytes; expected at most {LARGEST_FILE:,}")
        return yaml.load(file.read_text(encoding="utf-8"), Loader=_PlainLoader)  # noqa: S506 - a SafeLoader, and less
    except RecursionError as error:
        raise ParamsError(f"{file}: is nested too deeply; expected a section of parameters per stage") from error
    except (OSError, ValueError, yaml.YAMLError) as error:  # ValueError: no UTF-8, the 31st of February, vast numbers
        raise ParamsError(f"{file}: cannot be read as YAML: {' '.join(str(error).split())}") from error


class _PlainLoader(yaml.SafeLoader):
    """YAML's scalars, lists and mappings, and nothing that a reader would not see.

    Tags that make objects are refused by SafeLoader. Refused here: aliases that unfold to more values than a file
    of parameters has (nine lines of them make a thousand million), and a key given twice, of which YAML would keep
    the last.
    """

    def get_single_node(self) -> Any:
        node = super().get_single_node()
        if node is not None and (values := _unfolded(node, {})) > MOST_VALUES:
            problem = f"aliases that unfold to {values:,} values; expected {MOST_VALUES:,} at most"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:  # noqa: FBT001, FBT002 - PyYAML's signature
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                problem = f"'{_short(key.value)}' a second time; expected each key once"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep=deep)


def _unfolded(node: Any, known: dict[int, int]) -> int:
    """Return how many values a node holds once its aliases are written out; an alias of what holds it is endless."""
    if id(node) not in known:
        known[id(node)] = MOST_VALUES + 1  # while it is being counted
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        inside = node.value if isinstance(node, yaml.SequenceNode) else [part for pair in pairs for part in pair]
        known[id(node)] = 1 + sum(_unfolded(part, known) for part in inside)
    return known[id(node)]


def resolve(stage: Stage[P], sections: Mapping[str, Mapping[str, Any]], flags: Mapping[str, Any]) -> P:
    """Return a stage's parameters: the defaults, overridden by its section, overridden by its flags.

    Raises:
        ParamsError: where a key is unknown or a value cannot be used, with every one named.
    """
    set_flags = {name: value for name, value in flags.items() if value is not None}
    given = {**_of_stages(stage, sections), **sections.get(stage.name, {}), **set_flags}
    try:
        return stage.params.model_validate(given)
    except ValidationError as error:
        problems = "; ".join(_problem(problem, stage) for problem in error.errors()[:MOST_PROBLEMS])
        if (more := error.error_count() - MOST_PROBLEMS) > 0:
            problems += f"; and {more} more"
        raise ParamsError(f"{stage.name}: {problems}") from error


def _of_stages(stage: Stage[Any], sections: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the sections of the stages whose parameters are this stage's own: `build` runs others."""
    return {
        name: sections[name]
        for name, field in stage.params.model_fields.items()
        if name in sections and isinstance(field.annotation, type) and issubclass(field.annotation, Params)
    }


def _problem(problem: Any, stage: Stage[Any]) -> str:
    place = _short(".".join(str(part) for part in problem["loc"]))
    if problem["type"] == "extra_forbidden":
        return f"unknown parameter '{place}'{_nearest(place, list(stage.params.model_fields))}"
    return f"{place} = {_short(repr(problem['input']))}: {problem['msg']}"


def _short(found: object) -> str:
    text = str(found)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}..."


def _nearest(name: str, names: list[str]) -> str:
    near = get_close_matches(name, names, n=1)
    return f"; did you mean '{near[0]}'?" if near else f"; expected one of {', '.join(names)}"
