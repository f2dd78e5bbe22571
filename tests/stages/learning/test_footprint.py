import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from stages.films.frame import Frame
from stages.learning.footprint import KEPT_ON_HOST, Footprint, footprint, forward_flops
from stages.learning.networks import blank

FRAME = Frame(height=32, width=40)
PIXELS = 32 * 40


class Plain(nn.Sequential):
    """A network small enough to be counted by hand."""

    def __init__(self) -> None:
        with torch.device("meta"):
            super().__init__(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * PIXELS, 3))


PARAMETERS = 4 * 9 + 4 + 3 * 4 * PIXELS + 3


def test_weights_gradients_and_what_the_optimiser_remembers_are_the_parameters_bytes() -> None:
    adamw, sgd, plain = (
        footprint(Plain(), FRAME, 8, optimizer="adamw"),
        footprint(Plain(), FRAME, 8, optimizer="sgd"),
        footprint(Plain(), FRAME, 8, optimizer="sgd", momentum=0.0),
    )

    assert adamw.weights == adamw.gradients == 4 * PARAMETERS
    assert [found.optimizer for found in (adamw, sgd, plain)] == [8 * PARAMETERS, 4 * PARAMETERS, 0]
    assert adamw.total > sgd.total > plain.total


def test_what_is_kept_for_the_backward_pass_is_counted_once_and_without_the_weights() -> None:
    # the film, the rectified convolution (which the linear layer reads too), the probabilities, classes and their sum
    of_each = 4 * PIXELS + 4 * 4 * PIXELS + 4 * 3 + 8
    found = footprint(Plain(), FRAME, 10)

    assert found.activations == pytest.approx(10 * of_each, abs=16)


def test_the_parts_add_up_to_the_total() -> None:
    found = footprint(blank("residual", FRAME, 3), FRAME, 16)

    parts = (found.weights, found.gradients, found.optimizer, found.activations, found.working, found.kept)
    assert sum(parts) == found.total
    assert min(parts) > 0


@pytest.mark.parametrize("name", ["alexnet", "residual", "torchvision:mobilenet_v3_small"])
def test_every_batch_size_is_told_from_two_steps(name: str) -> None:
    frame = Frame(height=64, width=75)
    small, large = (footprint(blank(name, frame, 3), frame, size) for size in (5, 50))

    assert small.total_at(50) == large.total
    assert large.total_at(5) == small.total


@settings(max_examples=50, deadline=None)
@given(
    free=st.integers(0, 2**40),
    moments=st.lists(st.tuples(st.integers(0, 2**33), st.integers(1, 2**24)), min_size=1, max_size=5),
    each=st.integers(0, 2**24),
)
def test_the_largest_batch_fits_and_one_image_more_does_not(
    free: int, moments: list[tuple[int, int]], each: int
) -> None:
    parts = dict.fromkeys(("weights", "gradients", "optimizer", "activations"), 0)
    needs = Footprint(batch_size=1, **parts, moments=tuple(moments), kept_of=(0, each))

    largest = needs.largest_batch(free)

    assert largest == 0 or needs.total_at(largest) <= free
    assert needs.total_at(largest + 1) > free or largest == 2**20 - 1


def test_an_average_of_the_weights_is_another_copy_and_the_allowance_is_the_hosts_alone() -> None:
    network = blank("residual", FRAME, 3)
    plain = footprint(network, FRAME, 500)
    averaged, cuda = footprint(network, FRAME, 500, averaged=True), footprint(network, FRAME, 500, device="cuda")

    weights = sum(held.nbytes for held in (*network.parameters(), *network.buffers()))
    assert averaged.total - plain.total == averaged.weights - plain.weights == weights
    assert 0 < plain.kept <= KEPT_ON_HOST
    assert cuda.kept == 0
    assert cuda.total == plain.total - plain.kept


def test_counting_leaves_the_network_without_gradients_and_without_memory() -> None:
    network = blank("residual", FRAME, 3)
    footprint(network, FRAME, 4, optimizer="sgd")

    assert all(weight.grad is None and weight.device.type == "meta" for weight in network.parameters())


def test_two_operations_are_counted_for_each_multiply_add_of_convolutions_and_products() -> None:
    assert forward_flops(Plain(), FRAME) == 2 * (4 * 9 * PIXELS + 3 * 4 * PIXELS)
