from __future__ import annotations

import contextlib
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.catalog import STAGES
from pipeline.params import read_file, resolve
from stages import build
from stages.audit import AuditParams
from stages.augment import STAGE
from stages.augment_params import AugmentParams
from stages.contract import ParamsError
from stages.normalize import NormalizeParams

REPOSITORY = Path(__file__).resolve().parents[2]


def test_a_flag_beats_the_file_and_the_file_beats_the_default() -> None:
    assert resolve(STAGE, {}, {"copies": None}).copies == 20
    assert resolve(STAGE, {"augment": {"copies": 5}}, {"copies": None}).copies == 5
    assert resolve(STAGE, {"augment": {"copies": 5}}, {"copies": 7}).copies == 7


def test_parameters_are_frozen() -> None:
    params = AugmentParams()
    with pytest.raises(ValidationError, match="frozen"):
        params.copies = 3  # type: ignore[misc]


def test_a_named_file_that_is_missing_is_an_error_and_an_unnamed_one_is_not(tmp_path: Path) -> None:
    assert read_file(None, tmp_path) == {}
    with pytest.raises(ParamsError, match=r"nowhere\.yaml"):
        read_file(tmp_path / "nowhere.yaml", tmp_path)


def test_every_problem_is_named_at_once() -> None:
    with pytest.raises(ParamsError, match=r"copies = -1.*quality = 101"):
        resolve(STAGE, {"augment": {"copies": -1, "quality": 101}}, {})


BILLION_LAUGHS = "a: &a [ha]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n" for a, b in pairwise("abcdefghij")
)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("augment: !!python/object/apply:os.system ['touch hacked']", "could not determine a constructor for the tag"),
        ("augment: !!python/name:os.system", "could not determine a constructor"),
        (BILLION_LAUGHS, r"aliases that unfold to .* values; expected 20,000 at most"),
        ("augment: &a [*a]", "aliases that unfold"),
        ("augment: {copies: 3, copies: 4}", "'copies' a second time; expected each key once"),
        ("augment: {copies: 3}\nsplit: {}\naugment: {copies: 4}", "'augment' a second time"),
        ("[" * 30_000 + "]" * 30_000, "is nested too deeply"),
        ("augment: {copies: " + "9" * 5000 + "}", "cannot be read as YAML"),
        ("augment: {copies: 2001-02-31}", "cannot be read as YAML"),
        ("augment: {copies: !!binary x}", "cannot be read as YAML"),
        ("? [a, b]\n: {}", "cannot be read as YAML"),
        ("\0", "cannot be read as YAML"),
        ("augment: [1]", "expected a section of parameters per stage"),
        ("7", "expected a section of parameters per stage"),
        ("#" * 200_000, "has 200,000 bytes; expected at most 100,000"),
        ("? " + "x" * 90_000 + "\n: {}", r"section 'xxx.*' is no stage"),
        ("augmant: {copies: 4}", "section 'augmant' is no stage; did you mean 'augment'"),
        ("7: {}", "section '7' is no stage"),
    ],
    ids=lambda value: value[:30],
)
def test_a_parameters_file_that_was_made_to_harm_is_refused_in_a_few_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, says: str
) -> None:
    """Nothing is run, nothing unfolds, nothing is kept in silence."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(ParamsError, match=says) as caught:
        read_file(None, tmp_path)
    assert len(str(caught.value)) < 1000
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


def test_an_alias_that_a_reader_can_follow_is_taken(tmp_path: Path) -> None:
    """PyYAML itself writes one where a script gives the same value twice."""
    size = {"height": 32, "width": 40}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"audit": size, "normalize": size}))
    assert "*" in (tmp_path / "params.yaml").read_text()
    assert read_file(None, tmp_path) == {"audit": size, "normalize": size}


def test_bytes_that_are_no_text_and_a_pipe_are_refused(tmp_path: Path) -> None:
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\xfa")
    os.mkfifo(tmp_path / "pipe.yaml")
    for name, says in (("bytes.yaml", "cannot be read as YAML"), ("pipe.yaml", "is no plain file")):
        with pytest.raises(ParamsError, match=says):
            read_file(tmp_path / name, tmp_path)


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ({f"copiez{number}": 3 for number in range(1000)}, "and 990 more"),
        ({"copiez": 3}, "unknown parameter 'copiez'; did you mean 'copies'"),
        ({7: 3}, "7 = 7: Keys should be strings"),
        ({"copies": "many"}, "copies = 'many'"),
        ({"copies": True}, "copies = True: Value error, a switch .* expected a number"),
        ({"copies": [1]}, r"copies = \[1\]"),
        ({"copies": 2.5}, "copies = 2.5"),
        ({"copies": float("nan")}, "copies = nan"),
        ({"copies": 10**30}, "copies = 1000"),
        ({"margins": "x" * 100_000}, "margins = 'xxx"),
        ({"operations": "rotate"}, "operations"),
        ({"operations": [{"op": "rotate", "degrees": float("inf")}]}, "finite number"),
        ({"operations": [{"op": "rotate", "degrees": float("nan")}]}, "degrees = nan"),
        ({"operations": [{"op": "__class__"}]}, "operations"),
        ({"operations": [{"op": "flip"}] * 5000}, "more than once"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_a_value_of_another_kind_is_named_and_not_shown_whole(section: Any, says: str) -> None:
    with pytest.raises(ParamsError, match=says) as caught:
        resolve(STAGE, {"augment": section}, {})
    assert len(str(caught.value)) < 1500


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    )
)
def test_whatever_a_parameter_is_set_to_it_is_taken_or_refused(value: Any) -> None:
    for name in AugmentParams.model_fields:
        with contextlib.suppress(ParamsError):
            assert isinstance(resolve(STAGE, {"augment": {name: value}}, {}), AugmentParams)


@pytest.mark.parametrize("entry", STAGES, ids=lambda entry: entry.name)
def test_the_projects_params_yaml_holds_every_parameter_at_its_default(entry: Any) -> None:
    stage = entry.load()
    section = yaml.safe_load((REPOSITORY / "params.yaml").read_text())[stage.name]
    defaults = stage.params()
    assert set(section) == set(type(defaults).model_fields)
    assert stage.params.model_validate(section) == defaults


@pytest.mark.parametrize("entry", STAGES, ids=lambda entry: entry.name)
def test_the_2020_recipe_is_valid(entry: Any) -> None:
    sections = read_file(REPOSITORY / "params" / "recipe-2020.yaml", REPOSITORY)
    stage = entry.load()
    assert isinstance(resolve(stage, sections, {}), stage.params)


def test_each_stage_of_a_build_takes_its_own_section_of_the_parameters() -> None:
    sections = {"augment": {"copies": 3}, "normalize": {"height": 64}, "train": {"epochs": 1}}
    params = resolve(build.STAGE, sections, {})
    assert params.augment == AugmentParams(copies=3)
    assert params.normalize == NormalizeParams(height=64)
    assert params.audit == AuditParams()
    with pytest.raises(ParamsError, match="copies"):
        resolve(build.STAGE, {"augment": {"copies": -1}}, {})
