"""Films of more than eight bits: by how many bits their levels are scaled, by what the file states or they use."""

from __future__ import annotations

import io
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from stages.films import decode
from stages.films.decode import DecodeError, Header
from stages.films.frame import Gray
from stages.films.levels import DEPTHS, depth_of, gray_of, looked_up


def _levels(largest: int) -> NDArray[np.uint16]:
    return np.linspace(0, largest, 400).round().astype(np.uint16).reshape(20, 20)


def _saved(levels: NDArray[Any], format_: str, **options: Any) -> bytes:
    data = io.BytesIO()
    Image.fromarray(levels).save(data, format_, **options)
    return data.getvalue()


def _decoded(data: bytes) -> tuple[Header, Gray]:
    header, image = decode.decode(data)
    assert image.mode == "L"
    return header, np.asarray(image)


def _with_chunk(png: bytes, kind: bytes, content: bytes) -> bytes:
    """Return a PNG with a chunk behind its header."""
    chunk = len(content).to_bytes(4) + kind + content + zlib.crc32(kind + content).to_bytes(4)
    return png[:33] + chunk + png[33:]


def _pgm(levels: NDArray[Any], maxval: int) -> bytes:
    height, width = levels.shape
    return b"P5\n%d %d\n%d\n" % (width, height, maxval) + levels.astype(">u2").tobytes()


@pytest.mark.parametrize("format_", ["PNG", "TIFF", "PPM"])
@pytest.mark.parametrize(
    ("largest", "bits"),
    [
        (200, 8),
        (255, 8),
        (256, 10),
        (1023, 10),
        (4000, 12),
        (4095, 12),
        (4096, 14),
        (16384, 15),
        (32767, 15),
        (32768, 16),
    ],
)
def test_a_file_that_states_no_bits_is_scaled_by_the_fewest_of_a_detector(
    format_: str, largest: int, bits: int
) -> None:
    """A film of 12 bits in words of 16 would be nearly black by its word."""
    levels = _levels(largest)
    header, gray = _decoded(_saved(levels, format_))
    assert header.bits == bits
    np.testing.assert_array_equal(gray, np.rint(levels * 255.0 / ((1 << bits) - 1)))
    said = "" if bits == 16 else f"levels use fewer bits than the file has: scaled by {bits}, the largest is {largest}"
    assert header.oddities == ((said,) if said else ())


@given(largest=st.integers(0, 65535))
def test_a_depth_is_the_least_that_holds_the_largest_level(largest: int) -> None:
    bits = depth_of(largest)
    assert largest < 1 << bits
    assert all(largest >= 1 << fewer for fewer in DEPTHS if fewer < bits)


@given(white=st.integers(1, 65535), levels=st.lists(st.integers(0, 65535), min_size=1, max_size=50))
def test_grey_is_the_rounded_share_of_white(white: int, levels: list[int]) -> None:
    gray = gray_of(np.array([levels], np.uint16), white=white)
    exact = np.minimum(np.array(levels), white) * 255 / white
    assert np.abs(gray[0] - exact).max() <= 0.5


def test_a_png_says_how_many_bits_were_measured_of_samples_that_fill_their_word() -> None:
    """Where sBIT is 12 the standard wants 4095 to be stored as 65535: such a film is scaled by 16."""
    header, gray = _decoded(_with_chunk(_saved(_levels(4095) * 16, "PNG"), b"sBIT", b"\x0c"))
    assert (header.bits, int(gray.max()), header.oddities) == (16, 255, ())


def test_a_png_whose_samples_fill_the_lowest_bits_alone_means_those() -> None:
    header, gray = _decoded(_with_chunk(_saved(_levels(2000), "PNG"), b"sBIT", b"\x0c"))
    assert (header.bits, int(gray.max()), header.oddities) == (12, round(2000 * 255 / 4095), ())
    header, gray = _decoded(_with_chunk(_saved(_levels(2000), "PNG"), b"sBIT", b"\x10"))
    assert (header.bits, int(gray.max())) == (16, round(2000 / 257))


@pytest.mark.parametrize("content", [b"", b"\0", b"\x11", b"\x0c\x0c\x0c"])
def test_an_sbit_that_means_nothing_states_nothing(content: bytes) -> None:
    try:
        header, _ = _decoded(_with_chunk(_saved(_levels(4095), "PNG"), b"sBIT", content))
    except DecodeError as error:
        assert error.status == "undecodable"  # noqa: PT017 - both are fine
    else:
        assert header.bits == 12


@pytest.mark.parametrize("tag", [281, 341])
def test_a_tiff_states_the_largest_sample_value(tag: int) -> None:
    """MaxSampleValue and SMaxSampleValue: a dark film of a set keeps its darkness."""
    header, gray = _decoded(_saved(_levels(900), "TIFF", tiffinfo={tag: 4095}))
    assert (header.bits, int(gray.max()), header.oddities) == (12, round(900 * 255 / 4095), ())
    header, _ = _decoded(_saved(_levels(4000), "TIFF", tiffinfo={tag: 255}))
    assert header.bits == 12


