import pytest
import torch
from torch import nn

from stages.contract import StageError
from stages.films.frame import Frame
from stages.learning.names import OWN
from stages.learning.networks import NETWORKS, Initialisation, blank, count_parameters, initialised

FILM = Frame(height=256, width=300)
SMALL = Frame(height=48, width=56)


def first_linear(network: nn.Module) -> nn.Linear:
    return next(layer for layer in network.modules() if isinstance(layer, nn.Linear))


def test_network_b_has_10_901_859_parameters_and_3840_features_enter_its_first_linear_layer() -> None:
    network = blank("alexnet", FILM, 3)

    assert count_parameters(network) == 10_901_859
    assert first_linear(network).in_features == 3840


def test_network_a_is_the_2020_one_on_32x32_and_only_its_first_linear_layer_follows_the_frame() -> None:
    original, adapted = blank("cifar", Frame(height=32, width=32), 3), blank("cifar", FILM, 3)

    assert first_linear(original).in_features == 4096
    assert first_linear(adapted).in_features == 256 * 32 * 37
    shapes = [[tuple(weights.shape) for weights in network.parameters()] for network in (original, adapted)]
    assert [pair for pair in zip(*shapes, strict=True) if pair[0] != pair[1]] == [((1024, 4096), (1024, 256 * 32 * 37))]


def test_the_residual_network_is_small_whatever_the_frame() -> None:
    counted = {count_parameters(blank("residual", frame, 3)) for frame in (FILM, SMALL)}

    assert len(counted) == 1
    assert 1_000_000 < counted.pop() < 3_000_000


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("classes", [2, 3])
def test_every_network_answers_each_image_with_a_number_per_class(name: str, classes: int) -> None:
    network = initialised(name, SMALL, classes, how="he", seed=0)

    logits = network(torch.zeros(4, 1, SMALL.height, SMALL.width))

    assert logits.shape == (4, classes)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_a_blank_network_takes_no_memory(name: str) -> None:
    assert {weights.device.type for weights in blank(name, FILM, 3).parameters()} == {"meta"}


def test_a_frame_too_small_for_a_network_is_refused_by_name() -> None:
    with pytest.raises(StageError, match="network alexnet: a frame of 16x16 is too small"):
        blank("alexnet", Frame(height=16, width=16), 3)


def test_an_unknown_network_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        StageError, match="'vgg' is not known; known are alexnet, cifar, residual and torchvision:resnet18"
    ):
        blank("vgg", SMALL, 3)


def test_a_name_that_is_nearly_right_is_refused_with_the_right_one() -> None:
    with pytest.raises(StageError, match=r"'residul' is not known; did you mean residual\?"):
        blank("residul", SMALL, 3)


def test_the_table_has_the_names_that_a_parameter_may_say() -> None:
    assert set(NETWORKS) == set(OWN)


def spread_over_films(how: Initialisation) -> float:
    """Return the logits' standard deviation over images of rising brightness."""
    network = initialised("alexnet", SMALL, 3, how=how, seed=0).eval()
    levels = torch.linspace(-2, 2, 16).reshape(16, 1, 1, 1)
    films = levels + torch.randn(16, 1, SMALL.height, SMALL.width, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        return float(network(films).std(dim=0).mean())


def test_he_weights_tell_films_apart_from_the_start_and_default_ones_hardly_do() -> None:
    assert 0.1 < spread_over_films("he") < 5
    assert spread_over_films("default") < 0.02


@pytest.mark.parametrize("how", ["he", "default"])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_seed_alone_decides_the_first_weights(name: str, how: Initialisation) -> None:
    before = torch.random.get_rng_state()

    first, again, other = (initialised(name, SMALL, 3, how=how, seed=seed) for seed in (1, 1, 2))

    assert torch.equal(torch.random.get_rng_state(), before), "the caller's random state changed"
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first_linear(first).weight, first_linear(other).weight)
