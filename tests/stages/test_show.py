"""Contact sheets: of the rows that are asked for, in their order, each with its picture or the reason for none."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from manifests import store
from manifests.checks import ManifestError
from manifests.rows import AUDITED, NORMALIZED
from stages import audit, augment, normalize, paths, show, split
from stages.augment_params import AugmentParams
from stages.contract import Machine, ParamsError, Report
from stages.drawn import AUGMENTED
from stages.reporting import sheet
from stages.show import ShowParams

SMALL = normalize.NormalizeParams(height=32, width=40, policy="letterbox")
NUMBER = re.compile(r"data:image/jpeg")


@pytest.fixture
def made(project: Path, machine: Machine) -> Path:
    """Return a project with all image manifests, and a broken film in its audit."""
    (project / "data/raw/train/NORMAL/IM-0777-0001.jpeg").write_bytes(b"no film")
    audit.run(audit.AuditParams(), project, machine)
    split.run(split.SplitParams(), project, machine)
    normalize.run(SMALL, project, machine)
    augment.run(AugmentParams(copies=3), project, machine)
    return project


def shown(root: Path, machine: Machine, **params: Any) -> tuple[Report, str]:
    """Run show to a page and return its report and the page."""
    report = show.run(ShowParams(out="reports/sheet.html", **params), root, machine)
    return report, (root / "reports/sheet.html").read_text()


def opened(path: Path) -> Image.Image:
    return Image.open(io.BytesIO(path.read_bytes()))


def captions_of(html: str) -> list[str]:
    return re.findall(r'<strong class="where">([^<]*)</strong>', html)


def test_the_worst_padded_come_first(made: Path, machine: Machine) -> None:
    report, html = shown(made, machine, sort="-padded,path", limit=5)
    table = store.read_table(NORMALIZED, made / paths.NORMALIZED_MANIFEST)
    rows = sorted(table.to_pylist(), key=lambda row: (-row["padded"], row["path"]))
    assert captions_of(html) == [row["path"] for row in rows[:5]]
    assert len(NUMBER.findall(html)) == report.done == 5
    assert f"5 of {len(rows)} rows found; the manifest has {len(rows)}" in html


def test_all_copies_of_one_film_are_one_sheet(made: Path, machine: Machine) -> None:
    film = store.read(AUGMENTED, made / paths.AUGMENTED_MANIFEST)[0].film_id
    report, html = shown(made, machine, manifest="augmented", film=film[:20], sort="copy", caption="copy,path")
    assert report.done == 4
    assert re.findall(r"copy (\d)</strong>", html) == ["0", "1", "2", "3"]


def test_a_film_is_named_by_its_raw_path_as_well(made: Path, machine: Machine) -> None:
    (row, *_) = [row for row in store.read(AUDITED, made / paths.AUDIT) if row.status == "ok"]
    report, _ = shown(made, machine, manifest="normalized", film=row.path)
    assert report.done == 1
    with pytest.raises(ParamsError, match="no film's hash begins so, and none has that path"):
        shown(made, machine, film="nothing.jpeg")
    with pytest.raises(ParamsError, match="films begin so"):
        shown(made, machine, manifest="audit", film=_common_start(made))


def _common_start(root: Path) -> str:
    starts = [str(row.film_id)[:1] for row in store.read(AUDITED, root / paths.AUDIT)]
    return max(starts, key=starts.count)


def test_a_film_that_cannot_be_read_has_a_reason_in_place_of_a_picture(made: Path, machine: Machine) -> None:
    report, html = shown(made, machine, manifest="audit", where="status != 'ok'")
    assert captions_of(html) == ["train/NORMAL/IM-0777-0001.jpeg"]
    assert "not_an_image: found 7 bytes" in html
    assert not NUMBER.search(html)
    assert report.verdict == "1 without a picture, each with its reason"


def test_a_film_comes_before_those_that_name_it(made: Path, machine: Machine) -> None:
    original = made / "data/raw/train/NORMAL/IM-0001-0001.jpeg"
    opened(original).save(made / "data/raw/train/NORMAL/IM-0901-0001.jpeg", quality=80)
    audit.run(audit.AuditParams(), made, machine)
    where = "near_duplicate_of is not None"
    _, html = shown(made, machine, manifest="audit", where=where, beside="near_duplicate_of")
    assert captions_of(html) == ["train/NORMAL/IM-0001-0001.jpeg", "train/NORMAL/IM-0901-0001.jpeg"]


def test_a_png_shows_each_film_once_and_names_the_question(made: Path, machine: Machine) -> None:
    params = ShowParams(where="label == 'viral'", sort="film_id", limit=6, side_px=64, columns=3)
    report = show.run(params, made, machine)
    assert report.written == ("reports/show.png",)
    image = opened(made / "reports/show.png")
    assert image.width == max(3 * (64 + sheet.GAP_PX) + sheet.GAP_PX, 480)
    film_pixels = int((np.asarray(image)[4 * sheet.LINE_PX :] < 200).sum())
    assert film_pixels > 6 * 40 * 32 / 2  # six films in their frame, not paper alone
    assert report.lines[0] == "normalized manifest, where label == 'viral', sorted by film_id"


def test_the_same_question_gives_the_same_bytes_with_any_order_of_workers(
    made: Path, machine: Machine, upside_down: Machine
) -> None:
    params = ShowParams(manifest="audit", sort="film_id", limit=7)
    show.run(params, made, machine)
    first = (made / "reports/show.png").read_bytes()
    show.run(params, made, upside_down)
    assert (made / "reports/show.png").read_bytes() == first


@pytest.mark.parametrize("manifest", ["audit", "split", "normalized", "augmented"])
def test_every_manifest_can_be_shown_by_default(made: Path, machine: Machine, manifest: show.ManifestName) -> None:
    report, html = shown(made, machine, manifest=manifest, limit=3, where="status == 'ok'")
    assert report.done == len(NUMBER.findall(html)) == 3


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"where": "paded > 0"}, "no column 'paded'; did you mean 'padded'?"),
        ({"sort": "-paded"}, "no column 'paded'; did you mean 'padded'?"),
        ({"caption": "path,nothing"}, "no column 'nothing'; expected one of film_id"),
        ({"beside": "near_duplicate_of"}, "no column 'near_duplicate_of'"),
        ({"beside": "padded"}, "--beside padded: holds double; expected a column that names films by their path"),
        (
            {"manifest": "audit", "sort": "path,-flags"},
            "which has no order; expected numbers or texts",
        ),
        ({"where": "padded >"}, "cannot be read"),
    ],
)
def test_what_no_manifest_has_is_refused(made: Path, machine: Machine, params: dict[str, str], said: str) -> None:
    with pytest.raises(ParamsError) as error:
        show.run(ShowParams(**params), made, machine)
    assert said in str(error.value)


def test_a_missing_manifest_names_the_stage(project: Path, machine: Machine) -> None:
    with pytest.raises(ManifestError, match=r"data/augmented/manifest\.parquet"):
        show.run(ShowParams(manifest="augmented"), project, machine)


def test_only_sheets_can_be_written() -> None:
    with pytest.raises(ValidationError, match=r"ends in '.pdf'; expected .png or .html"):
        ShowParams(out="x.pdf")


def test_names_of_films_do_nothing_to_the_page(made: Path, machine: Machine, film_file: Callable[..., Path]) -> None:
    film_file(made / "data/raw/train/NORMAL/IM-0500-0001<script>.jpeg", 77)
    audit.run(audit.AuditParams(), made, machine)
    _, html = shown(made, machine, manifest="audit", where="'script' in path")
    assert captions_of(html) == ["train/NORMAL/IM-0500-0001&lt;script&gt;.jpeg"]
    assert "<script" not in html


def test_a_sheet_without_a_row_says_so(made: Path, machine: Machine) -> None:
    report = show.run(ShowParams(where="padded > 2"), made, machine)
    assert (report.done, report.lines[1].split(";")[0]) == (0, "0 of 0 rows found")
    assert opened(made / "reports/show.png").width >= 480


def test_a_long_caption_keeps_its_end() -> None:
    cell = sheet.Cell(None, ["x" * 4000 + "end.jpeg"])
    image = Image.open(io.BytesIO(sheet.png([cell], side=100, title="t" * 4000, note="")))
    assert image.height < 300
