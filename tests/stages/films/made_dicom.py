"""DICOMs that are made up, of any coding: what the tests of decoding and of privacy share."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import Any

import imagecodecs
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence

JPEG_2000: dict[str, Any] = {"codecformat": "j2k", "level": 0, "reversible": True}
ENCODERS: dict[str, Callable[[NDArray[Any]], Any]] = {
    uid.JPEGBaseline8Bit: lambda levels: imagecodecs.jpeg8_encode(levels, level=100),
    uid.JPEGExtended12Bit: lambda levels: imagecodecs.jpeg8_encode(levels, level=100, bitspersample=12),
    uid.JPEGLossless: lambda levels: imagecodecs.jpeg8_encode(levels, lossless=True),
    uid.JPEGLosslessSV1: lambda levels: imagecodecs.jpeg8_encode(levels, lossless=True),
    uid.JPEGLSLossless: imagecodecs.jpegls_encode,
    uid.JPEGLSNearLossless: lambda levels: imagecodecs.jpegls_encode(levels, level=2),
    uid.JPEG2000Lossless: lambda levels: imagecodecs.jpeg2k_encode(levels, **JPEG_2000),
    uid.JPEG2000: lambda levels: imagecodecs.jpeg2k_encode(levels, **{**JPEG_2000, "reversible": False, "level": 90}),
    uid.HTJ2KLossless: imagecodecs.htj2k_encode,
}
LOSSY = (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEGLSNearLossless, uid.JPEG2000)


def dicom(levels: NDArray[Any], *, syntax: str = uid.ExplicitVRLittleEndian, bare: bool = False, **tags: Any) -> bytes:
    """Return a DICOM of stored values, (rows, columns) or (rows, columns, 3); a tag of None is left out.

    Args:
        levels: as they are stored, of the type in which they are stored.
        syntax: how they are coded.
        bare: whether preamble and meta information are left out.
        tags: by their keywords, over those of a chest film.
    """
    dataset = Dataset()
    signed = levels.dtype.kind == "i"
    known = {
        "SOPClassUID": uid.DigitalXRayImageStorageForPresentation,
        "SOPInstanceUID": "1.2.3.4",
        "Modality": "DX",
        "BodyPartExamined": "CHEST",
        "Rows": levels.shape[0],
        "Columns": levels.shape[1],
        "SamplesPerPixel": 3 if levels.ndim == 3 else 1,
        "PhotometricInterpretation": "RGB" if levels.ndim == 3 else "MONOCHROME2",
        "PlanarConfiguration": 0 if levels.ndim == 3 else None,
        "BitsAllocated": 8 * levels.itemsize,
        "BitsStored": 8 * levels.itemsize,
        "PixelRepresentation": int(signed),
        **tags,
    }
    known.setdefault("HighBit", known["BitsStored"] - 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # values that break the standard are put in on purpose
        for name, value in known.items():
            if value is not None:
                setattr(dataset, name, value)
        _put_pixels(dataset, levels, syntax)
        return _written(dataset, syntax, bare=bare)


def _put_pixels(dataset: Dataset, levels: NDArray[Any], syntax: str) -> None:
    if "PixelData" in dataset:
        return
    if syntax == uid.RLELossless:
        dataset.compress(uid.RLELossless, levels, generate_instance_uid=False)
        return
    if syntax in ENCODERS:
        dataset.PixelData = encapsulate([ENCODERS[syntax](levels)])
        dataset["PixelData"].VR = "OB"
        return
    order: Any = ">" if syntax == uid.ExplicitVRBigEndian else "<"
    data = levels.astype(levels.dtype.newbyteorder(order)).tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2)
    dataset["PixelData"].VR = "OW" if levels.itemsize == 2 else "OB"


def _written(dataset: Dataset, syntax: str, *, bare: bool) -> bytes:
    file = io.BytesIO()
    coded = syntax if syntax in (uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian) else uid.ExplicitVRLittleEndian
    options = {"implicit_vr": coded == uid.ImplicitVRLittleEndian, "little_endian": coded != uid.ExplicitVRBigEndian}
    if bare:
        if "file_meta" in dataset.__dict__:
            del dataset.file_meta
        dataset.save_as(file, enforce_file_format=False, **options)
        return file.getvalue()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.UID(syntax)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", "")
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID", "")
    dataset.save_as(file, enforce_file_format=True, **(options if syntax not in (uid.RLELossless, *ENCODERS) else {}))
    return file.getvalue()


def lut(entries: NDArray[Any], *, first: int = 0, bits: int = 16) -> Sequence:
    """Return a LUT sequence of one item."""
    item = Dataset()
    item.LUTDescriptor = [len(entries) % 65536, first, bits]
    item.LUTData = entries.astype("<u2").tobytes()
    item["LUTData"].VR = "OW"
    item["LUTDescriptor"].VR = "US"
    return Sequence([item])
