"""What a page in Markdown holds: headings, links, and blocks of code with the remarks above them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
FENCE = re.compile(
    r"(?P<remarks>(?:^<!--.*?-->\n+)*)^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)
REMARK = re.compile(r"<!-- (?P<kind>[a-z ]+): (?P<reason>.+?) -->")
LINK = re.compile(r"(?<!\\)!?\[(?:[^\[\]]|\[[^\]]*\])*\]\((?P<target>[^()\s]+)\)")
ANCHOR = re.compile(r"<(?:a|h\d) (?:id|name)=\"(?P<name>[^\"]+)\"")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block of code.

    Attributes:
        line: where its fence opens, from 1.
        language: what the fence says.
        text: what is in it.
        remarks: what comments above it say, reasons by kind: `not run`, `not compared`, `numbers vary`.
        follows: whether nothing but white space and comments lies between it and the block before.
    """

    line: int
    language: str
    text: str
    remarks: dict[str, str]
    follows: bool


def pages() -> list[Path]:
    """Return every page of the project, as Git knows them or will."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    listed = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout
    return [REPOSITORY / name for name in listed.splitlines()]


def blocks(text: str) -> Iterator[Block]:
    """Yield a page's blocks of code, in order."""
    end = -1
    for found in FENCE.finditer(text):
        yield Block(
            line=text.count("\n", 0, found.start("language")) + 1,
            language=found["language"],
            text=found["text"],
            remarks={remark["kind"]: remark["reason"] for remark in REMARK.finditer(found["remarks"])},
            follows=end >= 0 and not text[end : found.start()].strip(),
        )
        end = found.end()


def prose(text: str) -> str:
    """Return a page without what stands in blocks and between back quotes, where brackets are no links."""
    return re.sub(r"`[^`\n]*`", "code", FENCE.sub("", text))


def links(text: str) -> list[str]:
    """Return where a page's links and pictures lead."""
    return [found["target"] for found in LINK.finditer(prose(text))]


def anchors(text: str) -> set[str]:
    """Return the names that a link into a page may end with, as GitHub makes them of its headings."""
    names: set[str] = set()
    for heading in re.findall(r"^#{1,6} +(.+?)\s*$", FENCE.sub("", text), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading.replace("`", ""))
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        names.add(next(name for number in range(99) if (name := f"{slug}-{number}" if number else slug) not in names))
    return names | {found["name"] for found in ANCHOR.finditer(text)}
