import re
from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any

import pytest

from stages.reporting import audit_page, comparison_page, page, text
from stages.reporting.evaluation_page import evaluation_page

CLASSES = ["normal", "<b>bacterial & co</b>", "viral $5 \N{CJK UNIFIED IDEOGRAPH-80BA}"]
VOID = {"meta", "br", "hr", "img", "link", "input"}


class Elements(HTMLParser):
    """Collects ids, text and resources, and refuses a tag that is closed where it was not opened."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.fetched: list[str] = []
        self.drawings: list[Mapping[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "svg":
            self.drawings.append(found)
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.fetched += [value for name, value in attrs if name in ("src", "href", "xlink:href") and value]
        assert tag not in {"script", "link", "iframe", "b"}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(html: str) -> Elements:
    """Return a page's elements, having checked that it is whole, needs nothing from outside and names its plots."""
    found = Elements()
    found.feed(html)
    assert not found.open
    assert len(found.ids) == len(set(found.ids)), "ids are unique"
    assert all(address.startswith(("#", "data:")) for address in found.fetched)
    assert all(drawing["role"] == "img" and drawing["aria-label"] for drawing in found.drawings)
    assert "url(http" not in html
    assert "@import" not in html
    return found


def words(html: str) -> str:
    return re.sub(r"\s+", " ", read(html).text)


