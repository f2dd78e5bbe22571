"""The set as PyTorch's own loaders take it, for people who write their own loop. See docs/loaders.md.

Two ways in, one set: `FilmDataset` gives any image by its number; `FilmStream` reads files front to back, each once,
and shuffles a window of images at a time. `EpochSampler` orders the first as training does, and either can keep an
epoch to one image of each film.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch import distributed
from torch.utils.data import Dataset, IterableDataset, Sampler, get_worker_info

from manifests import store
from manifests.columns import Schema
from manifests.places import place_of
from manifests.rows import NORMALIZED, Split
from manifests.shards import ImageFolder
from manifests.slices import rows_between
from stages import paths
from stages.contract import StageError
from stages.drawn import AUGMENTED
from stages.films.frame import Frame
from stages.learning.batches import decoded
from stages.learning.order import Places, epoch_order, shuffled
from stages.learning.shelf import Shelf
from stages.stored import Place, StoredImages

Of = Literal["augmented", "normalized"]
Copies = Literal["all", "one"]
Transform = Callable[[torch.Tensor], Any]
NEEDED = ("status", "split", "path", "shard", "index", "label_index", "film_id", "group_id")
WINDOW = 2048  # images that are shuffled together: 40 MB of JPEG copies, and the files of as many as lie near
HELD_BYTES = 64_000_000  # of encoded images in each process: a window's row groups


class Films:
    """The usable images of a split: what both kinds of sets share.

    Attributes:
        classes: names, in the order of the labels.
        frame: of every image.
        labels: index of each image's class.
        groups: the patient of each image.
        films: a number for each image, from 0, the same for the copies of one film.
    """

    def __init__(self, root: Path | str, *, of: Of, split: Split, transform: Transform | None) -> None:
        """Read the manifest; no image is read yet.

        Raises:
            ManifestError: where the manifest is missing or broken.
            StageError: where the split holds no image.
        """
        schema, place = _MANIFESTS[of]
        manifest = place_of(str(root)) / place
        footer = store.read_footer(manifest)
        table = store.read_table(schema.only(*NEEDED), manifest)
        good = _usable(table, split)
        self._rows = np.flatnonzero(good)
        if not len(self._rows):
            raise StageError(f"{manifest}: holds no usable image of split {split}; expected some")
        table = table.filter(pa.array(good)).combine_chunks()
        self._schema, self._manifest, self._transform = schema, manifest, transform
        self._stored = StoredImages(ImageFolder(manifest.parent, footer.params["layout"]), table)
        self.classes: tuple[str, ...] = tuple(footer.facts["classes"])
        self.frame = Frame(**footer.facts["frame"])
        self.labels: NDArray[np.int64] = self._stored.labels
        encoded = pc.dictionary_encode(table.column("film_id").combine_chunks())
        self.films: NDArray[np.int64] = np.asarray(encoded.indices.to_numpy(), np.int64)

    @property
    def groups(self) -> list[str]:
        """The patient of each image."""
        groups: list[str] = self._stored.table.column("group_id").to_pylist()
        return groups

    @property
    def shards(self) -> NDArray[np.int64]:
        """A number per image, equal where two lie in one file."""
        return self._stored.shards

    def row(self, number: int) -> dict[str, Any]:
        """Return every column of an image's row in the manifest."""
        at = int(self._rows[number])
        (row,) = rows_between(self._schema, self._manifest, at, at + 1).to_pylist()
        return dict(row)

    def chosen(self, copies: Copies, *, seed: int, epoch: int) -> Places:
        """Return the images that an epoch shows: all, or one of each film, another one in the next epoch."""
        if copies == "all":
            return np.arange(len(self.labels), dtype=np.int64)
        mixed = shuffled(len(self.labels), seed=seed, epoch=epoch)
        _, first = np.unique(self.films[mixed], return_index=True)
        return np.sort(mixed[first])

    def _item(self, place: Place, data: bytes, number: int) -> tuple[Any, int]:
        """Return an image and its class."""
        image = decoded(place.path, data, self.frame)
        grey = torch.from_numpy(image if image.flags.writeable else image.copy())[None]
        return (grey if self._transform is None else self._transform(grey)), int(self.labels[number])


_MANIFESTS: Mapping[str, tuple[Schema[Any], str]] = {
    "augmented": (AUGMENTED, paths.AUGMENTED_MANIFEST),
    "normalized": (NORMALIZED, paths.NORMALIZED_MANIFEST),
}


def _usable(table: pa.Table, split: str) -> NDArray[np.bool_]:
    """Return for each row whether it is a good image of the split with a class."""
    of_split = pc.fill_null(pc.equal(table.column("split"), split), False)
    good = pc.and_(pc.and_(of_split, pc.equal(table.column("status"), "ok")), pc.is_valid(table.column("label_index")))
    return np.asarray(good.to_numpy(), np.bool_)


