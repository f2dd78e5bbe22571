"""What mending works on: what is wrong, where, on what machine, and what the manifests that are whole tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from manifests import seal, store
from manifests.rows import NORMALIZED, SPLIT, NormalizedRow, SplitRow
from manifests.shards import ImageFolder
from manifests.verify import Finding
from stages import paths
from stages.contract import Machine, Root
from stages.films.frame import Frame
from stages.proof.chain import STAGE_OF


@dataclass(frozen=True, slots=True)
class Bench:
    """What is wrong, where it is mended, and on what machine.

    Attributes:
        findings: what is wrong.
        root: of the data set.
        machine: does the work, and says where the raw films lie if not where the audit found them.
        pending: manifests that still have to be made anew: what they say proves nothing.
    """

    findings: Sequence[Finding]
    root: Root
    machine: Machine
    pending: set[str]

    def of(self, kind: str, folder: str = "") -> list[Finding]:
        """Return the findings of a kind, of which `folder` is how the places begin."""
        return [one for one in self.findings if one.kind == kind and one.where.startswith(folder)]

    def footers(self) -> dict[str, store.Footer]:
        """Return the footers of the manifests that can be believed."""
        names = [name for name in STAGE_OF if name not in self.pending and seal.is_whole(self.root / name)]
        return {name: store.read_footer(self.root / name) for name in names}


# --- what the manifests that are whole tell --------------------------------------------------------------------


def source_of(root: Root) -> tuple[ImageFolder, Frame]:
    """Return where the normalized films lie, and their frame."""
    footer = store.read_footer(root / paths.NORMALIZED_MANIFEST)
    return ImageFolder(root / paths.NORMALIZED, footer.params["layout"]), Frame(**footer.facts["frame"])


def films_divided(root: Root) -> list[SplitRow]:
    """Return the films that split passes on."""
    return [film for film in store.read(SPLIT, root / paths.SPLIT) if film.status == "ok"]


def films_for_training(root: Root) -> list[NormalizedRow]:
    """Return the normalized films that copies are made of."""
    films = store.read(NORMALIZED, root / paths.NORMALIZED_MANIFEST)
    return [film for film in films if film.split == "train" and film.status == "ok"]