def split_figures(films: int, accuracy: float) -> dict[str, Any]:
    of_class = dict.fromkeys(CLASSES, accuracy)
    return {
        "films": films,
        "patients": films // 2,
        "accuracy": accuracy,
        "accuracy_low": accuracy - 0.03,
        "accuracy_high": accuracy + 0.03,
        "macro_recall": accuracy,
        "recall": of_class,
        "recall_low": {name: value - 0.05 for name, value in of_class.items()},
        "recall_high": {name: value + 0.05 for name, value in of_class.items()},
        "confusion": {truth: dict.fromkeys(CLASSES, films // 9) for truth in CLASSES},
    }


def evaluation(*splits: str, **more: Any) -> str:
    difference = {"difference": 0.097, "low": 0.059, "high": 0.134}
    summary = {
        "splits": {name: split_figures(600 + index, 0.802 - 0.097 * index) for index, name in enumerate(splits)},
        "majority": dict.fromkeys(splits, 0.4),
        "differences": {
            f"train_minus_{name}": {**difference, "recall": dict.fromkeys(CLASSES, difference)} for name in splits[1:]
        },
        **more,
    }
    facts: dict[str, dict[str, Any]] = {
        "Parameters": {"split": "all", "draws": 10_000},
        "Network": {"name": "<alexnet>"},
    }
    return evaluation_page(summary, classes=CLASSES, facts=facts)


TELL = {"auc": 0.92, "low": 0.9, "high": 0.94, "films": 1300}
COST = {
    "lost_width": 0.2,
    "lost_height": 0.0,
    "lost": 0.2,
    "padded_films": 0.0,
    "padded": 0.0,
    "enlarged_films": 0.1,
    "distortion": 0.001,
    "cost": 0.2,
    "scale_x_median": 0.25,
    "scale_y_median": 0.25,
    "stretch_median": 1.0,
}
AUDIT: dict[str, Any] = {
    "raw": "data/<raw>",
    "label_source": "folders",
    "label_source_reason": "every file lies in a folder of its class",
    "group_source": "numbers in the file names",
    "classes": CLASSES,
    "files": 5858,
    "usable": 5820,
    "set_aside": {"duplicate": 30, "truncated": 8},
    "warnings": {"EXIF orientation is ignored": 4},
    "by_class": {
        "train": {name: {"films": 1300, "patients": 900} for name in CLASSES},
        "none": {CLASSES[0]: {"films": 4, "patients": 4}},
    },
    "groups": {
        "count": 4082,
        "largest": 30,
        "largest_id": "person<23>",
        "crossing_delivered_splits": 1,
        "crossing_any": 1,
        "crossing": [{"group": "person<23>", "films": {"train": 2, "test": 1}}],
        "sizes": {"1": 4000, "2": 60, "3-5": 20, "6-10": 1, "more": 1},
        "rule": {
            "matched": 5819,
            "left_alone": 1,
            "examples": [{"path": "<w>", "group_id": "person<23>"}],
            "left_alone_examples": ["<w>"],
        },
        "false_alarms": [
            {
                "ignored": ["class"],
                "crossing": 3,
                "real": 1,
                "false": 2,
                "example": {"name": "person<23>", "patients": ["person<23>", "<w>"]},
            }
        ],
    },
    "frame": {"height": 256, "width": 300},
    "sizes": {
        name: {
            "width_median": 1300,
            "height_median": 970.5,
            "width_min": 384,
            "width_max": 2916,
            "height_min": 127,
            "height_max": 2713,
            "aspect_median": 1.3,
        }
        for name in CLASSES
    },
    "modes": {CLASSES[0]: {"L": 1341}, CLASSES[1]: {"L": 2300, "RGB": 240}},
    "formats": {"JPEG": 5850, "PNG": 8},
    "jpeg_quality": {CLASSES[0]: {"median": 94, "min": 75, "max": 97}, CLASSES[1]: {}},
    "crop": {"train": {name: {"lost_mean": 0.2, "padded_share": 0.05, "pad_mean": 0.003} for name in CLASSES}},
    "costs": {
        "policies": {
            "cover": {
                "by_class": {"train": dict.fromkeys(CLASSES, COST)},
                "marks": {
                    "train": {"framing": {"auc": {CLASSES[1]: TELL}, "standardised_difference": 1.2}},
                    "test": {},
                },
                "worst": [
                    {
                        "path": "<w>",
                        "label": CLASSES[1],
                        "delivered_split": None,
                        "width": 9,
                        "height": 1,
                        "lost": 0.9,
                        "padded": 0.0,
                        "stretch": 1.0,
                    }
                ],
            }
        },
        "recommendation": {
            "policy": "cover",
            "runner_up": "crop",
            "scores": {"cover": {"cost": 0.1, "marks": 0.2, "score": 0.3}},
            "why": [f"How tightly it frames a film tells {CLASSES[1]} from the rest."],
        },
    },
    "shortcuts": {
        "features": {
            "train": {"bytes per pixel": dict.fromkeys(CLASSES, TELL), "height": {CLASSES[0]: TELL}},
            "test": {},
        },
        "feature_drops": {"height": {CLASSES[0]: {"drop": 0.3, "low": 0.1, "high": 0.5}}},
        "sample": {"train": dict.fromkeys(CLASSES, 400)},
        "said": [f"In train, height alone tells {CLASSES[1]}."],
        "joint": {
            "traces": {
                "within": {"train": dict.fromkeys(CLASSES, TELL)},
                "transfer": {CLASSES[0]: TELL},
                "drop": {CLASSES[0]: {"drop": 0.3, "low": 0.1, "high": 0.5}},
            }
        },
    },
    "shift": {
        "by_class": {
            CLASSES[1]: {
                "films": {"train": 400, "test": 200},
                "pixels": {"auc": 0.93, "low": 0.9, "high": 0.95, "control": None},
            }
        },
        "said": [f"{CLASSES[1]}: the test's films are of another kind."],
    },
    "spreads": {"aspect": {"train": {CLASSES[1]: {"min": 0.8, "median": 1.2, "max": 2.1}, CLASSES[2]: {}}}},
    "histograms": {
        "aspect": {"edges": [0.5, 1.0, 2.0], "counts": {"train": {CLASSES[0]: [1, 2], CLASSES[1]: [0, 9]}}},
        "bits_per_pixel": {},
    },
    "quality_counts": {"train": {CLASSES[1]: {"75": 4}}},
    "extremes": {
        CLASSES[1]: {"widest": {"path": "<w>", "delivered_split": None, "width": 9, "height": 1, "bits_per_pixel": 0.5}}
    },
    "duplicates": {
        "exact": 30,
        "near": 12,
        "near_by_kind": {"cropped": 10, "flipped": 2},
        "near_threshold": 0.92,
        "near_threshold_source": "never less, here <0.866>",
        "radiographs": 41,
        "conflicts": {"label": 1, "delivered_split": 0, "patient": 2},
        "groups": [
            {
                "conflicts": ["label", "patient"],
                "number": 2,
                "films": [
                    {
                        "path": "a<b>.png",
                        "label": CLASSES[0],
                        "delivered_split": "test",
                        "how": None,
                        "similarity": None,
                    },
                    {
                        "path": "c.png",
                        "label": CLASSES[1],
                        "delivered_split": None,
                        "how": "flipped",
                        "similarity": 0.97,
                    },
                ],
            }
        ],
        "examples": [{"path": "a", "of": "<b>", "how": "cropped", "similarity": 0.96}],
    },
    "set_aside_films": [{"path": "train/<x>.jpeg", "status": "truncated", "reason": "ends after 12 bytes"}],
    "films": [{"width": 1200 + 40 * n, "height": 900 + 25 * n, "label": CLASSES[n % 3]} for n in range(30)],
}


def test_the_evaluation_says_first_how_often_the_network_is_right_and_how_far_train_is_from_it() -> None:
    shown = words(evaluation("train", "val", "test", test_peeks=3))
    assert "On the 602 films of test the network names the right class for 60.8 %" in shown
    assert "a gap of +9.7 points [+5.9, +13.4]" in shown
    assert "have been scored 3 times" in shown
    assert shown.count("not provided") == 4
    assert "10,000 times" in shown


def test_a_network_no_better_than_the_majority_is_told_so() -> None:
    assert "has learned nothing that helps here" in words(evaluation("train", "test", majority={"test": 0.8}))
    assert "has learned nothing that helps here" not in words(evaluation("train", "test"))


def test_the_page_of_the_training_films_alone_has_no_gap_and_no_peek() -> None:
    shown = words(evaluation("train"))
    assert "On the 600 films of train" in shown
    assert "nothing to compare them with" in shown
    assert "Test-set discipline" not in shown


def test_names_from_the_data_are_shown_as_text() -> None:
    for html in (evaluation("train", "test"), audit_page.audit_page(AUDIT)):
        found = read(html)
        assert all(name in found.text for name in CLASSES)
        assert "<b>" not in html
    assert "<alexnet>" in read(evaluation("train")).text


HARMFUL = (
    "<script>alert(1)</script>",
    "</title></style></svg><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "' onmouseover='alert(1)",
    "javascript:alert(1)",
    "]]><script>alert(1)</script>",
    "<!--",
    "{{ 7 * 7 }}{% raw %}",
    "two\nlines\r\nand\ta tab",
    "&lt;script&gt;",
    "\N{RIGHT-TO-LEFT OVERRIDE}txt.exe",
    "$\\frac{1}{0}$",
)


def renamed(value: Any, names: Mapping[str, str]) -> Any:
    """Return nested figures with every text replaced that has another name."""
    if isinstance(value, Mapping):
        return {names.get(key, key): renamed(inner, names) for key, inner in value.items()}
    if isinstance(value, list):
        return [renamed(inner, names) for inner in value]
    return names.get(value, value) if isinstance(value, str) else value


@pytest.mark.parametrize("harmful", HARMFUL, ids=repr)
def test_a_page_shows_what_was_made_to_harm_and_does_nothing_of_it(harmful: str) -> None:
    """Classes, paths, reasons and patients come from whoever made the raw folder."""
    texts = ("train/<x>.jpeg", "ends after 12 bytes", "<b>", "person<23>", "data/<raw>", "numbers in the file names")
    html = audit_page.audit_page(renamed(AUDIT, dict.fromkeys((*texts, CLASSES[1]), harmful)))
    safe_html = audit_page.audit_page(AUDIT)
    summary = {
        "splits": {name: renamed(split_figures(600, 0.8), {CLASSES[1]: harmful}) for name in ("train", "test")},
        "majority": {"train": 0.4, "test": 0.4},
        "gap": {},
    }
    facts: dict[str, dict[str, Any]] = {harmful: {harmful: harmful}, "Parameters": {"draws": 10}}
    other = evaluation_page(summary, classes=[CLASSES[0], harmful, CLASSES[2]], facts=facts)
    for shown, plain in ((html, safe_html), (other, evaluation("train", "test"))):
        found = read(shown)
        assert " ".join(harmful.split()) in " ".join(found.text.split())
        assert tags(shown) <= tags(plain)
        assert "<script" not in shown
        assert "onerror=alert(1)>" not in shown
        assert "49" not in found.text or "{{" in harmful


@pytest.mark.parametrize("name", ["clear", "items", "values", "get", "copy"])
def test_a_class_may_have_the_name_of_a_method_of_dicts_and_be_missing_in_a_split(name: str) -> None:
    """Templates would take the method for the figures of a class that a split lacks."""
    summary = renamed(AUDIT, {CLASSES[1]: name})
    assert name in summary["classes"]
    assert name not in summary["by_class"]["none"]
    assert "built-in method" not in words(audit_page.audit_page(summary))


def test_of_very_many_classes_there_are_tables_and_no_plots() -> None:
    """A raw folder with a class for each film is audited, and its page opens."""
    classes = [f"class {number}" for number in range(page.MOST_CLASSES + 1)]
    summary = {
        **AUDIT,
        "classes": classes,
        "shortcuts": {
            "features": {"train": {"height": dict.fromkeys(classes, TELL)}},
            "joint": {"traces": {"within": {"train": dict.fromkeys(classes, TELL)}, "transfer": {}, "drop": {}}},
            "sample": {"train": dict.fromkeys(classes, 2)},
        },
        "shift": {"by_class": dict.fromkeys(classes, AUDIT["shift"]["by_class"][CLASSES[1]])},
        "costs": {},
        "histograms": {"aspect": {"edges": [0.5, 1.0, 2.0], "counts": {"train": {name: [1, 2] for name in classes}}}},
        "films": [{"width": 9, "height": 9, "label": name} for name in classes],
    }
    found = read(audit_page.audit_page(summary))
    assert not found.drawings
    assert classes[-1] in found.text


def tags(html: str) -> set[tuple[str, str]]:
    """Return every tag of a page with the name of each of its attributes."""
    found: set[tuple[str, str]] = set()

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.update((tag, name) for name, _ in attrs)
            found.add((tag, ""))

    Tags().feed(html)
    return found


def test_equal_figures_give_equal_bytes() -> None:
    assert audit_page.audit_page(AUDIT) == audit_page.audit_page(AUDIT)
    assert evaluation("train", "test") == evaluation("train", "test")


def test_plots_take_the_colours_of_the_page() -> None:
    html = audit_page.audit_page(AUDIT)
    # sizes and aspects; in two widths: features of train (test has none), three classes by source, train against
    # test, marks
    assert len(read(html).drawings) == 2 + 2 * (1 + 3 + 1 + 1)
    assert "var(--ink)" in html
    assert "#010203" not in html


def test_the_audit_warns_of_patients_in_two_splits() -> None:
    assert "1 patient has films in more than one delivered split" in words(audit_page.audit_page(AUDIT))


def test_the_audits_page_begins_with_the_checks_that_are_over_their_limit() -> None:
    check = {"found": 2, "limit": 0, "told": "files that cannot be used", "section": "set_aside"}
    checks = [
        {**check, "name": "corrupt", "passed": False},
        {**check, "name": "quality", "passed": True},
        {**check, "name": "shift", "passed": False, "found": 1.0, "limit": 0.7},
    ]
    shown = words(audit_page.audit_page({**AUDIT, "checks": checks}))
    assert " Over their limits are corrupt and shift: see the checks." in shown
    assert "shift 1.00 0.70 over: files" in shown  # an AUC, and no count
    assert " Over its limit is shift: see" in words(audit_page.audit_page({**AUDIT, "checks": checks[1:]}))


@pytest.mark.parametrize("key", sorted(AUDIT))
@pytest.mark.parametrize("empty", [True, False])
def test_the_audit_page_does_without_any_figure(key: str, *, empty: bool) -> None:
    summary = {name: value for name, value in AUDIT.items() if name != key}
    if empty:
        summary[key] = type(AUDIT[key])()
    read(audit_page.audit_page({**summary, "films": summary.get("films", [])[:2]}))


def test_the_audit_page_does_without_all_figures() -> None:
    assert "Audit of the raw films" in words(audit_page.audit_page({}))


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (text.count(5232), "5,232"),
        (text.count(None), text.UNKNOWN),
        (text.number(0.9991, 3), "0.999"),
        (text.percent(0.70512), "70.5 %"),
        (text.percent(None), text.UNKNOWN),
        (text.percent_range(0.669, 0.74), "[66.9, 74.0]"),
        (text.percent_range(0.5, None), text.UNKNOWN),
        (text.points(0.0971), "+9.7"),
        (text.points(-0.0971), "-9.7"),
        (text.points(-0.00001), "0.0"),
        (text.points_range(-0.02, 0.13), "[-2.0, +13.0]"),
    ],
)
def test_numbers_are_shown_as_a_reader_meets_them(shown: str, expected: str) -> None:
    assert shown == expected


