from __future__ import annotations

import io
import re
import struct
import zlib
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torchvision import transforms

from manifests.rows import AUDITED, Status
from stages.auditing.rows import Examined, film_row
from stages.films import decode, parts
from stages.films.decode import FORMATS, LONGEST_ASPECT, SMALLEST_SIDE, DecodeError, Header
from stages.films.frame import Frame, Gray, frame_of
from stages.films.placement import fit, place
from stages.named import Named

HIGH, WIDE = 24, 36
LOSSLESS = {
    "L": ("PNG", "TIFF", "BMP", "PPM"),
    "RGB": ("PNG", "TIFF", "BMP", "PPM", "WEBP"),
    "RGBA": ("PNG", "TIFF", "WEBP"),
    "P": ("PNG", "TIFF", "BMP"),
    "1": ("PNG", "TIFF", "BMP", "PPM"),
    "LA": ("PNG", "TIFF"),
    "CMYK": ("TIFF",),
}


def _colours(channels: int, *, seed: int = 0) -> Any:
    """Return noise of a number of channels."""
    return np.random.default_rng(seed).integers(0, 256, (HIGH, WIDE, channels), np.uint8).squeeze()


def _picture(mode: str) -> Image.Image:
    """Return noise in a mode of Pillow's; alpha and palette are as odd as files have them."""
    if mode == "P":
        picture = Image.fromarray(_colours(1)).convert("P")
        picture.putpalette(_colours(3, seed=1).ravel()[:768].tolist())
        return picture
    if mode == "1":
        return Image.fromarray(_colours(1)).convert("1")
    channels = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4}[mode]
    return Image.frombytes(mode, (WIDE, HIGH), _colours(channels).tobytes())


def _saved(picture: Image.Image, format_: str, **options: Any) -> bytes:
    data = io.BytesIO()
    picture.save(data, format_, **options)
    return data.getvalue()


def _decoded(data: bytes) -> tuple[Header, Gray]:
    header, image = decode.decode(data)
    assert image.mode == "L"
    return header, np.asarray(image)


def _outcome(data: bytes) -> str:
    """Return "image" where the bytes become pixels of the promised size, else the status that a row would get.

    And whatever it is, the manifest takes the row: a film whose header says what no column holds would end the run.
    """
    try:
        header, image = _decoded(data)
        assert image.shape == (header.height, header.width)
        assert image.dtype == np.uint8
        outcome, examined = "image", Examined("ok", None, "0" * 64, len(data), header)
    except DecodeError as error:
        outcome = error.status if str(error) else "no reason given"
        examined = Examined(error.status, str(error), "0" * 64, len(data), error.header)
    row = film_row("x.png", examined, Named("ill", None, None), Frame(256, 300))
    assert len(AUDITED.table([row])) == 1
    return outcome


def _refused(data: bytes) -> DecodeError:
    with pytest.raises(DecodeError) as caught:
        decode.decode(data)
    return caught.value


@pytest.mark.parametrize(("mode", "format_"), [(mode, name) for mode, names in LOSSLESS.items() for name in names])
def test_every_mode_of_every_lossless_format_becomes_the_grey_of_pillow(mode: str, format_: str) -> None:
    """And what the file says of itself is kept."""
    picture = _picture(mode)
    options = {"lossless": True, "exact": True} if format_ == "WEBP" else {}
    header, image = _decoded(_saved(picture, format_, **options))
    bits = 1 if mode == "1" else 8
    exif = None if format_ == "TIFF" else 0
    assert replace(header, oddities=(), colour=None) == Header(WIDE, HIGH, mode, format_, bits=bits, exif_tags=exif)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, np.asarray(picture.convert("L")))


