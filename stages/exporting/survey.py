"""What goes out, in numbers: a few for each image, so that millions of them are planned in little memory."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from manifests.rows import SPLITS
from stages.exporting.origin import Part, order_keys, require_sealed, rows_of

Number = TypeVar("Number", bound=np.generic)

Sizes = Callable[[pa.Table], NDArray[np.int64]]  # of rows, the bytes that each will take


@dataclass(frozen=True, slots=True)
class Survey:
    """Images that go out, a number of each kind for each image, in the order of the manifests.

    Attributes:
        splits: number of the split in `SPLITS`.
        labels: index of the class.
        sizes: bytes that it will take.
        keys: that shuffle them; equal for two images by chance at most.
        films, patients: the start of a hash, to count them.
        of_parts: how many images each part has.
        left_out: films of each status but ok.
    """

    splits: NDArray[np.uint8]
    labels: NDArray[np.int16]
    sizes: NDArray[np.int64]
    keys: NDArray[np.uint64]
    films: NDArray[np.uint64]
    patients: NDArray[np.uint64]
    of_parts: NDArray[np.int64]
    left_out: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.splits)

    def counts(self, split: str) -> dict[str, int]:
        """Return how many images, films and patients a split has."""
        of_split = self.splits == SPLITS.index(split)
        films, patients = (len(np.unique(column[of_split])) for column in (self.films, self.patients))
        return {"images": int(of_split.sum()), "films": films, "patients": patients}

    def of_classes(self, split: str, classes: int) -> list[int]:
        """Return how many images of each class a split has."""
        of_split = self.labels[self.splits == SPLITS.index(split)]
        found: list[int] = np.bincount(of_split, minlength=classes).tolist()
        return found


def survey_one(part: Part, *, seed: int, sizes: Sizes) -> Survey:
    """Return the numbers of a part's images.

    Raises:
        StageError: where the part's shard is not as the manifest knows it.
    """
    require_sealed(part)
    rows, left_out = rows_of(part)
    splits = pc.index_in(rows.column("split"), value_set=pa.array(SPLITS))
    return Survey(
        splits=splits.to_numpy().astype(np.uint8),
        labels=rows.column("label_index").to_numpy().astype(np.int16),
        sizes=sizes(rows),
        keys=order_keys(rows, seed),
        films=_starts(rows.column("film_id")),
        patients=_hashes(rows.column("group_id")),
        of_parts=np.array([len(rows)]),
        left_out=left_out,
    )


def encoded_sizes(rows: pa.Table) -> NDArray[np.int64]:
    """Return the length of each image's bytes."""
    return np.asarray(rows.column("encoded_bytes").to_numpy(), np.int64)


def joined(surveys: Iterable[Survey]) -> Survey:
    """Return the numbers of all parts, one part after the other."""
    found = list(surveys)
    left_out: Counter[str] = Counter()
    for survey in found:
        left_out.update(survey.left_out)
    return Survey(
        splits=_column(found, "splits", np.uint8),
        labels=_column(found, "labels", np.int16),
        sizes=_column(found, "sizes", np.int64),
        keys=_column(found, "keys", np.uint64),
        films=_column(found, "films", np.uint64),
        patients=_column(found, "patients", np.uint64),
        of_parts=_column(found, "of_parts", np.int64),
        left_out=left_out,
    )


def _column(surveys: Sequence[Survey], name: str, kind: type[Number]) -> NDArray[Number]:
    return np.concatenate([np.empty(0, kind), *(getattr(survey, name) for survey in surveys)])


def _starts(film_ids: pa.ChunkedArray) -> NDArray[np.uint64]:
    """Return the first 16 digits of each hash as a number."""
    return np.array([int(film_id[:16], 16) for film_id in film_ids.to_pylist()], np.uint64)


def _hashes(names: pa.ChunkedArray) -> NDArray[np.uint64]:
    """Return a number for each name, equal for the same name."""
    of_each = {name: hashlib.blake2b(str(name).encode(), digest_size=8).digest() for name in set(names.to_pylist())}
    return np.frombuffer(b"".join(of_each[name] for name in names.to_pylist()), "<u8")
