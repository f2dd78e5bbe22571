import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.statistics import scores

PAIRS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=40)
SCORED = st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=40).filter(
    lambda films: len({positive for _, positive in films}) == 2
)


def table_of(pairs: list[tuple[int, int]], classes: int = 4) -> scores.Confusion:
    labels = np.array([truth for truth, _ in pairs], np.int64)
    predicted = np.array([said for _, said in pairs], np.int64)
    return scores.confusion(labels, predicted, classes=classes)


def test_rows_of_the_confusion_are_the_truth_and_columns_what_was_said() -> None:
    assert table_of([(0, 1), (0, 1), (2, 0)], classes=3).tolist() == [[0, 2, 0], [0, 0, 0], [1, 0, 0]]


@given(PAIRS)
def test_every_film_stands_in_one_cell_of_the_confusion(pairs: list[tuple[int, int]]) -> None:
    table = table_of(pairs)
    assert table.sum() == len(pairs)
    assert all(table[truth, said] == pairs.count((truth, said)) for truth in range(4) for said in range(4))


@given(PAIRS)
def test_accuracy_is_the_mean_of_the_recalls_weighted_by_the_shares(pairs: list[tuple[int, int]]) -> None:
    table = table_of(pairs)
    shares = scores.shares(np.array([truth for truth, _ in pairs], np.int64), classes=4)
    weighted = sum(share * (recall or 0) for share, recall in zip(shares, scores.recalls(table), strict=True))
    assert scores.accuracy(table) == (pytest.approx(weighted) if pairs else None)


def test_a_class_without_films_has_no_recall_and_is_left_out_of_the_mean() -> None:
    table = table_of([(0, 0), (0, 1), (2, 2)], classes=3)
    assert scores.recalls(table) == [0.5, None, 1.0]
    assert scores.macro_recall(table) == 0.75


def test_no_films_give_no_score() -> None:
    table = table_of([], classes=2)
    assert scores.accuracy(table) is None
    assert scores.macro_recall(table) is None
    assert scores.shares(np.array([], np.int64), classes=2).tolist() == [0, 0]


def test_the_majority_is_the_most_frequent_class_and_of_equals_the_first() -> None:
    assert scores.majority(np.array([2, 1, 2, 1, 0]), classes=3) == 1


@given(SCORED)
def test_auc_is_the_share_of_pairs_in_which_the_positive_scores_higher(films: list[tuple[int, bool]]) -> None:
    pairs = [
        (first > second) + (first == second) / 2
        for first, positive in films
        if positive
        for second, other in films
        if not other
    ]
    expected = sum(pairs) / len(pairs)
    assert scores.auc([score for score, _ in films], [positive for _, positive in films]) == pytest.approx(expected)


@given(SCORED)
def test_auc_of_the_negatives_is_what_is_left_of_one(films: list[tuple[int, bool]]) -> None:
    values = [score for score, _ in films]
    positives = np.array([positive for _, positive in films])
    assert scores.auc(values, positives) + scores.auc(values, ~positives) == pytest.approx(1)


def test_equal_values_share_the_mean_of_their_ranks() -> None:
    assert scores.mean_ranks(np.array([5.0, 1.0, 5.0, 9.0])).tolist() == [2.5, 1, 2.5, 4]


@pytest.mark.parametrize("positives", [[True, True], [False, False]])
def test_auc_refuses_films_of_one_kind(positives: list[bool]) -> None:
    with pytest.raises(ValueError, match="of 2 films are positive; expected some of either kind"):
        scores.auc([1, 2], positives)


def test_auc_refuses_a_score_that_has_no_rank() -> None:
    with pytest.raises(ValueError, match="1 of 3 scores are NaN"):
        scores.auc([1, float("nan"), 2], [True, False, True])


@given(PAIRS)
def test_the_matthews_correlation_is_that_of_the_films_classes_as_vectors(pairs: list[tuple[int, int]]) -> None:
    found = scores.matthews(table_of(pairs))
    truth, said = (np.eye(4)[[pair[side] for pair in pairs]] if pairs else np.zeros((0, 4)) for side in (0, 1))
    if len({pair[0] for pair in pairs}) < 2:
        assert found is None
        return
    truth, said = truth - truth.mean(axis=0), said - said.mean(axis=0)
    apart = np.sqrt((truth**2).sum() * (said**2).sum())
    assert found == pytest.approx((truth * said).sum() / apart if apart > 1e-9 else 0)
    assert found is not None
    assert -1 - 1e-9 <= found <= 1 + 1e-9


def test_the_matthews_correlation_of_two_classes_is_the_one_of_the_textbook() -> None:
    assert scores.matthews(np.array([[6, 2], [1, 3]])) == pytest.approx((6 * 3 - 1 * 2) / math.sqrt(7 * 5 * 8 * 4))


def test_right_throughout_correlates_fully_and_a_constant_answer_not_at_all() -> None:
    assert scores.matthews(np.diag([10**9, 2, 3])) == 1
    assert scores.matthews(np.array([[0, 5], [0, 7]])) == 0


@given(SCORED)
def test_one_against_rest_is_the_auc_of_the_class_where_there_are_films_of_both_kinds(
    films: list[tuple[int, bool]],
) -> None:
    values, positives = [score for score, _ in films], np.array([positive for _, positive in films])
    assert scores.one_against_rest(values, positives.astype(int), 1) == scores.auc(values, positives)
    assert scores.one_against_rest(values, positives.astype(int), 2) is None
