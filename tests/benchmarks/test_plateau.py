from dataclasses import replace

import numpy as np
import torch
from torch import nn

from benchmarks.online import interval
from benchmarks.plateau_runs import FIRST, OURS, Run, Task, gradient_norms, spread_by_layer, train_once
from benchmarks.prepared import Films


def a_task() -> Task:
    """Return six films of 64 x 76, as small as alexnet takes them with something left to see."""
    words = np.random.default_rng(0)
    ids = [f"{number:064x}" for number in range(6)]
    images = words.integers(0, 256, (6, 64, 76), dtype=np.uint8)
    films = Films(ids, images, np.arange(6) % 3, ids)
    return Task(films, films, 0.5, 0.29)


def test_a_plateau_is_left_at_the_first_look_above_it() -> None:
    run = Run(FIRST, 0, looks=[0, 10, 20, 30], val_accuracy=[0.2, 0.52, 0.54, 0.5])

    assert run.left(0.48) == 20
    assert run.left(0.5) is None


def test_a_layer_that_says_the_same_of_all_films_has_no_spread() -> None:
    blind = nn.Linear(8, 3)
    nn.init.zeros_(blind.weight)
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Flatten(), blind)

    first, last = spread_by_layer(network, torch.rand(5, 1, 2, 2))

    assert first > 0
    assert last == 0


def test_gradients_are_those_of_the_first_weights_the_last_weights_and_the_last_biases() -> None:
    network = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
    for weights in network.parameters():
        nn.init.constant_(weights, 2.0)
    network(torch.tensor([[3.0]])).backward()

    assert gradient_norms(network) == [6.0, 8.0, 1.0]


def test_a_run_is_the_same_for_the_same_seed() -> None:
    run, again = (train_once(a_task(), replace(OURS, batch=4), 0, 2) for _ in range(2))

    assert run.looks == [0, 2]
    assert len(run.accuracy) == len(run.loss) == 2
    assert (run.loss, run.val_spread, run.layers) == (again.loss, again.val_spread, again.layers)


def test_an_interval_of_paired_differences_is_students() -> None:
    assert interval([1.0, 2.0, 3.0]) == "+2.0 (-0.5 to +4.5)"
    assert interval([1.5]) == "+1.5"
