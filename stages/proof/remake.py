"""An image made anew from its raw film and its row alone, and compared with what is stored.

Nothing is taken from the stored image but the comparison: the raw film must be the one whose sha256 the row names,
the parameters are those of the manifests' footers, and the numbers are the row's own, not drawn again. That they
are also the numbers which the seed gives is checked apart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from manifests import store
from manifests.checks import ManifestError
from manifests.places import AnyPath
from manifests.rows import NORMALIZED, SPLIT, AugmentedRow, ImageRow, NormalizedRow, SplitRow
from manifests.shards import ImageFolder
from stages import paths
from stages.augment_params import AugmentParams
from stages.contract import Root, StageError
from stages.drawn import AUGMENTED
from stages.films import codec
from stages.films.chain import Chain
from stages.films.frame import Frame
from stages.films.operations import Drawn
from stages.folder import params_of
from stages.normalize import NormalizeParams, normalize_film, placement_columns


@dataclass(frozen=True, slots=True)
class Made:
    """How the images of a data set were made, by the footers of its two manifests.

    Attributes:
        normalize: parameters of the frame.
        augment: parameters of the copies; None where there are none.
        normalized_by, augmented_by: the versions that made them.
    """

    normalize: NormalizeParams
    augment: AugmentParams | None
    normalized_by: Mapping[str, str]
    augmented_by: Mapping[str, str]

    @property
    def chain(self) -> Chain:
        """The chain of the copies."""
        assert self.augment is not None
        return self.augment.chain(self.normalize.frame)

    @property
    def augmented_layout(self) -> str:
        """How the copies are stored."""
        return self.augment.layout if self.augment is not None else "shards"


@dataclass(frozen=True, slots=True)
class Replayed:
    """One image made anew, against its row and against the stored bytes.

    Attributes:
        row: what the manifest claims.
        data: the bytes as made anew.
        stored: the bytes that lie there; None where they cannot be read.
        as_told: whether the columns that follow from the film (placement, unfilled share) are those of the row.
        redrawn: whether the seed gives the row's numbers.
    """

    row: ImageRow
    data: bytes
    stored: bytes | None
    as_told: bool
    redrawn: bool

    @property
    def same_as_row(self) -> bool:
        """Whether the bytes are those that the manifest claims."""
        return hashlib.sha256(self.data).hexdigest() == self.row.sha256

    @property
    def same(self) -> bool:
        """Whether manifest, stored bytes and numbers all are as made anew."""
        return self.same_as_row and self.stored == self.data and self.as_told and self.redrawn

    def problem(self) -> str:
        """Return what differs; empty where nothing does."""
        problems = []
        if self.stored is None:
            problems.append("the stored image cannot be read")
        elif self.stored != self.data:
            problems.append(grey_difference(self.stored, self.data))
        if not self.same_as_row:
            found = hashlib.sha256(self.data).hexdigest()
            problems.append(f"made anew it has sha256 {found[:12]}, the row says {self.row.sha256[:12]}")
        if not self.as_told:
            problems.append("the row's unfilled share or placement is not what its film gives")
        if not self.redrawn:
            problems.append("the row's numbers are not those that the seed gives")
        return "; ".join(problems)


def grey_difference(stored: bytes, data: bytes) -> str:
    """Return how far two encoded images are apart in grey levels, in words."""
    try:
        one = codec.decode(stored).astype(int)
    except ValueError as error:
        return f"the stored bytes are no image ({error})"
    other = codec.decode(data).astype(int)
    if one.shape != other.shape:
        return (
            f"the stored image is {one.shape[0]} x {one.shape[1]}, made anew it is {other.shape[0]} x {other.shape[1]}"
        )
    apart = np.abs(one - other)
    if not apart.any():
        return "the same grey levels in other bytes"
    return f"grey levels differ by at most {apart.max()}, by {apart.mean():.3f} on average"


# --- making anew: the raw bytes and the row, and nothing else --------------------------------------------------


def drawn_again(chain: Chain, film_id: str, copies: int) -> list[Drawn]:
    """Return what the seed gives for copies 0 to `copies` of a film; nothing is drawn for the original."""
    columns = {name: numbers.tolist() for name, numbers in chain.draws(film_id, copies).items()}
    return [{}, *({name: numbers[copy] for name, numbers in columns.items()} for copy in range(copies))]


@dataclass(frozen=True, slots=True)
class Film:
    """A film as the split and the normalized manifests know it."""

    divided: SplitRow
    normalized: NormalizedRow


def replay_film(
    film: Film, rows: Sequence[AugmentedRow], *, made: Made, raw: AnyPath, stored: Mapping[str, bytes]
) -> Iterator[Replayed]:
    """Yield the normalized film and then the image of each row, made anew from the raw bytes.

    Args:
        film: its rows in the split and normalized manifests.
        rows: of its images in the augmented manifest.
        made: how the images were made.
        raw: the folder of the raw films.
        stored: the bytes that lie there, by path.

    Raises:
        StageError: where the raw film is gone, is not what the audit saw, or was usable to the audit's codecs alone.
    """
    image, placement = normalize_film(film.divided, params=made.normalize, raw=raw)
    row = film.normalized
    columns = placement_columns(placement)
    yield Replayed(
        row,
        codec.encode(image, encoding=made.normalize.encoding),
        stored.get(row.path),
        as_told=all(getattr(row, name) == value for name, value in columns.items()),
        redrawn=True,
    )
    if not rows or made.augment is None:
        return
    chain = made.chain
    again = drawn_again(chain, row.film_id, max(one.copy for one in rows))
    for one in rows:
        grey, unfilled = chain.apply(image, one.drawn, film=placement.shown)
        encoded = codec.encode(grey, encoding=made.augment.encoding, quality=made.augment.quality)
        yield Replayed(
            one,
            encoded,
            stored.get(one.path),
            as_told=unfilled == one.unfilled,
            redrawn=dict(again[one.copy]) == dict(one.drawn),
        )


def read_stored(folder: ImageFolder, rows: Sequence[ImageRow]) -> dict[str, bytes]:
    """Return the stored bytes of some rows by path; of those that can be read."""
    try:
        return {row.path: data for row, data in folder.read_images(rows)}
    except ManifestError:
        if len(rows) < 2:
            return {}
    half = len(rows) // 2  # something is spoilt: what lies beside it can still be read
    return {**read_stored(folder, rows[:half]), **read_stored(folder, rows[half:])}


# --- the manifests ---------------------------------------------------------------------------------------------


def recorded(root: Root) -> tuple[Made, Mapping[str, Any]]:
    """Return how the images were made, and the facts of the set, by the manifests' footers.

    Raises:
        StageError: where a footer's parameters are not this version's, or contradict the frame that it names.
        ManifestError: where the normalized manifest is missing, or one cannot be read.
    """
    normalized = store.read_footer(root / paths.NORMALIZED_MANIFEST)
    augmented = root / paths.AUGMENTED_MANIFEST
    copies = store.read_footer(augmented) if augmented.exists() else store.Footer()
    made = Made(
        params_of(NormalizeParams, normalized, paths.NORMALIZED_MANIFEST),
        params_of(AugmentParams, copies, paths.AUGMENTED_MANIFEST) if augmented.exists() else None,
        normalized.versions,
        copies.versions,
    )
    if made.normalize.frame != Frame(**normalized.facts["frame"]):
        raise StageError(
            f"{paths.NORMALIZED_MANIFEST}: its footer says frame {normalized.facts['frame']}; expected that of its "
            f"parameters, {made.normalize.height} x {made.normalize.width}; run `cxr-pipeline verify`"
        )
    return made, normalized.facts


def films_of(root: Root) -> list[Film]:
    """Return every film of the normalized manifest, those without an image too.

    Raises:
        StageError: where a film is not in the split manifest.
        ManifestError: where a manifest is missing or broken.
    """
    divided = {row.film_id: row for row in store.read(SPLIT, root / paths.SPLIT)}
    normalized = store.read(NORMALIZED, root / paths.NORMALIZED_MANIFEST)
    lost = [row.film_id for row in normalized if row.film_id not in divided]
    if lost:
        raise StageError(
            f"{root / paths.NORMALIZED_MANIFEST}: film {lost[0][:12]} is not in {paths.SPLIT}; run normalize again"
        )
    return [Film(divided[row.film_id], row) for row in normalized]


def augmented_rows(root: Root) -> pa.Table:
    """Return the rows of the augmented manifest that claim an image; none where nothing was augmented."""
    path = root / paths.AUGMENTED_MANIFEST
    if not path.exists():
        return AUGMENTED.table([])
    table = store.read_table(AUGMENTED, path)
    return table.filter(pc.equal(table.column("status"), "ok"))
