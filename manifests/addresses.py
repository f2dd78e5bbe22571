"""Addresses of object stores: which of them can be used, and what a store's answers about an object mean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import translate
from importlib.util import find_spec
from typing import Any

PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}
# S3's words for errors that no other object would be spared: the address or the credentials are wrong
OUR_FAULT = ("NoSuchBucket", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidBucketName")
NEVER = datetime.min.replace(tzinfo=UTC)  # the year 1


class StoreError(Exception):
    """The store does not do what it is asked, for any object: the run ends; the text says where, why, what to do."""


class NotKnownError(StoreError):
    """The store does not know what it is asked to do."""


def advice(name: str) -> str:
    """Return what to do about an error, in words."""
    if "Credential" in name or "Token" in name or name in OUR_FAULT or "Profile" in name:
        return "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, and run the same command again"
    if "Endpoint" in name or "Connect" in name:
        return "check AWS_ENDPOINT_URL and the network, and run the same command again"
    return "mend that and run the same command again; what is finished is kept"


def code_of(error: BaseException) -> str:
    """Return S3's word for an error; empty where it has none."""
    for each in (error, error.__cause__):
        response = getattr(each, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code", ""))
    return ""


def refusal(address: str) -> str:
    """Return why an address cannot be used; empty where it can."""
    protocol, _, key = address.partition("://")
    if protocol == "file":
        return f"'{address}': expected the folder itself, without file://"
    if protocol not in PACKAGES:
        known = ", ".join(f"{name}://" for name in ("s3", "gs", "az"))
        return f"'{address}': {protocol}:// is no store that is known here; expected a folder, or one of {known}"
    if not key.strip("/"):
        return f"'{address}': names no bucket; expected {protocol}://bucket or {protocol}://bucket/prefix"
    return ""


def missing_package(address: str) -> str:
    """Return what has to be installed for an address; empty where all is there."""
    protocol = address.partition("://")[0]
    package = PACKAGES[protocol]
    if find_spec(package) is not None:
        return ""
    extra = "'cxr-pipeline[s3]'" if package == "s3fs" else package
    return f"'{address}': {protocol}:// needs {package}: pip install {extra}"


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a store says of an object without its bytes.

    Attributes:
        st_size: bytes; named as `os.stat` names them, so that callers of `stat` need not tell paths apart.
        tag: the store's ETag and the time of writing: it changes whenever the object is written anew.
        written_at: by the store's clock; NEVER where it does not say.
    """

    st_size: int
    tag: str
    written_at: datetime


def object_info(answer: Mapping[str, Any], size_key: str) -> ObjectInfo:
    """Return what a store's answer says of an object; `size_key` is that store's name for the number of bytes."""
    written = answer.get("LastModified") or answer.get("updated") or answer.get("created")
    tag = f"{answer.get('ETag') or answer.get('etag') or '-'} {written}"
    return ObjectInfo(int(answer[size_key] or 0), tag, written if isinstance(written, datetime) else NEVER)


def expression_of(pattern: str) -> re.Pattern[str]:
    """Return what matches the same names as a pattern of pathlib's."""
    words = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[!?\]?[^\]]*\])", pattern)
    letters = {part: f"(?!/){translate(part)}".removesuffix(r"\Z") for part in parts if part.startswith("[")}
    return re.compile("".join({**words, **letters}.get(part, re.escape(part)) for part in parts))
