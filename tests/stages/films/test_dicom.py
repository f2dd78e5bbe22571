"""DICOMs: levels against what the standard says of them, every coding, and what is refused before it is decoded."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from manifests.rows import AUDITED
from stages.auditing.rows import Examined, film_row
from stages.films import decode, parts, streams
from stages.films.decode import DecodeError, Header
from stages.films.frame import Frame, Gray
from stages.films.identity import group_of
from stages.named import Named

pytest.importorskip("imagecodecs", reason="needs the extra [dicom]")
import imagecodecs
from pydicom import dcmread, uid
from pydicom.encaps import encapsulate

from tests.stages.films.made_dicom import ENCODERS, LOSSY, dicom, lut

RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)


def _decoded(data: bytes, **options: Any) -> tuple[Header, Gray]:
    header, image = decode.decode(data, **options)
    assert image.mode == "L"
    return header, np.asarray(image)


def _refused(data: bytes) -> DecodeError:
    with pytest.raises(DecodeError) as caught:
        decode.decode(data)
    return caught.value


def _gray_of(stored: list[int], dtype: Any = np.uint16, **tags: Any) -> list[int]:
    """Return the grey levels of some stored values of 12 bits, unless told."""
    levels = np.resize(np.array(stored, dtype), (16, 16))
    _, gray = _decoded(dicom(levels, **{"BitsStored": 12, **tags}))
    found: list[int] = gray.ravel()[: len(stored)].tolist()
    return found


@pytest.mark.parametrize(
    ("center", "width", "stored", "gray"),
    [
        # the notes of DICOM PS3.3, C.11.2.1.2.1: c = 2048, w = 4096 is y = (x - 2047.5) / 4095 + 0.5
        (2048, 4096, [0, 1, 2047, 2048, 4095], [0, 0, 127, 128, 255]),
        # c = 2048, w = 1: black up to 2047.5, white above
        (2048, 1, [0, 2047, 2048, 4095], [0, 0, 255, 255]),
        (2048.5, 1, [2047, 2048, 2049], [0, 0, 255]),
        # c = 100, w = 100: black up to 50, white above 149, between y = (x - 99.5) / 99 + 0.5
        (100, 100, [0, 50, 51, 99, 100, 149, 150, 4095], [0, 0, 3, 126, 129, 255, 255, 255]),
    ],
)
def test_a_window_is_the_linear_function_of_the_standard(
    center: float, width: float, stored: list[int], gray: list[int]
) -> None:
    assert _gray_of(stored, WindowCenter=center, WindowWidth=width) == gray
    assert _gray_of(stored, WindowCenter=center, WindowWidth=width, VOILUTFunction="LINEAR") == gray


def test_linear_exact_and_sigmoid_are_functions_of_their_own() -> None:
    """C.11.2.1.3: (x - c) / w + 0.5, and 1 / (1 + exp(-4 (x - c) / w))."""
    exact = _gray_of([0, 50, 100, 125, 150, 200], WindowCenter=100, WindowWidth=100, VOILUTFunction="LINEAR_EXACT")
    assert exact == [0, 0, 128, 191, 255, 255]
    sigmoid = _gray_of([0, 50, 100, 150, 4095], WindowCenter=100, WindowWidth=100, VOILUTFunction="SIGMOID")
    assert sigmoid == [5, 30, 128, 225, 255]  # 255 x 0.018, 0.119, 0.5, 0.881, 1.0


def test_of_several_windows_the_first_counts() -> None:
    first = _gray_of([0, 50, 149], WindowCenter=[100, 9], WindowWidth=[100, 3])
    assert first == _gray_of([0, 50, 149], WindowCenter=100, WindowWidth=100)


@pytest.mark.parametrize(
    ("bits", "stored", "gray"),
    [
        (8, [0, 1, 128, 255], [0, 1, 128, 255]),
        (10, [0, 4, 512, 1023], [0, 1, 128, 255]),
        (12, [0, 16, 2048, 4095], [0, 1, 128, 255]),
        (15, [0, 128, 16384, 32767], [0, 1, 128, 255]),
        (16, [0, 257, 32768, 65535], [0, 1, 128, 255]),
    ],
)
def test_without_a_window_black_to_white_is_what_the_bits_stored_can_hold(
    bits: int, stored: list[int], gray: list[int]
) -> None:
    """And not what the film happens to hold: that would be another scale for each film."""
    assert _gray_of(stored, BitsStored=bits) == gray
    assert _gray_of(stored[:2], BitsStored=bits) == gray[:2]
    header, _ = _decoded(dicom(np.resize(np.array(stored, np.uint16), (16, 16)), BitsStored=bits))
    assert (header.bits, header.windowing, header.photometric) == (bits, "bits stored", "MONOCHROME2")


def test_signed_values_run_from_the_least_to_the_largest_of_their_bits() -> None:
    assert _gray_of([-2048, 0, 2047], np.int16) == [0, 128, 255]
    assert _gray_of([-50, -49, 0, 49], np.int16, WindowCenter=0, WindowWidth=100) == [0, 3, 129, 255]


def test_a_window_is_of_rescaled_values() -> None:
    """C.11.1.1: output = slope x stored + intercept, and the window is of the output."""
    rescaled: dict[str, Any] = {"RescaleSlope": 2, "RescaleIntercept": -100, "WindowCenter": 100, "WindowWidth": 100}
    assert _gray_of([75, 99, 100, 125], **rescaled) == _gray_of([50, 98, 100, 150], WindowCenter=100, WindowWidth=100)


@pytest.mark.parametrize(
    ("slope", "intercept"), [("1e308", "0"), ("8e304", "-1.7e308"), ("-1e308", "1e308"), ("1e-10", "1e10")]
)
def test_a_rescale_to_no_numbers_or_to_one_alone_is_undecodable(slope: str, intercept: str) -> None:
    """Else its grey levels would be what a processor makes of infinity, or of a division by nought."""
    error = _refused(dicom(RAMP, BitsStored=12, RescaleSlope=slope, RescaleIntercept=intercept))
    assert error.status == "undecodable"
    wide: dict[str, Any] = {"WindowCenter": 9, "WindowWidth": 9}
    assert _refused(dicom(RAMP, BitsStored=12, RescaleSlope="1e308", **wide)).status == "undecodable"


def test_a_falling_rescale_turns_black_to_white() -> None:
    assert _gray_of([0, 4095], RescaleSlope=-1, RescaleIntercept=4095) == [255, 0]


def test_a_modality_lut_comes_first_and_its_bits_are_the_range() -> None:
    table = lut(np.arange(4096)[::-1] // 16, bits=8)
    assert _gray_of([0, 2048, 4095], ModalityLUTSequence=table) == [255, 127, 0]
    windowed = _gray_of([0, 2048, 4095], ModalityLUTSequence=table, WindowCenter=128, WindowWidth=256)
    assert windowed == [255, 127, 0]


def test_a_voi_lut_goes_before_a_window() -> None:
    """Entries before the first and behind the last are those (C.11.2.1.1)."""
    table = lut(np.array([10, 20, 4095]), first=100, bits=12)
    levels = np.resize(np.array([0, 100, 101, 102, 4095], np.uint16), (16, 16))
    header, gray = _decoded(dicom(levels, BitsStored=12, VOILUTSequence=table, WindowCenter=9, WindowWidth=3))
    assert gray.ravel()[:5].tolist() == [1, 1, 1, 255, 255]
    assert header.windowing == "VOI LUT"


def test_a_voi_lut_that_states_its_word_is_as_deep_as_its_entries() -> None:
    table = lut(np.arange(4096), bits=16)
    assert _gray_of([0, 2048, 4095], VOILUTSequence=table) == [0, 128, 255]


@pytest.mark.parametrize("tags", [{}, {"PresentationLUTShape": "INVERSE"}, {"PresentationLUTShape": "IDENTITY"}])
def test_monochrome1_is_inverted_once(tags: dict[str, Any]) -> None:
    """A DX of MONOCHROME1 must say INVERSE as well (C.8.11.3): they mean one inversion."""
    assert _gray_of([0, 2048, 4095], PhotometricInterpretation="MONOCHROME1", **tags) == [255, 127, 0]


def test_an_inverse_shape_of_monochrome2_inverts_and_is_odd() -> None:
    levels = RAMP
    header, gray = _decoded(dicom(levels, BitsStored=12, PresentationLUTShape="INVERSE"))
    assert (gray[0, 0], gray[-1, -1]) == (255, 0)
    assert any(odd.startswith("polarity is contradictory") for odd in header.oddities)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_whatever_the_polarity(photometric: str) -> None:
    tags: dict[str, Any] = {"PhotometricInterpretation": photometric, "PixelPaddingValue": 4000}
    assert _gray_of([4000], **tags) == [0]
    assert _gray_of([3999], **tags) != [0]
    ranged = _gray_of([3899, 3900, 4000, 4001], **tags, PixelPaddingRangeLimit=3900)
    assert [level == 0 for level in ranged] == [False, True, True, False]


def test_a_window_without_width_is_odd_and_the_bits_stored_decide() -> None:
    header, gray = _decoded(dicom(RAMP, BitsStored=12, WindowCenter=9, WindowWidth=0))
    assert header.windowing == "bits stored"
    assert gray[-1, -1] == 255
    assert any(odd.startswith("window is not usable") for odd in header.oddities)


def test_bits_above_those_stored_hold_no_levels() -> None:
    """Overlays were kept there."""
    assert _gray_of([0, 0xF000, 0x1800, 4095]) == [0, 0, 128, 255]
    assert _gray_of([0, 0x8000, 0xFFF0], HighBit=15) == [0, 128, 255]


@pytest.mark.parametrize("syntax", [*ENCODERS, uid.RLELossless, uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian])
def test_every_transfer_syntax_gives_the_levels_of_the_uncompressed(syntax: str) -> None:
    bits = 8 if syntax == uid.JPEGBaseline8Bit else 12
    smooth = (np.add.outer(np.arange(64), np.arange(80)) * ((1 << bits) - 1) // 142).astype("u1" if bits == 8 else "u2")
    tags: dict[str, Any] = {"BitsStored": bits, "WindowCenter": 1 << (bits - 2), "WindowWidth": 1 << (bits - 1)}
    _, plain = _decoded(dicom(smooth, **tags))
    header, gray = _decoded(dicom(smooth, syntax=syntax, **tags))
    assert header.transfer_syntax == uid.UID(syntax).name
    assert (header.width, header.height, header.bits, header.format) == (80, 64, bits, "DICOM")
    assert header.mode == ("L" if bits == 8 else "I;16")
    assert np.abs(gray.astype(int) - plain).max() <= (4 if syntax in LOSSY else 0)


@pytest.mark.parametrize("syntax", [uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.JPEG2000Lossless, uid.RLELossless])
def test_signed_values_come_through_compression(syntax: str) -> None:
    signed = (np.arange(4096).reshape(64, 64) - 2048).astype(np.int16)
    tags: dict[str, Any] = {"BitsStored": 16, "WindowCenter": 0, "WindowWidth": 4096}
    _, plain = _decoded(dicom(signed, **tags))
    stored = signed if syntax in (uid.RLELossless, uid.JPEG2000Lossless) else signed.view(np.uint16)
    _, gray = _decoded(dicom(stored, syntax=syntax, **tags, PixelRepresentation=1))
    np.testing.assert_array_equal(gray, plain)


def test_a_stream_of_more_bits_than_the_tags_allow_is_white_where_it_exceeds_them() -> None:
    frame = encapsulate([imagecodecs.jpeg2k_encode(np.full((16, 16), 1 << 19, np.uint32), codecformat="j2k", level=0)])
    data = dicom(np.zeros((16, 16), np.uint16), syntax=uid.JPEG2000Lossless, BitsStored=12, PixelData=frame)
    assert _decoded(data)[1].min() == 255


def test_a_lossy_coder_that_overshoots_white_does_not_turn_it_black() -> None:
    """Twelve bits are coded where ten are stored: 1024 is as white as 1023, and no 0."""
    levels = np.full((16, 16), 1024, np.uint16)
    header, gray = _decoded(dicom(levels, syntax=uid.JPEGExtended12Bit, BitsStored=10))
    assert header.bits == 10
    assert gray.min() == 255


@pytest.mark.parametrize(
    "syntax", [uid.ExplicitVRLittleEndian, uid.RLELossless, uid.JPEG2000Lossless, uid.JPEGLSLossless]
)
def test_colour_becomes_grey_by_luma(syntax: str) -> None:
    colours = np.random.default_rng(1).integers(0, 256, (16, 24, 3), np.uint8)
    header, gray = _decoded(dicom(colours, syntax=syntax))
    assert header.mode == "RGB"
    np.testing.assert_array_equal(gray, np.asarray(Image.fromarray(colours).convert("L")))


def test_ybr_becomes_grey_as_the_rgb_that_it_stands_for() -> None:
    rows, columns = np.mgrid[0:64, 0:64]
    colours = np.stack([rows * 4, columns * 4, rows + columns], axis=2).astype(np.uint8)
    expected = np.asarray(Image.fromarray(colours).convert("L")).astype(int)
    ybr = np.asarray(Image.fromarray(colours).convert("YCbCr"))
    _, native = _decoded(dicom(ybr, PhotometricInterpretation="YBR_FULL"))
    assert np.abs(native.astype(int) - expected).max() <= 2
    _, jpeg = _decoded(dicom(colours, syntax=uid.JPEGBaseline8Bit, PhotometricInterpretation="YBR_FULL_422"))
    assert np.abs(jpeg.astype(int) - expected).max() <= 6


@pytest.mark.parametrize(
    ("name", "warned"), [("a.dcm", False), ("a", False), ("1.2.840.113", False), ("a.jpeg", True), ("a.PNG", True)]
)
def test_a_dicom_may_be_called_anything_but_what_other_films_are_called(name: str, warned: bool) -> None:  # noqa: FBT001
    header, _ = _decoded(dicom(RAMP, BitsStored=12))
    row = film_row(name, Examined("ok", None, "0" * 64, 9, header), Named("ill", None, None), Frame(256, 300))
    assert (row.warning is not None) == warned


def test_of_several_frames_the_first_is_used() -> None:
    both = np.concatenate([RAMP, RAMP[::-1]]).astype("<u2").tobytes()
    header, gray = _decoded(dicom(RAMP, BitsStored=12, NumberOfFrames=2, PixelData=both))
    assert "only the first frame is used: the file holds several" in header.oddities
    np.testing.assert_array_equal(gray, _decoded(dicom(RAMP, BitsStored=12))[1])


@pytest.mark.parametrize("syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian])
def test_a_dicom_without_preamble_is_read_alike(syntax: str) -> None:
    data = dicom(RAMP, BitsStored=12, bare=True, syntax=syntax)
    assert data[:2] == b"\x08\0"
    np.testing.assert_array_equal(_decoded(data)[1], _decoded(dicom(RAMP, BitsStored=12))[1])


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({"Modality": "CT"}, "no plain film by its modality: CT"),
        ({"Modality": "DOE^JOHN"}, "no plain film by its modality: another"),
        ({"BodyPartExamined": "KNEE"}, "not of the chest by its body part: KNEE"),
        ({"BodyPartExamined": "DOE^JOHN"}, "not of the chest by its body part: another"),
        ({"VOILUTFunction": "DOE^JOHN", "WindowCenter": 9, "WindowWidth": 9}, "VOI LUT function is unknown"),
        ({"BitsStored": 16}, "levels use fewer bits than the file states: 12 of 16"),
    ],
)
def test_what_is_odd_about_a_dicom_is_said_in_the_standards_words_alone(tags: dict[str, Any], said: str) -> None:
    header, _ = _decoded(dicom(RAMP, **{"BitsStored": 12, **tags}))
    (odd,) = header.oddities
    assert odd.startswith(said)
    assert "DOE" not in repr(header)


def test_a_chest_film_is_nothing_odd() -> None:
    assert _decoded(dicom(RAMP, BitsStored=12))[0].oddities == ()


@pytest.mark.parametrize(
    ("tags", "status", "said"),
    [
        ({"Rows": 20_000, "Columns": 20_000}, "too_large", "found 20000 x 20000 pixels; expected at most 100000000"),
        ({"Rows": 0}, "undecodable", "no number of rows and columns"),
        ({"Rows": None}, "undecodable", "no number of rows and columns"),
        ({"Rows": 65}, "truncated", "found 8192 bytes of pixels; expected 8320"),
        ({"BitsAllocated": 32}, "unsupported", "found 32 bits a sample, 12 used; expected 8 or 16"),
        ({"BitsStored": 17}, "unsupported", "found 16 bits a sample, 17 used"),
        ({"PhotometricInterpretation": "DOE^JOHN"}, "unsupported", "found 1 samples a pixel of unknown"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "unsupported", "1 samples a pixel of PALETTE COLOR"),
        ({"SamplesPerPixel": 4}, "unsupported", "found 4 samples a pixel"),
        ({"VOILUTSequence": lut(np.array([], np.uint16))}, "undecodable", "cannot be decoded"),
    ],
)
def test_a_dicom_that_cannot_be_used_says_what_was_found_and_expected(
    tags: dict[str, Any], status: str, said: str
) -> None:
    error = _refused(dicom(RAMP, **{"BitsStored": 12, **tags}))
    assert error.status == status
    assert said in str(error)
    assert "DOE" not in str(error)


def test_what_an_error_quotes_is_not_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pydicom quotes the bytes that it could not read: here an element's length is no multiple of its numbers'."""
    data = dicom(RAMP, BitsStored=12, PatientID="DOE^JOHN")
    assert data[132:140] == b"\x02\0\0\0UL\x04\0"
    error = _refused(data[:138] + b"\x55\0" + data[140:])
    assert (error.status, error.__cause__) == ("undecodable", None)
    assert "BytesLengthException" in str(error)
    assert "1.2.840" not in str(error)

    def quotes(*_: object) -> None:
        raise ValueError("DOE^JOHN")

    monkeypatch.setattr("stages.films.dicom.pixels_of", quotes)
    assert "found pixels that cannot be decoded (ValueError)" in str(_refused(data))
    assert "DOE" not in str(_refused(data))


