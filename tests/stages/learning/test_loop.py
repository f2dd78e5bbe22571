from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
import torch

from stages.contract import StageError
from stages.films.frame import Frame
from stages.learning.batches import ImageSet, pixel_statistics
from stages.learning.loop import (
    Epoch,
    Fitted,
    Recipe,
    Sets,
    best_of,
    device_for,
    fit,
    predict,
    rate_at,
    updates_per_epoch,
    used,
)
from stages.learning.networks import initialised

CPU = torch.device("cpu")
FRAME = Frame(height=48, width=56)
RECIPE = Recipe(
    epochs=4,
    batch_size=5,
    optimizer="adamw",
    learning_rate=1e-3,
    weight_decay=0.01,
    momentum=0.9,
    schedule="one_cycle",
    label_smoothing=0.0,
    seed=0,
)
EPOCH = Epoch(
    epoch=1,
    updates=10,
    learning_rate=1e-3,
    train_loss=1.0,
    augmented_accuracy=0.5,
    train_accuracy=0.5,
    train_clean_loss=1.0,
    val_loss=1.0,
    val_accuracy=0.5,
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small networks on a busy machine are much faster on one thread, which waits for nobody."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def films(count: int, *, seed: int) -> ImageSet:
    """Return noisy films whose brightness tells their class, of three."""
    labels = torch.arange(count) % 3
    noise = torch.randint(0, 60, (count, FRAME.height, FRAME.width), generator=torch.Generator().manual_seed(seed))
    return ImageSet((noise + 70 * labels.reshape(-1, 1, 1)).to(torch.uint8), labels)


@pytest.fixture
def sets() -> Sets:
    return Sets(augmented=films(24, seed=0), train=films(12, seed=1), val=films(9, seed=2))


def fitted(
    sets: Sets, recipe: Recipe, *, name: str = "residual", heard: list[tuple[int, str]] | None = None
) -> tuple[Fitted, torch.nn.Module]:
    """Train a network and return what training left, with the network."""
    network = initialised(name, FRAME, 3, how="he", seed=recipe.seed)
    mean, std = pixel_statistics(sets.train.images)

    def advance(count: int, text: str = "") -> None:
        if heard is not None:
            heard.append((count, text))

    return fit(network, sets, recipe, mean=mean, std=std, device=CPU, advance=advance), network


@pytest.mark.parametrize("name", ["alexnet", "residual"])
@pytest.mark.parametrize(("optimizer", "learning_rate"), [("adamw", 1e-3), ("sgd", 1e-2)])
def test_a_network_learns_what_brightness_tells(
    sets: Sets, name: str, optimizer: Literal["adamw", "sgd"], learning_rate: float
) -> None:
    recipe = replace(RECIPE, epochs=12, optimizer=optimizer, learning_rate=learning_rate)

    result, _ = fitted(sets, recipe, name=name)

    assert result.best.val_accuracy > 0.8
    assert result.best.train_accuracy > 0.8
    assert result.log[-1].train_loss < result.log[0].train_loss


def test_the_log_counts_epochs_and_updates(sets: Sets) -> None:
    result, _ = fitted(sets, RECIPE)

    assert [record.epoch for record in result.log] == [1, 2, 3, 4]
    assert [record.updates for record in result.log] == [5, 10, 15, 20]
    assert result.train_s > 0


def test_the_network_is_left_with_the_weights_of_the_best_epoch(sets: Sets) -> None:
    # a rate far too high makes late epochs worse than early ones
    result, network = fitted(sets, replace(RECIPE, epochs=6, learning_rate=0.05, schedule="constant"))
    mean, std = pixel_statistics(sets.train.images)

    probabilities = predict(network, sets.val.images, mean=mean, std=std, device=CPU)

    found = (probabilities.argmax(1) == sets.val.labels.numpy()).mean()
    assert found == pytest.approx(result.best.val_accuracy)
    chosen = probabilities[np.arange(len(probabilities)), sets.val.labels.numpy()]
    assert -np.log(chosen).mean() == pytest.approx(result.best.val_loss, rel=1e-3)


def test_nothing_but_val_chooses_the_best_epoch() -> None:
    log = [
        replace(EPOCH, epoch=1, val_accuracy=0.6, val_loss=0.9),
        replace(EPOCH, epoch=2, val_accuracy=0.7, val_loss=1.5, train_accuracy=0.1, augmented_accuracy=0.1),
        replace(EPOCH, epoch=3, val_accuracy=0.6, val_loss=0.1, train_accuracy=1.0, train_loss=0.0),
    ]

    assert best_of(log).epoch == 2


def test_of_equally_accurate_epochs_the_lower_loss_wins_and_then_the_first() -> None:
    log = [
        replace(EPOCH, epoch=1, val_loss=0.9),
        replace(EPOCH, epoch=2, val_loss=0.8),
        replace(EPOCH, epoch=3, val_loss=0.8),
    ]

    assert best_of(log).epoch == 2


@pytest.mark.parametrize("name", ["alexnet", "residual"])
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(sets: Sets, name: str) -> None:
    recipe = replace(RECIPE, epochs=2)
    before = torch.random.get_rng_state()

    (first, first_network), (again, again_network), (_, other_network) = (
        fitted(sets, used_recipe, name=name) for used_recipe in (recipe, recipe, replace(recipe, seed=1))
    )

    assert torch.equal(torch.random.get_rng_state(), before), "the caller's random state changed"
    assert first.log == again.log
    weights, same, others = (
        torch.cat([values.flatten() for values in network.parameters()])
        for network in (first_network, again_network, other_network)
    )
    assert torch.equal(weights, same)
    assert not torch.equal(weights, others)


def test_a_loss_that_is_no_number_stops_training_and_names_epoch_and_update(sets: Sets) -> None:
    with pytest.raises(StageError, match=r"epoch \d, update \d+: the loss is (nan|inf); .*learning_rate"):
        fitted(sets, replace(RECIPE, optimizer="sgd", learning_rate=1e20, schedule="constant"), name="alexnet")


def test_progress_counts_every_image_that_is_trained_on_or_scored(sets: Sets) -> None:
    heard: list[tuple[int, str]] = []

    fitted(sets, replace(RECIPE, epochs=2), heard=heard)

    assert sum(count for count, _ in heard) == 2 * (24 + 12 + 9)
    texts = [text for _, text in heard if text]
    assert texts[0].startswith("epoch 1/2 loss ")
    assert texts[-1].startswith("epoch 2/2 loss ")
    assert texts[-1].endswith(" %")


def test_the_last_batch_counts_as_an_update() -> None:
    assert updates_per_epoch(70, 35) == 2
    assert updates_per_epoch(71, 35) == 3


def test_a_constant_rate_is_constant() -> None:
    assert {rate_at(update, 10, replace(RECIPE, schedule="constant")) for update in range(10)} == {1e-3}


@pytest.mark.parametrize("updates", [1, 2, 3, 10, 1000])
def test_one_cycle_rises_to_the_rate_and_falls_without_reaching_0(updates: int) -> None:
    rates = [rate_at(update, updates, RECIPE) for update in range(updates)]

    top = rates.index(max(rates))
    assert max(rates) == pytest.approx(1e-3)
    assert min(rates) > 0
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)


