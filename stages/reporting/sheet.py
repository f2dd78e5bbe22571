"""Contact sheets: pictures in rows with a few words under each, as one PNG or one page."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stages.reporting.page import render

if TYPE_CHECKING:
    from PIL import Image, ImageFont

WIDTH_PX = 1600  # of a sheet whose columns nobody named
GAP_PX = 12
LETTER_PX = 13  # height of the captions
LINE_PX = 17
LINES = 5  # of a caption, at most
LETTERS = 400  # more fit no sheet
PAPER, INK, FAINT = 250, 20, 110  # grey levels


@dataclass(frozen=True, slots=True)
class Cell:
    """One picture and what is said of it.

    Attributes:
        jpeg: the picture; None where the film cannot be shown, and the caption says why.
        caption: short texts, a line each.
    """

    jpeg: bytes | None
    caption: Sequence[str]


def page(cells: Sequence[Cell], *, title: str, note: str) -> str:
    """Return the sheet as one HTML file with its pictures inside."""
    shown = [
        {
            "picture": f"data:image/jpeg;base64,{base64.b64encode(cell.jpeg).decode()}" if cell.jpeg else None,
            "caption": cell.caption,
        }
        for cell in cells
    ]
    return render("sheet", cells=shown, title=title, note=note)


def png(cells: Sequence[Cell], *, side: int, title: str, note: str, columns: int = 0) -> bytes:
    """Return the sheet as a PNG.

    Args:
        cells: from left to right, row by row.
        side: the longer side of a picture at most, pixels.
        title: what is shown.
        note: how many, of how many.
        columns: pictures in a row; 0 for as many as WIDTH_PX holds.
    """
    from PIL import Image, ImageDraw, ImageFont  # noqa: PLC0415 - slow to load, and pages do without

    columns = columns or max(1, (WIDTH_PX - GAP_PX) // (side + GAP_PX))
    columns = min(columns, max(1, len(cells)))
    font = ImageFont.load_default(LETTER_PX)
    head = 2 * LINE_PX + 2 * GAP_PX
    rows = [_row(cells[at : at + columns], font, side) for at in range(0, len(cells), columns)]
    width = max(columns * (side + GAP_PX) + GAP_PX, 480)
    sheet = Image.new("L", (width, head + sum(row.height for row in rows)), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP_PX, GAP_PX), _cut(title, font, width - 2 * GAP_PX), fill=INK, font=font)
    draw.text((GAP_PX, GAP_PX + LINE_PX), _cut(note, font, width - 2 * GAP_PX), fill=FAINT, font=font)
    top = head
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()


def _row(cells: Sequence[Cell], font: ImageFont.ImageFont | ImageFont.FreeTypeFont, side: int) -> Image.Image:
    """Return one row, as high as its highest picture and its longest caption."""
    from PIL import Image, ImageDraw  # noqa: PLC0415 - as above

    pictures = [Image.open(io.BytesIO(cell.jpeg)) if cell.jpeg else None for cell in cells]
    high = max([picture.height for picture in pictures if picture is not None], default=side // 2)
    lines = max(min(len(cell.caption), LINES) for cell in cells)
    row = Image.new("L", (len(cells) * (side + GAP_PX) + GAP_PX, high + lines * LINE_PX + GAP_PX + 4), PAPER)
    draw = ImageDraw.Draw(row)
    for at, (cell, picture) in enumerate(zip(cells, pictures, strict=True)):
        left = GAP_PX + at * (side + GAP_PX)
        if picture is not None:
            row.paste(picture, (left, high - picture.height))  # on one line with its neighbours
        else:
            draw.rectangle((left, 0, left + side - 1, high - 1), outline=FAINT)
        for number, line in enumerate(cell.caption[:LINES]):
            place = (left, high + 4 + number * LINE_PX)
            draw.text(place, _cut(line, font, side, end=number == 0), fill=FAINT if number else INK, font=font)
    return row


def _cut(text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, width: float, *, end: bool = False) -> str:
    """Return a text that fits a width: of a longer one the start, or the end, which tells files of one folder apart."""
    text = " ".join(text.split())
    if font.getlength(text) <= width:
        return text
    text = text[-LETTERS:] if end else text[:LETTERS]
    while len(text) > 1 and font.getlength(f"…{text}") > width:
        text = text[1:] if end else text[:-1]
    return f"…{text}" if end else f"{text}…"
