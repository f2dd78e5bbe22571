import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision import models

from manifests.store import file_sha256
from stages.contract import StageError
from stages.films.frame import Frame
from stages.learning.networks import initialised
from stages.learning.weights import Started, from_file

FRAME = Frame(height=64, width=75)
NAME = "torchvision:squeezenet1_1"


def start(file: Path, name: str = NAME, classes: int = 3) -> Started:
    return from_file(name, FRAME, classes, how="he", seed=0, file=file)


def original(name: str, classes: int, **options: bool) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(7)
        network: nn.Module = models.get_model(name, weights=None, num_classes=classes, **options)
    return network.eval()


def films() -> torch.Tensor:
    return torch.randn(2, 1, FRAME.height, FRAME.width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ["squeezenet1_1", "densenet121"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_with_a_files_weights_a_grey_film_gets_the_answer_of_three_equal_channels(
    tmp_path: Path, name: str, suffix: str
) -> None:
    network, file = original(name, 3), tmp_path / f"weights{suffix}"
    (torch.save if suffix == ".pth" else save_file)(network.state_dict(), file)

    started = start(file, f"torchvision:{name}")

    with torch.inference_mode():
        expected = network(films().expand(-1, 3, -1, -1))
        torch.testing.assert_close(started.network.eval()(films()), expected, rtol=1e-4, atol=1e-5)
    assert started.sha256 == file_sha256(file)
    assert [remark for remark in started.remarks if "the three channels of" not in remark] == []


def test_a_last_layer_for_other_classes_is_drawn_anew_and_said_so(tmp_path: Path) -> None:
    network, file = original("squeezenet1_1", 10), tmp_path / "weights.pth"
    torch.save(network.state_dict(), file)

    started = start(file)

    assert started.remarks[1] == "weights.pth: answers 10 classes, not 3; classifier.1 is drawn anew"
    fresh = initialised(NAME, FRAME, 3, how="he", seed=0)
    assert torch.equal(started.network.get_parameter("classifier.1.weight"), fresh.get_parameter("classifier.1.weight"))
    inner = "features.3.squeeze.weight"
    assert torch.equal(started.network.get_parameter(inner), network.get_parameter(inner))


def test_auxiliary_heads_of_a_file_are_left_out(tmp_path: Path) -> None:
    network, file = original("googlenet", 3, aux_logits=True, init_weights=False), tmp_path / "weights.pth"
    torch.save(network.state_dict(), file)

    started = start(file, "torchvision:googlenet")

    assert started.remarks[0] == "weights.pth: its auxiliary heads are left out"
    with torch.inference_mode():
        expected = network(films().expand(-1, 3, -1, -1))
        torch.testing.assert_close(started.network.eval()(films()), expected, rtol=1e-4, atol=1e-5)


def test_old_names_of_densenet_and_missing_counters_are_understood(tmp_path: Path) -> None:
    network, file = original("densenet121", 3), tmp_path / "weights.pth"
    old = re.compile(r"(denselayer\d+\.(?:norm|conv))([12]\.)")
    state = {old.sub(r"\1.\2", name): held for name, held in network.state_dict().items()}
    torch.save({name: held for name, held in state.items() if not name.endswith("num_batches_tracked")}, file)

    started = start(file, "torchvision:densenet121")

    with torch.inference_mode():
        expected = network(films().expand(-1, 3, -1, -1))
        torch.testing.assert_close(started.network.eval()(films()), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["residual", NAME])
def test_weights_of_a_network_that_we_trained_are_taken_as_they_are(tmp_path: Path, name: str) -> None:
    network, file = initialised(name, FRAME, 3, how="he", seed=4), tmp_path / "model.safetensors"
    save_file(network.state_dict(), file)

    started = start(file, name)

    assert started.remarks == ()
    assert all(map(torch.equal, started.network.parameters(), network.parameters()))


class Bomb:
    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("exit 1",)


@pytest.mark.parametrize(
    ("held", "message"),
    [
        ({"model": {"weight": torch.zeros(1)}}, "it holds a dict of model"),
        ([torch.zeros(1)], "it holds a list"),
        ({1: torch.zeros(1)}, "it holds a dict of 1"),
        ({"classifier.1.weight": torch.tensor(1.0)}, "holds no weights of torchvision:squeezenet1_1: it lacks"),
        (Bomb(), "it holds more than tensors, which would run code"),
        ({"weight": torch.zeros(1)}, "holds no weights of torchvision:squeezenet1_1: it lacks features.0.bias"),
    ],
    ids=["wrapped", "list", "numbered", "a number", "code", "other"],
)
def test_a_file_that_holds_something_else_is_refused(tmp_path: Path, held: object, message: str) -> None:
    torch.save(held, tmp_path / "weights.pth")

    with pytest.raises(StageError, match=re.escape(message)):
        start(tmp_path / "weights.pth")


@pytest.mark.parametrize("data", [b"", b"no weights at all", pickle.dumps([1]), b"PK\x03\x04", bytes(5000)])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_that_is_no_state_dict_is_refused(tmp_path: Path, data: bytes, suffix: str) -> None:
    (tmp_path / f"weights{suffix}").write_bytes(data)

    with pytest.raises(StageError, match=rf"weights{suffix}: is no state dict"):
        start(tmp_path / f"weights{suffix}")


@pytest.mark.parametrize("place", ["nowhere.pth", "."])
def test_a_missing_file_is_refused(tmp_path: Path, place: str) -> None:
    with pytest.raises(StageError, match="no such file; expected weights that were downloaded before"):
        start(tmp_path / place)


def test_weights_of_other_shapes_and_other_names_are_refused(tmp_path: Path) -> None:
    state = original("squeezenet1_1", 3).state_dict()
    torch.save({**state, "features.3.squeeze.bias": torch.zeros(7)}, tmp_path / "shape.pth")
    torch.save({**state, "features.99.bias": torch.zeros(7)}, tmp_path / "name.pth")

    with pytest.raises(StageError, match=r"has other shapes: features.3.squeeze.bias is \(7,\), not \(16,\)"):
        start(tmp_path / "shape.pth")
    with pytest.raises(StageError, match=r"has besides features.99.bias; expected the state dict of that network"):
        start(tmp_path / "name.pth")
