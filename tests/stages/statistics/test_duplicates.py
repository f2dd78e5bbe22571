"""Duplicates: the same radiograph in other bytes is found, however it was changed; other radiographs are not."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from stages.auditing import examine
from stages.films import look
from stages.films.phantom import draw as draw_phantom
from stages.films.phantom_plan import plan
from stages.labels import kermany_name
from stages.statistics import duplicates
from stages.statistics.alignment import SIDE
from stages.statistics.difference import difference
from stages.statistics.duplicates import LEAST, MOST, USUAL, Looks, Twins, twins

Gray = NDArray[np.uint8]
Levels = NDArray[np.uint8]


def chest(seed: int, *, side: int = 256) -> Image.Image:
    """Return a film that shares its large shapes with those of other seeds, and none of its details."""
    words = np.random.Generator(np.random.Philox(key=seed))
    places = np.linspace(-1, 1, side)
    lungs = np.exp(-((places / 0.6) ** 2))[:, None] * sum(np.exp(-(((places - x) / 0.3) ** 2)) for x in (-0.45, 0.45))
    middles, widths = words.uniform(-1, 1, (2, 60, 1)), words.uniform(0.03, 0.2, (2, 60, 1))
    down, across = np.exp(-(((places - middles) / widths) ** 2))
    details = (words.normal(0, 40, (60, 1)) * down).T @ across
    return Image.fromarray(np.clip(170 - 90 * lungs + details, 0, 255).astype(np.uint8))


def thumbnails(films: Sequence[Image.Image]) -> Levels:
    small = [look.thumbnail(look.reduced(film), side=SIDE) for film in films]
    return np.array([np.frombuffer(one, np.uint8) for one in small], np.uint8).reshape(len(films), SIDE * SIDE)


def looks(levels: Levels) -> Looks:
    return Looks.of(levels, np.arange(len(levels)))


def own_groups(number: int) -> list[str]:
    return [f"p{film}" for film in range(number)]


def pairs_of(found: Twins) -> set[tuple[int, int, bool]]:
    pairs = found.pairs
    return set(zip(pairs.first.tolist(), pairs.second.tolist(), pairs.mirrored.tolist(), strict=True))


def recompressed(film: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    film.save(file, "JPEG", quality=quality)
    return Image.open(file)


def cropped(film: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    width, height = film.size
    return film.crop(
        (round(left * width), round(top * height), round((1 - right) * width), round((1 - bottom) * height))
    )


def mirrored(film: Image.Image) -> Image.Image:
    return film.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def with_gamma(film: Image.Image, gamma: float) -> Image.Image:
    return film.point([round(255 * (level / 255) ** gamma) for level in range(256)])


@pytest.fixture(scope="module")
def chests() -> list[Image.Image]:
    return [chest(seed) for seed in range(80)]


# --- what is found ---------------------------------------------------------------------------------------------

CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "recompressed": lambda film: recompressed(film, 30),
    "resized": lambda film: film.resize((150, 150)),
    "squeezed": lambda film: film.resize((230, 180)),
    "cropped at one side": lambda film: cropped(film, 0.05, 0, 0, 0),
    "cropped at all sides": lambda film: cropped(film, 0.05, 0.03, 0.04, 0.05),
    "flipped": mirrored,
    "brighter": lambda film: film.point(lambda level: level + 30),
    "less contrast": lambda film: film.point(lambda level: 128 + 0.7 * (level - 128)),
    "gamma": lambda film: with_gamma(film, 1.4),
    "flipped, cropped, resized": lambda film: mirrored(cropped(film, 0, 0.04, 0.04, 0)).resize((170, 170)),
    "cropped, gamma, recompressed": lambda film: recompressed(with_gamma(cropped(film, 0.03, 0, 0, 0.05), 0.8), 60),
}


@pytest.mark.parametrize("number", [20, 80], ids=["few films", "many films"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_film_that_was_changed_is_found_and_no_other(chests: list[Image.Image], change: str, number: int) -> None:
    planted = [CHANGES[change](film) for film in chests[:5]]
    found = twins(looks(thumbnails([*chests[:number], *planted])), own_groups(number + 5))
    assert pairs_of(found) == {(film, number + film, change.startswith("flipped")) for film in range(5)}


def test_what_was_done_to_a_film_is_told(chests: list[Image.Image]) -> None:
    changed = {name: CHANGES[name](chests[0]) for name in CHANGES}
    told = difference(
        looks(thumbnails([chests[0], *changed.values()])), np.zeros(len(changed), int), np.arange(1, 1 + len(changed))
    )
    for place, name in enumerate(changed):
        assert told.mirrored[place] == ("flipped" in name), name
        assert (told.border[place] > 0.013) == ("cropped" in name), name
        assert (told.grey[place] > 4) == any(word in name for word in ("bright", "contrast", "gamma")), name
        assert not told.same[place], name
        assert told.agreement[place] > LEAST, name
    again = difference(looks(thumbnails([chests[0], chests[0]])), np.array([0]), np.array([1]))
    assert again.same.all()
    assert again.grey[0] == 0


def test_how_far_a_border_moved_is_measured(chests: list[Image.Image]) -> None:
    cuts = [0.02, 0.03, 0.05]
    films = [*chests[:3], *(cropped(film, cut, 0, 0, 0) for film, cut in zip(chests, cuts, strict=False))]
    told = difference(looks(thumbnails(films)), np.arange(3), np.arange(3, 6))
    assert told.border == pytest.approx(np.array(cuts), abs=0.008)


@cache
def phantoms(seed: int) -> tuple[list[Image.Image], list[str]]:
    planned = [one for one in plan(40, seed=seed, longest_side_px=120) if not one.fault]
    return [Image.fromarray(draw_phantom(one, seed=seed)) for one in planned], [one.likeness.group for one in planned]


@settings(max_examples=12)
@given(st.sampled_from([1, 2, 3]), st.integers(0, 39), st.integers(50, 95), st.booleans())
def test_a_phantom_and_its_changed_self_are_found_among_phantoms_and_nothing_else(
    seed: int,
    chosen: int,
    quality: int,
    flip: bool,  # noqa: FBT001 - hypothesis hands it over
) -> None:
    films, groups = phantoms(seed)
    changed = recompressed(mirrored(films[chosen]) if flip else films[chosen], quality)
    assert not pairs_of(twins(looks(thumbnails(films)), groups))
    found = pairs_of(twins(looks(thumbnails([*films, changed])), [*groups, "new"]))
    assert (chosen, len(films), flip) in found
    # a drawn patient stands so still that a sibling may be taken for the film, where no name says that it is one
    assert {(groups[one], other) for one, other, _ in found} == {(groups[chosen], len(films))}


# --- what does not matter --------------------------------------------------------------------------------------


@settings(max_examples=10)
@given(st.permutations(range(24)))
def test_the_order_of_the_films_does_not_matter(order: list[int]) -> None:
    levels = ORDERED
    straight = twins(looks(levels), own_groups(24))
    shuffled = twins(looks(levels[order]), own_groups(24))
    back = {(*sorted((order[one], order[other])), turned) for one, other, turned in pairs_of(shuffled)}
    assert back == pairs_of(straight)
    assert len(back) == 4


ORDERED = thumbnails(
    [
        *(chest(seed) for seed in range(20)),
        mirrored(chest(3)),
        cropped(chest(4), 0.04, 0, 0, 0.03),
        recompressed(chest(5), 50),
        with_gamma(chest(6), 1.3),
    ]
)


def test_blank_films_resemble_nothing_and_no_films_are_no_error() -> None:
    blank = np.repeat(np.array([0, 0, 77, 255], np.uint8)[:, None], SIDE * SIDE, axis=1)
    for levels in (blank, blank[:0], np.repeat(blank, 40, axis=0)):
        found = twins(looks(levels), own_groups(len(levels)))
        assert len(found.pairs) == 0
        assert found.threshold.source == "usual"


def test_a_film_that_is_there_many_times_over_is_held_together_at_bounded_cost(chests: list[Image.Image]) -> None:
    copies = np.repeat(thumbnails(chests[:1]), 300, axis=0)
    levels = np.concatenate([thumbnails(chests[1:]), copies])
    found = twins(looks(levels), own_groups(len(levels)))
    assert found.looked_at <= 2 * 8 * len(levels)
    assert pairs_of(found)
    assert {film for one, other, _ in pairs_of(found) for film in (one, other)} == set(range(79, 379))


# --- the threshold ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("groups", "known"), [(1, False), (7, False), (8, True)])
def test_too_few_patients_tell_no_threshold(chests: list[Image.Image], groups: int, *, known: bool) -> None:
    found = twins(looks(thumbnails(chests)), [f"p{film % groups}" for film in range(80)]).threshold
    assert (found.told is not None) is known
    assert known or (found.agreement, found.source) == (USUAL, "usual")


def test_the_threshold_is_what_the_films_tell_within_bounds(
    chests: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    levels = looks(thumbnails(chests))
    usual = twins(levels, own_groups(80)).threshold
    assert (usual.agreement, usual.source) == (LEAST, "least")
    assert usual.told is not None
    assert usual.told < LEAST
    monkeypatch.setattr(duplicates, "LEAST", 0.0)
    told = twins(levels, own_groups(80)).threshold
    assert (told.agreement, told.source) == (usual.told, "films")
    monkeypatch.setattr(duplicates, "FALSE_PAIRS", 1e-9)
    assert twins(levels, own_groups(80)).threshold.agreement > told.agreement


def test_a_set_that_is_there_twice_over_tells_what_it_would_tell_alone(chests: list[Image.Image]) -> None:
    alone = thumbnails(chests)
    twice = np.concatenate([alone, thumbnails([recompressed(film, 80) for film in chests])])
    one, both = (twins(looks(levels), own_groups(len(levels))) for levels in (alone, twice))
    assert {(first, second) for first, second, _ in pairs_of(both)} == {(film, film + 80) for film in range(80)}
    assert one.threshold.told is not None
    assert both.threshold.told is not None
    assert both.threshold.told < MOST
    assert both.threshold.told == pytest.approx(one.threshold.told, abs=0.1)


# --- real films ------------------------------------------------------------------------------------------------


def real_thumbnails(folder: Path, names: Sequence[str]) -> Levels:
    examined = [examine.audit_one(name, raw=folder) for name in names]
    assert {one.status for one in examined} == {"ok"}
    return np.array([np.frombuffer(one.thumbnail, np.uint8) for one in examined])


@pytest.mark.real
def test_variants_of_real_films_are_found_and_no_two_patients_are_taken_for_one(real_films: Path) -> None:
    folder, variants = real_films / "kermany-raw", real_films / "kermany-variants"
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.jpeg"))
    with (variants / "variants.csv").open(newline="") as file:
        lines = [line for line in csv.DictReader(file) if line["same_radiograph_as"] in names]
    assert len(lines) >= 5
    levels = [real_thumbnails(folder, names), real_thumbnails(variants, [line["file"] for line in lines])]
    groups = [*(str(kermany_name(name)) for name in names), *(f"variant {number}" for number in range(len(lines)))]
    found = twins(looks(np.concatenate(levels)), groups)
    shown = [*names, *(line["same_radiograph_as"] for line in lines)]
    pairs = {(one, other) for one, other, _ in pairs_of(found)}
    assert all(shown[one] == shown[other] for one, other in pairs)
    assert {other for _, other in pairs if other >= len(names)} == set(range(len(names), len(shown)))


@pytest.mark.real
def test_variants_are_found_beside_their_originals(real_films: Path) -> None:
    variants = real_films / "kermany-variants"
    with (variants / "variants.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    names = [f"originals/{Path(line['same_radiograph_as']).name}" for line in lines]
    there = [number for number, name in enumerate(names) if (variants / name).exists()]
    assert len(there) >= 12
    files = [name for number in there for name in (names[number], lines[number]["file"])]
    told = difference(looks(real_thumbnails(variants, files)), np.arange(0, len(files), 2), np.arange(1, len(files), 2))
    assert told.agreement.min() > LEAST
    assert not told.mirrored.any()
