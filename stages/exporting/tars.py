"""Tar archives whose every byte follows from their members' names and bytes: no time, no owner, no order of writing.

POSIX.1-1988 (ustar): a header of 512 bytes, the file, zeros to the next multiple of 512; at the end at least two
blocks of zeros, and zeros to a multiple of 10,240. https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html
"""

from __future__ import annotations

from collections.abc import Sequence

BLOCK = 512
RECORD = 20 * BLOCK
LONGEST_NAME = 100  # bytes
CHECKSUM = slice(148, 156)


def _blank() -> bytes:
    """Return a header of an empty file without a name, its checksum taken for spaces as the standard has it."""
    header = bytearray(BLOCK)
    header[100:108] = b"0000644\0"
    header[108:116] = header[116:124] = b"0000000\0"  # owner and group
    header[136:148] = b"00000000000\0"  # seconds since 1970
    header[CHECKSUM] = b" " * 8
    header[156:157] = b"0"  # a plain file
    header[257:265] = b"ustar\x0000"
    return bytes(header)


BLANK = _blank()
SUM_OF_BLANK = sum(BLANK)


def header(name: str, size: int) -> bytes:
    """Return the header of a file of that name and size."""
    encoded, digits = name.encode(), b"%011o" % size
    assert len(encoded) <= LONGEST_NAME, f"{name} has more than {LONGEST_NAME} bytes"
    assert len(digits) == 11, f"{name} has {size:,} bytes, more than a header can say"
    checksum = SUM_OF_BLANK + sum(encoded) + sum(digits)
    return b"".join(
        (
            encoded.ljust(LONGEST_NAME, b"\0"),
            BLANK[100:124],
            digits,
            b"\0",
            BLANK[136:148],
            b"%06o\0 " % checksum,
            BLANK[156:],
        )
    )


def member(name: str, data: bytes) -> bytes:
    """Return a file as it stands in an archive."""
    return b"".join((header(name, len(data)), data, bytes(-len(data) % BLOCK)))


def members_size(sizes: Sequence[int]) -> int:
    """Return how many bytes files of those sizes take in an archive."""
    return sum(BLOCK + size + -size % BLOCK for size in sizes)


def archive_size(members: int) -> int:
    """Return the bytes of an archive whose members take that many."""
    return -(-(members + 2 * BLOCK) // RECORD) * RECORD
