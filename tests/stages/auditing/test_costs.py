"""What normalization costs, by policy and class, and the recommendation that follows."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests.rows import AUDITED, AuditedRow
from stages.auditing.costs import WORST, costs
from stages.auditing.figures import usable
from stages.films.frame import Frame
from stages.films.placement import Policy, place
from stages.films.placements import RESIZES

Audited = Callable[..., AuditedRow]
FRAME = Frame(height=256, width=300)


def found(rows: list[AuditedRow], frame: Frame = FRAME) -> dict[str, Any]:
    told: dict[str, Any] = costs(usable(AUDITED.table(rows)), frame)["costs"]
    return told


def films(audited: Audited, label: str, aspects: list[float], split: str = "train") -> list[AuditedRow]:
    return [
        audited(
            f"{split}/{label}/{at}.png", label=label, delivered_split=split, height=1000, width=round(1000 * aspect)
        )
        for at, aspect in enumerate(aspects)
    ]


@given(st.lists(st.tuples(st.integers(8, 3000), st.integers(8, 3000)), min_size=1, max_size=8))
def test_costs_are_the_means_of_what_each_film_costs_alone(audited: Audited, sizes: list[tuple[int, int]]) -> None:
    rows = [audited(f"{at}.png", width=width, height=height) for at, (width, height) in enumerate(sizes)]
    told = found(rows)["policies"]
    for policy in RESIZES:
        alone = [place(Frame(height=height, width=width), frame=FRAME, policy=policy) for width, height in sizes]
        cell = told[policy]["by_class"]["none"]["normal"]
        assert cell["lost"] == pytest.approx(np.mean([one.lost for one in alone]), abs=1e-4)
        assert cell["padded"] == pytest.approx(np.mean([one.padded for one in alone]), abs=1e-4)
        assert cell["padded_films"] == pytest.approx(np.mean([one.padded > 0 for one in alone]), abs=1e-4)
        larger = [one.scale_x > 1 or one.scale_y > 1 for one in alone]
        assert cell["enlarged_films"] == pytest.approx(np.mean(larger), abs=1e-4)
        assert cell["scale_x_median"] == pytest.approx(np.median([one.scale_x for one in alone]), abs=1e-4)


def test_the_worst_films_of_each_policy_are_named_the_worst_first_and_equal_ones_by_path(audited: Audited) -> None:
    rows = films(audited, "normal", [1.17] * 20 + [3.0, 0.3, 2.5])
    told = found(rows)["policies"]
    for policy in RESIZES:
        worst = told[policy]["worst"]
        assert len(worst) == WORST
        assert [film["path"] for film in worst[:3]] == [f"train/normal/{at}.png" for at in (21, 20, 22)], policy
        assert [film["path"] for film in worst[3:]] == sorted(film["path"] for film in worst[3:])
    assert told["squeeze"]["worst"][0]["stretch"] == pytest.approx(300 / 300 * 1000 / 256, rel=1e-3)


def test_films_of_the_frames_aspect_cost_nothing_and_mark_nobody(audited: Audited) -> None:
    rows = [audited(f"{at}.png", width=600, height=512, label=("normal", "viral")[at % 2]) for at in range(40)]
    told = found(rows)
    assert told["recommendation"]["policy"] == "cover"
    assert {score["score"] for score in told["recommendation"]["scores"].values()} == {0.0}
    assert sum("costs nothing" in said for said in told["recommendation"]["why"]) == 2


def test_a_class_that_alone_is_padded_makes_crop_worse_than_cover(audited: Audited) -> None:
    wide = list(np.linspace(1.18, 1.3, 30))
    narrow = list(np.linspace(0.95, 1.1, 30))
    advice = found([*films(audited, "normal", narrow), *films(audited, "viral", wide)])["recommendation"]
    assert advice["policy"] == "cover"
    assert advice["scores"]["crop"]["marks"] > advice["scores"]["cover"]["marks"] + 0.5


def test_where_no_class_differs_and_much_would_be_cut_the_whole_film_is_shown(audited: Audited) -> None:
    aspects = list(np.linspace(2.0, 2.6, 40))
    advice = found([*films(audited, "normal", aspects), *films(audited, "viral", aspects)])["recommendation"]
    assert advice["policy"] == "letterbox"
    assert all(score["marks"] == 0 for score in advice["scores"].values())


def test_into_a_square_frame_crop_is_cover_and_cover_is_recommended(audited: Audited) -> None:
    rows = [audited(f"{at}.png", width=900 + 7 * at, height=1000) for at in range(30)]
    advice = found(rows, Frame(height=224, width=224))["recommendation"]
    assert abs(advice["scores"]["crop"]["score"] - advice["scores"]["cover"]["score"]) < 0.01
    assert advice["policy"] == "cover"


def test_the_reasons_hold_the_figures(audited: Audited) -> None:
    wide, narrow = list(np.linspace(1.4, 1.8, 30)), list(np.linspace(0.95, 1.1, 30))
    told = found([*films(audited, "normal", narrow), *films(audited, "viral", wide)])
    why = " ".join(told["recommendation"]["why"])
    assert why.startswith("cover fills the frame")
    assert "AUC of 1.00 in train" in why
    assert re.search(r"on average \d+\.\d % of a film's area is lost", why)


def test_a_mark_on_a_handful_of_films_is_not_sure(audited: Audited) -> None:
    few = [*films(audited, "normal", [1.0, 1.1]), *films(audited, "viral", [1.3, 1.5])]
    many = [
        *films(audited, "normal", list(np.linspace(1.0, 1.1, 60))),
        *films(audited, "viral", list(np.linspace(1.3, 1.5, 60))),
    ]
    marks = [found(rows)["recommendation"]["scores"]["squeeze"]["marks"] for rows in (few, many)]
    assert marks[0] < 0.3
    assert marks[1] > 0.9


@pytest.mark.parametrize("policy", sorted(RESIZES))
def test_only_what_a_policy_does_is_a_mark_of_it(audited: Audited, policy: Policy) -> None:
    rows = [*films(audited, "normal", [1.0, 1.05, 1.1]), *films(audited, "viral", [1.3, 1.4, 1.5])]
    marks = set(found(rows)["policies"][policy]["marks"]["train"])
    assert ("shape" in marks) is (policy == "squeeze")
    assert ("padding" in marks) is (policy in {"crop", "letterbox"})
    assert ("framing" in marks) is (policy in {"crop", "cover"})


def test_without_films_there_is_nothing_to_recommend() -> None:
    assert found([]) == {"policies": {}, "recommendation": None}
