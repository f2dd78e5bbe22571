"""The tags of a DICOM that are read: none else, so that nothing else can be told to anybody.

No text of a file is ever passed on. Of what a tag says, only words that the standard defines are told.
"""

from __future__ import annotations

import io
import logging
import math
import re
from typing import Any

import pydicom
from pydicom.dataset import FileDataset
from pydicom.tag import Tag
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

PATIENT = "PatientID"
READ = (
    *("Modality", "BodyPartExamined", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration"),
    *("NumberOfFrames", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *("PixelPaddingValue", "PixelPaddingRangeLimit", "RescaleIntercept", "RescaleSlope", "ModalityLUTSequence"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence", "PresentationLUTShape"),
    *("ExtendedOffsetTable", "ExtendedOffsetTableLengths", "PixelData"),
)
PIXELS = (b"\xe0\x7f\x10\x00", b"\x7f\xe0\x00\x10")  # the tag of the pixel data, little- and big-endian
ITEM = b"\xfe\xff\x00\xe0"
MOST_ITEMS = 100_000  # of sequences and fragments: each becomes objects of some kB
LARGEST_HEAD = 16_000_000  # bytes of tags before the pixels; a film's have some thousand
DEFLATED = re.compile(rb"\x02\x00\x10\x00.{4}\s*1\.2\.840\.10008\.1\.2\.1\.99(?!\d)", re.DOTALL)
PLAIN_FILM = {"CR", "DX", "DR", "RG", "OT", "SC"}
OTHER_MODALITIES = {"CT", "MR", "US", "MG", "RF", "XA", "NM", "PT", "IO", "PX", "ES", "XC", "ECG", "SR", "SEG"}
CHEST = {"CHEST", "THORAX", "LUNG", "LUNGS", "RIB", "RIBS", "HEART", "MEDIASTINUM", "STERNUM", "CLAVICLE"}
OTHER_PARTS = {
    *("ABDOMEN", "ANKLE", "ARM", "BREAST", "CSPINE", "ELBOW", "EXTREMITY", "FEMUR", "FINGER", "FOOT", "HAND", "HEAD"),
    *("HIP", "HUMERUS", "JAW", "KNEE", "LEG", "LSPINE", "NECK", "PELVIS", "SHOULDER", "SKULL", "SPINE", "TOE"),
    *("TSPINE", "WRIST"),
}


def read(data: bytes, *, patient: bool) -> FileDataset:
    """Return the tags of READ that a DICOM has, and its patient's id where it is asked for.

    Warnings quote what tags say: whoever calls this turns them off.
    """
    wanted = [Tag(name) for name in (*READ, *([PATIENT] if patient else []))]
    return pydicom.dcmread(io.BytesIO(data), force=True, specific_tags=wanted)


def too_much(data: bytes) -> str | None:
    """Return what was found and expected where a DICOM would take more memory or time than any film, else None."""
    if DEFLATED.search(data) is not None:
        return "found a deflated data set, which may grow a thousandfold; expected another transfer syntax"
    if (items := data.count(ITEM)) > MOST_ITEMS:
        return f"found {items} items; expected at most {MOST_ITEMS}"
    if (head := head_bytes(data)) > LARGEST_HEAD:
        return f"found {head} bytes of tags before the pixels; expected at most {LARGEST_HEAD}"
    return None


def head_bytes(data: bytes) -> int:
    """Return how many bytes there are before the tag of the pixel data, all where there is none."""
    return min((place for tag in PIXELS if (place := data.find(tag)) >= 0), default=len(data))


def word(dataset: pydicom.Dataset, name: str) -> str:
    """Return a tag's word in capitals, the first of several, empty where there is none; never to be told as it is."""
    found = _first(dataset, name)
    return "" if found is None else str(found).strip().upper()


def number(dataset: pydicom.Dataset, name: str) -> float | None:
    """Return a tag's number, the first of several, None where there is none or it is no number."""
    try:
        found = float(_first(dataset, name))
    except (TypeError, ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def whole(dataset: pydicom.Dataset, name: str) -> int | None:
    """Return a tag's whole number, the first of several, None where there is none."""
    found = number(dataset, name)
    return None if found is None or found != int(found) else int(found)


def _first(dataset: pydicom.Dataset, name: str) -> Any:
    found = dataset.get(name)
    if isinstance(found, (list, tuple, pydicom.multival.MultiValue)):
        return found[0] if len(found) else None
    return found


def transfer_syntax(dataset: FileDataset) -> UID:
    """Return how the data set is coded; one that does not say is not compressed, and was read in one of three ways."""
    stated = dataset.file_meta.get("TransferSyntaxUID")
    if stated:
        return UID(str(stated))
    implicit, little = dataset.original_encoding
    if implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if little else ExplicitVRBigEndian


def name_of(uid: UID) -> str:
    """Return the standard's name of a uid, or `unknown`: one that it does not define may say who made the file."""
    return uid.name if uid.name != uid and not uid.is_private else "unknown"


def oddities(dataset: pydicom.Dataset) -> tuple[str, ...]:
    """Return what keeps a DICOM from being a chest film by its own words, a kind before its colon."""
    modality, part = word(dataset, "Modality"), word(dataset, "BodyPartExamined")
    odd = []
    if modality and modality not in PLAIN_FILM:
        odd.append(f"no plain film by its modality: {modality if modality in OTHER_MODALITIES else 'another'}")
    if part and part not in CHEST:
        odd.append(f"not of the chest by its body part: {part if part in OTHER_PARTS else 'another'}")
    if (whole(dataset, "NumberOfFrames") or 1) > 1:
        odd.append("only the first frame is used: the file holds several")
    return tuple(odd)


def _silence() -> None:
    """Keep pydicom and its plug-ins from writing what they think of a file, which quotes its tags."""
    for name in ("pydicom", "pylibjpeg", "openjpeg", "jpeg_ls"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE


_silence()
