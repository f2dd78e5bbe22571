import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.contract import StageError
from stages.films.frame import Frame
from stages.learning import portable, prediction
from stages.learning.checkpoint import Checkpoint
from stages.learning.networks import blank, initialised

CPU = torch.device("cpu")
FRAME = Frame(height=64, width=75)
SHA256 = "ab" * 32


def known(name: str) -> Checkpoint:
    return Checkpoint(
        network_name=name,
        classes=("normal", "bacterial", "völlig anders"),
        frame=FRAME,
        mean=0.4,
        std=0.2,
        network=initialised(name, FRAME, 3, how="he", seed=0).eval(),
        facts={"normalization": '{"policy": "cover"}'},
    )


@pytest.fixture(scope="module")
def residual() -> Checkpoint:
    return known("residual")


@pytest.fixture(scope="module")
def file(residual: Checkpoint) -> bytes:
    return portable.exported(residual, sha256=SHA256)


def films(number: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (number, FRAME.height, FRAME.width), np.uint8)


@settings(max_examples=10, deadline=None)
@given(number=st.integers(1, 9), seed=st.integers(0, 99))
def test_onnxruntime_answers_any_number_of_grey_films_as_pytorch_does(
    residual: Checkpoint, file: bytes, number: int, seed: int
) -> None:
    found = portable.answers_of(file, films(number, seed), at_once=4)

    expected = prediction.probabilities(residual, films(number, seed), CPU)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("name", ["alexnet", "torchvision:squeezenet1_1"])
def test_other_networks_of_the_table_are_exported_as_well(name: str) -> None:
    network = known(name)

    found = portable.answers_of(portable.exported(network, sha256=SHA256), films(3))

    np.testing.assert_allclose(found, prediction.probabilities(network, films(3), CPU), rtol=0, atol=1e-5)


def test_the_file_is_valid_and_carries_what_one_must_know_to_use_it(file: bytes) -> None:
    model = onnx.load_from_string(file)
    onnx.checker.check_model(model, full_check=True)
    told = {entry.key: entry.value for entry in model.metadata_props}

    assert json.loads(told["classes"]) == ["normal", "bacterial", "völlig anders"]
    assert (told["height"], told["width"], told["mean"], told["std"]) == ("64", "75", "0.4", "0.2")
    assert (told["network"], told["model_sha256"]) == ("residual", SHA256)
    assert json.loads(told["normalization"]) == {"policy": "cover"}
    (images,) = model.graph.input
    assert images.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert [side.dim_param or side.dim_value for side in images.type.tensor_type.shape.dim] == ["batch", 64, 75]


def test_equal_networks_give_equal_bytes_that_name_no_place_of_this_machine(residual: Checkpoint, file: bytes) -> None:
    assert portable.exported(residual, sha256=SHA256) == file
    assert b".py" not in file
    assert b"stack_trace" not in file


def test_a_network_too_large_for_one_file_is_refused() -> None:
    with torch.device("meta"):
        vast = torch.nn.Linear(2**15, 2**15)
    network = Checkpoint(network_name="vast", classes=("a",), frame=FRAME, mean=0.5, std=0.2, network=vast)

    with pytest.raises(StageError, match="has 4,295,098,368 bytes of weights; expected less than 2 GiB"):
        portable.exported(network, sha256=SHA256)
    assert sum(held.nbytes for held in blank("cifar", Frame(height=256, width=300), 3).parameters()) < 2**31


def test_where_the_extra_is_missing_the_error_says_what_to_install() -> None:
    code = """
import sys
sys.modules["onnxruntime"] = None
from stages.contract import StageError
from stages.learning.portable import require_extra
try:
    require_extra()
except StageError as error:
    sys.exit(str(error))
"""
    ended = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)

    assert ended.stderr.strip() == "ONNX needs onnxruntime; install the extra: pip install 'cxr-pipeline[onnx]'"
