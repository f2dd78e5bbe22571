"""Footers of strangers: what a manifest says of itself is of the types that ours have, or is refused."""

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
        _expect(name, getattr(footer, name), isinstance(getattr(footer, name), kind))
    for name in ("params", "sources", "facts", "recipes", "versions", "files"):
        _expect(name, getattr(footer, name), isinstance(getattr(footer, name), dict))
    texts = [*footer.sources.values(), footer.facts.get("raw", ""), footer.params.get("layout", "")]
    for text in texts:
        _expect("a path, a hash or a layout", text, isinstance(text, str) and "\0" not in text)
    classes = footer.facts.get("classes", [])
    _expect("classes", classes, isinstance(classes, list) and all(isinstance(name, str) for name in classes))
    frame = footer.facts.get("frame", {"height": 1, "width": 1})
    fits = isinstance(frame, dict) and set(frame) == {"height", "width"}
    _expect("frame", frame, fits and all(isinstance(side, int) and 0 < side <= LARGEST_SIDE for side in frame.values()))


def _expect(name: str, found: object, fits: bool) -> None:  # noqa: FBT001 - a condition, not a switch
    if not fits:
        raise TypeError(f"{name} is {str(found)[:80]!r}")