def test_probabilities_sum_to_1_in_the_order_of_the_images_whatever_the_batch(sets: Sets) -> None:
    network = initialised("residual", FRAME, 3, how="he", seed=0)
    images = sets.train.images

    by_four, at_once = (predict(network, images, mean=0.5, std=0.25, device=CPU, batch_size=size) for size in (4, 100))

    assert by_four.shape == (12, 3)
    assert by_four.dtype == np.float32
    np.testing.assert_allclose(by_four.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(by_four, at_once, rtol=1e-4, atol=1e-6)


def test_no_images_give_no_probabilities() -> None:
    network = initialised("residual", FRAME, 3, how="he", seed=0)
    none = torch.zeros(0, FRAME.height, FRAME.width, dtype=torch.uint8)

    assert predict(network, none, mean=0.5, std=0.25, device=CPU).shape == (0, 3)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_where_there_is_none_is_refused_and_auto_takes_the_cpu() -> None:
    with pytest.raises(StageError, match="finds no CUDA device"):
        device_for("cuda")

    assert device_for("auto") == device_for("cpu") == CPU


def test_a_run_on_the_cpu_says_so() -> None:
    assert used(CPU) == {"device": "cpu", "torch": torch.__version__, "peak_cuda_memory_mb": None}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_learns_as_the_cpu_does(sets: Sets) -> None:
    network = initialised("residual", FRAME, 3, how="he", seed=0)
    mean, std = pixel_statistics(sets.train.images)
    recipe = replace(RECIPE, epochs=8)

    result = fit(network, sets, recipe, mean=mean, std=std, device=device_for("cuda"), advance=lambda *_: None)

    assert result.best.val_accuracy > 0.8
    assert used(device_for("cuda"))["peak_cuda_memory_mb"]
