import contextlib
import os
import pickle
import struct
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from stages.contract import StageError
from stages.films.frame import Frame
from stages.learning.checkpoint import Checkpoint, load, save
from stages.learning.networks import initialised

CPU = torch.device("cpu")
FRAME = Frame(height=48, width=56)
FACTS = {"initialisation": "he", "epoch": "3", "val_accuracy": "0.75", "sources": "{}"}


@pytest.fixture
def checkpoint() -> Checkpoint:
    network = initialised("residual", FRAME, 3, how="he", seed=0)
    return Checkpoint(
        network_name="residual",
        classes=("normal", "bacterial", "Völlig anders"),
        frame=FRAME,
        mean=0.1 + 0.2,
        std=1 / 3,
        network=network,
        facts=FACTS,
    )


def test_a_checkpoint_comes_back_as_it_was_saved(checkpoint: Checkpoint, tmp_path: Path) -> None:
    save(tmp_path / "model.safetensors", checkpoint)

    found = load(tmp_path / "model.safetensors", CPU)

    assert (found.network_name, found.classes, found.frame) == ("residual", checkpoint.classes, FRAME)
    assert (found.mean, found.std) == (checkpoint.mean, checkpoint.std)
    assert FACTS.items() <= found.facts.items()
    assert "tool_version" in found.facts
    films = torch.randn(4, 1, FRAME.height, FRAME.width)
    with torch.inference_mode():
        assert torch.equal(found.network(films), checkpoint.network.eval()(films))


def test_equal_checkpoints_give_equal_bytes(checkpoint: Checkpoint, tmp_path: Path) -> None:
    # a hash map's order changes from one instance to the next: several files make a chance match unlikely
    for number in range(5):
        save(tmp_path / f"{number}.safetensors", checkpoint)

    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_facts_come_back_in_one_order_so_that_pages_of_one_network_are_alike(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    facts = {f"fact {number}": "" for number in range(20)}
    save(tmp_path / "model.safetensors", replace(checkpoint, facts=facts))

    found = [list(load(tmp_path / "model.safetensors", CPU).facts) for _ in range(3)]

    assert found == [sorted([*facts, "tool_version"])] * 3


def test_weights_laid_out_for_speed_are_saved_like_any_other(checkpoint: Checkpoint, tmp_path: Path) -> None:
    save(tmp_path / "plain", checkpoint)
    checkpoint.network.to(memory_format=torch.channels_last)
    save(tmp_path / "fast", checkpoint)

    assert (tmp_path / "plain").read_bytes() == (tmp_path / "fast").read_bytes()


def test_any_safetensors_reader_reads_the_file(checkpoint: Checkpoint, tmp_path: Path) -> None:
    save(tmp_path / "model.safetensors", checkpoint)

    with safe_open(tmp_path / "model.safetensors", framework="numpy") as file:
        assert file.metadata()["network"] == "residual"
        assert set(file.keys()) == set(checkpoint.network.state_dict())


def test_a_missing_model_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"model\.safetensors: not found; run train first"):
        load(tmp_path / "model.safetensors", CPU)


def test_a_file_that_is_no_safetensors_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"no weights at all")

    with pytest.raises(StageError, match="not a safetensors file"):
        load(tmp_path / "model.safetensors", CPU)


def test_a_cut_off_file_is_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save(path, checkpoint)
    path.write_bytes(path.read_bytes()[:-100])

    with pytest.raises(StageError, match="not a safetensors file"):
        load(path, CPU)


def test_somebody_elses_safetensors_is_refused(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(3)}, tmp_path / "model.safetensors")

    with pytest.raises(StageError, match="metadata has no 'network'"):
        load(tmp_path / "model.safetensors", CPU)


def saved_with(key: str, value: str, checkpoint: Checkpoint, folder: Path) -> Path:
    """Return weights whose metadata say something else."""
    path = folder / "model.safetensors"
    save(path, checkpoint)
    with safe_open(path, framework="pt") as file:
        metadata, weights = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file(weights, path, {**metadata, key: value})
    return path


@pytest.mark.parametrize(("key", "value"), [("network", "vgg"), ("network", "alexnet"), ("classes", '["one"]')])
def test_weights_of_another_network_are_refused(checkpoint: Checkpoint, tmp_path: Path, key: str, value: str) -> None:
    path = saved_with(key, value, checkpoint, tmp_path)

    with pytest.raises(StageError, match=r"does not fit this version's networks"):
        load(path, CPU)


def with_header(header: bytes, *, claimed: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if claimed is None else claimed) + header


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x04\x95" + pickle.dumps(Path("x")),
        with_header(b"{}", claimed=2**63),
        with_header(b"{}", claimed=10**9),
        with_header(b"[" * 100_000),
        with_header(b'{"weight": {"dtype": "F32", "shape": [1000000000000], "data_offsets": [0, 4000000000000]}}'),
        with_header(b'{"weight": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}') + bytes(4),
        with_header(b'{"__metadata__": {"network": 7}}'),
        with_header(b"\xff\xfe"),
    ],
    ids=lambda data: repr(data[:24]),
)
def test_weights_of_a_stranger_run_no_code_and_take_no_memory(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(data)
    with pytest.raises(StageError, match="not a safetensors file"):
        load(tmp_path / "model.safetensors", CPU)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("classes", "[" * 100_000),
        ("classes", "7"),
        ("classes", "[1, 2, 3]"),
        ("classes", '{"a": 1}'),
        ("classes", '"abc"'),
        ("height", "1000000000000"),
        ("height", "-5"),
        ("height", "9" * 5000),
        ("width", "many"),
        ("mean", "nan"),
        ("std", "0"),
        ("std", "nan"),
        ("std", "inf"),
        ("network", "x" * 10),
    ],
    ids=lambda value: value[:20],
)
def test_metadata_of_a_stranger_is_refused_in_one_line(
    checkpoint: Checkpoint, tmp_path: Path, key: str, value: str
) -> None:
    path = saved_with(key, value, checkpoint, tmp_path)
    with pytest.raises(StageError, match=r"does not fit this version's networks"):
        load(path, CPU)


def test_a_pipe_in_place_of_the_model_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.safetensors")
    with pytest.raises(StageError, match="is no plain file"):
        load(tmp_path / "model.safetensors", CPU)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(places=st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), min_size=1, max_size=6))
def test_a_model_whose_head_is_spoilt_is_loaded_or_refused(
    checkpoint: Checkpoint, tmp_path: Path, places: list[tuple[int, int]]
) -> None:
    path = tmp_path / "model.safetensors"
    save(path, checkpoint)
    with path.open("r+b") as file:
        for place, value in places:
            file.seek(place)
            file.write(bytes([value]))
    with contextlib.suppress(StageError):
        load(path, CPU)
