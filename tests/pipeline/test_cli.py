from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import click
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from manifests.rows import AUDITED
from pipeline.catalog import COMMANDS
from pipeline.cli import main
from pipeline.console import harmless, shown
from pipeline.lock import locked
from pipeline.params import scalars

NAMES = [entry.name for entry in COMMANDS]


def test_help_of_the_group_names_every_command_with_its_summary() -> None:
    result = CliRunner().invoke(main, ["--help"], terminal_width=200)
    assert result.exit_code == 0
    for entry in COMMANDS:
        assert f"{entry.name} " in result.output
        assert entry.summary in result.output


@pytest.mark.parametrize("code", ["import pipeline.cli", "from pipeline.cli import main; main(['--help'])"])
def test_help_loads_no_library_that_is_slow_to_load(code: str) -> None:
    script = f"""
import sys
try:
    {code}
except SystemExit as end:
    assert end.code == 0
heavy = {{"torch", "cv2", "matplotlib", "numpy", "pyarrow", "pydantic", "joblib"}} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


@pytest.mark.parametrize("name", NAMES)
def test_help_of_a_command_explains_every_option_and_states_its_default(name: str) -> None:
    command = main.get_command(None, name)  # type: ignore[arg-type]  # the catalogue needs no context
    assert command is not None
    for option in command.params:
        if isinstance(option, click.Argument):
            assert f"{option.make_metavar(click.Context(command)).strip('[].')}: " in str(command.help)
            continue
        record = option.to_info_dict()
        assert record["help"], f"{name} --{option.name} has no help"
        assert "default" in record["help"] or getattr(option, "show_default", False) or record["is_flag"]


@pytest.mark.parametrize("entry", COMMANDS, ids=lambda entry: entry.name)
def test_every_scalar_parameter_of_a_stage_is_a_flag(entry: object) -> None:
    command = main.get_command(None, entry.name)  # type: ignore[arg-type, attr-defined]
    assert command is not None
    flags = {option.name for option in command.params}
    assert {scalar.name for scalar in scalars(entry.load().params)} <= flags  # type: ignore[attr-defined]


def test_a_missing_raw_folder_is_one_line_that_says_what_to_do_and_exit_1(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["audit", "--root", str(tmp_path)])
    assert result.exit_code == 1
    assert result.output.startswith("Error: audit: ")
    assert "data/raw: no such folder" in result.output
    assert "cxr-pipeline phantom" in result.output
    assert len(result.output.strip().splitlines()) == 1


def test_a_stage_without_its_input_names_the_missing_file(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["augment", "--root", str(tmp_path)])
    assert result.exit_code == 1
    assert "data/normalized/manifest.parquet: not found" in result.output


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("augment: {copiez: 3}", "unknown parameter 'copiez'; did you mean 'copies'?"),
        ("augmnet: {copies: 3}", "section 'augmnet' is no stage; did you mean 'augment'?"),
        ("augment: {copies: -1}", "copies = -1: Input should be greater than or equal to 0"),
        ("augment: {operations: [{op: rotate}, {op: rotate}]}", "rotate more than once"),
        ("augment: {operations: [{op: sharpen}]}", "operations.0"),
        ("augment: 3", "expected a section of parameters per stage"),
        ("augment: [", "cannot be read as YAML"),
    ],
)
def test_parameters_that_cannot_be_used_are_usage_errors(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "params.yaml").write_text(content)
    result = CliRunner().invoke(main, ["augment", "--root", str(tmp_path)])
    assert result.exit_code == 2
    assert said in result.output


def test_a_flag_of_the_wrong_kind_is_a_usage_error(tmp_path: Path) -> None:
    assert CliRunner().invoke(main, ["augment", "--copies", "many", "--root", str(tmp_path)]).exit_code == 2
    assert CliRunner().invoke(main, ["augment", "--margins", "white", "--root", str(tmp_path)]).exit_code == 2
    assert CliRunner().invoke(main, ["agument"]).exit_code == 2


def test_an_address_where_a_folder_must_be_is_refused_and_not_taken_for_one() -> None:
    result = CliRunner().invoke(main, ["train", "--tensorboard", "s3://bucket/set"])
    assert result.exit_code == 2
    assert "expected a folder on this machine" in result.output


def test_a_root_that_is_a_file_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert CliRunner().invoke(main, ["audit", "--root", str(tmp_path / "file")]).exit_code == 2


def test_a_line_that_the_terminal_shows_does_nothing_to_it() -> None:
    assert shown("two\nlines \x1b[2J \N{RIGHT-TO-LEFT OVERRIDE}") == "two\\nlines \\x1b[2J \\u202e"
    assert shown("caf\udce9") == "caf\\udce9"
    assert shown("plain, ünïcode 肺 & 95 %") == "plain, ünïcode 肺 & 95 %"


def test_lines_of_results_on_a_terminal_are_as_many_as_they_were_and_do_nothing_to_it() -> None:
    assert harmless(b"a,1\n\x1b[2J,2\n") == b"a,1\n\\x1b[2J,2\n"
    assert harmless(b"") == b""
    assert harmless("sé\u2028p\n".encode()) == "sé\\u2028p\n".encode()


def outcome(root: Path, *arguments: str) -> tuple[int, str]:
    """Run a command as a user does, and return how it ended and the last line it said."""
    command = [sys.executable, "-m", "pipeline", *arguments, "--root", str(root)]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert "Traceback" not in ended.stderr
    return ended.returncode, ended.stderr.strip().splitlines()[-1]


def test_a_manifest_of_a_stranger_ends_the_run_in_one_line_and_exit_code_1(tmp_path: Path) -> None:
    (tmp_path / "data/audit").mkdir(parents=True)
    footer = json.dumps(
        {"schema": "AuditedRow", "schema_version": AUDITED.version, "facts": {"raw": "data/raw", "classes": ["a"]}}
    )
    columns = {field.name: pa.nulls(1, field.type) for field in AUDITED.fields} | {
        "path": pa.array(["../../\nescape\x1b[2J"]),
        "status": pa.array(["ok"]),
    }
    table = pa.table(list(columns.values()), schema=AUDITED.arrow.with_metadata({"cxr_pipeline": footer}))
    pq.write_table(table, tmp_path / "data/audit/manifest.parquet")
    code, said = outcome(tmp_path, "split")
    assert code == 1
    assert said.startswith(f"Error: split: {tmp_path}/data/audit/manifest.parquet: column 'path' holds")
    assert said.endswith("expected paths that stay inside the folder they are relative to")
    assert "\x1b" not in said


def test_parameters_of_a_stranger_end_the_run_in_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("split: !!python/object/apply:os.system ['touch hacked']")
    code, said = outcome(tmp_path, "split")
    assert code == 2
    assert "could not determine a constructor for the tag" in said
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


def test_torchrun_starts_no_second_run_of_a_stage_that_does_not_train(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "RANK": "1",
        "WORLD_SIZE": "2",
        "LOCAL_RANK": "1",
        "MASTER_ADDR": "here",
        "MASTER_PORT": "1",
    }.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "data/audit").mkdir(parents=True)

    with locked(tmp_path, "the first process"):
        result = CliRunner().invoke(main, ["split", "--root", str(tmp_path)])

    assert result.exit_code == 1
    assert "wait for it to end" in result.output


# --- for programs, and for whoever mistypes ----------------------------------------------------------------------


def test_a_name_that_is_no_command_is_told_the_nearest() -> None:
    near = CliRunner().invoke(main, ["audti"])
    assert near.exit_code == 2
    assert "Did you mean 'audit'?" in near.output
    far = CliRunner().invoke(main, ["xylophone"])
    assert far.exit_code == 2
    assert "Did you mean" not in far.output


def test_the_versions_are_those_of_the_libraries_that_run() -> None:
    lines = CliRunner().invoke(main, ["--version"]).output.splitlines()
    assert lines[0] == f"cxr-pipeline, version {version('cxr-pipeline')}"
    told = dict(line.split() for line in lines[1:])
    assert told["pyarrow"] == pa.__version__
    assert {"Python", "numpy", "torch", "pillow"} <= set(told)


def test_json_says_what_was_done_in_one_object_and_nothing_else(tmp_path: Path) -> None:
    arguments = ["phantom", "--root", str(tmp_path), "--films", "30", "--longest-side-px", "64", "--no-progress"]
    result = CliRunner().invoke(main, [*arguments, "--json"])
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert (told["command"], told["failed"]) == ("phantom", False)
    assert told["done"] == len([path for path in (tmp_path / "data/raw").rglob("*") if path.is_file()])
    assert told["seconds"] > 0
    assert set(told) == {
        *("command", "done", "unit", "seconds", "set_aside", "failed", "verdict", "written", "lines"),
    }


def test_json_of_a_check_that_fails_says_so_and_the_command_ends_with_1(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["doctor", "--root", str(tmp_path), "--device", "cuda", "--json"])
    if result.exit_code == 0:
        pytest.skip("there is a CUDA device")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert told["failed"]
    assert told["verdict"] == "wrong: device"
