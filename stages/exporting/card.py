"""The card of a Hugging Face folder: what `load_dataset` reads of it, and what a reader should know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import yaml

from manifests.shards import IMAGE
from stages.exporting.hugging_face import LABEL, SPLIT_NAMES, dtype_of
from stages.leaks import leak_warning

BANDS = (  # of images, as the Hub names them
    *((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M")),
    *((10**7, "1M<n<10M"), (10**8, "10M<n<100M"), (10**9, "100M<n<1B")),
)
TOOL = "cxr-pipeline"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a card says.

    Attributes:
        classes: in the order of the labels.
        counts: of each split, by our name: images, films, patients, and images of each class.
        bytes: of each split's files.
        schema: the columns.
        facts: what the manifests say of the set as a whole.
        made_by: parameters of each stage.
        versions: of all else that decides the images' bytes.
        sources: sha256 of the manifests.
        licence: as the user names it; empty where it is left to fill in.
    """

    classes: Sequence[str]
    counts: Mapping[str, Mapping[str, Any]]
    bytes: Mapping[str, int]
    schema: pa.Schema
    facts: Mapping[str, Any]
    made_by: Mapping[str, Any]
    versions: Mapping[str, str]
    sources: Mapping[str, str]
    licence: str


def card(told: Told) -> str:
    """Return the text of README.md."""
    head = yaml.safe_dump(front_matter(told), sort_keys=False, allow_unicode=True, width=1000)
    return f"---\n{head}---\n\n{_body(told)}"


def front_matter(told: Told) -> dict[str, Any]:
    """Return what the Hub and `datasets` read."""
    images = sum(of_split["images"] for of_split in told.counts.values())
    splits = [
        {"name": SPLIT_NAMES.get(name, name), "num_bytes": told.bytes[name], "num_examples": of_split["images"]}
        for name, of_split in told.counts.items()
    ]
    size = sum(told.bytes.values())
    return {
        **({"license": told.licence} if told.licence else {}),
        "task_categories": ["image-classification"],
        "tags": ["chest-x-ray", "radiology", "medical"],
        "size_categories": [next((band for limit, band in BANDS if images < limit), "1B<n<10B")],
        "dataset_info": {
            "features": [_feature(field, told.classes) for field in told.schema],
            "splits": splits,
            "download_size": size,
            "dataset_size": size,
        },
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": split["name"], "path": f"data/{split['name']}-*"} for split in splits],
            }
        ],
    }


def _feature(field: pa.Field, classes: Sequence[str]) -> dict[str, Any]:
    """Return a column as the card's `dataset_info` has it."""
    if field.name == IMAGE.name:
        return {"name": field.name, "dtype": "image"}
    if field.name == LABEL.name:
        names = {str(index): name for index, name in enumerate(classes)}
        return {"name": field.name, "dtype": {"class_label": {"names": names}}}
    return {"name": field.name, "dtype": dtype_of(field)}


def _body(told: Told) -> str:
    licence = "" if told.licence else "The licence of the films is not stated: add `license:` above.\n\n"
    frame = told.facts.get("frame", {})
    size = f" of {frame['height']} x {frame['width']} pixels (height x width)" if frame else ""
    return "\n".join(
        [
            "# Chest X-rays\n",
            f"Grey chest radiographs{size}, one class each, made by {TOOL}. Patients do not cross splits"
            + (
                ", but for `leak_probe`, whose films were drawn one by one.\n" if "leak_probe" in told.counts else ".\n"
            ),
            f"{licence}## Splits\n",
            *_splits(told),
            "",
            *(f"{warning}\n" for warning in leak_warning(told.facts)),
            "## Columns\n",
            "| column | meaning |\n|---|---|",
            *(f"| `{field.name}` | {_doc(field)} |" for field in told.schema),
            "",
            "## How it was made\n",
            "```yaml",
            yaml.safe_dump(
                {"parameters": told.made_by, "versions": dict(told.versions), "made_from": dict(told.sources)},
                sort_keys=True,
                allow_unicode=True,
            ).rstrip(),
            "```",
            "",
        ]
    )


def _splits(told: Told) -> list[str]:
    """Return the lines of a table of what each split holds."""
    names = [_cell(name) for name in told.classes]
    rows = [["split", "images", "films", "patients", *names]]
    for name, found in told.counts.items():
        numbers = [found["images"], found["films"], found["patients"], *found["classes"].values()]
        rows.append([SPLIT_NAMES.get(name, name), *(f"{number:,}" for number in numbers)])
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return [lines[0], "|---" + "|---:" * (len(rows[0]) - 1) + "|", *lines[1:]]


def _cell(text: str) -> str:
    """Return a text as a table's cell shows it, with nothing in it that Markdown or HTML would act on."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|").replace("`", "\\`")


def _doc(field: pa.Field) -> str:
    """Return what a column means, as its manifest says."""
    if field.name == IMAGE.name:
        return "the film's grey levels, encoded"
    if field.name == LABEL.name:
        return "the class"
    doc: bytes = (field.metadata or {}).get(b"doc", b"")
    return doc.decode()
