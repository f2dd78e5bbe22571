"""How images are dealt to files, and the bytes of a tar."""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests.rows import SPLITS
from stages.contract import Machine
from stages.exporting import tars
from stages.exporting.dealing import dealt
from tests.stages.exporting.made import export


@given(
    images=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 10**6), st.integers(0, 5)), max_size=60),
    file_bytes=st.integers(1, 10**7),
    files=st.integers(0, 9),
)
def test_every_image_goes_to_one_file_of_its_split_and_no_file_has_two_more_than_another(
    images: list[tuple[int, int, int]], file_bytes: int, files: int
) -> None:
    splits = np.array([split for split, _, _ in images], np.uint8)
    sizes = np.array([size for _, size, _ in images], np.int64)
    keys = np.array([key for _, _, key in images], np.uint64)
    plan = dealt(splits, sizes, keys, file_bytes=file_bytes, files=files)
    assert sorted(np.concatenate([np.empty(0, int), *(each.images for each in plan)]).tolist()) == [*range(len(images))]
    for of_split in plan:
        assert {SPLITS[splits[image]] for image in of_split.images} == {of_split.split}
        assert of_split.counts.max() - of_split.counts.min() <= 1
        assert of_split.counts.min() >= 1
        assert np.concatenate([*of_split.files()]).tolist() == of_split.images.tolist()
        assert [*keys[of_split.images]] == sorted(keys[of_split.images])
        if files:
            assert len(of_split) == min(files, len(of_split.images))
        elif len(of_split) > 1:
            assert sizes[of_split.images].sum() > (len(of_split) - 1) * file_bytes


@given(name=st.text("abcdefghij0123456789-._", min_size=1, max_size=100), data=st.binary(max_size=1500))
def test_a_member_of_a_tar_is_byte_for_byte_what_pythons_tarfile_writes(name: str, data: bytes) -> None:
    told = tarfile.TarInfo(name)
    told.size = len(data)
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        tar.addfile(told, io.BytesIO(data))
    ours = tars.member(name, data)
    assert len(ours) == tars.members_size([len(data)])
    assert ours.ljust(tars.archive_size(len(ours)), b"\0") == file.getvalue()


def test_the_tars_mix_classes_and_patients_and_tell_nothing_of_who_wrote_them(
    roots: dict[str, Path], machine: Machine, tmp_path: Path
) -> None:
    out, _ = export(roots["shards"], machine, to="webdataset", split="train", files=3, out=str(tmp_path / "out"))
    films_of_tars = []
    for path in sorted(out.glob("*.tar")):
        with tarfile.open(path) as tar:
            members = tar.getmembers()
            assert {(each.mtime, each.uid, each.gid, each.uname, each.mode) for each in members} == {
                (0, 0, 0, "", 0o644)
            }
            rows = [json.load(tar.extractfile(each)) for each in members if each.name.endswith(".json")]  # type: ignore[arg-type]
        names = [each.name.split(".") for each in members]
        assert all(len(name) == 2 and re.fullmatch(r"[0-9a-f]{64}-\d{4}", name[0]) for name in names)
        assert [ending for _, ending in names[:3]] == ["jpg", "cls", "json"]
        assert {row["label"] for row in rows} == {"normal", "bacterial", "viral"}
        assert all("unfilled" in row and "angle_deg" in row for row in rows)
        films_of_tars.append([row["film_id"] for row in rows])
    # of 23 films' three images, those of one film seldom follow one another, and few films lie in one tar alone
    follow = sum(one == other for films in films_of_tars for one, other in pairwise(films))
    assert follow <= 6
    alone = Counter(film for films in films_of_tars for film in set(films))
    assert sum(number == 1 for number in alone.values()) <= len(alone) // 3


def test_another_seed_shuffles_otherwise_and_the_same_one_alike(
    roots: dict[str, Path], machine: Machine, tmp_path: Path
) -> None:
    orders = []
    for number, seed in enumerate((0, 0, 1)):
        out, _ = export(roots["shards"], machine, to="webdataset", seed=seed, out=str(tmp_path / str(number)))
        with tarfile.open(out / "train-000000.tar") as tar:
            orders.append(tar.getnames())
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(orders[2])


@pytest.mark.parametrize("size", [0, 1, 511, 512, 8 * 1024**3 - 1])
def test_a_header_says_any_size_that_fits(size: int) -> None:
    assert tarfile.TarInfo.frombuf(tars.header("a.jpg", size), "ascii", "strict").size == size
