"""Folders of images: names that every file system takes, keys of shards, and what publishing leaves behind."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests.rows import SplitRow
from stages.folder import image_path, key_of, label_folder, safe
from stages.normalize import NormalizeParams


def film(**told: Any) -> SplitRow:
    known: dict[str, Any] = {
        "film_id": hashlib.sha256(b"film").hexdigest(),
        "path": "train/NORMAL/IM-0001-0001.jpeg",
        "label": "normal",
        "label_index": 0,
        "group_id": "normal/IM/1",
        "split": "train",
        "status": "ok",
        "reason": None,
        "delivered_split": "train",
    }
    return SplitRow(**{**known, **told})


def test_an_image_lies_in_split_and_label_under_a_name_that_tells_its_film() -> None:
    digest = hashlib.sha256(b"film").hexdigest()[:12]
    assert image_path(film(), "IM-0001-0001", ".pgm") == f"train/normal/IM-0001-0001-{digest}.pgm"


@given(st.text(max_size=300))
def test_a_safe_name_is_one_part_of_a_path_on_every_file_system(name: str) -> None:
    cleaned = safe(name)
    assert cleaned
    assert cleaned not in {".", ".."}
    assert not re.search(r'[\x00-\x1f/\\:*?"<>| ]', cleaned)
    assert len(cleaned.encode()) <= 200  # with hash, copy and the suffix of an unfinished file: at most 255


@given(st.text(max_size=40), st.text(max_size=40))
def test_two_labels_never_share_a_folder(one: str, other: str) -> None:
    assert (label_folder(one) == label_folder(other)) is (one == other)


@pytest.mark.parametrize(
    ("one", "other"), [("a b", "a_b"), ("a/b", "a_b"), ("肺炎", "正常"), (".a", "a"), ("a.", "a"), ("", "_")]
)
def test_labels_that_differ_in_unsafe_characters_keep_folders_of_their_own(one: str, other: str) -> None:
    assert label_folder(one) != label_folder(other)


def test_plain_labels_name_their_folders() -> None:
    assert [label_folder(name) for name in ("normal", "NORMAL", "type-2", "v1.5")] == [
        "normal",
        "NORMAL",
        "type-2",
        "v1.5",
    ]


@pytest.mark.parametrize(
    "change",
    [{"film_id": "0" * 64}, {"label": "viral"}, {"label_index": 2}, {"group_id": "x"}, {"split": "val"}, {"path": "x"}],
)
def test_whatever_a_shard_holds_of_a_film_is_in_its_key(change: dict[str, Any]) -> None:
    params = NormalizeParams()
    assert key_of(params, [film(**change)]) != key_of(params, [film()])


@pytest.mark.parametrize("change", [{"policy": "crop"}, {"height": 255}, {"encoding": "png"}, {"layout": "folder"}])
def test_every_parameter_is_in_the_key_of_a_shard(change: dict[str, Any]) -> None:
    assert key_of(NormalizeParams(**change), [film()]) != key_of(NormalizeParams(), [film()])


def test_the_versions_of_the_codecs_are_in_the_key_of_a_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key_of(NormalizeParams(), [film()])
    monkeypatch.setattr("stages.folder.codec_versions", lambda: {"pillow": "another"})
    assert key_of(NormalizeParams(), [film()]) != before
