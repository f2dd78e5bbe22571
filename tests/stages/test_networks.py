from pathlib import Path

import pytest
from pydantic import ValidationError

from stages.contract import Machine, StageError
from stages.learning.names import OWN
from stages.networks import NetworksParams, asked, run

SMALL = {"height": 64, "width": 75, "batch_size": 4}


def told(machine: Machine, **params: object) -> list[str]:
    return list(run(NetworksParams.model_validate({**SMALL, **params}), Path(), machine).lines)


def test_each_network_that_is_asked_for_gets_a_line_of_the_table(machine: Machine) -> None:
    lines = told(machine, networks=("residual", "torchvision:mobilenet_v3_small", "residual"))

    assert [line.split()[0] for line in lines[1:-1]] == ["network", "residual", "torchvision:mobilenet_v3_small"]
    assert lines[2].split()[1] == "1,563,795"
    assert lines[0].startswith("a training step of 4 images of 64x75, adamw, float32; ")


def test_a_step_that_does_not_fit_is_told_with_the_batch_that_does(machine: Machine) -> None:
    fits, too_large = (told(machine, networks=("residual",), batch_size=size)[2].split() for size in (4, 10**9))

    assert (fits[-2], too_large[-2]) == ("yes", "no")
    assert all(4 < int(line[-1].replace(",", "")) < 10**9 for line in (fits, too_large))


def test_a_network_that_cannot_take_the_frame_is_an_error_only_where_it_is_alone(machine: Machine) -> None:
    refusal = "network torchvision:vit_b_16: takes square frames of a multiple of 16 pixels; found 64x75"
    with pytest.raises(StageError, match=refusal):
        told(machine, networks=("torchvision:vit_b_16",))

    lines = told(machine, networks=("residual", "torchvision:vit_b_16"))
    assert lines[2].startswith("residual")
    assert lines[3].startswith(refusal)


def test_unasked_ours_are_told_of_with_some_of_torchvisions_and_all_on_request() -> None:
    some, every = asked(NetworksParams()), asked(NetworksParams(all_=True))

    assert {*OWN, "torchvision:resnet18"} < set(some) < set(every)
    assert len(every) > 80


def test_a_name_that_can_be_no_networks_is_refused_with_the_parameters() -> None:
    with pytest.raises(ValidationError, match="network 'resnet18' is not known"):
        NetworksParams(networks=("resnet18",))
