"""One file over HTTP, resumed where it broke off."""

from __future__ import annotations

import http.client
import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from shutil import disk_usage

from manifests import store
from stages.contract import StageError, Track

BLOCK = 2**20
KB = 1000  # progress is told in whole ones
SILENCE_S = 60.0  # without a byte, after which a connection counts as dropped
PAUSES_S = (1.0, 2.0, 4.0, 8.0, 16.0)  # before another try; what was got in between begins them anew
PASSING = (408, 425, 429, 500, 502, 503, 504)  # HTTP statuses that may be others in a minute
OTHERWISE = "give another address with --url, or download it in a browser and give the file: --url FILE"


class _DroppedError(Exception):
    """The connection ended before the file did, or the server asks to come again."""


class _StaleError(Exception):
    """What lies in the part is not the beginning of what the server has."""


@dataclass(frozen=True, slots=True)
class Version:
    """Which file a server sent: what must stay the same from one request to the next for their bytes to be one file.

    Attributes:
        url: the file's.
        etag: the server's name for these bytes; empty where it gives none.
        modified: when they changed last, by the server; empty where it does not tell.
        size: in bytes; None where the server does not tell.
    """

    url: str
    etag: str = ""
    modified: str = ""
    size: int | None = None

    @property
    def tells(self) -> bool:
        """Whether a change of the file would show."""
        return bool(self.etag or self.modified or self.size)


def shown(url: str) -> str:
    """Return an address as messages and files may hold it: without names, passwords and signatures."""
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def download(url: str, target: Path, *, track: Track, pauses_s: Sequence[float] = PAUSES_S) -> list[str]:
    """Put the file of an address at `target`, whole; return what is worth telling.

    What has come lies beside it, as `NAME.part`, from the first byte on: whatever ends the process, the next one asks
    for the rest alone (HTTP Range), and for nothing where the file is there. A server that sends the whole file all
    the same, or another version of it, begins it anew. `discard` ends that.

    Raises:
        StageError: where the address cannot be reached or holds no file, or the connection ends again and again.
        OSError: where the disk is full; what has come is kept.
    """
    part = _Part(target)
    if part.is_finished(url):
        return [f"{target.name} was there already"]
    told: list[str] = []
    tries = 0
    while True:
        before = part.size
        try:
            _fetch_rest(url, part, track, told)
            break
        except _StaleError as stale:
            if not before:
                raise StageError(f"{shown(url)}: sends a part where the whole was asked for; {OTHERWISE}") from stale
            told.append(f"{shown(url)} is another file than the one that was begun; begun anew")
            part.discard()
        except _DroppedError as dropped:
            tries = 1 if part.size > before else tries + 1
            if tries > len(pauses_s):
                kept = f"{part.size / 1e6:,.1f} MB are kept; run the same command again to go on"
                raise StageError(f"{shown(url)}: {dropped}, {tries} times without a byte more; {kept}") from dropped
            time.sleep(pauses_s[tries - 1])
    part.finish()
    return told


def ask(url: str, target: Path) -> tuple[int | None, int]:
    """Return how many bytes the file of an address has, None where the server does not tell, and how many have come.

    Raises:
        StageError: where the address cannot be reached or holds no file.
    """
    part = _Part(target)
    if part.is_finished(url):
        return target.stat().st_size, target.stat().st_size
    try:
        with _opened(url, 0, begun=False) as response:
            version = _version(url, response, 0)
    except _DroppedError as dropped:
        raise StageError(f"{shown(url)}: {dropped}; try again in a minute, or {OTHERWISE}") from dropped
    return version.size, part.size if part.version(url) == version else 0


def discard(target: Path) -> None:
    """Delete a file that was downloaded, and what is known of it."""
    target.unlink(missing_ok=True)
    _Part(target).discard()


