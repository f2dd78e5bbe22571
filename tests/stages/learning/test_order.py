import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.learning.order import batches, epoch_order, in_order, shared, shuffled


def test_the_order_is_a_permutation_that_seed_and_epoch_decide() -> None:
    order = shuffled(1000, seed=3, epoch=1)

    assert sorted(order.tolist()) == list(range(1000))
    np.testing.assert_array_equal(order, shuffled(1000, seed=3, epoch=1))
    assert (order != shuffled(1000, seed=3, epoch=2)).any()
    assert (order != shuffled(1000, seed=4, epoch=1)).any()


def test_the_order_is_the_same_on_every_machine() -> None:
    assert shuffled(8, seed=0, epoch=1).tolist() == [5, 3, 7, 2, 4, 1, 0, 6]
    assert epoch_order(np.repeat([0, 1, 2], 3), window=4, seed=0, epoch=1).tolist() == [6, 2, 1, 0, 8, 4, 7, 3, 5]


@given(
    shards=st.lists(st.integers(0, 5), min_size=1, max_size=60),
    window=st.integers(1, 70),
    seed=st.integers(0, 2**63 - 1),
    epoch=st.integers(1, 1000),
)
def test_an_epoch_shows_every_image_once_and_a_window_holds_whole_shards_but_at_its_ends(
    shards: list[int], window: int, seed: int, epoch: int
) -> None:
    order = epoch_order(np.array(shards), window=window, seed=seed, epoch=epoch)

    assert sorted(order.tolist()) == list(range(len(shards)))
    windows = [order[start : start + window] for start in range(0, len(order), window)]
    holding = [{shards[place] for place in places} for places in windows]
    for shard in set(shards):
        of_shard = [number for number, found in enumerate(holding) if shard in found]
        assert of_shard == list(range(of_shard[0], of_shard[-1] + 1)), "a shard is read at one stretch"
        for between in of_shard[1:-1]:
            assert holding[between] == {shard}


def test_a_set_that_one_window_holds_is_shuffled_as_a_whole_whatever_its_shards() -> None:
    for shards in (np.zeros(50, np.int64), np.arange(50)):
        np.testing.assert_array_equal(epoch_order(shards, window=50, seed=1, epoch=2), shuffled(50, seed=1, epoch=2))


def test_windows_and_their_shards_come_in_another_order_each_epoch() -> None:
    shards = np.repeat(np.arange(20), 5)

    first, second = (epoch_order(shards, window=10, seed=0, epoch=epoch)[:10] // 5 for epoch in (1, 2))

    assert set(first.tolist()) != set(second.tolist())


@pytest.mark.parametrize("first", [0, 1, 2, 3])
def test_every_image_comes_once_and_the_last_batch_is_kept_though_smaller(first: int) -> None:
    order = np.array([6, 5, 4, 3, 2, 1, 0])

    found = batches(order, 3, first=first)

    assert [batch.tolist() for batch in found] == [[6, 5, 4], [3, 2, 1], [0]][first:]
    assert np.concatenate([*in_order(7, 3)]).tolist() == list(range(7))


@given(images=st.integers(1, 40), parts=st.integers(1, 9))
def test_the_processes_shares_make_up_the_batch_in_its_order(images: int, parts: int) -> None:
    batch = np.arange(images)

    shares = shared(batch, parts)

    assert len(shares) == parts
    np.testing.assert_array_equal(np.concatenate(shares), batch)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
