import re
from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any

import pytest

from stages.reporting.evaluation_page import SECTIONS, evaluation_page
from stages.reporting.gap_words import BLAMED, MEANINGS, meaning, title
from stages.reporting.sections import Section

CLASSES = ["normal", "<b>bacterial & co</b>", '"><img src=x onerror=alert(1)>']
SPLITS = ("train", "leak_probe", "val", "test")
PARTS = tuple(BLAMED)
PIXEL = "data:image/jpeg;base64,AAAA"
VOID = {"meta", "br", "img"}


class Page(HTMLParser):
    """Collects what makes a page usable without seeing it, and refuses a tag that is closed where it was not opened."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[int] = []
        self.uncaptioned = 0
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        if self.tags and self.tags[-1][0] == "table" and tag != "caption":
            self.uncaptioned += 1
        self.tags.append((tag, dict(attrs)))
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def ids(self) -> list[str]:
        return [str(attributes["id"]) for _, attributes in self.tags if "id" in attributes]

    @property
    def words(self) -> str:
        return re.sub(r"\s+", " ", self.text)


def figure(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.02, "high": value + 0.02}


def part(value: float, classes: list[str]) -> dict[str, Any]:
    by_class = {name: figure(value / 3) for name in classes}
    return {**figure(value), "recall": by_class, "contribution": by_class}


def scored(films: int, classes: list[str]) -> dict[str, Any]:
    recall = dict.fromkeys(classes, 0.7)
    return {
        "films": films,
        "patients": films // 2,
        "accuracy": 0.7,
        "accuracy_low": 0.66,
        "accuracy_high": 0.74,
        "macro_recall": 0.7,
        "recall": recall,
        "recall_low": recall,
        "recall_high": recall,
        "confusion": {truth: dict.fromkeys(classes, films // 9) for truth in classes},
    }


def gap_of(classes: list[str], parts: tuple[str, ...] = PARTS) -> dict[str, Any]:
    steps = [("augmented", "train"), *((films, "train") for films in SPLITS[:3]), ("val", "test"), ("test", "test")]
    return {
        "classes": classes,
        "left_out": {"unknown": ["val"]},
        "missing": [],
        "total": part(0.1, classes),
        "parts": {name: part(0.05 if name == "fit" else 0.01, classes) for name in parts},
        "reverse": {name: part(0.01, classes) for name in ("shift", "prior")},
        "accuracies": [{"films": films, "shares": shares, **figure(0.8)} for films, shares in steps],
        "shares": {name: dict.fromkeys(classes, 1 / 3) for name in ("train", "test")},
        "joint": [],
        "not_given": ["augmentation"],
    }


def errors_of(classes: list[str]) -> dict[str, Any]:
    counts = {"films": 90, "errors": 27, "detection": 17, "false_alarms": 7, "missed": 10, "cause": 10}
    by_class = {name: {"films": 30, "detection": 5, "cause": 4} for name in classes}
    return {**counts, "specificity": 0.8, "found": 0.9, "named": None, "by_class": by_class}


def subgroups_of(classes: list[str]) -> dict[str, Any]:
    known = {name: value for name, value in scored(40, classes).items() if name != "confusion"}
    return {"mode": {value: {**known, "class_films": dict.fromkeys(classes, 9)} for value in ("L", "<RGB>")}}


def wrong_film(classes: list[str], number: int) -> dict[str, Any]:
    return {
        "film_id": f"{number:064x}",
        "path": f"val/<i>/{number}.pgm",
        "patient": "viral/person/<1>",
        "truth": classes[1],
        "said": classes[2],
        "confidence": 0.98,
        "of_truth": 0.01,
    }


def models_of(count: int) -> tuple[dict[str, Any], dict[str, Any]]:
    of_model = {
        "accuracy": dict.fromkeys(SPLITS, 0.7),
        "total": figure(0.1),
        "parts": {name: figure(0.02) for name in PARTS},
        "sha256": "0" * 64,
    }
    over = {"mean": 0.7, "sd": 0.01 if count > 1 else None, "values": [0.7] * count}
    spread = {"accuracy": dict.fromkeys(SPLITS, over), "total": over, "parts": dict.fromkeys(PARTS, over)}
    return {f"models/seed-{number}.safetensors": of_model for number in range(count)}, spread


def whole(classes: list[str] = CLASSES, models: int = 2) -> dict[str, Any]:
    """Return a summary with every figure that a page can show, but for the errors that cannot be divided."""
    of_models, spread = models_of(models)
    difference = {"difference": 0.097, "low": 0.059, "high": 0.134}
    bins = [{"low": 0.4, "high": 0.4667, "films": 9, "confidence": 0.44, "accuracy": 0.5}]
    margin = {"films": 30, "lost_mean": 0.1, "padded_films": 0.34, "padded_mean": 0.05}
    probe = {"splits": {name: {"films": 90, "accuracy": 0.6} for name in SPLITS}}
    auc = {"auc": 0.93, "low": 0.9, "high": 0.96, "control": 0.5}
    return {
        "gap": gap_of(classes),
        "splits": {name: scored(90, classes) for name in SPLITS},
        "majority": dict.fromkeys(SPLITS, 0.4),
        "differences": {"train_minus_test": {**difference, "recall": dict.fromkeys(classes, difference)}},
        "augmented": {"images": 400, **scored(400, classes)},
        "models": of_models,
        "spread": spread,
        "normal_class": classes[0],
        "errors": {name: errors_of(classes) for name in SPLITS},
        "further": {
            name: {
                "macro_recall": 0.7,
                "mcc": None,
                "auc": dict.fromkeys(classes, 0.9),
                "brier": 0.4,
                "log_loss": 0.7,
                "calibration_error": 0.1,
            }
            for name in SPLITS
        },
        "reliability": dict.fromkeys(SPLITS, bins),
        "subgroups": {name: subgroups_of(classes) for name in ("val", "test")},
        "margins": {name: dict.fromkeys(classes, margin) for name in SPLITS},
        "unfilled": {name: {"copies": 90, "mean": 0.05, "most": 0.1, "copies_with_any": 0.9} for name in classes},
        "gallery": {"val": [wrong_film(classes, 1), wrong_film(classes, 2)], "test": []},
        "probes": {"models": {"majority": probe, "ridge": probe}, "adversarial": {classes[0]: auc, classes[1]: None}},
        "callout": "the network does not beat the ridge on val: 60.0 % against 62.0 %",
        "split_arms": {"unit": "film"},
        "test_peeks": 3,
    }


FACTS: Mapping[str, Mapping[str, Any]] = {
    "Network model": {"name": "<alexnet>", "sha256 of its file": "0" * 64},
    "Parameters": {"split": "all", "draws": 10_000},
    "Versions": {"cxr-pipeline": "0.1.0"},
}


def page_of(summary: Mapping[str, Any], classes: list[str] = CLASSES) -> Page:
    thumbnails = {f"{number:064x}": PIXEL for number in (1, 2)}
    found = Page()
    found.feed(evaluation_page(summary, classes=classes, facts=FACTS, thumbnails=thumbnails))
    assert not found.open
    return found


@pytest.fixture(scope="module")
def page() -> Page:
    """Return the page of every figure that there can be."""
    return page_of(whole())


def test_every_section_is_there_where_its_figures_are(page: Page) -> None:
    expected = [section.name for section in SECTIONS if section.name != "undivided"]
    assert [name for name in page.ids if name in {section.name for section in SECTIONS}] == expected
    assert [link["href"] for link in page.all("a")] == [f"#{name}" for name in expected]


@pytest.mark.parametrize("key", sorted({section.needs[0] for section in SECTIONS if section.needs} - {"splits"}))
def test_a_section_without_its_figures_is_left_out_and_the_others_stay(key: str) -> None:
    summary = {name: value for name, value in whole().items() if name != key}
    shown = set(page_of(summary).ids)
    for section in SECTIONS:
        assert (section.name in shown) == (section.name != "undivided" and key not in section.needs[:1])


@pytest.mark.parametrize(
    "section", [section for section in SECTIONS if section.needs], ids=lambda section: section.name
)
def test_figures_that_are_empty_are_none(section: Section) -> None:
    *above, last = section.needs
    nothing: tuple[dict[str, Any], ...] = ({}, {last: None}, {last: {}}, {last: []}, {last: {"val": [], "test": {}}})
    for found in nothing:
        summary: Any = found
        for name in reversed(above):
            summary = {name: summary}
        assert not section.has_figures(summary)


def test_a_page_of_the_scores_alone_needs_no_other_figure() -> None:
    summary = {name: whole()[name] for name in ("splits", "majority")}
    shown = page_of(summary)
    sections = [section.name for section in SECTIONS if section.name in shown.ids]
    assert sections == ["splits", "recall", "confusion", "facts", "unknown"]
    assert "nothing to compare them with" in shown.words


def test_errors_that_cannot_be_divided_are_told_so() -> None:
    summary = {name: value for name, value in whole().items() if name != "errors"}
    shown = page_of({**summary, "errors_not_split": "no class is named as one without findings is (normal)"})
    assert "Errors are not divided here: no class is named as one without findings is (normal)." in shown.words


def test_the_first_paragraph_tells_the_gap_and_which_parts_are_more_than_chance(page: Page) -> None:
    lead = page.words.split("Brackets hold")[0]
    assert "From augmented train to test the network loses accuracy: 80.0 % becomes 80.0 %" in lead
    assert "a gap of +10.0 points [+8.0, +12.0]" in lead
    assert "Of its parts, fit is more than the chance of which patients were drawn; the others may be nothing." in lead


def test_the_call_outs_stand_above_everything_else(page: Page) -> None:
    lead = page.words.split("Brackets hold")[0]
    assert "Beaten by a linear model: the network does not beat the ridge on val: 60.0 % against 62.0 %." in lead
    assert "This split leaks." in lead


@pytest.mark.parametrize("arms", [{"split_arms": {"unit": "film"}}, {"split": {"unit": "film"}}])
def test_a_careless_split_is_called_out_and_a_careful_one_is_not(arms: dict[str, Any]) -> None:
    careful = {**whole(), "split_arms": {"unit": "patient"}, "callout": None}
    assert "This split leaks." not in page_of(careful).words
    assert "Beaten by" not in page_of(careful).words
    del careful["split_arms"]
    assert "This split leaks." in page_of({**careful, **arms}).words


def test_every_part_says_what_it_blames_and_whether_it_may_be_nothing(page: Page) -> None:
    for name in PARTS:
        assert MEANINGS[name] in page.words
    assert page.words.count("May be nothing: the interval holds 0.") == len(PARTS) - 1


def test_parts_that_cannot_be_told_apart_are_named_together() -> None:
    gap = gap_of(CLASSES, ("augmentation", "fit+leakage", "prior"))
    shown = page_of({**whole(), "gap": gap}).words
    assert title("fit+leakage") == "fit and leakage"
    assert meaning("fit+leakage") in shown
    assert "films learned, patients learned" in meaning("fit+leakage")


def test_what_the_parts_leave_out_is_told(page: Page) -> None:
    assert "The parts leave out unknown: there is no film of it in val." in page.words
    assert "Not given, for want of films: augmentation." in page.words


def test_one_model_needs_no_table_of_models() -> None:
    assert "models" not in page_of(whole(models=1)).ids
    several = page_of(whole(models=3))
    assert all(f"models/seed-{number}.safetensors" in several.text for number in range(3))


def test_names_that_come_with_the_data_stay_text(page: Page) -> None:
    assert all(name in page.text for name in (*CLASSES, "<RGB>", "val/<i>/1.pgm", "viral/person/<1>", "<alexnet>"))
    assert not {"b", "i", "script", "rgb", "alexnet"} & {tag for tag, _ in page.tags}
    assert all("onerror" not in attributes for _, attributes in page.tags)


def test_nothing_is_fetched_from_outside(page: Page) -> None:
    fetched = [
        str(value)
        for _, attributes in page.tags
        for name, value in attributes.items()
        if name in ("src", "href", "xlink:href", "srcset", "action", "data")
    ]
    assert fetched
    assert all(address.startswith(("#", "data:")) for address in fetched)
    assert not {"script", "link", "iframe", "object", "form"} & {tag for tag, _ in page.tags}
    html = evaluation_page(whole(), classes=CLASSES, facts=FACTS)
    assert not re.findall(r"url\((?!#)|@import", html)
    addresses = re.findall(r"https?://[^\"' <]+", html)
    assert set(addresses) <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}, "names, not addresses"


def test_every_picture_can_be_heard(page: Page) -> None:
    pictures = page.all("img")
    assert len(pictures) == 2
    assert all(
        picture["src"] == PIXEL and str(picture["alt"]).startswith("Chest film of class") for picture in pictures
    )
    drawings = page.all("svg")
    assert len(drawings) == 6  # three plots, in two widths each
    assert all(drawing["role"] == "img" and drawing["aria-label"] for drawing in drawings)


def test_tables_have_captions_and_their_heads_a_scope(page: Page) -> None:
    assert len(page.all("table")) > 20
    assert page.uncaptioned == 0
    assert all(head.get("scope") in ("col", "row", "rowgroup") for head in page.all("th"))


def test_headings_skip_no_level_and_there_is_one_title(page: Page) -> None:
    assert page.headings.count(1) == 1
    assert page.headings[0] == 1
    assert all(after <= before + 1 for before, after in zip(page.headings, page.headings[1:], strict=False))


def test_ids_are_unique_and_every_reference_leads_to_one(page: Page) -> None:
    assert len(page.ids) == len(set(page.ids))
    references = [attributes["aria-labelledby"] for _, attributes in page.tags if "aria-labelledby" in attributes]
    references += [str(link["href"])[1:] for link in page.all("a")]
    assert references
    assert set(references) <= set(page.ids)


def test_what_scrolls_can_be_reached_by_keyboard_and_has_a_name(page: Page) -> None:
    scrolling = [box for box in page.all("div") if "scroll" in str(box.get("class")).split()]
    tables = [box for box in scrolling if "wide" not in str(box["class"])]
    assert all(box["tabindex"] == "0" and box["role"] == "region" and box["aria-label"] for box in tables)


def test_equal_figures_give_equal_bytes() -> None:
    pages = [evaluation_page(whole(), classes=CLASSES, facts=FACTS) for _ in range(2)]
    assert pages[0] == pages[1]
