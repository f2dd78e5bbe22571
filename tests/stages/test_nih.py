"""NIH ChestX-ray14: labels, patients and splits from its own CSV and lists."""

from __future__ import annotations

from pathlib import Path
from shutil import copy

import pytest

from manifests import store
from manifests.rows import AUDITED
from stages import audit, nih, paths
from stages.contract import Machine, StageError
from stages.films.identity import group_of
from stages.labels import LabelSource
from stages.nih import NihLabels

HEAD = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender"
FILMS = ("1_0.png,No Finding,0,1,57,M", "1_1.png,Pneumonia,1,1,58,M", "2_0.png,Effusion|Pneumonia,0,2,61,F",
         "3_0.png,Effusion,0,3,61,F")  # fmt: skip


def _csv(folder: Path, *lines: str, name: str = "Data_Entry_2017.csv", head: str = HEAD) -> Path:
    (folder / name).write_text("\n".join([head, *(lines or FILMS)]) + "\n")
    return folder / name


def _labels(raw: Path, source: LabelSource = "auto", *, finding: str = "", key: bytes = b"") -> NihLabels | None:
    return nih.labels(source, [], raw, labels_csv="labels.csv", finding=finding, key=key)


def _found(raw: Path, *, finding: str = "", key: bytes = b"") -> NihLabels:
    labels = _labels(raw, finding=finding, key=key)
    assert labels is not None
    return labels


def test_a_finding_is_a_class_and_several_are_none(tmp_path: Path) -> None:
    _csv(tmp_path)
    labels = _found(tmp_path)
    assert labels.name("images_001/images/1_0.png").label == "No Finding"
    assert labels.name("3_0.png").label == "Effusion"
    several = labels.name("2_0.png")
    assert (several.label, several.status) == (None, "unlabelled")
    assert "found 2 findings (Effusion, Pneumonia)" in str(several.reason)
    assert "finding" in labels.reason


def test_one_finding_that_is_asked_for_makes_three_classes(tmp_path: Path) -> None:
    _csv(tmp_path)
    labels = _found(tmp_path, finding="Pneumonia")
    shown = {name: labels.name(name).label for name in ("1_0.png", "1_1.png", "2_0.png", "3_0.png")}
    assert list(shown.values()) == ["No Finding", "Pneumonia", "Pneumonia", "other finding"]
    with pytest.raises(StageError, match=r"no film has the finding 'Pneumonitis'; found Effusion, No Finding, Pneum"):
        _found(tmp_path, finding="Pneumonitis")


def test_films_of_a_patient_are_a_group_that_names_nobody(tmp_path: Path) -> None:
    _csv(tmp_path)
    labels = _found(tmp_path, key=b"key")
    groups = [labels.name(name).group for name in ("1_0.png", "1_1.png", "2_0.png")]
    assert groups[0] == groups[1] == group_of("1", key=b"key")
    assert groups[2] != groups[0]
    assert "keyed hash" in labels.group_reason
    assert "unkeyed" in _found(tmp_path).group_reason


def test_the_lists_beside_give_the_splits_and_folders_where_they_are_silent(tmp_path: Path) -> None:
    _csv(tmp_path)
    (tmp_path / "train_val_list.txt").write_text("1_0.png\n1_1.png\n")
    (tmp_path / "test_list.txt").write_text("2_0.png\r\n")
    labels = _found(tmp_path)
    splits = [labels.name(path).delivered_split for path in ("test/1_0.png", "1_1.png", "2_0.png", "val/3_0.png")]
    assert splits == ["train", "train", "test", "val"]
    assert set(labels.beside) == {"Data_Entry_2017.csv", "train_val_list.txt", "test_list.txt"}


def test_what_lies_beside_the_films_in_a_folder_of_its_own_is_no_film_either(tmp_path: Path) -> None:
    (tmp_path / "meta").mkdir()
    _csv(tmp_path / "meta")
    (tmp_path / "meta/test_list.txt").write_text("2_0.png\n")
    labels = nih.labels("nih", [], tmp_path, labels_csv="meta/Data_Entry_2017.csv", finding="", key=b"")
    assert labels is not None
    assert labels.name("images/2_0.png").delivered_split == "test"
    assert set(labels.beside) == {"meta/Data_Entry_2017.csv", "meta/test_list.txt"}


def test_a_film_that_is_not_listed_is_unlabelled(tmp_path: Path) -> None:
    _csv(tmp_path)
    assert _found(tmp_path).name("9_9.png").status == "unlabelled"


@pytest.mark.parametrize("name", ["Data_Entry_2017.csv", "Data_Entry_2017_v2020.csv", "Data_Entry_2017_subset.csv"])
def test_nihs_csv_is_found_by_its_name_and_its_columns(tmp_path: Path, name: str) -> None:
    _csv(tmp_path, name=name)
    assert _found(tmp_path).reason.startswith(f"the CSV {name} (NIH): 0 of its 4 films are here")


def test_a_labels_csv_of_nihs_columns_is_nihs_and_any_other_goes_first(tmp_path: Path) -> None:
    _csv(tmp_path, name="labels.csv")
    assert _labels(tmp_path, "csv") is not None
    (tmp_path / "labels.csv").write_text("path,label\n1_0.png,ill\n")
    _csv(tmp_path)
    assert _labels(tmp_path, "auto") is None
    assert _labels(tmp_path, "nih") is not None
    assert _labels(tmp_path, "folder") is None


def test_what_is_asked_for_and_not_there_says_what_was_expected(tmp_path: Path) -> None:
    _csv(tmp_path, head="Image Index,Label")
    with pytest.raises(StageError, match=r"found no CSV with the columns 'Image Index' and 'Finding Labels'"):
        _labels(tmp_path, "nih")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (",Effusion,0,1,1,M", "line 2 has no Image Index"),
        ("1.png,,0,1,1,M", "line 2 has no Finding Labels"),
        ("1.png,Effusion,0,1,1,M\n1.png,Mass,0,1,1,M", "line 3 names a film a second time"),
        ("1.png,Eff\x1busion,0,1,1,M", "line 2 has a finding that holds a control character"),
    ],
)
def test_a_line_that_cannot_be_used_says_where_and_not_whose(tmp_path: Path, line: str, says: str) -> None:
    _csv(tmp_path, line)
    with pytest.raises(StageError, match=says):
        _found(tmp_path)


def test_a_csv_that_is_none_is_not_nihs(tmp_path: Path) -> None:
    (tmp_path / "Data_Entry_2017.csv").write_bytes(b"\xff\xfe\0\0" * 9)
    assert not nih.has_form(tmp_path / "Data_Entry_2017.csv")
    (tmp_path / "Data_Entry_2017_folder.csv").mkdir()
    assert _labels(tmp_path) is None


@pytest.mark.real
def test_real_nih_films_are_audited_by_their_own_csv(tmp_path: Path, machine: Machine, real_films: Path) -> None:
    for number, path in enumerate(sorted((real_films / "other-cxr" / "nih-png").iterdir())):
        folder = tmp_path / "data/raw" / ("" if path.suffix == ".csv" else f"images_{number:03d}/images")
        folder.mkdir(parents=True, exist_ok=True)
        copy(path, folder)
    audit.run(audit.AuditParams(), tmp_path, machine)
    rows = store.read(AUDITED, tmp_path / paths.AUDIT)
    assert len(rows) == 8
    assert all(str(row.group_id).startswith("id/") for row in rows)
    assert {row.label for row in rows if row.status == "ok"} >= {"No Finding", "Pleural_Thickening"}
    assert store.read_footer(tmp_path / paths.AUDIT).facts["label_source"] == "nih"
