import subprocess
import sys

import pytest
from pydantic import BaseModel, ValidationError

from stages.learning.names import OWN, NetworkName, known


class Params(BaseModel):
    network: NetworkName = "alexnet"


@pytest.mark.parametrize("name", [*OWN, "torchvision:resnet18", "torchvision:vit_b_16"])
def test_our_networks_and_names_of_torchvisions_form_are_taken(name: str) -> None:
    assert known(name)
    assert Params(network=name).network == name


@pytest.mark.parametrize(
    "name",
    ["", "resnet18", "torchvision:", "torchvision:ResNet", "torchvision:../x", "torchvision:" + "a" * 99, "cifar\n"],
)
def test_any_other_name_is_refused(name: str) -> None:
    assert not known(name)
    with pytest.raises(ValidationError, match="is not known"):
        Params(network=name)


def test_checking_a_name_loads_neither_torch_nor_torchvision() -> None:
    code = "import sys, stages.learning.names; sys.exit(bool({'torch', 'torchvision'} & set(sys.modules)))"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
