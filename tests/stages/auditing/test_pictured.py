"""The audit's page shows the films that its figures name; its figures hold none."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from manifests import store
from manifests.rows import AUDITED
from stages import audit, paths
from stages.auditing import pictured
from stages.contract import Machine
from stages.films.frame import Frame
from stages.films.placement import place
from stages.reporting import audit_page

ADDRESS = re.compile(r'src="data:image/jpeg;base64,([^"]+)" alt="([^"]*)"')


def test_the_page_shows_each_film_that_its_figures_name_and_the_figures_hold_no_film(
    project: Path, machine: Machine
) -> None:
    audit.run(audit.AuditParams(), project, machine)
    summary = json.loads((project / paths.AUDIT_SUMMARY).read_text())
    named = pictured.paths_of(summary)
    page = (project / paths.AUDIT_PAGE).read_text()
    assert named
    assert set(named) <= {row.path for row in store.read(AUDITED, project / paths.AUDIT) if row.status == "ok"}
    assert {path for path in named if f'<span class="where">{path}</span>' in page} == set(named)
    assert "base64" not in (project / paths.AUDIT_SUMMARY).read_text()
    for address, words in ADDRESS.findall(page):
        image = Image.open(io.BytesIO(base64.b64decode(address)))
        assert max(image.size) <= audit.PICTURE_SIDE
        assert words


def test_duplicates_stand_side_by_side(project: Path, machine: Machine, film_file: Callable[..., Path]) -> None:
    film_file(project / "data/raw/train/NORMAL/IM-0801-0001.jpeg", 500, height=160, width=200, quality=95)
    film_file(project / "data/raw/train/NORMAL/IM-0802-0001.jpeg", 500, height=160, width=200, quality=60)
    audit.run(audit.AuditParams(), project, machine)
    page = (project / paths.AUDIT_PAGE).read_text()
    section = page[page.index('<h2 id="duplicates"') : page.index('<h2 id="shortcuts"')]
    assert len(ADDRESS.findall(section)) == 2
    assert "IM-0801-0001.jpeg" in section
    assert "IM-0802-0001.jpeg" in section


def test_a_film_that_is_gone_by_now_is_named_and_not_shown(project: Path, machine: Machine) -> None:
    audit.run(audit.AuditParams(), project, machine)
    summary = json.loads((project / paths.AUDIT_SUMMARY).read_text())
    assert not ADDRESS.findall(audit_page.audit_page(summary))


def test_what_a_policy_leaves_of_a_film_is_outlined_to_scale() -> None:
    film = {"path": "x", "label": "a", "width": 1000, "height": 400, "lost": 0.5, "padded": 0.0, "stretch": 1.0}
    summary = {
        "frame": {"height": 256, "width": 300},
        "costs": {"policies": {"cover": {"by_class": {}, "marks": {}, "worst": [film]}}, "recommendation": None},
    }
    page = audit_page.audit_page(summary, {"x": "data:image/jpeg;base64,AAAA"})
    found = re.search(r'<span style="left:([\d.]+)%;top:([\d.]+)%;width:([\d.]+)%;height:([\d.]+)%">', page)
    assert found is not None
    left, top, width, height = (float(number) for number in found.groups())
    placed = place(Frame(height=400, width=1000), frame=Frame(height=256, width=300), policy="cover")
    assert abs(width - 100 * 300 / placed.resized.width) < 0.01
    assert abs(2 * left + width - 100) < 0.5
    assert (top, height) == (0.0, 100.0)


def test_of_very_many_films_some_are_shown() -> None:
    films = [{"path": f"{number}.png"} for number in range(2000)]
    summary = {
        "duplicates": {"groups": [{"films": films}]},
        "quality": {"flags": {}},
        "costs": {"policies": {}},
        "extremes": {},
    }
    assert pictured.paths_of(summary) == [film["path"] for film in films[: pictured.MOST]]
