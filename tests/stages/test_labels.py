"""Labels: what a film shows, whose it is and where it came in, from names, folders or a CSV."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from stages.contract import StageError
from stages.films.identity import group_of
from stages.labels import (
    CsvLabels,
    FolderLabels,
    KermanyLabels,
    choose,
    kermany_name,
    matched_group,
    read_csv,
)
from stages.labels_csv import CsvNames
from stages.named import delivered_split

KERMANY = KermanyLabels("for the test")


def folder_labels(pattern: str = "") -> FolderLabels:
    return FolderLabels("for the test", re.compile(pattern) if pattern else None)


def csv_labels(folder: Path, text: str, pattern: str = "", *, encoding: str = "utf-8") -> CsvLabels:
    (folder / "labels.csv").write_text(text, encoding=encoding)
    return read_csv(folder / "labels.csv", re.compile(pattern) if pattern else None)


@pytest.mark.parametrize(
    ("name", "label", "group"),
    [
        ("person12_bacteria_46.jpeg", "bacterial", "bacterial/person/12"),
        ("person12_virus_30.jpeg", "viral", "viral/person/12"),
        ("IM-0115-0001.jpeg", "normal", "normal/IM/115"),
        ("NORMAL2-IM-0588-0001.jpeg", "normal", "normal/NORMAL2-IM/588"),
        ("NORMAL2-IM-0588-0001-0002.jpeg", "normal", "normal/NORMAL2-IM/588"),
        ("NORMAL-28501-0001.jpeg", "normal", "normal/NORMAL/28501"),
        ("BACTERIA-7422-0001.jpeg", "bacterial", "bacterial/BACTERIA/7422"),
        ("VIRUS-9815-0001.jpeg", "viral", "viral/VIRUS/9815"),
        ("person1_bacteria_1__869635d4.jpg", "bacterial", "bacterial/person/1"),
    ],
)
def test_kermany_names_tell_class_and_patient(name: str, label: str, group: str) -> None:
    assert kermany_name(f"any/folder/{name}") == (label, group)


@pytest.mark.parametrize(
    "name",
    [
        "._IM-0115-0001.jpeg",
        "._person12_virus_30.jpeg",
        "xperson12_virus_30.jpeg",
        "person_virus_30.jpeg",
        "person12_fungus_30.jpeg",
        "person12_virus.jpeg",
        "IM-0115.jpeg",
        "NORMAL2-0588-0001.jpeg",
        "00000001_000.png",
    ],
)
def test_other_names_tell_nothing(name: str) -> None:
    assert kermany_name(name) is None


def test_the_same_number_in_another_class_or_series_is_another_patient() -> None:
    names = ("person7_bacteria_1", "person7_virus_1", "IM-0007-0001", "NORMAL2-IM-0007-0001", "BACTERIA-7-0001")
    groups = {found[1] for name in names if (found := kermany_name(f"{name}.jpeg")) is not None}
    assert len(groups) == len(names)


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("train/NORMAL/x.jpeg", "train"),
        ("TEST/NORMAL/x.jpeg", "test"),
        ("val/NORMAL/x.jpeg", "val"),
        ("validation/a/x.png", "val"),
        ("Valid/a/x.png", "val"),
        ("training/a/x.png", "train"),
        ("testing/a/x.png", "test"),
        ("chest_xray/train/NORMAL/x.jpeg", "train"),
        ("chest_xray/chest_xray/test/NORMAL/x.jpeg", "test"),
        ("train/test/x.jpeg", "train"),
        ("a/test.jpeg", None),
        ("test", None),
        ("tests/a/x.png", None),
        ("latest/a/x.png", None),
    ],
)
def test_the_outermost_split_folder_tells_the_delivered_split(path: str, split: str | None) -> None:
    assert delivered_split(path) == split


@pytest.mark.parametrize(
    ("path", "says", "folder"),
    [
        ("train/NORMAL/person1_virus_2.jpeg", "viral", "NORMAL"),
        ("train/normal/person1_bacteria_2.jpeg", "bacterial", "normal"),
        ("train/PNEUMONIA/IM-0001-0001.jpeg", "normal", "PNEUMONIA"),
    ],
)
def test_a_folder_that_contradicts_the_name_is_a_conflict(path: str, says: str, folder: str) -> None:
    named = KERMANY.name(path)
    assert named.status == "label_conflict"
    assert named.reason == f"the name says {says}, the folder {folder}"


@pytest.mark.parametrize(
    "path",
    [
        "train/NORMAL/IM-0001-0001.jpeg",
        "train/PNEUMONIA/person1_virus_2.jpeg",
        "train/PNEUMONIA/person1_bacteria_2.jpeg",
        "VIRUS/person1_virus_2.jpeg",
        "person1_virus_2.jpeg",
    ],
)
def test_a_folder_that_agrees_or_says_nothing_is_no_conflict(path: str) -> None:
    assert KERMANY.name(path).status == "ok"


def test_a_file_without_a_kermany_name_is_unlabelled_and_keeps_its_split() -> None:
    named = KERMANY.name("chest_xray/test/NORMAL/scan.jpeg")
    assert (named.label, named.group, named.delivered_split, named.status) == (None, None, "test", "unlabelled")
    assert "person1_bacteria_2" in str(named.reason)


@pytest.mark.parametrize(
    ("path", "label", "split"),
    [
        ("train/cat/x.png", "cat", "train"),
        ("cat/x.png", "cat", None),
        ("cat/deep/er/x.png", "cat", None),
        ("set/Test/cat/deep/x.png", "cat", "test"),
        ("cat/train.png", "cat", None),
    ],
)
def test_the_folder_after_the_split_or_else_the_first_is_the_class(path: str, label: str, split: str | None) -> None:
    named = folder_labels().name(path)
    assert (named.label, named.delivered_split, named.status, named.group) == (label, split, "ok", None)


@pytest.mark.parametrize("path", ["x.png", "train/x.png", "set/train/x.png"])
def test_a_file_outside_all_class_folders_is_unlabelled(path: str) -> None:
    named = folder_labels().name(path)
    assert (named.label, named.status) == (None, "unlabelled")
    assert "no folder" in str(named.reason)


@pytest.mark.parametrize(
    ("pattern", "group"),
    [
        (r"patient\d+", "patient12"),
        (r"patient(\d+)", "12"),
        (r"(site\w)/patient(\d+)", "siteA/12"),
        (r"patient(\d+)(_left)?", "12/"),
        (r"nobody(\d+)", None),
        (r"x*", None),
        (r"(nobody\d+)?", None),
        (r"(nobody)?(\d{9})?", None),
        (r"(?P<patient>nobody\d+)?", None),
    ],
)
def test_a_group_pattern_finds_the_patient_by_its_capturing_groups(pattern: str, group: str | None) -> None:
    assert folder_labels(pattern).name("ill/siteA/patient12_3.png").group == group


def test_a_group_pattern_joins_films_of_two_classes() -> None:
    labels = folder_labels(r"p(\d+)")
    assert labels.name("ill/p7_1.png").group == labels.name("well/p7_2.png").group == "7"


def test_the_summary_says_what_makes_a_patient() -> None:
    assert "every film counts as a patient" in folder_labels().group_reason
    assert r"p(\d+)" in folder_labels(r"p(\d+)").group_reason
    assert "numbers restart per class" in KERMANY.group_reason


def test_a_csv_gives_label_group_and_split(tmp_path: Path) -> None:
    labels = csv_labels(tmp_path, "path,label,group,split\na/x.png,ill,p1,Test\nb/y.png,well,p2,valid\n")
    assert labels.name("a/x.png").label == "ill"
    assert labels.name("a/x.png").group == "p1"
    assert labels.name("a/x.png").delivered_split == "test"
    assert labels.name("b/y.png").delivered_split == "val"
    assert labels.listed == ("a/x.png", "b/y.png")
    assert labels.reason == "the CSV labels.csv: 2 rows"
    assert labels.group_reason == "the CSV's column 'group'"


def test_a_csv_of_other_names_is_read_by_them_and_its_patients_are_hashed(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(
        "file,Finding,label,Patient ID\na.png,ill,no,P 1\nb.png,well,no,p 1\nc.png,well,no,0\n"
    )
    called = CsvNames({"path": "file", "label": "Finding", "group": "Patient ID"}, key=b"key")
    labels = read_csv(tmp_path / "labels.csv", None, called)
    assert [labels.name(f"{name}.png").label for name in "abc"] == ["ill", "well", "well"]
    groups = [labels.name(f"{name}.png").group for name in "abc"]
    assert groups == [group_of("P 1", key=b"key"), group_of("P 1", key=b"key"), None]
    assert labels.group_reason == "the CSV's column 'Patient ID', keyed hash"
    with pytest.raises(StageError, match=r"has the columns \['file', .*; expected Patient as well"):
        read_csv(tmp_path / "labels.csv", None, CsvNames({"group": "Patient"}))
    with pytest.raises(StageError, match=r"csv_columns takes one column for two \({'path': 'file', 'label': 'file'}\)"):
        read_csv(tmp_path / "labels.csv", None, CsvNames({"path": "file", "label": "file"}))


def test_gaps_of_a_csv_are_filled_from_folders_and_pattern(tmp_path: Path) -> None:
    text = "path,label,group,split\ntrain/p1_a.png,ill,,\ntrain/p2_a.png,ill,mrs x,test\n"
    labels = csv_labels(tmp_path, text, r"p(\d+)")
    assert (labels.name("train/p1_a.png").group, labels.name("train/p1_a.png").delivered_split) == ("1", "train")
    assert (labels.name("train/p2_a.png").group, labels.name("train/p2_a.png").delivered_split) == ("mrs x", "test")


def test_a_csv_of_two_columns_takes_splits_from_folders_and_groups_from_the_pattern(tmp_path: Path) -> None:
    labels = csv_labels(tmp_path, "path,label\ntest/p1.png,ill\n", r"p(\d+)")
    named = labels.name("test/p1.png")
    assert (named.label, named.group, named.delivered_split) == ("ill", "1", "test")
    assert r"p(\d+)" in labels.group_reason


def test_a_csv_may_begin_with_a_byte_order_mark_end_lines_as_windows_does_and_hold_more(tmp_path: Path) -> None:
    text = 'path,label,age\r\n"a, b/ü x.png", ill ,41\r\nc\\d.png,well,12\r\n\r\n'
    (tmp_path / "labels.csv").write_bytes(text.encode("utf-8-sig"))
    labels = read_csv(tmp_path / "labels.csv", None)
    assert labels.name("a, b/ü x.png").label == "ill"
    assert labels.name("c/d.png").label == "well"


def test_a_file_that_the_csv_does_not_list_is_unlabelled(tmp_path: Path) -> None:
    named = csv_labels(tmp_path, "path,label\na.png,ill\n").name("train/ill/b.png")
    assert (named.label, named.status, named.delivered_split) == (None, "unlabelled", "train")
    assert "does not list" in str(named.reason)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("file,label\na.png,ill\n", r"has the columns \['file', 'label'\]; expected path,label"),
        ("path\na.png\n", r"has the columns \['path'\]"),
        ("path,label,label\na.png,ill,well\n", "has more than one column 'label'; expected one"),
        ("", r"has the columns \[\]"),
        ("path,label\na.png,ill\nb.png,ill\n./a.png,well\n", r"line 4 names 'a.png' a second time"),
        ("path,label\nd/a.png,ill\nd\\a.png,ill\n", r"line 3 names 'd/a.png' a second time"),
        ("path,label\na.png,\n", "line 2 has no label"),
        ("path,label\na.png\n", "line 2 has no label"),
        ("label,path\nill\n", "line 2 has no path"),
        ("path,label\n ,ill\n", "line 2 has no path"),
        ("path,label,split\na.png,ill,dev\n", "line 2 has the split 'dev'; expected one of train"),
        ("path,label\na\0b.png,ill\n", r"line 2 names 'a\\x00b.png'; expected a path under the raw folder"),
        ("path,label\na.png,i\0ll\n", "line 2 has a label that holds a control character"),
        ('path,label\na.png,"i\nll"\n', "line 3 has a label that holds a control character"),
        ("path,label,group\na.png,ill,\x1b[2J\n", "line 2 has a group that holds a control character"),
        (f"path,label\na.png,{'i' * 256}\n", "line 2 has a label that has 256 letters; expected at most 255"),
        (f"path,label\na.png,{'i' * 1_000_000}\n", "cannot be read as CSV"),
        (f"{'x' * 100_000}\na.png\n", "has the columns"),
    ],
)
def test_a_csv_that_cannot_be_used_says_where_and_why(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(StageError, match=says) as caught:
        csv_labels(tmp_path, text)
    assert str(tmp_path / "labels.csv") in str(caught.value)


@pytest.mark.parametrize("outside", ["/etc/hostname", "../x.png", "a/../../x.png"])
def test_a_csv_names_no_file_outside_the_raw_folder(tmp_path: Path, outside: str) -> None:
    with pytest.raises(StageError, match=r"line 2 names .*; expected a path under the raw folder"):
        csv_labels(tmp_path, f"path,label\n{outside},ill\n")


def test_a_csv_that_is_missing_or_in_another_encoding_says_so(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"labels\.csv: cannot be read as CSV"):
        read_csv(tmp_path / "labels.csv", None)
    with pytest.raises(StageError, match="cannot be read as CSV"):
        csv_labels(tmp_path, "path,label\nä.png,ill\n", encoding="utf-16")


def test_a_csv_that_is_no_file_or_has_gigabytes_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(StageError, match=r"pipe\.csv: is no plain file"):
        read_csv(tmp_path / "pipe.csv", None)
    with (tmp_path / "vast.csv").open("wb") as file:
        file.truncate(10_000_000_000)
    with pytest.raises(StageError, match=r"vast\.csv: has 10,000,000,000 bytes; expected at most 100,000,000"):
        read_csv(tmp_path / "vast.csv", None)


def test_what_begins_as_a_formula_or_holds_markup_is_a_name_like_any_other(tmp_path: Path) -> None:
    labels = csv_labels(tmp_path, "path,label\na.png,=1+1\nb.png,<script>alert(1)</script>\n")
    assert labels.name("a.png").label == "=1+1"
    assert labels.name("b.png").label == "<script>alert(1)</script>"


def test_a_folder_whose_name_holds_control_characters_is_no_class() -> None:
    named = FolderLabels("folder names", None).name("train/il\nl/a.png")
    assert (named.label, named.status) == (None, "unlabelled")
    assert "control character" in str(named.reason)


def chosen(raw: Path, *paths: str, source: str = "auto") -> tuple[str, str]:
    labels = choose(source, paths, raw, labels_csv="labels.csv", group_pattern="")  # type: ignore[arg-type]
    return labels.source, labels.reason


def test_auto_takes_the_csv_where_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("path,label\nIM-0001-0001.jpeg,ill\n")
    assert chosen(tmp_path, "IM-0001-0001.jpeg") == ("csv", "the CSV labels.csv: 1 rows")


def test_the_labels_csv_is_no_film_however_it_is_called(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("path,label\nIM-0001-0001.jpeg,ill\n")
    labels = choose("csv", [], tmp_path, labels_csv="./labels.csv", group_pattern="")
    assert labels.beside == ("labels.csv",)


def test_auto_takes_kermany_from_half_of_the_names_on_and_folders_below(tmp_path: Path) -> None:
    good, odd = "train/NORMAL/IM-0001-0001.jpeg", "train/NORMAL/scan.jpeg"
    assert chosen(tmp_path, good, odd) == ("kermany", "file names (kermany): 1 of 2 have Kermany's form")
    assert chosen(tmp_path, good, odd, odd) == ("folder", "folder names: 1 of 3 names have Kermany's form")


def test_what_a_mac_leaves_beside_each_film_does_not_outvote_the_films(tmp_path: Path) -> None:
    films = [f"chest_xray/train/NORMAL/IM-{number:04d}-0001.jpeg" for number in range(20)]
    junk = [f"__MACOSX/chest_xray/train/NORMAL/._IM-{number:04d}-0001.jpeg" for number in range(20)]
    assert chosen(tmp_path, *films, *junk, "chest_xray/.DS_Store", "chest_xray/train/.DS_Store")[0] == "kermany"


def test_a_source_that_is_asked_for_is_taken_whatever_the_names_say(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("path,label\nIM-0001-0001.jpeg,ill\n")
    for source in ("kermany", "folder"):
        taken, reason = chosen(tmp_path, "IM-0001-0001.jpeg", "a/x.png", "b/y.png", source=source)
        assert taken == source
        assert "as asked for" in reason
    with pytest.raises(StageError, match="cannot be read as CSV"):
        chosen(tmp_path / "elsewhere", "x.png", source="csv")


def test_a_group_pattern_overrides_kermanys_rule_and_leaves_alone_what_it_does_not_match() -> None:
    paths = ["train/PNEUMONIA/person12_bacteria_46.jpeg", "train/PNEUMONIA/person12_virus_30.jpeg", "IM-0001-0001.jpeg"]
    for source in ("auto", "kermany"):
        labels = choose(source, paths, Path(), labels_csv="labels.csv", group_pattern=r"person(\d+)")
        named = [labels.name(path) for path in paths]
        assert [one.label for one in named] == ["bacterial", "viral", "normal"]
        assert [one.group for one in named] == ["12", "12", None]
        assert labels.group_reason == r"the path's match of person(\d+)"
    assert (
        choose("kermany", paths, Path(), labels_csv="", group_pattern="").name(paths[0]).group == "bacterial/person/12"
    )


def test_of_a_pattern_with_named_groups_these_alone_make_the_patient() -> None:
    pattern = re.compile(r"(a|b)_(?P<site>\w+?)-(?P<patient>\d+)(_\d)?")
    assert matched_group(pattern, "x/a_north-07_2.png") == "north/07"
    assert matched_group(pattern, "x/c.png") is None


def test_a_csvs_groups_come_before_the_pattern_which_fills_its_gaps(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("path,label,group\np1.png,ill,own\np2.png,ill,\n")
    labels = choose("csv", [], tmp_path, labels_csv="labels.csv", group_pattern=r"p\d")
    assert [labels.name(path).group for path in ("p1.png", "p2.png")] == ["own", "p2"]
    assert labels.group_reason == r"the CSV's column 'group'; where it is empty, the path's match of p\d"
