"""Numbers as a reader meets them, on pages and in the lines a command prints. What is not known is a dash."""

from __future__ import annotations

from typing import TypeGuard

UNKNOWN = "\N{EN DASH}"


def count(value: object) -> str:
    """Return a count with its thousands set apart: 5,232."""
    return f"{value:,}" if isinstance(value, int) else UNKNOWN


def number(value: object, digits: int = 2) -> str:
    """Return a number with so many digits behind the point: 0.94."""
    return f"{value:,.{digits}f}" if _is_number(value) else UNKNOWN


def percent(value: object, digits: int = 1) -> str:
    """Return a share in percent: 70.5 %."""
    return f"{100 * value:.{digits}f} %" if _is_number(value) else UNKNOWN


def percent_range(low: object, high: object) -> str:
    """Return an interval of shares in percent: [66.9, 74.0]."""
    if not (_is_number(low) and _is_number(high)):
        return UNKNOWN
    return f"[{100 * low:.1f}, {100 * high:.1f}]"


def points(value: object) -> str:
    """Return a difference of shares in percentage points, its sign always shown: +9.7."""
    if not _is_number(value):
        return UNKNOWN
    return _signed(value)


def points_range(low: object, high: object) -> str:
    """Return an interval of differences in percentage points: [+5.9, +13.4]."""
    if not (_is_number(low) and _is_number(high)):
        return UNKNOWN
    return f"[{_signed(low)}, {_signed(high)}]"


def p_value(value: object) -> str:
    """Return a chance as tests report it, three digits or so: 0.0214, below 0.0001 no more than that."""
    if not _is_number(value):
        return UNKNOWN
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}" if value < 0.1 else f"{value:.3f}"


def plain(value: object) -> str:
    """Return any value of a manifest: numbers with three digits that tell, lists one behind the other."""
    if isinstance(value, list | tuple):
        return ", ".join(plain(one) for one in value) or UNKNOWN
    if isinstance(value, float):
        return f"{value:.3g}"
    return UNKNOWN if value is None else str(value)


def aligned(rows: list[list[str]]) -> list[str]:
    """Return the rows as lines of columns: the first aligned left, the others right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join([row[0].ljust(widths[0]), *_right(row[1:], widths[1:])]).rstrip() for row in rows]


def _right(cells: list[str], widths: list[int]) -> list[str]:
    return [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)]


def _signed(share: float) -> str:
    rounded = f"{100 * abs(share):.1f}"
    if float(rounded) == 0:
        return rounded
    return ("+" if share > 0 else "-") + rounded


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
