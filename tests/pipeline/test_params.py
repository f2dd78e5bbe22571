from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from pipeline.catalog import STAGES
from pipeline.params import read_file, resolve
from stages.augment import STAGE, AugmentParams
from stages.contract import ParamsError

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
