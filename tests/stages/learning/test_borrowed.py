from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision import models

from stages.contract import StageError
from stages.films.frame import Frame
from stages.learning import checkpoint
from stages.learning.borrowed import first_convolution, last_layer, names
from stages.learning.checkpoint import Checkpoint
from stages.learning.networks import blank, initialised

FILM = Frame(height=256, width=300)
SQUARE = Frame(height=224, width=224)
SMALL = Frame(height=64, width=75)
HANDFUL = (
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "googlenet",
    "inception_v3",
    "mnasnet0_5",
    "mobilenet_v3_small",
    "regnet_y_400mf",
    "resnet18",
    "shufflenet_v2_x0_5",
    "squeezenet1_1",
    "swin_t",
    "swin_v2_t",
    "vgg11_bn",
)
DEMANDING = {
    "vit_b_16": "takes square frames of a multiple of 16 pixels; found 256x300; set normalize's height and width",
    "vit_b_32": "takes square frames of a multiple of 32 pixels; found 256x300",
    "maxvit_t": "takes frames whose sides are multiples of 224; found 256x300",
}


@pytest.mark.parametrize("name", HANDFUL)
def test_a_step_over_films_of_256x300_passes_a_network_with_one_channel_and_our_classes(name: str) -> None:
    network = blank(f"torchvision:{name}", FILM, 5).train()

    logits = network(torch.empty(2, 1, FILM.height, FILM.width, device="meta"))
    logits.sum().backward()

    assert logits.shape == (2, 5)
    assert all(weights.device.type == "meta" and weights.grad is not None for weights in network.parameters())


@pytest.mark.parametrize("name", DEMANDING)
def test_a_network_of_patches_or_windows_says_which_frames_it_takes(name: str) -> None:
    with pytest.raises(StageError, match=f"network torchvision:{name}: {DEMANDING[name]}"):
        blank(f"torchvision:{name}", FILM, 3)

    assert blank(f"torchvision:{name}", SQUARE, 3)(torch.empty(2, 1, 224, 224, device="meta")).shape == (2, 3)


def test_only_vit_and_maxvit_demand_a_frame() -> None:
    demanding = {name for name in names() if name.startswith(("torchvision:vit_", "torchvision:maxvit_"))}

    assert {f"torchvision:{name}" for name in (*HANDFUL, *DEMANDING)} <= set(names())
    assert len(demanding) == 6


def test_a_frame_too_small_is_refused_by_name() -> None:
    with pytest.raises(StageError, match="network torchvision:inception_v3: a frame of 64x75 is too small"):
        blank("torchvision:inception_v3", SMALL, 3)


@pytest.mark.parametrize("name", ["resnet81", "fasterrcnn_resnet50_fpn", "mobilenet_v2_quantized"])
def test_a_name_that_is_no_classification_network_is_refused(name: str) -> None:
    with pytest.raises(StageError, match=f"network 'torchvision:{name}' is not known; "):
        blank(f"torchvision:{name}", FILM, 3)


def test_the_nearest_name_is_suggested() -> None:
    with pytest.raises(StageError, match=r"did you mean .*torchvision:resnet18"):
        blank("torchvision:resnet81", FILM, 3)


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "swin_t"])
def test_a_grey_film_gets_the_answer_of_three_equal_channels(name: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        original = models.get_model(name, weights=None, num_classes=3).eval()
    ours = initialised(f"torchvision:{name}", SMALL, 3, how="default", seed=5).eval()
    films = torch.randn(2, 1, SMALL.height, SMALL.width, generator=torch.Generator().manual_seed(0))

    with torch.inference_mode():
        torch.testing.assert_close(ours(films), original(films.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-5)


def test_he_draws_convolutions_and_linear_layers_and_leaves_transformers_as_they_are() -> None:
    he, default = (initialised("torchvision:resnet18", SMALL, 3, how=how, seed=0) for how in ("he", "default"))
    inner = he.get_parameter("layer3.0.conv1.weight")
    assert float(inner.detach().std()) == pytest.approx((2 / inner[0].numel()) ** 0.5, rel=0.01)
    assert not he.get_parameter(f"{last_layer(he)}.bias").any()
    assert not torch.equal(inner, default.get_parameter("layer3.0.conv1.weight"))
    transformers = [initialised("torchvision:swin_t", SMALL, 3, how=how, seed=0) for how in ("he", "default")]
    assert all(map(torch.equal, transformers[0].parameters(), transformers[1].parameters()))


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "regnet_y_400mf"])
def test_the_seed_alone_decides_the_first_weights(name: str) -> None:
    before = torch.random.get_rng_state()

    first, again, other = (initialised(f"torchvision:{name}", SMALL, 3, how="he", seed=seed) for seed in (1, 1, 2))

    assert torch.equal(torch.random.get_rng_state(), before), "the caller's random state changed"
    assert all(map(torch.equal, first.parameters(), again.parameters()))
    assert not torch.equal(first_convolution(first)[1].weight, first_convolution(other)[1].weight)


@pytest.mark.parametrize("name", ["mnasnet0_5", "mobilenet_v3_small", "swin_t", "squeezenet1_1"])
def test_a_checkpoint_of_a_borrowed_network_comes_back_as_it_was_saved(name: str, tmp_path: Path) -> None:
    network: nn.Module = initialised(f"torchvision:{name}", SMALL, 3, how="he", seed=0).eval()
    saved = Checkpoint(
        network_name=f"torchvision:{name}", classes=("a", "b", "c"), frame=SMALL, mean=0.5, std=0.2, network=network
    )
    checkpoint.save(tmp_path / "model.safetensors", saved)

    found = checkpoint.load(tmp_path / "model.safetensors", torch.device("cpu"))

    films = torch.randn(2, 1, SMALL.height, SMALL.width, generator=torch.Generator().manual_seed(0))
    state, kept = found.network.state_dict(), network.state_dict()
    assert list(state) == list(kept)
    assert all(torch.equal(state[part], kept[part]) for part in kept)
    with torch.inference_mode():  # not bit for bit: where buffers lie decides the order of oneDNN's sums
        torch.testing.assert_close(found.network(films), network(films))
