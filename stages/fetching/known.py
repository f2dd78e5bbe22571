"""The set that `fetch` brings where nothing else is named, as its authors published it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicSet:
    """A public set of films.

    Attributes:
        name: what people call it.
        url: of its archive.
        page: where a person finds it.
        licence: what may be done with it.
        citation: how its authors want to be named.
        films: how many films of each class it holds, by folder.
        sha256: of its archive, hex; empty where nobody who could know has published it.
    """

    name: str
    url: str
    page: str
    licence: str
    citation: str
    films: Mapping[str, int]
    sha256: str = ""


# Version 2 of the record holds the chest films alone, version 3 the same films within 8 GB of others. Films by
# class: Kermany et al. 2018, Cell 172(5), 1122-1131, training and test together.
KERMANY = PublicSet(
    name="Chest X-Ray Images (Pneumonia)",
    url="https://data.mendeley.com/public-files/datasets/rscbjbr9sj/files/f12eaf6d-6023-432f-acc9-80c9d7393433/"
    "file_downloaded",
    page="https://data.mendeley.com/datasets/rscbjbr9sj/2",
    licence="CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/)",
    citation="Kermany, D., Zhang, K., Goldbaum, M. (2018): Labeled Optical Coherence Tomography (OCT) and Chest X-Ray "
    "Images for Classification. Mendeley Data, V2. https://doi.org/10.17632/rscbjbr9sj.2",
    films={"NORMAL": 1583, "PNEUMONIA": 4273},
)
