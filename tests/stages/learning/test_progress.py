import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from stages.contract import StageError
from stages.learning.networks import initialised
from stages.learning.plan import Site
from stages.learning.progress import Keeper
from tests.stages.learning.test_loop import CPU, FRAME, RECIPE, fitted, sets_on, weights_of

RUN = {"seed": "0", "epochs": "1"}


@pytest.fixture
def keeper(tmp_path: Path) -> Keeper:
    """A keeper that has the state of a run of one epoch."""
    kept = Keeper(tmp_path / "state", RUN)
    fitted(sets_on(CPU), replace(RECIPE, epochs=1), site=Site(device=CPU, keeper=kept))
    return kept


def local(keeper: Keeper) -> Path:
    """Return the file of this machine that a state is kept in."""
    assert isinstance(keeper.path, Path)
    return keeper.path


def test_no_state_is_none(tmp_path: Path) -> None:
    assert Keeper(tmp_path / "none", RUN).find() is None


def test_a_state_of_another_run_is_refused_and_what_differs_is_named(keeper: Keeper) -> None:
    with pytest.raises(StageError, match=r"saved under another epochs, rate$"):
        Keeper(keeper.path, {"seed": "0", "epochs": "2", "rate": "1"}).find()


@pytest.mark.parametrize("share", [0.3, 0.6, 0.999])
def test_a_state_of_which_one_bit_was_changed_is_refused(keeper: Keeper, share: float) -> None:
    data = bytearray(keeper.path.read_bytes())
    data[int(share * len(data))] ^= 1
    local(keeper).write_bytes(data)

    with pytest.raises(StageError, match="its bytes are not those that were saved"):
        keeper.find()


@pytest.mark.parametrize("told", ["run", "progress"])
def test_a_state_whose_header_tells_something_else_is_refused(keeper: Keeper, told: str) -> None:
    """A bit of a digit is enough: the run would go on from another update, with other sums, and say nothing."""
    with safe_open(local(keeper), framework="pt") as file:
        tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    digit = re.search(r"\d", metadata[told])
    assert digit
    at = digit.start()
    changed = f"{metadata[told][:at]}{int(digit[0]) ^ 1}{metadata[told][at + 1 :]}"
    save_file(tensors, local(keeper), {**metadata, told: changed})

    with pytest.raises(StageError, match=r"another seed|its bytes are not those that were saved"):
        keeper.find()


@pytest.mark.parametrize("run", ["[1]", "3", "{"])
def test_a_state_whose_run_is_no_table_is_refused(keeper: Keeper, run: str) -> None:
    save_file({}, local(keeper), {"run": run, "progress": "{}", "sha256": ""})

    with pytest.raises(StageError, match="it cannot be read"):
        keeper.find()


@pytest.mark.parametrize("bytes_left", [0, 4, 1000])
def test_a_state_that_was_cut_off_is_refused(keeper: Keeper, bytes_left: int) -> None:
    local(keeper).write_bytes(keeper.path.read_bytes()[:bytes_left])

    with pytest.raises(StageError, match="it cannot be read"):
        keeper.find()


def test_a_state_that_is_forgotten_is_gone(keeper: Keeper) -> None:
    keeper.forget()
    keeper.forget()

    assert keeper.find() is None


def test_a_network_with_dropout_and_layers_of_a_version_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    """Without its layers' version, mnasnet refuses its own weights; dropout must be drawn as it would have been."""
    name, recipe = "torchvision:mnasnet0_5", replace(RECIPE, epochs=2, batch_size=12)
    assert any(isinstance(layer, torch.nn.Dropout) for layer in initialised(name, FRAME, 3, how="he", seed=0).modules())
    kept = Keeper(tmp_path / "state", {})
    _, undisturbed = fitted(sets_on(CPU), recipe, name=name)
    states = []
    site = Site(
        device=CPU, keeper=kept, save_every_s=0.0, advance=lambda _count, text="": states.append(text and _copy(kept))
    )
    fitted(sets_on(CPU), recipe, name=name, site=site)
    local(kept).write_bytes(next(state for state in states[1:] if state))  # saved after the first update

    went_on, network = fitted(sets_on(CPU), recipe, name=name, site=Site(device=CPU, found=kept.find))

    assert went_on.went_on_from == 1
    assert torch.equal(weights_of(network), weights_of(undisturbed))


def _copy(keeper: Keeper) -> bytes:
    return keeper.path.read_bytes() if keeper.path.exists() else b""