class FilmDataset(Films, Dataset[tuple[Any, int]]):
    """The images of a split by their numbers: `films[0]` is (uint8 tensor (1, height, width), index of the class).

    It works in DataLoader's workers, forked or spawned: each opens files for itself, and holds row groups of them.
    """

    def __init__(
        self,
        root: Path | str,
        *,
        of: Of = "augmented",
        split: Split = "train",
        transform: Transform | None = None,
        held_bytes: int = HELD_BYTES,
    ) -> None:
        """Open a set under a root.

        Args:
            root: the folder of the project.
            of: augmented, which is the split train alone, or normalized.
            split: train, leak_probe, val or test.
            transform: given the grey levels, makes what is wanted of them.
            held_bytes: of encoded images that each process keeps.

        Raises:
            ManifestError: where the manifest is missing or broken.
            StageError: where the split holds no image.
        """
        super().__init__(root, of=of, split=split, transform=transform)
        self._held_bytes = held_bytes
        self._shelf: Shelf | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, number: int) -> tuple[Any, int]:
        number = range(len(self))[number]  # an IndexError beyond the last one, which ends a for loop
        (place,) = self._stored.places(np.array([number]))
        return self._item(place, self.own_shelf().image(place), number)

    def __getitems__(self, numbers: list[int]) -> list[tuple[Any, int]]:
        """Return a batch, as DataLoader asks for it: what lies together is read together."""
        numbers = [range(len(self))[number] for number in numbers]  # as for one image: the last is -1
        places = self._stored.places(np.asarray(numbers, np.int64))
        shelf = self.own_shelf()
        order = sorted(range(len(places)), key=lambda at: (places[at].shard or "", places[at].index or 0))
        found = {at: self._item(places[at], shelf.image(places[at]), numbers[at]) for at in order}
        return [found[at] for at in range(len(places))]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_shelf": None}  # a spawned worker opens its own files

    def own_shelf(self) -> Shelf:
        """Return this process's files: a forked worker must not share a position in them with its parent."""
        if self._shelf is None or self._shelf.process != os.getpid():
            self._shelf = Shelf(self._stored.folder, self._held_bytes)
        return self._shelf


class EpochSampler(Sampler[int]):
    """The order in which an epoch shows a FilmDataset; seed and epoch alone decide it. Call `set_epoch` before each.

    Files are shuffled, and the images within each window of so many: as good as at random, but what is read together
    lies together. Under torch.distributed each process shows as many images as the others, of its own.
    """

    def __init__(
        self,
        films: FilmDataset,
        *,
        copies: Copies = "all",
        seed: int = 0,
        window: int = WINDOW,
    ) -> None:
        """Order a set.

        Args:
            films: the set.
            copies: all images, or one of each film, drawn anew for each epoch.
            seed: of the order.
            window: images that are shuffled together; a set that fits into it is shuffled as a whole.
        """
        self._films, self._copies, self._seed, self._window = films, copies, seed, window
        self._rank, self._ranks = _ranks()
        self._epoch = 1

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, from 1."""
        self._epoch = epoch

    def __len__(self) -> int:
        images = len(self._films) if self._copies == "all" else len(np.unique(self._films.films))
        return images // self._ranks

    def __iter__(self) -> Iterator[int]:
        chosen = self._films.chosen(self._copies, seed=self._seed, epoch=self._epoch)
        order = epoch_order(self._films.shards[chosen], window=self._window, seed=self._seed, epoch=self._epoch)
        own = chosen[order][: len(self) * self._ranks][self._rank :: self._ranks]
        yield from own.tolist()


class FilmStream(Films, IterableDataset[tuple[Any, int]]):
    """The images of a split as they are read: each file by one worker, front to back, a window at a time.

    Each of DataLoader's workers, and each of the processes that train together, takes files of its own, so that an
    epoch shows every image once. Call `set_epoch` before each.
    """

    def __init__(
        self,
        root: Path | str,
        *,
        of: Of = "augmented",
        split: Split = "train",
        transform: Transform | None = None,
        copies: Copies = "all",
        seed: int = 0,
        window: int = WINDOW,
    ) -> None:
        """Open a set under a root; the arguments are those of FilmDataset and EpochSampler."""
        super().__init__(root, of=of, split=split, transform=transform)
        self._copies, self._seed, self._window = copies, seed, window
        self._rank, self._ranks = _ranks()
        self._epoch = 1

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, from 1."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[tuple[Any, int]]:
        own = self._own()
        order = own[epoch_order(self.shards[own], window=self._window, seed=self._seed, epoch=self._epoch)]
        for start in range(0, len(order), self._window):
            numbers = order[start : start + self._window].tolist()
            places = self._stored.places(np.asarray(numbers, np.int64))
            encoded = {place.path: data for place, data in self._stored.folder.read_images(places)}
            for place, number in zip(places, numbers, strict=True):
                yield self._item(place, encoded.pop(place.path), number)

    def _own(self) -> Places:
        """Return the images of the files that are this worker's, of those that the epoch shows."""
        worker = get_worker_info()
        workers, own = (1, 0) if worker is None else (worker.num_workers, worker.id)
        readers, reader = self._ranks * workers, self._rank * workers + own
        chosen = self.chosen(self._copies, seed=self._seed, epoch=self._epoch)
        of_reader = self.shards[chosen] % readers == reader
        return np.asarray(chosen[of_reader], np.int64)


def _ranks() -> tuple[int, int]:
    """Return which of the processes that train together this is, and how many there are."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1
