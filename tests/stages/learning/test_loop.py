import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

from stages.contract import StageError
from stages.films.frame import Frame
from stages.learning.batches import pixel_statistics
from stages.learning.devices import device_for, peak_memory_mb, used
from stages.learning.loop import best_of, fit
from stages.learning.networks import initialised
from stages.learning.plan import Fitted, Recipe, Sets, Site
from stages.learning.prediction import predict
from stages.learning.progress import Epoch, Keeper, Step
from stages.learning.source import Resident

CPU = torch.device("cpu")
FRAME = Frame(height=48, width=56)
RECIPE = Recipe(
    epochs=4,
    batch_size=5,
    optimizer="adamw",
    learning_rate=1e-3,
    weight_decay=0.01,
    momentum=0.9,
    schedule="cosine",
    warm_up=0.2,
    label_smoothing=0.0,
    ema_decay=0.0,
    accumulation=1,
    patience=0,
    shuffle_window=1000,
    mixed_precision=True,
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


def films(count: int, *, seed: int, device: torch.device = CPU) -> Resident:
    """Return noisy films whose brightness tells their class, of three."""
    labels = torch.arange(count) % 3
    noise = torch.randint(0, 60, (count, FRAME.height, FRAME.width), generator=torch.Generator().manual_seed(seed))
    return Resident((noise + 70 * labels.reshape(-1, 1, 1)).to(torch.uint8).to(device), labels, device)


def sets_on(device: torch.device) -> Sets:
    return Sets(
        augmented=films(24, seed=0, device=device),
        train=films(12, seed=1, device=device),
        val=films(9, seed=2, device=device),
        shards=np.arange(24) // 8,
        names=lambda places: [f"image {place}" for place in places],
    )


@pytest.fixture
def sets() -> Sets:
    return sets_on(CPU)


@pytest.fixture
def train() -> Resident:
    return films(12, seed=1)


def fitted(
    sets: Sets, recipe: Recipe, *, name: str = "residual", site: Site | None = None
) -> tuple[Fitted, torch.nn.Module]:
    """Train a network and return what training left, with the network."""
    network = initialised(name, FRAME, 3, how="he", seed=recipe.seed)
    mean, std = pixel_statistics([films(12, seed=1).images])
    return fit(network, sets, recipe, site or Site(device=CPU), mean=mean, std=std), network


def weights_of(network: torch.nn.Module) -> torch.Tensor:
    return torch.cat([values.double().flatten() for values in network.state_dict().values()])


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
    result, network = fitted(sets, replace(RECIPE, epochs=6, learning_rate=0.05, schedule="constant", warm_up=0.0))
    mean, std = pixel_statistics([films(12, seed=1).images])

    probabilities = predict(network, films(9, seed=2).images, mean=mean, std=std, device=CPU)

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


def test_a_loss_that_is_no_number_stops_training_and_names_epoch_update_and_images(sets: Sets) -> None:
    with pytest.raises(
        StageError,
        match=r"epoch \d, update \d+: the loss of \d of 5 images .* such as that of image \d+.*learning_rate",
    ):
        fitted(
            sets, replace(RECIPE, optimizer="sgd", learning_rate=1e20, schedule="constant", warm_up=0.0), name="alexnet"
        )


def test_progress_counts_every_image_that_is_trained_on_or_scored(sets: Sets) -> None:
    heard: list[tuple[int, str]] = []

    fitted(
        sets,
        replace(RECIPE, epochs=2),
        site=Site(device=CPU, advance=lambda count, text="": heard.append((count, text))),
    )

    assert sum(count for count, _ in heard) == 2 * (24 + 12 + 9)
    texts = [text for _, text in heard if text]
    assert texts[0].startswith("epoch 1/2 loss ")
    assert texts[-1].startswith("epoch 2/2 loss ")
    assert texts[-1].endswith(" %")


def test_probabilities_sum_to_1_in_the_order_of_the_images_whatever_the_batch(train: Resident) -> None:
    network = initialised("residual", FRAME, 3, how="he", seed=0)
    images = train.images

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
    found = used(CPU)

    assert (found["device"], found["torch"], found["peak_cuda_memory_mb"]) == ("cpu", torch.__version__, None)
    assert isinstance(found["peak_memory_mb"], float)


def test_the_peak_of_memory_is_this_processs_own_however_large_the_one_that_started_it() -> None:
    held = np.ones(700 * 2**20, np.uint8)
    code = "from stages.learning.devices import peak_memory_mb; import torch; print(peak_memory_mb())"
    before = float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
    del held

    assert before < 900 < peak_memory_mb()


class KilledError(Exception):
    """Stands for whatever ends a process."""


def saved_at(sets: Sets, recipe: Recipe, keeper: Keeper, update: int, *, name: str) -> None:
    """Train with a state saved after every update, and end as a killed process would after one of them."""
    seen = 0

    def advance(_count: int, text: str = "") -> None:
        nonlocal seen
        seen += bool(text)
        if seen > update:
            raise KilledError

    with pytest.raises(KilledError):
        fitted(sets, recipe, name=name, site=Site(device=CPU, keeper=keeper, save_every_s=0.0, advance=advance))


@pytest.mark.parametrize("name", ["alexnet", "residual"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer": "sgd", "learning_rate": 1e-2, "schedule": "one_cycle"},
        {"ema_decay": 0.9, "accumulation": 2, "label_smoothing": 0.1},
    ],
    ids=["adamw", "sgd", "mean"],
)
def test_a_run_that_was_killed_after_any_update_comes_to_the_same_weights_and_logs(
    tmp_path: Path, sets: Sets, name: str, changes: dict[str, Any]
) -> None:
    recipe = replace(RECIPE, epochs=2, shuffle_window=8, **changes)
    undisturbed: list[Epoch | Step] = []
    whole, network = fitted(sets, recipe, name=name, site=Site(device=CPU, log=undisturbed.append))

    for update in (1, 4, 5, 7):  # within an epoch, before and after its last update, and in the next one
        keeper = Keeper(tmp_path / f"{update}.unfinished", {})
        saved_at(sets, recipe, keeper, update, name=name)
        told: list[Epoch | Step] = []
        site = Site(device=CPU, keeper=keeper, found=keeper.find, log=told.append)
        again, finished = fitted(sets, recipe, name=name, site=site)

        assert again.went_on_from == update
        assert torch.equal(weights_of(finished), weights_of(network))
        assert again.log == whole.log
        assert sorted(map(repr, told)) == sorted(map(repr, undisturbed))


def test_a_run_that_was_killed_after_its_last_epoch_has_nothing_left_to_do(tmp_path: Path, sets: Sets) -> None:
    keeper = Keeper(tmp_path / "state", {})
    whole, network = fitted(sets, replace(RECIPE, epochs=2), site=Site(device=CPU, keeper=keeper))

    again, finished = fitted(sets, replace(RECIPE, epochs=2), site=Site(device=CPU, found=keeper.find))

    assert (again.log, again.train_s) == (whole.log, whole.train_s)
    assert torch.equal(weights_of(finished), weights_of(network))


def test_training_stops_early_where_val_gets_no_better(sets: Sets) -> None:
    # with no learning worth the name, every epoch is as good as the first
    result, _ = fitted(sets, replace(RECIPE, epochs=9, learning_rate=1e-12, patience=2, schedule="constant"))

    assert len(result.log) == result.best.epoch + 2 < 9


def test_a_batch_in_parts_gives_the_same_step_within_rounding(sets: Sets) -> None:
    weights = [
        # gradient descent: Adam takes the sign even of a gradient that is rounding alone
        weights_of(fitted(sets, replace(RECIPE, epochs=1, optimizer="sgd", accumulation=parts), name="alexnet")[1])
        for parts in (1, 2, 5, 9)
    ]

    for found in weights[1:]:
        torch.testing.assert_close(found, weights[0], rtol=1e-3, atol=1e-5)


def test_a_running_mean_of_the_weights_is_what_is_scored_and_kept(sets: Sets) -> None:
    plain, network = fitted(sets, replace(RECIPE, epochs=2))
    mean, averaged = fitted(sets, replace(RECIPE, epochs=2, ema_decay=0.99))

    assert [record.train_loss for record in mean.log] == [record.train_loss for record in plain.log]
    assert mean.log[-1].val_loss != plain.log[-1].val_loss
    assert not torch.equal(weights_of(averaged), weights_of(network))


def test_the_log_within_epochs_has_the_mean_loss_of_the_updates_since_the_line_before(sets: Sets) -> None:
    told: list[Epoch | Step] = []

    result, _ = fitted(sets, replace(RECIPE, epochs=2), site=Site(device=CPU, log=told.append))

    steps = [line for line in told if isinstance(line, Step)]
    assert [step.update for step in steps] == list(range(1, 11))
    sizes = np.array([5, 5, 5, 5, 4])
    for record in result.log:
        losses = [step.loss for step in steps if step.epoch == record.epoch]
        assert np.average(losses, weights=sizes) == pytest.approx(record.train_loss)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_learns_as_the_cpu_does() -> None:
    cuda = device_for("cuda")
    network = initialised("residual", FRAME, 3, how="he", seed=0)
    mean, std = pixel_statistics([films(12, seed=1).images])

    result = fit(network, sets_on(cuda), replace(RECIPE, epochs=8), Site(device=cuda), mean=mean, std=std)

    assert result.best.val_accuracy > 0.8
    assert used(cuda)["peak_cuda_memory_mb"]
