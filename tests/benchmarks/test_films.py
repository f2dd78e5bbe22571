"""The benchmark's films: as many as asked for, no two alike in bytes, all alike in pixels, named as Kermany's."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks import films
from stages.films import decode
from stages.films.frame import Gray
from stages.labels import kermany_name


@pytest.fixture
def jpeg(film: Gray) -> bytes:
    return cv2.imencode(".jpg", film)[1].tobytes()


def test_a_comment_changes_the_hash_and_no_pixel(jpeg: bytes) -> None:
    repeated = [films.with_comment(jpeg, f"repeat {number}") for number in range(3)]
    assert len({hashlib.sha256(data).hexdigest() for data in (jpeg, *repeated)}) == 4
    header, image = decode.decode(jpeg)
    for data in repeated:
        again, pixels = decode.decode(data)
        assert again == header
        assert np.array_equal(np.asarray(pixels), np.asarray(image))


def test_a_file_that_is_no_jpeg_is_refused() -> None:
    with pytest.raises(ValueError, match=r"50 35.*expected a JPEG"):
        films.with_comment(b"P5\n1 1\n255\n\0", "repeat 0")


@pytest.mark.parametrize(
    "name",
    [
        "person1_bacteria_2.jpeg",
        "person1951_virus_4158.jpeg",
        "IM-0115-0001.jpeg",
        "NORMAL2-IM-1094-0001-0001.jpeg",
        "BACTERIA-1008087-0001.jpeg",
        "VIRUS-1001287-0003.jpeg",
    ],
)
def test_repeats_keep_the_class_and_are_patients_of_their_own(name: str) -> None:
    named = [kermany_name(f"train/X/{films.renamed(name, repeat)}") for repeat in range(20)]
    assert named[0] == kermany_name(name)
    labels = {found[0] for found in named if found}
    groups = {found[1] for found in named if found}
    assert len(labels) == 1
    assert len(groups) == 20


def test_a_name_of_another_form_is_refused() -> None:
    with pytest.raises(ValueError, match="Kermany"):
        films.renamed("scan.jpeg", 1)


def test_the_set_has_the_size_asked_for_and_is_built_once(
    jpeg: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "kermany-raw" / "train"
    for name in ("NORMAL/IM-0001-0001.jpeg", "PNEUMONIA/person1_virus_1.jpeg", "PNEUMONIA/person2_bacteria_1.jpeg"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(jpeg)
    monkeypatch.setenv("CXR_REAL_FILMS", str(tmp_path))
    raw = films.build(tmp_path / "work", 8)
    written = sorted(path for path in raw.rglob("*") if path.is_file())
    assert len(written) == 8
    assert len({kermany_name(path.name) for path in written}) == 8
    times = [path.stat().st_mtime_ns for path in written]
    assert films.build(tmp_path / "work", 8) == raw
    assert [path.stat().st_mtime_ns for path in written] == times


def test_names_of_the_real_films_repeat_without_a_clash(real_films: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXR_REAL_FILMS", str(real_films))
    sources = films.training_films()
    names = [films.renamed(source.name, repeat) for source, repeat in films.repeats(sources, 4 * len(sources))]
    assert len(set(names)) == 4 * len(sources)
    assert len({kermany_name(name) for name in names}) == 4 * len({kermany_name(source.name) for source in sources})
