"""A DICOM's film as grey levels: what is refused before it is decoded, who decodes it, and what its values mean."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image
from pydicom import uid
from pydicom.dataset import FileDataset
from pydicom.errors import BytesLengthException, InvalidDicomError

from stages.films import dicom_tags as tags
from stages.films import identity
from stages.films.dicom_codecs import CODECS, NATIVE, RGB_ALONE, SYNTAXES, pixels_of
from stages.films.dicom_levels import levels_of
from stages.films.header import BROKEN, DecodeError, Header, refuse_size
from stages.films.levels import depth_of, looked_up

MOST_A_SIDE = (1 << 16) - 1  # rows and columns are of 16 bits
MONOCHROME = ("MONOCHROME1", "MONOCHROME2")
COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
# What pydicom and imagecodecs raise on bytes that break the standard, collected by spoiling files: pydicom asks tags
# for what they lack (AttributeError), and every error of imagecodecs' decoders is a RuntimeError.
UNREADABLE = (*BROKEN, AttributeError, NotImplementedError, RuntimeError, InvalidDicomError, BytesLengthException)


def decode(data: bytes, *, key: bytes | None = None) -> tuple[Header, Image.Image]:
    """Return what a DICOM says of its film, and the film's grey levels as a Pillow image of mode L.

    Args:
        data: the file.
        key: of the hash that stands for the patient; None: no patient is read.

    Raises:
        DecodeError: where it holds no film, not a whole one, or not one that can be used. Its text holds no text of
            the file.
    """
    if (found := tags.too_much(data)) is not None:
        raise DecodeError("unsupported", f"DICOM: {found}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # their texts hold what tags say
        dataset, header = _opened(data, key)
        try:
            refuse_size(header)
            _refuse_layout(dataset, header)
            return _film(dataset, header)
        except UNREADABLE as error:
            # the type alone: pydicom's texts quote what they could not read
            told = f"found pixels that cannot be decoded ({type(error).__name__}); expected {header.transfer_syntax}"
            raise DecodeError("undecodable", f"DICOM: {told}", header) from None


def _opened(data: bytes, key: bytes | None) -> tuple[FileDataset, Header]:
    """Return the tags that are read, and what they say of the film."""
    try:
        dataset = tags.read(data, patient=key is not None)
        if "PixelData" not in dataset:
            raise DecodeError("not_an_image", f"DICOM: found no pixel data in a {_kind(dataset)}; expected a film")
        return dataset, _header(dataset, key)
    except UNREADABLE as error:
        told = f"DICOM: found tags that cannot be read ({type(error).__name__}); expected those of an image"
        raise DecodeError("undecodable", told) from None


def _kind(dataset: FileDataset) -> str:
    """Return what the standard calls such a file."""
    name = tags.name_of(uid.UID(str(dataset.file_meta.get("MediaStorageSOPClassUID", ""))))
    return "file of a kind that it does not say" if name == "unknown" else name.removesuffix(" Storage")


def _header(dataset: FileDataset, key: bytes | None) -> Header:
    width, height = (tags.whole(dataset, name) or 0 for name in ("Columns", "Rows"))
    if not (1 <= width <= MOST_A_SIDE and 1 <= height <= MOST_A_SIDE):
        raise DecodeError("undecodable", "DICOM: found no number of rows and columns; expected an image's")
    photometric = tags.word(dataset, "PhotometricInterpretation")
    allocated, bits = tags.whole(dataset, "BitsAllocated") or 0, _bits_stored(dataset)
    colour = tags.whole(dataset, "SamplesPerPixel") == 3
    return Header(
        width,
        height,
        "RGB" if colour else "L" if allocated <= 8 else "I;16",
        "DICOM",
        oddities=tags.oddities(dataset),
        bits=bits if 1 <= bits <= allocated <= 64 else None,
        transfer_syntax=tags.name_of(tags.transfer_syntax(dataset)),
        photometric=photometric if photometric in (*MONOCHROME, *COLOUR, "PALETTE COLOR") else "unknown",
        group=None if key is None else identity.group_of(str(dataset.get(tags.PATIENT) or ""), key=key),
    )


def _bits_stored(dataset: FileDataset) -> int:
    """Return the bits a sample that hold its value: all that it has, where the file does not say."""
    return tags.whole(dataset, "BitsStored") or tags.whole(dataset, "BitsAllocated") or 0


def _refuse_layout(dataset: FileDataset, header: Header) -> None:
    """Let pass what can be decoded: nothing is allocated before, whatever the file promises."""
    syntax, samples = tags.transfer_syntax(dataset), tags.whole(dataset, "SamplesPerPixel") or 1
    allocated, bits = tags.whole(dataset, "BitsAllocated") or 0, _bits_stored(dataset)
    known = MONOCHROME if samples == 1 else COLOUR if samples == 3 else ()
    refused = {
        f"found the transfer syntax {header.transfer_syntax}; expected one of {len(SYNTAXES)} others": (
            syntax not in SYNTAXES
        ),
        f"found {samples} samples a pixel of {header.photometric}; expected 1 of MONOCHROME, or 3 of RGB or YBR": (
            header.photometric not in known
        ),
        f"found {allocated} bits a sample, {bits} used; expected 8 or 16, and no more used": (
            allocated not in (8, 16) or not 1 <= bits <= allocated
        ),
        f"found {allocated} bits a colour; expected 8": samples == 3 and allocated != 8,
        f"found {header.photometric} in {header.transfer_syntax}; expected RGB": (
            samples == 3 and syntax in RGB_ALONE and header.photometric != "RGB"
        ),
    }
    for told, holds in refused.items():
        if holds:
            raise DecodeError("unsupported", f"DICOM: {told}", header)
    if syntax in NATIVE:
        _refuse_short(dataset, header, header.width * header.height * samples * allocated // 8)


def _refuse_short(dataset: FileDataset, header: Header, expected: int) -> None:
    """Let pass pixels that are not compressed and are all there."""
    if header.photometric == "YBR_FULL_422":
        expected = expected * 2 // 3  # two pixels share their colours
    if (found := len(dataset.PixelData or b"")) < expected:
        raise DecodeError("truncated", f"DICOM: found {found} bytes of pixels; expected {expected}", header)


def _film(dataset: FileDataset, header: Header) -> tuple[Header, Image.Image]:
    """Return the film's grey levels, and its header with how they came about."""
    pixels = pixels_of(dataset, header)
    if header.mode == "RGB":
        return header, Image.fromarray(pixels).convert("L")
    syntax = tags.transfer_syntax(dataset)
    bits, signed = int(header.bits or 0), tags.whole(dataset, "PixelRepresentation") == 1
    high, word = tags.whole(dataset, "HighBit"), 8 * pixels.itemsize
    shift = max(0, min(high, word - 1) + 1 - bits) if syntax in NATIVE and high is not None else 0
    levels = levels_of(dataset, bits=bits, signed=signed, photometric=str(header.photometric))
    gray = looked_up(
        pixels,
        levels.table,
        shift=shift,
        limits=_limits(pixels.dtype, bits, signed=signed) if syntax in CODECS else None,
    )
    odd = levels.oddities
    largest = min(int(pixels.max()) >> shift, (1 << bits) - 1)
    if levels.windowing == "bits stored" and not signed and (used := depth_of(largest)) < bits:
        odd += (f"levels use fewer bits than the file states: {used} of {bits}",)
    return replace(header, windowing=levels.windowing, oddities=(*header.oddities, *odd)), Image.fromarray(gray)


def _limits(dtype: np.dtype[Any], bits: int, *, signed: bool) -> tuple[int, int] | None:
    """Return the least and largest value of some bits: a lossy coder overshoots them, and white would turn black.

    None where the highest bit of an unsigned number is a sign: those are patterns of bits.
    """
    if signed and dtype.kind == "u":
        return None
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    kind = np.iinfo(dtype)
    return max(low, int(kind.min)), min(high, int(kind.max))