def test_colour_becomes_grey_by_the_luma_of_itu_r_601() -> None:
    """0.299 R + 0.587 G + 0.114 B, in Pillow's fixed point."""
    colours = _colours(3)
    _, image = _decoded(_saved(Image.fromarray(colours), "PNG"))
    red, green, blue = np.moveaxis(colours.astype(np.int64), 2, 0)
    np.testing.assert_array_equal(image, (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16)


@pytest.mark.parametrize(
    ("mode", "format_"), [("L", "JPEG"), ("RGB", "JPEG"), ("CMYK", "JPEG"), ("RGB", "WEBP"), ("RGBA", "WEBP")]
)
def test_lossy_formats_become_the_grey_of_torchvision(mode: str, format_: str) -> None:
    """`Grayscale` of the image as Pillow opens it."""
    data = _saved(_picture(mode), format_, quality=90)
    header, image = _decoded(data)
    with Image.open(io.BytesIO(data)) as opened:
        np.testing.assert_array_equal(image, np.asarray(transforms.Grayscale()(opened)))
    assert (header.width, header.height, header.mode, header.format) == (WIDE, HIGH, mode, format_)


@pytest.mark.parametrize("format_", ["PNG", "TIFF", "PPM"])
@given(data=st.data())
def test_16_bit_levels_are_divided_by_257_and_rounded(data: st.DataObject, format_: str) -> None:
    """Black stays black, white stays white, and nothing in between is cut off."""
    drawn = data.draw(st.lists(st.integers(0, 65535), min_size=60, max_size=60))
    levels = np.array([0, 128, 129, 65535, *drawn], np.uint16).reshape(8, 8)
    _, image = _decoded(_saved(Image.fromarray(levels), format_))
    np.testing.assert_array_equal(image, np.rint(levels / 257))


def test_big_endian_16_bit_levels_are_read_alike() -> None:
    """As scanners write them."""
    levels = np.random.default_rng(3).integers(0, 65536, (HIGH, WIDE)).astype(np.uint16)
    picture = Image.frombytes("I;16B", (WIDE, HIGH), levels.astype(">u2").tobytes())
    header, image = _decoded(_saved(picture, "TIFF"))
    assert header.mode == "I;16B"
    np.testing.assert_array_equal(image, np.rint(levels / 257))


def test_exif_orientation_is_not_applied() -> None:
    """As in the 2020 recipe: torchvision does not apply it either."""
    picture = _picture("L")
    exif = Image.Exif()
    exif[0x0112] = 6
    for format_ in ("PNG", "JPEG", "WEBP"):
        header, image = _decoded(_saved(picture, format_, exif=exif))
        assert (header.width, header.height) == (WIDE, HIGH)
        assert image.shape == (HIGH, WIDE)
        assert header.oddities == ("EXIF orientation is ignored: the file says 6",)


def test_a_tiffs_own_orientation_is_applied_as_pillow_applies_it() -> None:
    """And so in the 2020 recipe; the row has the size of the film as it is seen."""
    picture = _picture("L")
    header, image = _decoded(_saved(picture, "TIFF", tiffinfo={0x0112: 6}))
    assert (header.width, header.height, header.oddities) == (HIGH, WIDE, ())
    np.testing.assert_array_equal(image, np.rot90(np.asarray(picture), -1))


@pytest.mark.parametrize("value", [0, 1, 9, 65535])
def test_an_orientation_that_means_nothing_is_nothing_odd(value: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    assert _decoded(_saved(_picture("L"), "JPEG", exif=exif))[0].oddities == ()


@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0II*\0\x08\0\0\0\xff\xff"])
def test_exif_that_is_broken_leaves_the_film_usable(exif: bytes) -> None:
    assert _decoded(_saved(_picture("L"), "JPEG", exif=exif))[0].oddities == ()


@pytest.mark.parametrize(
    ("mode", "format_", "options", "said"),
    [
        ("L", "TIFF", {"save_all": True, "append_images": [Image.new("L", (9, 9))]}, "only the first frame is used"),
        ("L", "PNG", {"save_all": True, "append_images": [Image.new("L", (WIDE, HIGH))]}, "only the first frame"),
        ("RGB", "WEBP", {"save_all": True, "append_images": [Image.new("RGB", (WIDE, HIGH))]}, "only the first frame"),
        ("RGB", "MPO", {"save_all": True, "append_images": [Image.new("RGB", (WIDE, HIGH))]}, "only the first frame"),
        ("L", "JPEG", {"icc_profile": b"a profile"}, "ICC profile is ignored"),
        ("CMYK", "JPEG", {}, "CMYK is read as Pillow reads it"),
        ("1", "TIFF", {"compression": "group4"}, "black and white alone"),
        ("LA", "PNG", {}, "transparency is ignored"),
        ("L", "PNG", {"transparency": 0}, "transparency is ignored"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_odd_about_a_usable_film_is_said(mode: str, format_: str, options: dict[str, Any], said: str) -> None:
    """A film that is read in one of several possible ways is used, and its row tells which."""
    header, image = _decoded(_saved(_picture(mode), format_, **options))
    assert image.shape == (HIGH, WIDE)
    (oddity,) = header.oddities
    assert oddity.startswith(said)


def test_of_several_frames_the_first_is_used() -> None:
    """Pages of a TIFF are films of their own, and only one of them has the file's label."""
    first = _picture("L")
    _, image = _decoded(_saved(first, "TIFF", save_all=True, append_images=[Image.new("L", (WIDE, HIGH), 9)]))
    np.testing.assert_array_equal(image, np.asarray(first))


@pytest.mark.parametrize(
    ("mode", "options", "told"),
    [
        ("L", {}, "grey"),
        ("RGB", {"subsampling": 0}, "4:4:4"),
        ("RGB", {"subsampling": 1}, "4:2:2"),
        ("RGB", {"subsampling": 2}, "4:2:0"),
        ("CMYK", {}, "4:4:4"),
    ],
)
def test_a_jpeg_tells_how_its_colours_are_sampled(mode: str, options: dict[str, Any], told: str) -> None:
    for progressive in (False, True):
        header, _ = _decoded(_saved(_picture(mode), "JPEG", progressive=progressive, **options))
        assert (header.jpeg_subsampling, header.progressive) == (told, progressive)
    assert _decoded(_saved(_picture("L"), "PNG"))[0].jpeg_subsampling is None


def test_exif_tags_are_counted_and_not_told() -> None:
    exif = Image.Exif()
    exif[0x010E], exif[0x013B] = "a chest of John Doe", "Doe"
    header, _ = _decoded(_saved(_picture("L"), "JPEG", exif=exif))
    assert header.exif_tags == 2
    assert "Doe" not in repr(header)


def test_what_the_bytes_are_counts_and_nothing_else() -> None:
    """No file name comes near the decoder: a PNG that is called .jpeg is a PNG."""
    assert _decoded(_saved(_picture("L"), "PNG"))[0].format == "PNG"


def test_an_empty_file_is_empty() -> None:
    """The most common of broken downloads."""
    assert _refused(b"").status == "empty"


@pytest.mark.parametrize(
    "data",
    [b"\0", b"<html>not found</html>", b"\x89PNG", b"\xff\xd8\xff", bytes(1000), b"%!PS-Adobe-3.0 EPSF-3.0\n"],
    ids=repr,
)
def test_what_is_no_image_says_how_it_begins(data: bytes) -> None:
    """The first bytes tell a person what the file is instead."""
    error = _refused(data)
    assert error.status == "not_an_image"
    assert f"found {len(data)} bytes starting {data[:4].hex(' ')}" in str(error)


@pytest.mark.parametrize("format_", ["GIF", "ICO", "EPS", "PDF"])
def test_formats_that_hold_no_film_are_not_opened(format_: str) -> None:
    """Pillow would open some of them, EPS by starting another program."""
    assert _refused(_saved(_picture("L"), format_)).status == "not_an_image"


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "TIFF", "BMP", "PPM"])
def test_a_file_that_is_cut_off_is_truncated(format_: str) -> None:
    """Half a film is no film; its header is kept, since it was whole."""
    data = _saved(_picture("L"), format_)
    error = _refused(data[: len(data) * 2 // 3])
    assert error.status == "truncated"
    assert error.header is not None
    assert (error.header.width, error.header.height, error.header.format) == (WIDE, HIGH, format_)


@pytest.mark.parametrize("format_", FORMATS)
@given(cut=st.integers(0, 10_000))
def test_a_file_cut_off_anywhere_is_an_image_or_a_decode_error(format_: str, cut: int) -> None:
    """No other exception reaches the run."""
    data = _saved(_picture("L"), format_)
    outcome = _outcome(data[: cut % len(data)])
    assert outcome in {"image", "empty", "not_an_image", "truncated", "undecodable"}


@pytest.mark.parametrize("format_", FORMATS)
@given(places=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=6))
def test_a_file_with_wrong_bytes_is_an_image_or_a_decode_error(format_: str, places: list[tuple[int, int]]) -> None:
    """Flipped bits on a disk: whatever Pillow makes of them, the run goes on."""
    data = bytearray(_saved(_picture("L"), format_))
    for place_, value in places:
        data[place_ % len(data)] = value
    assert _outcome(bytes(data)) in {"image", *get_args(Status)}


def _chunk(kind: bytes, content: bytes = b"") -> bytes:
    return len(content).to_bytes(4) + kind + content + zlib.crc32(kind + content).to_bytes(4)


@pytest.mark.parametrize(
    "before", [_chunk(b"CgBI", b"\0\0\0\2"), _chunk(b"tEXt", b"a\0b"), _chunk(b"abCd", bytes(99))], ids=len
)
def test_a_png_whose_header_is_not_its_first_chunk_tells_its_own_bits(before: bytes) -> None:
    """As phones write them, and Pillow reads them."""
    data = _saved(_picture("L"), "PNG")
    moved = data[:8] + before + data[8:]
    assert _decoded(moved)[0] == _decoded(data)[0]
    assert _outcome(moved) == "image"


@pytest.mark.parametrize("bits", [0, 3, 99])
def test_a_second_png_header_that_states_no_bits_is_an_image_or_a_decode_error(bits: int) -> None:
    data = _saved(_picture("L"), "PNG")
    second = _chunk(b"IHDR", struct.pack(">IIBBBBB", WIDE, HIGH, bits, 0, 0, 0, 0))
    for place_ in (8, 33):
        assert _outcome(data[:place_] + second + data[place_:]) in {"image", *get_args(Status)}


def test_pixels_that_break_their_format_are_undecodable() -> None:
    """A PNG whose checksums are wrong."""
    data = bytearray(_saved(_picture("L"), "PNG"))
    data[data.index(b"IDAT") + 30] ^= 0xFF
    error = _refused(bytes(data))
    assert error.status == "undecodable"
    assert error.header == Header(WIDE, HIGH, "L", "PNG", bits=8)


@pytest.mark.parametrize("size", [(10_001, 10_000), (200_000, 200_000)], ids=str)
def test_a_header_of_too_many_pixels_is_refused_before_they_are_read(size: tuple[int, int]) -> None:
    """A few bytes can promise gigabytes."""
    error = _refused(b"P5\n%d %d\n255\n" % size)
    assert error.status == "too_large"
    assert "expected at most 100000000" in str(error)


def test_a_jpeg_of_many_scans_is_refused_before_they_are_read() -> None:
    """Each scan takes 14 bytes of the file and a pass over all its pixels: a megabyte could take hours."""
    data = _saved(Image.new("L", (64, 64)), "JPEG", progressive=True)
    scan = data[data.rindex(b"\xff\xda") :].removesuffix(b"\xff\xd9")
    assert _outcome(data) == "image"
    error = _refused(data.removesuffix(b"\xff\xd9") + 200 * scan + b"\xff\xd9")
    assert error.status == "unsupported"
    assert re.fullmatch(r"found 20\d scans; expected at most 100", str(error))


def test_what_follows_the_one_scan_of_a_grey_sequential_jpeg_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The decoder refuses a second scan when it comes to it, so they need not be counted."""
    data = _saved(Image.linear_gradient("L"), "JPEG")
    scan = data[data.rindex(b"\xff\xda") :].removesuffix(b"\xff\xd9")
    many = data.removesuffix(b"\xff\xd9") + 20_000 * scan + b"\xff\xd9"
    assert _refused(many).status == "undecodable"
    colour = _saved(Image.merge("RGB", [Image.linear_gradient("L")] * 3), "JPEG")
    monkeypatch.setattr(parts, "MOST_SCANS", 0)
    assert parts.too_many(data) is None
    assert parts.too_many(colour) == "found 1 scans; expected at most 0"


@pytest.mark.parametrize(
    ("format_", "place", "part"),
    [("JPEG", 2, b"\xff\xec\0\2"), ("PNG", 33, _chunk(b"abCd"))],
)
def test_a_file_of_very_many_parts_is_refused_before_they_are_read(format_: str, place: int, part: bytes) -> None:
    """A part costs a decoder microseconds and a Python object, however few bytes it has."""
    data = _saved(_picture("L"), format_)
    assert _outcome(data[:place] + 50 * part + data[place:]) == "image"
    error = _refused(data[:place] + 150_000 * part + data[place:])
    assert error.status == "unsupported"
    assert "found more than 100000" in str(error)


def test_what_decoders_think_of_broken_films_does_not_reach_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    """Its row says what is wrong; libtiff and Pillow would say it among the lines of the run."""
    data = bytearray(_saved(Image.fromarray(_colours(1)), "TIFF", compression="tiff_lzw"))
    data[8:200] = bytes(192)
    assert _outcome(bytes(data)) != "image"
    several = _saved(_picture("RGB"), "TIFF")
    spoilt = several.replace(struct.pack("<HHII", 277, 3, 1, 3), struct.pack("<HHII", 277, 3, 1, 60000))
    assert spoilt != several
    assert _outcome(spoilt) != "image"
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("mode", ["I", "F"])
def test_32_bit_levels_are_unsupported(mode: str) -> None:
    """Nobody knows which of their levels is white."""
    error = _refused(_saved(Image.new(mode, (WIDE, HIGH), 7), "TIFF"))
    assert error.status == "unsupported"
    assert f"mode {mode} (32 bit)" in str(error)


@pytest.mark.parametrize(
    ("size", "usable"),
    [
        ((SMALLEST_SIDE, SMALLEST_SIDE), True),
        ((SMALLEST_SIDE - 1, 300), False),
        ((300, SMALLEST_SIDE - 1), False),
        ((10, 10 * LONGEST_ASPECT), True),
        ((10 * LONGEST_ASPECT + 1, 10), False),
        ((8, 400_000), False),
    ],
    ids=str,
)
def test_specks_and_strips_are_unsupported(size: tuple[int, int], usable: bool) -> None:  # noqa: FBT001
    """A strip of 8 x 400,000 is 7 kB of PNG, and ten gigabytes when its shorter side is scaled to 256."""
    data = _saved(Image.new("L", size, 9), "PNG")
    if usable:
        assert _decoded(data)[1].shape == size[::-1]
        return
    error = _refused(data)
    assert error.status == "unsupported"
    assert f"found {size[0]} x {size[1]} pixels; expected at" in str(error)


@pytest.mark.parametrize("quality", range(10, 101))
def test_the_quality_of_a_jpeg_is_recovered_from_its_table(quality: int) -> None:
    """Of files that Pillow and OpenCV wrote, grey and in colour, baseline and progressive."""
    colours = np.ascontiguousarray(_colours(3))
    encoded, by_opencv = cv2.imencode(".jpg", colours, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert encoded
    files = (
        _saved(Image.fromarray(colours), "JPEG", quality=quality),
        _saved(Image.fromarray(colours), "JPEG", quality=quality, progressive=True),
        _saved(Image.fromarray(colours).convert("L"), "JPEG", quality=quality),
        by_opencv.tobytes(),
    )
    assert [_decoded(data)[0].jpeg_quality for data in files] == [quality] * len(files)


def test_a_table_of_another_maker_gets_the_nearest_quality() -> None:
    """All ones is 100, all 255 is 1, and a table of 80 with a few steps changed is still nearest 80."""
    with Image.open(io.BytesIO(_saved(_picture("L"), "JPEG", quality=80))) as standard:
        changed = [step + (place_ % 9 == 0) for place_, step in enumerate(standard.quantization[0])]  # type: ignore[attr-defined]  # JPEG files have it
    for table, quality in (([1] * 64, 100), ([255] * 64, 1), (changed, 80)):
        data = _saved(_picture("L"), "JPEG", qtables=[table])
        assert _decoded(data)[0].jpeg_quality == quality


@pytest.mark.real
def test_the_crop_of_every_real_film_is_torchvisions(real_films: Path) -> None:
    """Bytes in, frame out: decode, grey, resize, crop. Not one grey level differs on any of the films."""
    recipe = transforms.Compose([transforms.Grayscale(), transforms.Resize(256), transforms.CenterCrop((256, 300))])
    paths = sorted((real_films / "kermany-raw").rglob("*.jpeg"))
    assert len(paths) >= 300
    for path in paths:
        header, image = decode.decode(path.read_bytes())
        ours = fit(image, place(header.frame, frame=Frame(height=256, width=300), policy="crop"))
        with Image.open(path) as film:
            np.testing.assert_array_equal(ours, np.asarray(recipe(film)), err_msg=path.name)


@pytest.mark.real
def test_every_hostile_file_is_an_image_or_a_decode_error(real_films: Path) -> None:
    """Crash tests of six decoders: each becomes pixels of the promised size, or a row with a status and a reason."""
    outcomes: Counter[str] = Counter()
    for path in sorted((real_films / "hostile").rglob("*")):
        if path.is_file():
            outcomes[_outcome(path.read_bytes())] += 1
    assert outcomes["image"] > 50
    assert outcomes["not_an_image"] > 50
    assert outcomes["truncated"] > 5
    assert outcomes["undecodable"] > 5


def test_films_come_out_as_films() -> None:
    """The alias is (height, width), never turned."""
    image: Gray = _decoded(_saved(_picture("L"), "PNG"))[1]
    assert frame_of(image) == Frame(height=HIGH, width=WIDE)
