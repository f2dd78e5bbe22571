"""Two processes on this machine against one: the same set, the same recipe."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from stages.learning.normed import GatheredBatchNorm, synchronised
from stages.learning.ranks import Ranks

REPOSITORY = Path(__file__).resolve().parents[3]
WORK = """
import json, os, sys
import torch
from tests.stages.learning.test_loop import RECIPE, fitted, sets_on
from stages.learning.plan import Site
from stages.learning.ranks import together
from dataclasses import replace

torch.set_num_threads(1)
cpu = torch.device("cpu")
name, changes, out = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
with together(int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1)), cpu) as ranks:
    result, network = fitted(sets_on(cpu), replace(RECIPE, **changes), name=name, site=Site(device=cpu, ranks=ranks))
torch.save({"weights": network.state_dict(), "log": [repr(line) for line in result.log],
            "losses": [line.train_loss for line in result.log]}, f"{out}-{ranks.rank}.pt")
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def trained(tmp_path: Path, name: str, changes: dict[str, Any], *, processes: int) -> list[dict[str, Any]]:
    """Train in so many processes, and return what each came to."""
    out = tmp_path / f"of-{processes}"
    shared = {
        "PYTHONPATH": str(REPOSITORY),
        "WORLD_SIZE": str(processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
    }
    running = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", WORK, name, json.dumps(changes), str(out)],
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(processes)
    ]
    assert [process.wait(timeout=120) for process in running] == [0] * processes
    return [torch.load(f"{out}-{rank}.pt") for rank in range(processes)]


@pytest.mark.parametrize("name", ["alexnet", "residual"])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_two_processes_come_to_the_weights_of_one_within_rounding(tmp_path: Path, name: str, accumulation: int) -> None:
    # gradient descent: Adam takes the sign even of a gradient that is rounding alone. 24 images in batches of 23: the
    # last batch has one image, and nothing is left for the second process. Parts change what batch norm sees.
    changes = {"epochs": 2, "batch_size": 23, "optimizer": "sgd", "learning_rate": 1e-3, "accumulation": accumulation}
    changes |= {"batch_size": 6} if (name, accumulation) == ("residual", 2) else {}

    (one,) = trained(tmp_path, name, changes, processes=1)
    first, second = trained(tmp_path, name, changes, processes=2)

    assert first["log"] == second["log"], "all processes see the same figures"
    for key, weights in first["weights"].items():
        assert torch.equal(weights, second["weights"][key])
    if (name, accumulation) != ("residual", 2):
        assert first["losses"] == pytest.approx(one["losses"], rel=1e-5)
        for key, weights in first["weights"].items():
            torch.testing.assert_close(weights, one["weights"][key], rtol=1e-4, atol=1e-6)


def test_one_process_alone_needs_no_others() -> None:
    alone, network = Ranks(), nn.Linear(2, 2)

    assert alone.first
    assert alone.joined(network, torch.device("cpu")) is network
    assert alone.summed([1.5, 2]) == [1.5, 2]
    np.testing.assert_array_equal(alone.share(np.arange(3)), np.arange(3))
    assert torch.equal(alone.gathered(torch.ones(2)), torch.ones(2))


def test_batch_norm_over_processes_is_torchs_in_eval_mode_and_shares_its_weights() -> None:
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Sequential(nn.BatchNorm2d(3)))
    images = torch.rand(4, 1, 8, 8)
    network(images)
    expected, keys = network.eval()(images), list(network.state_dict())

    found = synchronised(network, torch.device("cpu"))

    assert any(isinstance(layer, GatheredBatchNorm) for layer in found.modules())
    assert list(found.state_dict()) == keys
    assert torch.equal(found.eval()(images), expected)