def test_columns_of_lines_stand_below_one_another() -> None:
    assert text.aligned([["split", "films"], ["train", "5,232"], ["t", "4"]]) == [
        "split  films",
        "train  5,232",
        "t          4",
    ]


# --- comparison --------------------------------------------------------------------------------------------------


def contrast(first: str, second: str, difference: float, p: float) -> dict[str, Any]:
    found = {"difference": difference, "low": difference - 0.02, "high": difference + 0.02}
    tests = dict.fromkeys(("permutation_p", "mcnemar_p", "holm_p"), p)
    recall = dict.fromkeys(CLASSES[:2], found)
    return {"first": first, "second": second, **found, **tests, "first_alone": 8, "second_alone": 41, "recall": recall}


def comparison(*contrasts: dict[str, Any], **more: Any) -> str:
    names = dict.fromkeys(name for one in contrasts for name in (one["first"], one["second"]))
    summary = {
        "split": "val",
        "films": 790,
        "classes": CLASSES,
        "models": {name: split_figures(790, 0.8) for name in names},
        "contrasts": list(contrasts),
        "films_not_in_common": dict.fromkeys(names, 0),
        "leaking": [],
        **more,
    }
    return comparison_page.comparison_page(summary, facts={"Parameters": {"draws": 10_000}})