def test_a_tiff_whose_zero_is_white_is_inverted() -> None:
    """Pillow inverts such films of eight bits, and not those of more."""
    dark = _saved(_levels(4095), "TIFF")
    entry = (262).to_bytes(2, "little") + (3).to_bytes(2, "little") + (1).to_bytes(4, "little")
    white = dark.replace(entry + b"\1\0", entry + b"\0\0")
    assert white != dark
    np.testing.assert_array_equal(_decoded(white)[1], 255 - _decoded(dark)[1])


@pytest.mark.parametrize(("maxval", "bits"), [(4095, 12), (4000, 12), (1023, 10), (300, 9)])
def test_a_pgm_states_its_white(maxval: int, bits: int) -> None:
    levels = _levels(maxval // 2)
    header, gray = _decoded(_pgm(levels, maxval))
    assert (header.bits, header.oddities, header.mode) == (bits, (), "I")
    assert np.abs(gray - levels * 255.0 / maxval).max() <= 0.5


def test_a_pgm_as_text_is_scaled_by_its_white() -> None:
    text = b"P2\n20 20\n4095\n" + b" ".join(b"%d" % level for level in _levels(4095).ravel())
    _, gray = _decoded(text)
    np.testing.assert_array_equal(gray, _decoded(_pgm(_levels(4095), 4095))[1])


def test_a_pgm_that_is_cut_off_is_truncated() -> None:
    with pytest.raises(DecodeError) as caught:
        decode.decode(_pgm(_levels(4095), 4095)[:-9])
    assert caught.value.status == "truncated"


def test_levels_above_the_stated_white_are_white_and_odd() -> None:
    header, gray = _decoded(_pgm(_levels(5000), 4095))
    assert int(gray.max()) == 255
    assert header.oddities == ("levels above the white that the file states: it states 4095, the largest is 5000",)


def _signed_tiff(levels: NDArray[np.int16]) -> bytes:
    return _saved(levels.view(np.uint16), "TIFF", tiffinfo={339: 2})


def test_a_signed_tiff_without_negative_levels_is_read_as_others() -> None:
    header, gray = _decoded(_signed_tiff(_levels(4095).view(np.int16)))
    assert (header.bits, int(gray.max())) == (12, 255)


def test_a_signed_tiff_with_negative_levels_is_unsupported() -> None:
    with pytest.raises(DecodeError) as caught:
        decode.decode(_signed_tiff(-_levels(4095).astype(np.int16)))
    assert caught.value.status == "unsupported"
    assert "levels below 0" in str(caught.value)


@pytest.mark.parametrize(
    ("mode", "format_", "bits"),
    [
        *(("L", "PNG", 8), ("RGB", "PNG", 8), ("P", "PNG", 8), ("1", "PNG", 1), ("L", "TIFF", 8), ("1", "TIFF", 1)),
        *(("L", "BMP", 8), ("L", "JPEG", 8), ("RGB", "WEBP", 8)),
    ],
)
def test_the_bits_of_other_films_are_those_they_are_stored_with(mode: str, format_: str, bits: int) -> None:
    data = io.BytesIO()
    Image.new(mode, (20, 20)).save(data, format_)
    assert _decoded(data.getvalue())[0].bits == bits


@given(shift=st.integers(0, 8), patterns=st.lists(st.integers(0, 65535), min_size=1, max_size=40))
def test_a_pattern_of_bits_is_looked_up_by_those_that_hold_the_level(shift: int, patterns: list[int]) -> None:
    table = np.arange(256, dtype=np.uint8)
    found = looked_up(np.array([patterns], np.uint16), table, shift=shift)
    assert found[0].tolist() == [(pattern >> shift) % 256 for pattern in patterns]


@given(limits=st.tuples(st.integers(-9, 0), st.integers(0, 9)), values=st.lists(st.integers(-99, 99), min_size=1))
def test_a_value_beyond_the_limits_counts_as_the_nearest(limits: tuple[int, int], values: list[int]) -> None:
    table = np.arange(256, dtype=np.uint8)
    found = looked_up(np.array([values], np.int16), table, limits=limits)
    assert found[0].tolist() == [min(max(value, limits[0]), limits[1]) % 256 for value in values]


@pytest.mark.real
def test_a_real_film_of_15_bits_is_not_half_as_bright(real_films: Path) -> None:
    header, gray = _decoded((real_films / "other-cxr" / "png16" / "nema-RG1_chest_15bit.png").read_bytes())
    assert header.bits == 15
    assert int(gray.max()) == round(26512 * 255 / 32767)
