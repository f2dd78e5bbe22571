from __future__ import annotations

import io
import struct
import zlib
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from stages.films import codec
from stages.films.codec import Encoding
from stages.films.frame import Frame, Gray

IMAGES = hnp.arrays(np.uint8, st.tuples(st.integers(1, 24), st.integers(1, 24)))
NOISE = np.random.default_rng(5).integers(0, 256, (40, 50), np.uint8)
EVERY = pytest.mark.parametrize("encoding", get_args(Encoding))


@pytest.mark.parametrize("encoding", ["png", "pgm"])
@settings(max_examples=150)
@given(image=IMAGES)
def test_lossless_encodings_give_back_every_pixel(image: Gray, encoding: Encoding) -> None:
    """Of any size and content, pixels that look like line breaks included."""
    np.testing.assert_array_equal(codec.decode(codec.encode(image, encoding=encoding)), image)


@EVERY
def test_any_image_library_opens_what_we_write(film: Gray, encoding: Encoding) -> None:
    """Pillow sees grey films of the right size, and the pixels that our own decoder sees."""
    data = codec.encode(film, encoding=encoding)
    with Image.open(io.BytesIO(data)) as image:
        assert (image.mode, image.size) == ("L", (300, 256))
        assert image.format == {"jpeg": "JPEG", "png": "PNG", "pgm": "PPM"}[encoding]
        difference = np.abs(np.asarray(image).astype(int) - codec.decode(data))
    assert difference.max() <= (2 if encoding == "jpeg" else 0), "decoders of JPEG may round differently"


@EVERY
def test_the_same_pixels_give_the_same_bytes_and_stay_as_they_are(film: Gray, encoding: Encoding) -> None:
    """A turned or cut view encodes as its copy does: what counts is what it shows."""
    view = film[::-1, 20:240]
    assert not view.flags.c_contiguous
    assert codec.encode(view, encoding=encoding) == codec.encode(np.ascontiguousarray(view), encoding=encoding)
    assert codec.encode(film, encoding=encoding) == codec.encode(film.copy(), encoding=encoding)


def test_a_pgm_is_its_header_and_the_grey_levels() -> None:
    """Width before height."""
    image = np.array([[1, 2, 3], [4, 5, 6]], np.uint8)
    assert codec.encode(image, encoding="pgm") == b"P5\n3 2\n255\n\x01\x02\x03\x04\x05\x06"


def test_jpeg_at_95_is_near_the_film_and_lower_qualities_are_smaller_and_farther(film: Gray) -> None:
    """The default of `augment` costs less than a grey level on average."""
    sizes, errors = [], []
    for quality in (30, 75, 95):
        data = codec.encode(film, encoding="jpeg", quality=quality)
        sizes.append(len(data))
        errors.append(np.abs(codec.decode(data).astype(int) - film).mean())
    assert sizes == sorted(sizes)
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1
    assert codec.encode(film, encoding="jpeg") == codec.encode(film, encoding="jpeg", quality=95)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no image at all",
        b"P5\n",
        b"P5\n3\n255\n123",
        b"P5\nx y\n255\n",
        b"P5\n3 2\n255\n12345",
        b"P5\n3 2\n255\n1234567",
        b"P5\n3 1\n65535\n123",
        b"P5\n-1 -3\n255\n123",
    ],
    ids=repr,
)
def test_what_is_no_image_of_ours_is_an_error(data: bytes) -> None:
    """A shard whose bytes are not what they were must not be trained on."""
    with pytest.raises(ValueError, match=r"."):
        codec.decode(data)


@EVERY
@pytest.mark.parametrize("kept", [0.02, 0.3, 0.7, 0.999])
def test_an_image_that_is_cut_off_is_an_error(encoding: Encoding, kept: float) -> None:
    """No grey fills what is missing, as some decoders of JPEG do."""
    data = codec.encode(NOISE, encoding=encoding)
    codec.decode(data)
    with pytest.raises(ValueError, match=r"."):
        codec.decode(data[: int(kept * len(data))])


@pytest.mark.parametrize(("mode", "suffix"), [("RGB", "PNG"), ("RGB", "JPEG"), ("RGBA", "PNG"), ("I;16", "PNG")])
def test_an_image_of_another_kind_is_an_error(mode: str, suffix: str) -> None:
    """Our images are 8-bit grey, and whatever else lies in a shard is none of ours."""
    data = io.BytesIO()
    Image.new(mode, (12, 12), 7).save(data, suffix)
    with pytest.raises(ValueError, match="no 8-bit grey JPEG, PNG or PGM"):
        codec.decode(data.getvalue())


def test_a_header_that_promises_too_many_pixels_is_an_error() -> None:
    """OpenCV raises an error of its own for it."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 200_000, 200_000, 8, 0, 0, 0, 0))
    png = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    with pytest.raises(ValueError, match="no 8-bit grey"):
        codec.decode(png)


@pytest.mark.parametrize("pixels", [False, True])
@pytest.mark.parametrize("data", [b"", b"no image", b"P5\n3 2\n", b"P5\n20000 20000\n255\n"], ids=repr)
def test_the_frame_of_what_is_no_image_of_ours_is_an_error(data: bytes, *, pixels: bool) -> None:
    """A header that promises more than any film is no error of another kind."""
    with pytest.raises(ValueError, match=r"."):
        codec.frame_of_bytes(data, pixels=pixels)


@EVERY
@pytest.mark.parametrize("pixels", [False, True])
def test_the_frame_of_an_image_is_its_height_and_width(encoding: Encoding, *, pixels: bool) -> None:
    """By the header as by the pixels."""
    data = codec.encode(NOISE, encoding=encoding)
    assert codec.frame_of_bytes(data, pixels=pixels) == Frame(height=40, width=50)
    if pixels:
        with pytest.raises(ValueError, match=r"."):
            codec.frame_of_bytes(data[:-200], pixels=pixels)
        return
    assert codec.frame_of_bytes(data[:-200], pixels=pixels) == Frame(height=40, width=50)


@EVERY
def test_every_encoding_has_its_suffix(encoding: Encoding) -> None:
    """By which torchvision's ImageFolder knows an image."""
    assert codec.SUFFIXES[encoding] == {"jpeg": ".jpeg", "png": ".png", "pgm": ".pgm"}[encoding]
