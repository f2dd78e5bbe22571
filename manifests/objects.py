"""Paths in an object store, such as s3://bucket/key: what pathlib offers of paths, as far as it is used here.

The only module that knows fsspec. A store has no folders, no renames and no appending: an object appears whole or
not at all, by one upload, so that a reader sees the old one or the new one. Reading goes through a copy on this
machine (`places.at_hand`), or takes all bytes at once.
"""

from __future__ import annotations

import errno
import os
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from manifests.addresses import (
    OUR_FAULT,
    PACKAGES,
    NotKnownError,
    ObjectInfo,
    StoreError,
    advice,
    code_of,
    expression_of,
    object_info,
)

# no listing is kept: other processes write meanwhile. One request at a time: more would ask for the size first.
OPTIONS: Mapping[str, Any] = {"use_listings_cache": False}
S3_OPTIONS: Mapping[str, Any] = {**OPTIONS, "max_concurrency": 1}
PER_REQUEST = 1000  # keys that S3 lists or deletes at once
SPECIAL = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True, order=True)
class ObjectPath:
    """A path in an object store. It holds no connection: each process makes its own.

    Attributes:
        protocol: s3, for one.
        key: bucket and key, without a slash at either end.
    """

    protocol: str
    key: str

    @classmethod
    def of(cls, address: str) -> ObjectPath:
        """Return the path that an address names."""
        protocol, _, key = address.partition("://")
        return cls(protocol, key.strip("/"))

    # --- its name --------------------------------------------------------------------------------------------------

    def __str__(self) -> str:
        return f"{self.protocol}://{self.key}"

    def __truediv__(self, other: str) -> ObjectPath:
        """Return a path under this one; the name is taken as it is, since a key may hold `//` and `.`."""
        return self if other in ("", ".") else ObjectPath(self.protocol, f"{self.key}/{other}")

    @property
    def name(self) -> str:
        """The last part of the key."""
        return posixpath.basename(self.key)

    @property
    def suffix(self) -> str:
        """What stands behind the name's last dot, with it."""
        return PurePosixPath(self.name).suffix

    @property
    def parent(self) -> ObjectPath:
        """The path that this one lies under."""
        return ObjectPath(self.protocol, posixpath.dirname(self.key))

    def with_name(self, name: str) -> ObjectPath:
        """Return a path beside this one."""
        return self.parent / name

    def relative_to(self, other: ObjectPath) -> PurePosixPath:
        """Return the way from a path that this one lies under, or is, to this one."""
        return PurePosixPath("." if self == other else self.key.removeprefix(f"{other.key}/"))

    # --- one object ------------------------------------------------------------------------------------------------

    def stat(self) -> ObjectInfo:
        """Return what the store says of the object, by one request; FileNotFoundError where there is none."""
        with self._asked() as store:
            if self._is_s3:
                bucket, key, _ = store.split_path(self.key)
                return object_info(store.call_s3("head_object", Bucket=bucket, Key=key), "ContentLength")
            info = store.info(self.key)
            if info["type"] == "directory":
                raise FileNotFoundError(self.key)
            return object_info(info, "size")

    def is_file(self) -> bool:
        """Tell whether there is an object of that name."""
        try:
            self.stat()
        except FileNotFoundError:
            return False
        return True

    exists = is_file

    def is_dir(self) -> bool:
        """Tell whether any object's key begins with this one and a slash: a store has no other folders."""
        with self._asked() as store:
            if not self._is_s3:
                return bool(store.isdir(self.key))
            bucket, key, _ = store.split_path(self.key)
            prefix = f"{key}/" if key else ""
            return bool(store.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, MaxKeys=1).get("Contents"))

    def read_bytes(self, *, at_most: int | None = None) -> bytes:
        """Return the object's bytes, or as many of the first ones, by one request; FileNotFoundError as above."""
        return self._read_range() if at_most is None else self._read_range(start=0, end=at_most)

    def _read_range(self, **bounds: int) -> bytes:
        with self._asked() as store:
            try:
                data: bytes = store.cat_file(self.key, **bounds)
            except OSError as error:
                if code_of(error) in ("InvalidRange", "416"):  # an empty object has no first byte and no last
                    return b""
                raise
        return data

    def read_text(self, encoding: str = "utf-8") -> str:
        """Return the object's text."""
        return self.read_bytes().decode(encoding)

    def last_bytes(self, number: int) -> bytes:
        """Return so many of the object's last bytes, or all that there are, by one request; errors as above."""
        return self._read_range(start=-number)

    def download(self, to: Path) -> None:
        """Put the object's bytes into a file on this machine, by one request."""
        with self._asked() as store:
            store.get_file(self.key, str(to))

    def upload(self, file: Path) -> None:
        """Let the object be a file's bytes: whole, as soon as all have come; until then it is what it was."""
        with self._asked() as store:
            store.put_file(str(file), self.key)

    def write_bytes(self, data: bytes) -> None:
        """Let the object be these bytes, as `upload` does."""
        with self._asked() as store:
            store.pipe_file(self.key, data)

    def create(self, data: bytes) -> str:
        """Make the object, and return its tag; FileExistsError where it is there already."""
        return self._put(data, {"mode": "create"})

    def exchange(self, data: bytes, tag: str) -> str:
        """Write the object of that tag anew, and return its new tag; FileExistsError where it is another by now."""
        return self._put(data, {"IfMatch": tag.split(maxsplit=1)[0]} if self._is_s3 else {})

    def _put(self, data: bytes, how: Mapping[str, str]) -> str:
        with self._asked() as store:
            try:
                store.pipe_file(self.key, data, **how)
            except (OSError, ValueError) as error:
                if isinstance(error, FileExistsError) or code_of(error) in ("PreconditionFailed", "412"):
                    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(self)) from error
                raise
        return self.stat().tag

    def unlink(self, *, missing_ok: bool = False) -> None:
        """Delete the object."""
        if self._is_s3 or self.is_file():  # S3 says nothing of what is not there
            with self._asked() as store, suppress(FileNotFoundError):
                store.rm_file(self.key)
        elif not missing_ok:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self))

    # --- what lies under it ----------------------------------------------------------------------------------------

    def under(self, start: str = "") -> Iterator[tuple[str, ObjectInfo]]:
        """Yield the rest of each key that lies under this one, and what the store says of the object.

        A thousand come by one request. Keys that end in a slash are other tools' marks of a folder, and left out.

        Args:
            start: what the rest of a key must begin with; a store that can leaves out the others by itself.
        """
        for name, told in self._s3_under(start) if self._is_s3 else self._found_under(start):
            if name and not name.endswith("/"):
                yield name, told

    def _s3_under(self, start: str) -> Iterator[tuple[str, ObjectInfo]]:
        """Yield as `under` does, page by page: of a million films, one page is held."""
        more: dict[str, str] = {}
        while True:
            with self._asked() as store:
                bucket, key, _ = store.split_path(self.key)
                inside = f"{key}/" if key else ""
                asked = {"Bucket": bucket, "Prefix": inside + start, "MaxKeys": PER_REQUEST, **more}
                page = store.call_s3("list_objects_v2", **asked)
            for info in page.get("Contents", []):
                yield info["Key"].removeprefix(inside), object_info(info, "Size")
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def _found_under(self, start: str) -> Iterator[tuple[str, ObjectInfo]]:
        with self._asked() as store:
            found = store.find(self.key, detail=True)
        inside = f"{self.key}/"
        for name, info in found.items():
            if name.startswith(inside + start):
                yield name.removeprefix(inside), object_info(info, "size")

    def glob(self, pattern: str) -> Iterator[ObjectPath]:
        """Yield the objects under this one whose names fit: `*` and `?` within a part, `**` over parts."""
        start = pattern[: found.start()] if (found := SPECIAL.search(pattern)) else pattern
        expression = expression_of(pattern)
        yield from (self / rest for rest, _ in self.under(start) if expression.fullmatch(rest))

    def remove(self, names: Sequence[str]) -> None:
        """Delete objects under this one, a thousand by one request."""
        keys = [f"{self.key}/{name}" for name in names]
        with self._asked() as store:
            if not self._is_s3:
                for key in keys:
                    store.rm_file(key)
                return
            for first in range(0, len(keys), PER_REQUEST):
                some = [store.split_path(key)[:2] for key in keys[first : first + PER_REQUEST]]
                doomed = {"Objects": [{"Key": key} for _, key in some], "Quiet": True}
                left = store.call_s3("delete_objects", Bucket=some[0][0], Delete=doomed).get("Errors")
                if left:
                    raise StoreError(f"{self}: {left[0]['Key']} and others cannot be deleted ({left[0]['Code']})")

    def abort_uploads(self) -> None:
        """Give up what killed runs began to upload under this path: it is invisible, and is paid for."""
        if not self._is_s3:
            return
        with self._asked() as store:
            bucket, key, _ = store.split_path(self.key)
            prefix = f"{key}/" if key else ""
            found = store.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=prefix).get("Uploads", [])
            for upload in found:
                store.abort_mpu(bucket, upload["Key"], upload["UploadId"])

    def reach(self) -> None:
        """Ask the store for the first key under this path.

        Raises:
            StoreError: where the store does not answer, or does not let us list.
        """
        try:
            self.is_dir()
        except FileNotFoundError as error:
            raise StoreError(f"{self}: no such bucket; expected one that is there; create it first") from error
        except PermissionError as error:
            raise StoreError(
                f"{self}: access denied ({error.strerror}); expected credentials that may list, read and write there"
            ) from error

    @property
    def _is_s3(self) -> bool:
        return PACKAGES.get(self.protocol) == "s3fs"

    @contextmanager
    def _asked(self) -> Iterator[Any]:
        """Yield the store; what its libraries raise becomes what the file system would, or StoreError."""
        import fsspec  # noqa: PLC0415 - an extra: local runs do without

        try:  # fsspec keeps a store's object for each process and thread
            yield fsspec.filesystem(self.protocol, **(S3_OPTIONS if self._is_s3 else OPTIONS))
        except (FileExistsError, StoreError):
            raise
        except Exception as error:  # each store's libraries have errors of their own
            raise self._as_ours(error) from error

    def _as_ours(self, error: Exception) -> Exception:
        said = " ".join(str(error.strerror or error).split()) if isinstance(error, OSError) else str(error)
        code = code_of(error)
        if code == "NoSuchBucket":
            return StoreError(f"{self}: no such bucket; expected one that is there; create it first")
        if isinstance(error, FileNotFoundError):
            return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self))
        if isinstance(error, PermissionError) and code not in OUR_FAULT:
            return PermissionError(errno.EACCES, f"access denied ({said})", str(self))
        name = code or type(error).__name__
        kind = NotKnownError if code in ("NotImplemented", "501") else StoreError
        return kind(f"{self}: {said} ({name}); {advice(name)}")
