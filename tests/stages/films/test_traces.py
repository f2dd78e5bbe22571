"""Traces: what a codec and a resize leave in a film, and nothing that the film itself decides."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from stages.films import decode
from stages.films.frame import Frame, Gray
from stages.films.placement import RESIZES, Policy, fit, place
from stages.films.pooled import border, cells
from stages.films.specimen import SPECIMEN, Aim
from stages.films.traces import NAMES, SMALLEST_TILE, traces
from stages.labels import kermany_name
from stages.statistics.tells import Tell, cross_told

FRAME = Frame(height=256, width=300)


def a_film(key: int, *, height: int = 400, width: int = 469) -> Gray:
    """Return a film of soft shapes and grain."""
    words = np.random.Generator(np.random.Philox(key=key))
    shapes = Image.fromarray(words.integers(30, 220, (7, 8)).astype(np.uint8)).resize((width, height), 3)
    return np.asarray(np.clip(np.asarray(shapes) + words.normal(0, 5, (height, width)), 0, 255), np.uint8)


def saved(image: Gray, quality: int) -> Image.Image:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return Image.open(io.BytesIO(file.getvalue())).convert("L")


def seen(image: Image.Image, *, frame: Frame = FRAME, policy: Policy = "cover") -> dict[str, float]:
    placement = place(Frame(height=image.height, width=image.width), frame=frame, policy=policy)
    return dict(zip(NAMES, traces(fit(image, placement), placement).tolist(), strict=True))


@settings(max_examples=60)
@given(
    st.integers(8, 120),
    st.integers(8, 120),
    st.integers(8, 90),
    st.integers(8, 90),
    st.sampled_from(sorted(RESIZES)),
    st.sampled_from(["grain", "black", "grey", "two"]),
)
def test_any_film_in_any_frame_has_numbers_or_none_of_them(
    height: int, width: int, high: int, wide: int, policy: Policy, look: str
) -> None:
    looks = {"grain": a_film(1, height=height, width=width), "black": np.zeros((height, width), np.uint8)}
    looks["grey"] = looks["black"] + np.uint8(90)
    looks["two"] = np.where(looks["grain"] > 128, 255, 0).astype(np.uint8)
    placement = place(Frame(height=height, width=width), frame=Frame(height=high, width=wide), policy=policy)
    found = traces(fit(Image.fromarray(looks[look]), placement), placement)
    shown = placement.shown
    small = min(shown.right - shown.left, shown.bottom - shown.top) < SMALLEST_TILE
    assert np.isnan(found).all() if small else np.isfinite(found).all()
    assert found.dtype == np.float32


def test_a_brighter_film_leaves_the_same_traces() -> None:
    image = np.asarray(np.clip(a_film(2, height=256, width=300), 20, 200), np.uint8)
    placement = place(FRAME, frame=FRAME, policy="cover")
    assert traces(image + np.uint8(30), placement) == pytest.approx(traces(image, placement), abs=2e-3)


def test_black_margins_leave_no_trace() -> None:
    image = Image.fromarray(a_film(3, height=256, width=200))
    alone = place(Frame(height=256, width=200), frame=Frame(height=256, width=200), policy="cover")
    within = place(Frame(height=256, width=200), frame=FRAME, policy="letterbox")
    assert within.padded > 0.3
    found = traces(fit(image, within), within)
    assert found == pytest.approx(traces(np.asarray(image), alone), abs=1e-3)


@pytest.mark.parametrize("axis", ["x", "y"])
def test_a_codecs_blocks_are_found_where_the_resize_takes_them(axis: str) -> None:
    films = [a_film(key) for key in range(8)]
    plain = [seen(Image.fromarray(film))[f"grid {axis}"] for film in films]
    blocks = [seen(saved(film, 30))[f"grid {axis}"] for film in films]
    assert min(blocks) > max(plain)
    assert abs(np.mean(plain)) < 2


def test_blocks_that_lie_elsewhere_are_not_taken_for_these() -> None:
    films = [a_film(key, height=404, width=473) for key in range(8)]
    shifted = [saved(film, 30).crop((4, 4, 473, 404)) for film in films]
    assert np.mean([seen(film)["grid x"] for film in shifted]) < 0


def test_stronger_compression_takes_the_grain_away() -> None:
    fine, coarse = seen(saved(a_film(5), 97)), seen(saved(a_film(5), 25))
    assert coarse["level"] < fine["level"]
    assert coarse["noise"] < fine["noise"]


def test_a_stronger_resize_correlates_neighbours() -> None:
    large, small = (
        seen(Image.fromarray(a_film(6, height=high, width=wide))) for high, wide in ((1000, 1172), (90, 106))
    )
    assert small["next x"] > large["next x"] + 0.2
    assert small["band 8"] < large["band 8"]


def test_few_grey_levels_leave_a_comb() -> None:
    image = a_film(7, height=256, width=300)
    placement = place(FRAME, frame=FRAME, policy="cover")
    few = dict(zip(NAMES, traces(image // 8 * 8, placement), strict=True))
    many = dict(zip(NAMES, traces(image, placement), strict=True))
    assert few["gaps"] > 0.8
    assert many["gaps"] == 0
    assert few["comb"] > many["comb"] + 0.5


def test_a_film_is_left_as_it_was() -> None:
    image = a_film(8, height=256, width=300)
    image.flags.writeable = False
    traces(image, place(FRAME, frame=FRAME, policy="cover"))


def test_a_specimen_holds_the_film_as_the_network_would_see_it() -> None:
    image = Image.fromarray(a_film(9, height=500, width=700))
    found = np.frombuffer(Aim(FRAME, "letterbox").specimen(image), SPECIMEN)[0]
    placement = place(Frame(height=500, width=700), frame=FRAME, policy="letterbox")
    framed = fit(image, placement)
    assert found["traces"].tolist() == traces(framed, placement).tolist()
    assert found["border"].tolist() == border(framed).tolist()
    assert np.abs(found["pixels"] - cells(framed)).max() <= 0.5
    assert found["scale"].tolist() == pytest.approx(np.log2([placement.scale_x, placement.scale_y]).tolist())


def told_apart(
    one: Sequence[Image.Image], other: Sequence[Image.Image], groups: NDArray[np.int64]
) -> tuple[Tell, float]:
    """Return how well two ways of saving the same films are told apart, and how well a random relabelling is."""
    features = np.array([list(seen(film).values()) for film in (*one, *other)])
    patients, is_other = np.concatenate([groups, groups]), np.arange(len(features)) >= len(one)
    tossed = np.random.Generator(np.random.Philox(key=1)).random(len(one)) < 0.5
    labels = is_other, np.concatenate([tossed, ~tossed])
    found, random = (cross_told(features, label.astype(np.int64), patients, {"other": 1})["other"] for label in labels)
    return found, random.auc


def test_two_qualities_are_told_apart_by_films_of_other_patients_and_a_random_relabelling_is_not() -> None:
    films = [a_film(key) for key in range(60)]
    found, random = told_apart(
        [saved(film, 95) for film in films], [saved(film, 75) for film in films], np.arange(60) // 2
    )
    assert found.low > 0.75
    assert 0.35 < random < 0.65


@pytest.mark.real
def test_two_qualities_of_real_films_are_told_apart_after_normalization(real_films: Path) -> None:
    """Cut first: most are of quality 75 already, and saved at it again they stay what they are."""
    paths = sorted((real_films / "kermany-raw").rglob("*.jpeg"))[::3]
    films = [np.asarray(decode.decode(path.read_bytes())[1])[3:, 5:] for path in paths]
    names = np.array([named[1] for path in paths if (named := kermany_name(path.name))])
    groups = np.unique(names, return_inverse=True)[1]
    found, random = told_apart([saved(film, 95) for film in films], [saved(film, 75) for film in films], groups)
    assert found.low > 0.58
    assert 0.4 < random < 0.6
