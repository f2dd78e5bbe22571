"""Nothing that names a person leaves a film: planted tags are looked for in every output of the whole pipeline."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from manifests import store
from manifests.rows import AUDITED, SPLIT
from pipeline.cli import main
from stages import audit, paths

pytest.importorskip("imagecodecs", reason="needs the extra [dicom]")
from pydicom import uid
from pydicom.datadict import tag_for_keyword

from tests.stages.films.made_dicom import dicom, lut

SECRET = "zqxsecret"  # noqa: S105 - no password: it is in every text that is planted
OWN_UID, BIRTH, ACCESSION, PATIENT = "1.2.826.0.1.3680043.777.90817", "19310203", "90817364", "zqxsecret-4711"
PLANTED: dict[str, Any] = {
    "PatientName": f"{SECRET}^Quentin",
    "PatientBirthDate": BIRTH,
    "AccessionNumber": ACCESSION,
    "InstitutionName": f"Hospital {SECRET}",
    "InstitutionAddress": f"1 {SECRET} Street",
    "ReferringPhysicianName": f"Dr^{SECRET}",
    "OperatorsName": f"{SECRET}^O",
    "OtherPatientIDs": f"{SECRET}-2",
    "PatientComments": f"knows {SECRET}",
    "StudyDescription": f"chest of {SECRET}",
    "ImageComments": f"{SECRET} lies",
    "StationName": SECRET.upper(),
    "DeviceSerialNumber": f"{SECRET}9",
    "StudyInstanceUID": f"{OWN_UID}.1",
    "SeriesInstanceUID": f"{OWN_UID}.2",
    "SOPInstanceUID": f"{OWN_UID}.3",
}
LOOKED_FOR = (SECRET, "quentin", OWN_UID, BIRTH, ACCESSION, "-4711")
SYNTAXES = (
    *(uid.ExplicitVRLittleEndian, uid.JPEG2000Lossless, uid.RLELossless, uid.JPEGLosslessSV1),
    *(uid.ImplicitVRLittleEndian, uid.JPEGLSLossless),
)
KEY = "a key that nobody guesses"


def _levels(seed: int) -> NDArray[np.uint16]:
    """Return a film of 12 bits that is like no other."""
    coarse = np.random.default_rng(seed).integers(0, 4096, (8, 8)).astype(np.int32)
    return np.asarray(Image.fromarray(coarse).resize((96, 80), Image.Resampling.BILINEAR)).astype(np.uint16)


def _dicom(seed: int, patient: str = PATIENT, **tags: Any) -> bytes:
    known: dict[str, Any] = {
        "syntax": SYNTAXES[seed % len(SYNTAXES)],
        "BitsStored": 12,
        "PatientID": patient,
        **PLANTED,
        **tags,
    }
    return dicom(_levels(seed), **known)


def _other(seed: int) -> tuple[str, bytes]:
    """Return a PNG of 16 bits or a JPEG that says as much of its patient, and its suffix."""
    file = io.BytesIO()
    if seed % 2:
        told = PngImagePlugin.PngInfo()
        told.add_text("Patient", f"{SECRET}^Quentin")
        Image.fromarray(_levels(seed)).save(file, "PNG", pnginfo=told)
        return "png", file.getvalue()
    exif = Image.Exif()
    exif[0x010E], exif[0x013B] = f"chest of {SECRET}", "Quentin"
    Image.fromarray((_levels(seed) // 16).astype(np.uint8)).save(file, "JPEG", exif=exif, comment=SECRET.encode())
    return "jpeg", file.getvalue()


def _unusable() -> Iterator[tuple[str, bytes]]:
    """Yield DICOMs that hold a secret in tags that are read, in place of a word or of a number, and broken ones."""
    window: dict[str, Any] = {"WindowCenter": 2000, "WindowWidth": 900}
    for name in ("Modality", "BodyPartExamined", "PhotometricInterpretation", "VOILUTFunction", "PresentationLUTShape"):
        yield name, _dicom(900, **{**window, name: SECRET.upper()})
    for name in ("WindowCenter", "WindowWidth", "RescaleSlope", "RescaleIntercept", "NumberOfFrames"):
        data = _dicom(901, **{**window, name: 123456789})
        yield name, data.replace(b"123456789", SECRET.encode())
    for name in ("Rows", "BitsStored", "SamplesPerPixel", "PixelPaddingValue"):
        head = int(tag_for_keyword(name)).to_bytes(4)
        tag = bytes([head[1], head[0], head[3], head[2]]) + b"US"
        data = _dicom(902, syntax=uid.ExplicitVRLittleEndian, PixelPaddingValue=9)
        place = data.index(tag) + 6
        yield name, data[:place] + b"\x0a\0" + SECRET.encode() + b" " + data[place + 4 :]
    explained = lut(np.array([], np.uint16))
    explained[0].LUTExplanation = SECRET
    yield "lut", _dicom(903, VOILUTSequence=explained)
    known, own = b"1.2.840.10008.1.2.1\0", (OWN_UID + "\0")[:30].encode()
    yield "syntax", _dicom(904, syntax=uid.ExplicitVRLittleEndian).replace(b"UI\x14\0" + known, b"UI\x1e\0" + own)
    yield "cut", _dicom(906)[:-3000]
    whole = _dicom(907)
    yield "spoilt", whole[:-900] + SECRET.encode() * 9 + whole[-819:]
    yield "report", _dicom(912).split(b"\xe0\x7f\x10\x00")[0]


@pytest.fixture(scope="module")
def said_and_root(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Return all that the commands said, and the root of a set of DICOMs, PNGs and JPEGs on which they ran."""
    root = tmp_path_factory.mktemp("private")
    for seed in range(48):
        folder = root / "data/raw" / ("ill" if seed % 4 > 1 else "well")
        folder.mkdir(parents=True, exist_ok=True)
        suffix, data = ("dcm", _dicom(seed, f"{PATIENT}{seed // 2}")) if seed < 32 else _other(seed)
        (folder / f"{seed}.{suffix}").write_bytes(data)
    for name, data in _unusable():
        (root / "data/raw/ill" / f"odd-{name}.dcm").write_bytes(data)
    (root / "params.yaml").write_text("normalize: {height: 64, width: 75}\naugment: {copies: 2}\n")
    commands = (
        *(["audit"], ["split"], ["normalize"], ["augment"], ["verify"], ["replay", "--all"]),
        *(["train", "--network", "residual", "--epochs", "1"], ["evaluate", "--draws", "200", "--split", "test"]),
        ["predict", str(root / "data/raw/ill")],
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(audit.PATIENT_KEY, KEY)
        said = [_said(root, *command) for command in commands]
    return "\n".join(said), root


def _said(root: Path, *command: str) -> str:
    result = CliRunner().invoke(main, [*command, "--root", str(root), "--backend", "sequential"])
    assert result.exit_code == 0, result.output
    return result.output + result.stderr


def _outputs(root: Path) -> Iterator[tuple[str, str]]:
    """Yield every file that the pipeline wrote, as text; of Parquet, its columns and footers as they are read."""
    for path in sorted(path for path in root.rglob("*") if path.is_file() and root / "data/raw" not in path.parents):
        yield str(path), path.read_bytes().decode("latin-1")
        if path.suffix == ".parquet":
            table = pq.read_table(path)
            yield f"{path}: columns", repr(table.to_pydict())
            yield f"{path}: footer", repr(table.schema.metadata) + repr([field.metadata for field in table.schema])


def test_the_raw_films_do_name_their_patients(said_and_root: tuple[str, Path]) -> None:
    """Else the other tests would find nothing because nothing was there."""
    _, root = said_and_root
    raw = [path.read_bytes().decode("latin-1").lower() for path in (root / "data/raw").rglob("*.*")]
    assert all(SECRET in text for text in raw)
    assert all(any(word in text for text in raw) for word in LOOKED_FOR)


def test_no_output_holds_what_names_a_patient(said_and_root: tuple[str, Path]) -> None:
    said, root = said_and_root
    outputs = [("the terminal", said), *_outputs(root)]
    assert {Path(name.split(":")[0]).suffix for name, _ in outputs} >= {".parquet", ".json", ".html", ".jsonl"}
    found = [(name, word) for name, text in outputs for word in LOOKED_FOR if word in text.lower()]
    assert not found


def test_no_output_holds_a_hash_that_a_guessed_id_would_give(said_and_root: tuple[str, Path]) -> None:
    """The hash is keyed: whoever has a list of ids cannot look them up."""
    said, root = said_and_root
    guessed = [hashlib.sha256(f"{PATIENT}{number}".encode()).hexdigest()[:12] for number in range(16)]
    outputs = [said, *(text for _, text in _outputs(root))]
    assert not [guess for guess in guessed for text in outputs if guess in text]
    assert not [text for text in outputs if KEY in text]


def test_films_of_a_patient_stay_together_though_nobody_is_named(said_and_root: tuple[str, Path]) -> None:
    _, root = said_and_root
    rows = {row.path: row for row in store.read(AUDITED, root / paths.AUDIT)}
    for seed in range(0, 32, 2):
        pair = [rows[f"{'ill' if one % 4 > 1 else 'well'}/{one}.dcm"] for one in (seed, seed + 1)]
        assert pair[0].group_id == pair[1].group_id
        assert str(pair[0].group_id).startswith("id/")
    patients = {row.group_id for row in rows.values() if row.path.endswith(".dcm") and "odd" not in row.path}
    assert len(patients) == 16
    splits: dict[str, set[str]] = {}
    for row in store.read(SPLIT, root / paths.SPLIT):
        if row.split != "leak_probe":
            splits.setdefault(str(row.group_id), set()).add(str(row.split))
    assert all(len(found) == 1 for found in splits.values())


def test_every_film_of_the_mixed_set_is_used_and_every_odd_one_is_a_row(said_and_root: tuple[str, Path]) -> None:
    _, root = said_and_root
    rows = store.read(AUDITED, root / paths.AUDIT)
    assert len(rows) == 48 + len(list(_unusable()))
    usable = [row for row in rows if "odd" not in row.path]
    assert {row.status for row in usable} == {"ok"}
    assert {row.format for row in usable} == {"DICOM", "PNG", "JPEG"}
    assert {row.bits for row in usable} == {8, 12}
    assert {row.transfer_syntax for row in usable if row.format == "DICOM"} == {uid.UID(one).name for one in SYNTAXES}
    facts = store.read_footer(root / paths.AUDIT).facts
    assert "the patient id of" in facts["group_source"]
    assert f"under the key of {audit.PATIENT_KEY}" in facts["group_source"]


def test_the_page_counts_how_the_films_of_each_class_are_coded(said_and_root: tuple[str, Path]) -> None:
    _, root = said_and_root
    page = (root / paths.AUDIT_PAGE).read_text()
    assert all(uid.UID(syntax).name in page for syntax in SYNTAXES)
    assert "MONOCHROME2" in page
    assert "window LINEAR" in page
    summary = json.loads((root / paths.AUDIT_SUMMARY).read_text())
    assert (
        sum(n for kinds in summary["transfer_syntaxes"].values() for n in kinds.values()) == summary["formats"]["DICOM"]
    )
    assert summary["exif"] == {"ill": 4, "well": 4}
    assert set(summary["jpeg_subsampling"]["ill"]) == {"grey"}


def test_another_key_gives_other_groups_and_none_says_so(
    said_and_root: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, root = said_and_root
    raw = str(root / "data/raw")
    groups = []
    for name, key in (("one", KEY), ("two", "another"), ("three", "")):
        monkeypatch.setenv(audit.PATIENT_KEY, key)
        _said(tmp_path / name, "audit", "--raw", raw)
        named = {str(row.group_id) for row in store.read(AUDITED, tmp_path / name / paths.AUDIT)}
        groups.append({group for group in named if group.startswith("id/")})
    assert len(groups[0]) == len(groups[1]) == len(groups[2]) >= 16
    assert len(set.union(*groups)) == 3 * len(groups[0])
    assert "without a key" in store.read_footer(tmp_path / "three" / paths.AUDIT).facts["group_source"]