def test_a_dicom_that_is_no_image_says_what_it_is() -> None:
    data = dicom(RAMP, SOPClassUID=uid.BasicTextSRStorage, PixelData=None)
    dataset = dcmread(io.BytesIO(data))
    del dataset.PixelData
    file = io.BytesIO()
    dataset.save_as(file)
    error = _refused(file.getvalue())
    assert (error.status, str(error)) == (
        "not_an_image",
        "DICOM: found no pixel data in a Basic Text SR; expected a film",
    )


def test_a_frame_that_promises_another_size_is_refused_before_it_is_decoded() -> None:
    """A few bytes of JPEG 2000 can promise 65,535 x 65,535 pixels, and a decoder allocates them."""
    for syntax in (uid.JPEG2000Lossless, uid.JPEGLSLossless, uid.JPEGLosslessSV1, uid.HTJ2KLossless):
        data = dicom(np.zeros((64, 64), np.uint16), Rows=32, BitsStored=12, syntax=syntax)
        error = _refused(data)
        assert error.status == "undecodable"
        assert "found 64 x 64 x 1 in the compressed frame; expected 64 x 32 x 1" in str(error)


@pytest.mark.parametrize("syntax", ENCODERS)
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_frame_that_is_cut_off_is_no_film(syntax: str, share: float) -> None:
    """Half a film is no film, though some decoders fill the rest with grey and say nothing."""
    noise = np.random.default_rng(0).integers(0, 4096, (64, 64)).astype(np.uint16)
    levels = (noise >> 4).astype(np.uint8) if syntax == uid.JPEGBaseline8Bit else noise
    frame = ENCODERS[syntax](levels)
    cut = frame[: int(len(frame) * share) // 2 * 2]
    error = _refused(
        dicom(levels, syntax=syntax, BitsStored=min(12, 8 * levels.itemsize), PixelData=encapsulate([cut]))
    )
    assert error.status in ("truncated", "undecodable")


def test_a_deflated_data_set_is_refused_before_it_is_inflated() -> None:
    data = dicom(RAMP, BitsStored=12)
    place = data.index(b"1.2.840.10008.1.2.1\0")
    deflated = data[: place - 2] + b"\x16\0" + b"1.2.840.10008.1.2.1.99" + data[place + 20 :]
    assert "deflated" in str(_refused(deflated))


def test_very_many_items_are_refused_before_they_become_objects() -> None:
    data = dicom(RAMP, BitsStored=12) + b"\xfe\xff\x00\xe0\0\0\0\0" * 100_001
    assert "items; expected at most 100000" in str(_refused(data))


def test_an_unknown_transfer_syntax_is_named_by_nobody() -> None:
    data = dicom(RAMP, BitsStored=12).replace(b"1.2.840.10008.1.2.1\0", b"1.2.999.12345.1.2.1\0")
    error = _refused(data)
    assert error.status == "unsupported"
    assert "transfer syntax unknown" in str(error)
    assert "12345" not in str(error)


@given(cut=st.integers(0, 100_000), syntax=st.sampled_from([uid.ExplicitVRLittleEndian, *ENCODERS]))
def test_a_dicom_cut_off_anywhere_is_an_image_or_a_decode_error(cut: int, syntax: str) -> None:
    levels = RAMP.astype(np.uint8) if syntax == uid.JPEGBaseline8Bit else RAMP
    data = dicom(levels, syntax=syntax, BitsStored=8 if levels.itemsize == 1 else 12)
    _outcome(data[: cut % len(data)])


@given(
    places=st.lists(st.tuples(st.integers(0, 100_000), st.integers(0, 255)), min_size=1, max_size=6),
    syntax=st.sampled_from([uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian, uid.RLELossless, *ENCODERS]),
)
def test_a_dicom_with_wrong_bytes_is_an_image_or_a_decode_error(places: list[tuple[int, int]], syntax: str) -> None:
    levels = RAMP.astype(np.uint8) if syntax == uid.JPEGBaseline8Bit else RAMP
    data = bytearray(dicom(levels, syntax=syntax, BitsStored=8 if levels.itemsize == 1 else 12))
    for place, value in places:
        data[place % len(data)] = value
    _outcome(bytes(data))


def _outcome(data: bytes) -> None:
    """Look at what becomes of a file: an image or an error, and in any case a row that the manifest takes."""
    try:
        header, image = _decoded(data)
        assert image.shape == (header.height, header.width)
        examined = Examined("ok", None, "0" * 64, len(data), header)
    except DecodeError as error:
        assert str(error)  # noqa: PT017 - any image will do as well
        examined = Examined(error.status, str(error), "0" * 64, len(data), error.header)
    row = film_row("x.dcm", examined, Named("ill", None, None), Frame(256, 300))
    assert len(AUDITED.table([row])) == 1


@pytest.mark.parametrize("syntax", [uid.JPEG2000Lossless, uid.JPEGLSLossless, uid.JPEGLosslessSV1, uid.RLELossless])
def test_what_decoders_think_of_broken_frames_reaches_no_terminal(
    syntax: str, capfd: pytest.CaptureFixture[str]
) -> None:
    data = bytearray(dicom(RAMP, syntax=syntax, BitsStored=12, PatientName="DOE^JOHN"))
    data[-200:-100] = bytes(range(100))
    _outcome(bytes(data))
    _outcome(bytes(data[:-120]))
    assert capfd.readouterr() == ("", "")


def test_a_patient_is_a_hash_under_the_key_and_none_without_being_asked_for() -> None:
    data = dicom(RAMP, BitsStored=12, PatientID="P 0815")
    assert _decoded(data)[0].group is None
    first, other = (_decoded(data, key=key)[0].group for key in (b"one", b"two"))
    assert first is not None
    assert first != other
    assert "0815" not in first
    assert first == _decoded(dicom(RAMP[::-1], BitsStored=12, PatientID=" p  0815"), key=b"one")[0].group


@pytest.mark.parametrize("patient", ["", "ANONYMOUS", "anon-7", "Anonymized", "0000", "N/A", "removed", "x" * 5, "-"])
def test_a_placeholder_is_no_patient(patient: str) -> None:
    """Else all films of a set would be one patient, and none could be held out."""
    assert group_of(patient, key=b"key") is None


def test_a_dicom_without_the_extra_says_what_to_install(tmp_path: Path) -> None:
    """In a process of its own, where the packages cannot be imported."""
    (tmp_path / "film.dcm").write_bytes(dicom(RAMP, BitsStored=12))
    code = (
        "import sys; sys.modules['pydicom'] = sys.modules['imagecodecs'] = None\n"
        "from stages.films import decode\n"
        "try: decode.decode(open(sys.argv[1], 'rb').read())\n"
        "except decode.DecodeError as error: print(error.status, error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "film.dcm"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("unsupported found a DICOM")
    assert "pip install 'cxr-pipeline[dicom]'" in done.stdout


def test_other_films_load_no_dicom_package() -> None:
    code = (
        "import io, sys; from PIL import Image; from stages.films import decode\n"
        "file = io.BytesIO(); Image.new('L', (9, 9)).save(file, 'PNG'); decode.decode(file.getvalue())\n"
        "print(sorted({'pydicom', 'imagecodecs'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    "data", [bytes(200), b"\x08\0", b"\x02\0\0\0", b"\x89PNG\r\n\x1a\n" + bytes(200), b"P5\n9 9\n255\n" + bytes(81)]
)
def test_what_begins_as_no_dicom_is_none(data: bytes) -> None:
    assert not parts.is_dicom(data)


def test_a_promise_is_read_from_the_head_of_a_frame() -> None:
    levels = np.zeros((48, 64), np.uint16)
    for syntax, encode in ENCODERS.items():
        if syntax != uid.JPEGBaseline8Bit:
            assert streams.promise_of(encode(levels)) == (64, 48, 1), uid.UID(syntax).name
    assert streams.promise_of(ENCODERS[uid.JPEGBaseline8Bit](np.zeros((48, 64, 3), np.uint8))) == (64, 48, 3)
    assert (
        streams.promise_of(b"")
        is streams.promise_of(b"\xff\xd8" * 9)
        is streams.promise_of(b"\xff\x4f\xff\x51")
        is None
    )


def test_a_promise_behind_what_a_decoder_skips_is_not_believed() -> None:
    """A decoder skips FF 00 and whole boxes: what a reader finds there instead is not what it allocates."""
    levels = np.zeros((64, 64), np.uint16)
    frame = bytes(ENCODERS[uid.JPEGLosslessSV1](levels))
    small = b"\xff\xc3\x00\x0b\x0c" + struct.pack(">HHB", 8, 8, 1) + b"\x01\x11\x00"
    forged = frame[:2] + b"\xff\x00" + struct.pack(">H", len(frame)) + frame[2:] + small + b"\xff\xd9"
    assert imagecodecs.jpeg8_decode(forged).shape == (64, 64)
    assert streams.promise_of(forged) == (64, 64, 1)
    boxed = bytes(imagecodecs.jpeg2k_encode(levels, codecformat="jp2"))
    decoy = bytes(imagecodecs.jpeg2k_encode(levels[:8, :8], codecformat="j2k"))
    place = boxed.index(b"jp2h") - 4
    forged = boxed[:place] + struct.pack(">I4s", 8 + len(decoy), b"free") + decoy + boxed[place:]
    assert imagecodecs.jpeg2k_decode(forged).shape == (64, 64)
    assert streams.promise_of(forged) == streams.promise_of(boxed) == (64, 64, 1)
    assert streams.promise_of(boxed[: boxed.index(b"jp2c")]) is None


def test_a_promise_behind_very_many_parts_is_not_looked_for() -> None:
    """Three hundred megabytes of FF, or of empty boxes, would take minutes."""
    frame = bytes(ENCODERS[uid.JPEGLosslessSV1](np.zeros((64, 64), np.uint16)))
    boxed = bytes(imagecodecs.jpeg2k_encode(np.zeros((64, 64), np.uint16), codecformat="jp2"))
    place = boxed.index(b"jp2h") - 4
    for number, found in ((1000, (64, 64, 1)), (parts.MOST_PARTS + 1, None)):
        assert streams.promise_of(frame[:2] + b"\xff" * number + frame[2:]) == found
        assert streams.promise_of(boxed[:place] + b"\0\0\0\x08free" * number + boxed[place:]) == found


@pytest.mark.real
def test_a_real_monochrome1_film_has_bright_bones(real_films: Path) -> None:
    """The spine is brighter than the lungs beside it, in both codings of one film."""
    folder = real_films / "other-cxr" / "dicom"
    lossy, near = (
        _decoded((folder / f"nema-RG1_chest_MONO1_15bit_{name}.dcm").read_bytes())
        for name in ("J2Klossy", "JPEGLSnear")
    )
    for header, gray in (lossy, near):
        height, width = gray.shape
        spine = gray[height // 2, width * 48 // 100 : width * 54 // 100].mean()
        lungs = [gray[height // 3, width * at // 100 : width * (at + 8) // 100].mean() for at in (24, 70)]
        assert spine > max(lungs) + 20
        assert (header.photometric, header.bits, header.windowing) == ("MONOCHROME1", 15, "window LINEAR")
    assert np.abs(lossy[1].astype(int) - near[1]).max() <= 4


@pytest.mark.real
def test_a_real_film_of_8_bits_keeps_its_stored_levels(real_films: Path) -> None:
    path = real_films / "other-cxr" / "dicom" / "nhsx-nih-DX_MONO2_8bit_implicitVR.dcm"
    stored = dcmread(path).pixel_array
    file = io.BytesIO()
    Image.fromarray(stored).save(file, "PNG")
    np.testing.assert_array_equal(_decoded(path.read_bytes())[1], _decoded(file.getvalue())[1])


@pytest.mark.real
def test_a_real_png_of_a_dicoms_values_is_the_same_film_inverted(real_films: Path) -> None:
    """A PNG cannot say MONOCHROME1, nor a window: the levels differ by both, and by nothing else."""
    folder = real_films / "other-cxr"
    header, png = _decoded((folder / "png16" / "nema-RG1_chest_15bit.png").read_bytes())
    _, film = _decoded((folder / "dicom" / "nema-RG1_chest_MONO1_15bit_J2Klossy.dcm").read_bytes())
    assert header.bits == 15
    stored = png.astype(float) * 32767 / 255
    expected = 255 - 255 * np.clip((stored - 14999.5) / 29999 + 0.5, 0, 1)
    assert np.abs(expected - film).max() <= 1.5


@pytest.mark.real
def test_real_malformed_dicoms_are_rows_with_reasons(real_films: Path) -> None:
    files = sorted((real_films / "hostile" / "dicom-malformed").iterdir())
    assert len(files) == 23
    for path in files:
        _outcome(path.read_bytes())


def test_a_frame_without_a_size_is_refused() -> None:
    data = dicom(
        RAMP, BitsStored=12, syntax=uid.JPEG2000Lossless, PixelData=encapsulate([b"\xff\x4f\xff\x51" + bytes(8)])
    )
    assert "found no size in the compressed frame" in str(_refused(data))
