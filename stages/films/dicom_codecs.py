"""The stored values of a DICOM's first frame, by one decoder for each transfer syntax.

One for each, so that a film's levels do not depend on what else is installed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import FileDataset
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder

from stages.films import dicom_tags as tags
from stages.films import streams
from stages.films.header import DecodeError, Header

Pixels = NDArray[Any]
JPEGS = (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEGLossless, uid.JPEGLosslessSV1)
END, TAIL = b"\xff\xd9", 1024  # the last marker of a JPEG; what pads a frame behind it, bytes
OWN_COLOURS = (b"JFIF", b"Adobe")  # segments by which a JPEG says how its colours are coded, whatever the tags say


def _jpeg(frame: bytes, photometric: str) -> Pixels:
    """Return a JPEG's levels; of colours, RGB."""
    if photometric.startswith("MONOCHROME") or any(name in frame[:4096] for name in OWN_COLOURS):
        return imagecodecs.jpeg8_decode(frame)
    return imagecodecs.jpeg8_decode(frame, colorspace="RGB" if photometric == "RGB" else "YCBCR", outcolorspace="RGB")


def _lossless_jpeg(frame: bytes, _photometric: str) -> Pixels:
    return imagecodecs.jpeg8_decode(frame)


def _jpeg_ls(frame: bytes, _photometric: str) -> Pixels:
    return imagecodecs.jpegls_decode(frame)


def _jpeg_2000(frame: bytes, _photometric: str) -> Pixels:
    return imagecodecs.jpeg2k_decode(frame, numthreads=1)


CODECS: Mapping[str, Callable[[bytes, str], Pixels]] = {
    uid.JPEGBaseline8Bit: _jpeg,
    uid.JPEGExtended12Bit: _jpeg,
    uid.JPEGLossless: _lossless_jpeg,
    uid.JPEGLosslessSV1: _lossless_jpeg,
    uid.JPEGLSLossless: _jpeg_ls,
    uid.JPEGLSNearLossless: _jpeg_ls,
    uid.JPEG2000Lossless: _jpeg_2000,
    uid.JPEG2000: _jpeg_2000,
    uid.HTJ2KLossless: _jpeg_2000,
    uid.HTJ2KLosslessRPCL: _jpeg_2000,
    uid.HTJ2K: _jpeg_2000,
}
NATIVE = (uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian)
SYNTAXES = (*NATIVE, uid.RLELossless, *CODECS)
RGB_ALONE = (uid.JPEGLossless, uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.JPEGLSNearLossless)  # of colours


def pixels_of(dataset: FileDataset, header: Header) -> Pixels:
    """Return the stored values of the first frame, (rows, columns), or of colours RGB, (rows, columns, 3).

    Raises:
        DecodeError: where the frame promises another size than the tags.
        ValueError: where it holds another.
    """
    syntax = tags.transfer_syntax(dataset)
    if syntax in CODECS:
        frame = get_frame(dataset.PixelData, 0, number_of_frames=tags.whole(dataset, "NumberOfFrames") or 1)
        _refuse_promise(frame, header)
        if syntax in JPEGS and END not in frame[-TAIL:]:  # libjpeg would fill what is missing with grey
            raise DecodeError("truncated", "DICOM: found a JPEG without its end; expected a whole one", header)
        pixels = CODECS[syntax](frame, str(header.photometric))
    elif syntax in NATIVE and header.mode != "RGB":
        pixels = _native(dataset, header, big_endian=syntax == uid.ExplicitVRBigEndian)
    else:
        # of a native data set, what other frames there are need not be whole
        frames: dict[str, Any] = {"number_of_frames": 1} if syntax in NATIVE else {}
        pixels, _ = get_decoder(syntax).as_array(dataset, index=0, raw=header.mode != "RGB", **frames)
    expected = (header.height, header.width, *((3,) if header.mode == "RGB" else ()))
    if pixels.shape != expected:
        raise ValueError(f"{pixels.shape}; expected {expected}")
    return np.ascontiguousarray(pixels)


def _native(dataset: FileDataset, header: Header, *, big_endian: bool) -> Pixels:
    """Return stored values as they lie in the file: pydicom's would be without the bits above BitsStored."""
    word = np.dtype(np.uint8 if header.mode == "L" else ">u2" if big_endian else "<u2")
    values = np.frombuffer(dataset.PixelData, word, header.width * header.height)
    return values.reshape(header.height, header.width).astype(word.newbyteorder("="), copy=False)


def _refuse_promise(frame: bytes, header: Header) -> None:
    """Let a frame pass whose own size is the DICOM's: a decoder allocates what the frame promises."""
    found = streams.promise_of(frame)
    expected = streams.Promise(header.width, header.height, 3 if header.mode == "RGB" else 1)
    if found != expected:
        told = "no size" if found is None else " x ".join(map(str, found))
        told = f"found {told} in the compressed frame; expected {' x '.join(map(str, expected))}"
        raise DecodeError("undecodable", f"DICOM: {told} (width x height x samples)", header)
