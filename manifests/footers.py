"""Footers that strangers wrote: whatever of them the stages use is of the types that ours have, or is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from manifests.store import Footer

LARGEST_SIDE = 4096  # of a frame, in pixels: normalize allows no more


def refuse_odd(footer: Footer) -> None:
    """Refuse a footer whose parts are of other types than ours.

    Raises:
        TypeError: at the first part that is.
    """
    for name, kind in (("schema", str), ("schema_version", int), ("tool_version", str)):
        found = getattr(footer, name)
        _expect(name, found, "a number" if kind is int else "a text", fits=isinstance(found, kind))
    for name in ("params", "sources", "facts", "recipes", "versions", "files"):
        found = getattr(footer, name)
        _expect(name, found, "names and what they stand for", fits=isinstance(found, dict))
    of_params = [footer.facts.get("raw", ""), footer.params.get("layout", "")]
    for text in (*footer.sources.values(), *footer.versions.values(), *footer.files.values(), *of_params):
        fits = isinstance(text, str) and "\0" not in text
        _expect("a path, a hash, a version or a layout", text, "a text without NUL", fits=fits)
    _refuse_odd_classes(footer.facts.get("classes", []))
    _refuse_odd_frame(footer.facts.get("frame", {"height": 1, "width": 1}))


def _refuse_odd_classes(classes: object) -> None:
    fits = isinstance(classes, list) and all(isinstance(name, str) for name in classes)
    _expect("classes", classes, "a list of texts", fits=fits)


def _refuse_odd_frame(frame: object) -> None:
    sides = list(frame.values()) if isinstance(frame, dict) and set(frame) == {"height", "width"} else []
    fits = bool(sides) and all(isinstance(side, int) and 0 < side <= LARGEST_SIDE for side in sides)
    _expect("frame", frame, f"height and width, 1 to {LARGEST_SIDE:,} pixels each", fits=fits)


def _expect(name: str, found: object, expected: str, *, fits: bool) -> None:
    if not fits:
        raise TypeError(f"{name} is {str(found)[:80]!r}; expected {expected}")