class _Part:
    """What has come of a file, and of which version it is."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(f"{target.name}.part")
        self._note = target.with_name(f"{target.name}.part.json")

    @property
    def size(self) -> int:
        """How many bytes have come."""
        return self.path.stat().st_size if self.path.exists() else 0

    def version(self, url: str) -> Version | None:
        """Return of which version the bytes are, or None where they are not known to be of any of this address."""
        known = self._noted(url)
        return known if known and known.tells and self.size else None

    def is_finished(self, url: str) -> bool:
        """Tell whether the whole file is there, as far as its size tells."""
        known = self._noted(url)
        return known is not None and self.target.is_file() and self.target.stat().st_size == known.size

    def _noted(self, url: str) -> Version | None:
        try:
            known = Version(**json.loads(self._note.read_text()))
        except (OSError, ValueError, TypeError):
            return None
        return known if known.url == shown(url) else None

    def begin(self, version: Version) -> None:
        """Forget what has come, and note of which version the next bytes are."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.unlink(missing_ok=True)
        store.write_json(self._note, asdict(version))

    def discard(self) -> None:
        """Delete what has come."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def finish(self) -> None:
        """Give the file its name; the note stays, and tells the next run that it is there."""
        store.flush(self.path)
        self.path.replace(self.target)


def _fetch_rest(url: str, part: _Part, track: Track, told: list[str]) -> None:
    """Append what is missing of a file.

    Raises:
        _DroppedError: where the connection ended too early.
        _StaleError: where the bytes that came before are of another version.
    """
    known = part.version(url)
    if known and known.size == part.size:
        return
    start = part.size if known else 0
    with _opened(url, start, begun=part.size > 0) as response:
        version = _version(url, response, start)
        if response.status == 206 and version != known:
            raise _StaleError
        if response.status != 206:
            if known:
                told.append(f"{shown(url)}: the server sends no parts of it; begun anew")
            part.begin(version)
        _refuse_too_little_room(part, version)
        with track(round((version.size or 0) / KB), unit="kB") as advance:
            advance(round(part.size / KB))
            _append(response, part, version.size, advance)


@contextmanager
def _opened(url: str, start: int, *, begun: bool) -> Iterator[http.client.HTTPResponse]:
    """Yield the server's answer to a request for a file from a byte on.

    Args:
        url: the file's.
        start: the first byte that is wanted.
        begun: whether a part has come before: the network was there then, and may come back.

    Raises:
        _DroppedError: where another try may go better.
        _StaleError: where the file has fewer bytes than have come.
        StageError: where no try will.
    """
    request = urllib.request.Request(url, headers={"User-Agent": f"cxr-pipeline/{store.TOOL_VERSION}"})  # noqa: S310 - `fetch` lets http and https through
    if start:
        request.add_header("Range", f"bytes={start}-")
    try:
        response = urllib.request.urlopen(request, timeout=SILENCE_S)  # noqa: S310 - as above
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # more has come than the file has: it is another by now
            raise _StaleError from error
        if error.code in PASSING:
            raise _DroppedError(f"HTTP {error.code} ({error.reason})") from error
        raise StageError(_refusal(url, error)) from error
    except (OSError, http.client.HTTPException, ValueError) as error:  # no network; no HTTP; letters that no URL has
        why = getattr(error, "reason", error)
        if begun:
            raise _DroppedError(f"cannot be reached ({why})") from error
        raise StageError(f"{shown(url)}: cannot be reached ({why}); mend the network, or {OTHERWISE}") from error
    with response:
        yield response


def _refusal(url: str, error: urllib.error.HTTPError) -> str:
    said = f"{shown(url)}: HTTP {error.code} ({error.reason})"
    if error.code in (404, 410):
        return f"{said}; expected the archive, which may have moved; {OTHERWISE}"
    return f"{said}; expected the archive, which the server does not give to a program; {OTHERWISE}"


def _version(url: str, response: http.client.HTTPResponse, start: int) -> Version:
    """Return which file a response is a part of.

    Raises:
        _StaleError: where a part does not say of how many bytes it is one, or begins elsewhere than asked.
    """
    length = response.headers.get("Content-Length")
    size = int(length) if length and length.isdigit() else None
    if response.status == 206:
        total = re.fullmatch(rf"bytes {start}-\d+/(\d+)", response.headers.get("Content-Range", ""))
        if total is None:
            raise _StaleError
        size = int(total[1])
    headers = response.headers
    return Version(shown(url), headers.get("ETag", ""), headers.get("Last-Modified", ""), size)


def _refuse_too_little_room(part: _Part, version: Version) -> None:
    """Refuse to go on where the disk has no room for what is missing.

    Raises:
        StageError: saying how much is missing.
    """
    missing = (version.size or 0) - part.size
    free = disk_usage(part.path.parent).free
    if missing > free:
        raise StageError(
            f"{part.path.parent}: {free / 1e6:,.0f} MB free; expected room for {missing / 1e6:,.0f} MB more of "
            f"{part.target.name}, and for its films after that"
        )


def _append(response: http.client.HTTPResponse, part: _Part, size: int | None, advance: Callable[[int], None]) -> None:
    """Append what a response brings to the part, and tell of it in KB.

    Raises:
        _DroppedError: where the connection ends before the file does.
    """
    had = part.size
    with part.path.open("ab") as file:
        while True:
            try:
                block = response.read1(BLOCK)
            except (OSError, http.client.HTTPException) as error:
                raise _DroppedError(f"the connection ended ({error})") from error
            if not block:
                break
            file.write(block)
            advance(round((had + len(block)) / KB) - round(had / KB))  # as many in all as the file has
            had += len(block)
    if size is not None and part.size != size:
        raise _DroppedError(f"the connection ended after {part.size:,} of {size:,} bytes")