def test_a_comparison_of_two_tells_their_difference_first() -> None:
    told = words(comparison(contrast("a", "<i>b</i>", 0.042, 0.00001)))
    assert "<i>b</i> names the right class for 80.0" in told
    assert "a difference of +4.2 points [+2.2, +6.2], p < 0.0001." in told
    assert "41 : 8" in told
    assert "Holm's correction of" not in told
    assert "Left out" not in told


def test_a_comparison_of_many_tells_how_many_differences_are_more_than_chance() -> None:
    html = comparison(
        contrast("a", "b", -0.2, 0.001),
        contrast("a", "c", 0.01, 0.4),
        contrast("b", "c", 0.03, 0.06),
        films_not_in_common={"a": 3, "b": 0, "c": 1200},
        leaking=["c"],
        test_peeks=7,
    )
    told = words(html)
    assert "1 of 3 differences is more than the chance" in told
    assert "among all 3 differences" in told
    assert "Left out: 3 of a, 1,200 of c." in told
    assert "The split of c leaks." in told
    assert "scored 7 times under this root" in told
    assert len(read(html).drawings) == 2  # one plot, in two widths


@pytest.mark.parametrize(
    ("p", "told"), [(1.0, "1.000"), (0.0214, "0.0214"), (0.432, "0.432"), (0.00009, "< 0.0001"), (None, text.UNKNOWN)]
)
def test_p_values_are_told_to_three_digits(p: float | None, told: str) -> None:
    assert text.p_value(p) == told
