"""Paths in an object store, asked of a real one: what each question costs, and what is said where it cannot be met."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from manifests import objects, places, seal, slices, source, store, verify
from manifests.addresses import StoreError, refusal
from manifests.checks import ManifestError
from manifests.objects import ObjectPath
from manifests.rows import NORMALIZED
from tests.stores import BUCKET, Gateway

KINDS = ["GET", "HEAD", "LIST", "PUT", "DELETE", "POST"]
AWKWARD = ["a b/c+d%41.jpeg", "ü/#?[x]*.png", "a//b", "./c", "..d/e"]


def spent(gateway: Gateway) -> dict[str, int]:
    """Return what was asked since the last time."""
    found = dict(gateway.counted())
    found |= {"LIST": sum(1 for method, path in gateway.requests if method == "GET" and "list-type" in path)}
    gateway.requests.clear()
    return {kind: found[kind] for kind in KINDS if found.get(kind)}


def test_each_question_takes_one_request(counted: tuple[ObjectPath, Gateway]) -> None:
    root, gateway = counted
    path = root / "data/film.jpeg"
    path.write_bytes(b"0123456789")
    assert spent(gateway) == {"PUT": 1}
    assert path.read_bytes() == b"0123456789"
    assert spent(gateway) == {"GET": 1}
    assert (path.read_bytes(at_most=4), path.last_bytes(3)) == (b"0123", b"789")
    assert spent(gateway) == {"GET": 2}
    assert (path.is_file(), (root / "none").exists(), path.stat().st_size) == (True, False, 10)
    assert spent(gateway) == {"HEAD": 3}
    assert ((root / "data").is_dir(), path.is_dir()) == (True, False)
    assert spent(gateway) == {"LIST": 2}
    assert [name for name, _ in root.under()] == ["data/film.jpeg"]
    assert spent(gateway) == {"LIST": 1}


def test_a_thousand_objects_are_deleted_by_one_request(counted: tuple[ObjectPath, Gateway]) -> None:
    root, gateway = counted
    names = [f"shards/{number}" for number in range(12)]
    for name in names:
        (root / name).write_bytes(b"x")
    gateway.requests.clear()
    root.remove(names)
    assert [method for method, _ in gateway.requests] == ["POST"]
    assert not list(root.under())


def test_a_long_listing_comes_page_by_page_as_it_is_used(
    counted: tuple[ObjectPath, Gateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "PER_REQUEST", 3)
    root, gateway = counted
    names = [f"raw/{number}.png" for number in range(8)]
    for name in names:
        (root / name).write_bytes(b"x")
    gateway.requests.clear()
    found = root.under()
    assert next(found)[0] == names[0]
    assert spent(gateway) == {"LIST": 1}
    assert [name for name, _ in found] == names[1:]
    assert spent(gateway) == {"LIST": 2}
    root.remove(names)
    assert [method for method, _ in gateway.requests] == ["POST"] * 3
    assert not list(root.under())


@pytest.mark.parametrize("name", AWKWARD)
def test_a_key_is_taken_as_it_is(s3: ObjectPath, name: str) -> None:
    """A raw folder's keys are other people's: what pathlib would fold, a store keeps apart."""
    (s3 / "raw" / name).write_bytes(name.encode())
    assert list(source.walk(s3 / "raw")) == [name]
    assert source.read(s3 / "raw" / name) == name.encode()
    (s3 / "raw").remove([name])
    assert not list(source.walk(s3 / "raw"))


def test_other_tools_marks_of_folders_are_no_films_and_neighbours_are_not_inside(s3: ObjectPath) -> None:
    for name in ("raw/", "raw/a/", "raw/a/film.png", "raw2/other.png"):
        ObjectPath(s3.protocol, f"{s3.key}/{name}").write_bytes(b"")
    assert list(source.walk(s3 / "raw")) == ["a/film.png"]


def test_patterns_fit_as_those_of_pathlib_do(s3: ObjectPath, tmp_path: Path) -> None:
    names = ["models/a.safetensors", "models/b.txt", "models/old/c.safetensors", "models/[x].safetensors", "models/]a"]
    for name in names:
        (s3 / name).write_bytes(b"")
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    patterns = ("models/*.safetensors", "models/**/*.safetensors", "*/?.txt", "models/[ab].*", "none/*", names[0])
    of_letters = ("models/[!a].*", "models[!x]b.txt", "models/[b-a].*", "models/[a-b].txt", "models/[]]a", "models/[a")
    for pattern in patterns + of_letters:
        assert places.names_that_fit(s3, pattern) == places.names_that_fit(tmp_path, pattern), pattern


def test_an_object_is_the_old_one_until_the_new_one_is_whole(s3: ObjectPath) -> None:
    path = s3 / "manifest.parquet"
    store.write_bytes(path, b"old")
    with suppress(RuntimeError), store.written_aside(path) as aside:
        aside.write_bytes(b"ne")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    with store.written_aside(path) as aside:
        aside.write_bytes(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert [name for name, _ in s3.under()] == ["manifest.parquet"]


def test_an_upload_in_parts_that_fails_is_given_up_and_one_that_was_killed_by_the_next_run(
    counted: tuple[ObjectPath, Gateway], tmp_path: Path
) -> None:
    """Its parts are invisible, and paid for."""
    root, gateway = counted
    large = tmp_path / "large"
    large.write_bytes(bytes(101 << 20))
    gateway.fault = lambda _number, _method, path: "400" if "partNumber=2" in path else ""
    with pytest.raises(StoreError, match="large"):
        (root / "data/large").upload(large)
    assert any(method == "DELETE" and "uploadId" in path for method, path in gateway.requests)
    gateway.fault = lambda _number, method, path: "400" if "partNumber=2" in path or method == "DELETE" else ""
    with pytest.raises(StoreError):
        (root / "data/large").upload(large)
    gateway.fault = lambda _number, _method, _path: ""
    gateway.requests.clear()
    store.remove_partials(root)
    store.remove_partials(root)
    assert [method for method, _ in gateway.requests] == ["GET", "DELETE", "GET"]
    assert not list(root.under())


def test_a_manifest_is_fetched_once_and_asked_after_when_it_is_read_again(
    counted: tuple[ObjectPath, Gateway],
) -> None:
    root, gateway = counted
    path = root / "data/manifest.parquet"
    store.write([], NORMALIZED, path, store.Footer())
    gateway.requests.clear()
    store.read_table(NORMALIZED, path)
    assert spent(gateway) == {"GET": 1, "HEAD": 1}
    store.read_table(NORMALIZED, path)
    store.file_sha256(path)
    assert spent(gateway) == {"HEAD": 2}
    assert seal.claimed_by(path) == seal.examine(path).claimed
    assert spent(gateway) == {"GET": 1, "HEAD": 1}
    assert slices.slices(NORMALIZED, path) == list(verify.tables_of(NORMALIZED, path)) == []
    assert spent(gateway) == {"HEAD": 4}  # each asks for the footer, and then for the rows


def test_a_manifest_that_is_written_anew_is_not_read_from_the_copy(s3: ObjectPath) -> None:
    path = s3 / "data/manifest.parquet"
    for params in ({"run": 1}, {"run": 2}):
        store.write([], NORMALIZED, path, store.Footer(params=params))
        assert store.read_footer(path).params == params


def test_a_missing_manifest_is_an_error_of_the_manifest(s3: ObjectPath) -> None:
    with pytest.raises(ManifestError, match=rf"{s3}/manifest.parquet: not found; run the stage that writes it first"):
        store.read_table(NORMALIZED, s3 / "manifest.parquet")
    (s3 / "manifest.parquet").write_bytes(b"no parquet")
    with pytest.raises(ManifestError, match=rf"{s3}/manifest.parquet: not a Parquet file"):
        store.read_table(NORMALIZED, s3 / "manifest.parquet")


def test_a_film_that_is_gone_forbidden_or_too_large_is_a_row_and_no_end(
    counted: tuple[ObjectPath, Gateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    s3, gateway = counted
    (s3 / "film").write_bytes(b"0123456789")
    monkeypatch.setattr(source, "MAX_FILE_BYTES", 9)
    with pytest.raises(source.SourceError, match="found 10 bytes; expected at most 9") as too_large:
        source.read(s3 / "film")
    with pytest.raises(source.SourceError) as gone:
        source.read(s3 / "gone")
    assert (too_large.value.status, gone.value.status) == ("too_large", "missing")
    gateway.fault = lambda _number, _method, path: "403" if "secret" in path else ""
    with pytest.raises(source.SourceError, match=r"PermissionError: access denied \(Access Denied\)") as forbidden:
        source.read(s3 / "secret")
    assert forbidden.value.status == "unreadable"
    with pytest.raises(StoreError, match=rf"{s3}/secret: access denied .* may list, read and write there"):
        (s3 / "secret").reach()
    (s3 / "empty").write_bytes(b"")
    assert source.read(s3 / "empty") == b""
    assert seal.claimed_by(s3 / "empty") is None


def test_the_cache_forgets_what_was_not_asked_for_longest_and_nothing_else(
    s3: ObjectPath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(places.CACHE, str(tmp_path))
    monkeypatch.setenv(places.CACHE_GB, "0.000025")
    (tmp_path / "of-the-user").write_bytes(b"x" * 50_000)
    for name in ("old", "used", "new"):
        (s3 / name).write_bytes(name.encode() * (10_000 // len(name)))
    old, used = places.at_hand(s3 / "old"), places.at_hand(s3 / "used")
    long_ago = time.time() - 2 * places.GRACE_S
    os.utime(old, (long_ago, long_ago))
    os.utime(used, (long_ago, long_ago))
    assert places.at_hand(s3 / "used") == used
    new = places.at_hand(s3 / "new")
    assert (old.exists(), used.exists(), new.exists()) == (False, True, True)
    assert (tmp_path / "of-the-user").exists()
    assert places.at_hand(s3 / "old").read_bytes() == (s3 / "old").read_bytes()


def test_a_bound_of_the_cache_that_is_no_number_is_named(s3: ObjectPath, monkeypatch: pytest.MonkeyPatch) -> None:
    (s3 / "film").write_bytes(b"x")
    monkeypatch.setenv(places.CACHE_GB, "50 GB")
    with pytest.raises(StoreError, match="CXR_CACHE_GB is '50 GB'; expected a number of gigabytes, such as 50"):
        places.at_hand(s3 / "film")


def test_copies_of_films_go_with_the_run_and_those_of_a_killed_run_with_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(places.CACHE, raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    here = f"{places.OF_A_RUN}{places.HOST}-"
    dead, alive = tmp_path / f"{here}999999999-x", tmp_path / f"{here}{os.getpid()}-y"
    elsewhere = tmp_path / f"{places.OF_A_RUN}01234567-999999999-z"  # a container that shares the folder
    for folder in (dead, alive, elsewhere):
        folder.mkdir()
    with places.cache_of_run():
        inside = places.cache_folder()
        assert inside.is_dir()
        assert inside.stat().st_mode & 0o077 == 0
    assert (dead.exists(), alive.exists(), inside.exists()) == (False, True, False)
    assert elsewhere.exists()
    assert places.CACHE not in os.environ


def test_a_path_goes_to_other_processes_as_text_alone(s3: ObjectPath) -> None:
    (s3 / "film").write_bytes(b"x")
    assert len(pickle.dumps(s3)) < 200
    assert (pickle.loads(pickle.dumps(s3)) / "film").read_bytes() == b"x"  # noqa: S301 - our own


def test_what_has_gone_wrong_is_said_with_the_address_and_what_to_do(
    s3: ObjectPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StoreError, match=r"s3://no-such-bucket/x: no such bucket; .*create it first"):
        ObjectPath.of("s3://no-such-bucket/x").reach()
    with pytest.raises(StoreError, match=r"s3://no-such-bucket/x: no such bucket"):
        ObjectPath.of("s3://no-such-bucket/x").write_bytes(b"")
    s3fs = pytest.importorskip("s3fs")
    s3fs.S3FileSystem.clear_instance_cache()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/none")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/none")
    with pytest.raises(StoreError, match=rf"{s3}: .*redentials.*; set AWS_ACCESS_KEY_ID"):
        s3.reach()


def test_a_store_that_nobody_listens_for_is_an_error_of_the_store(
    s3: ObjectPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3fs = pytest.importorskip("s3fs")
    s3fs.S3FileSystem.clear_instance_cache()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(StoreError, match=r"127\.0\.0\.1:9.*; check AWS_ENDPOINT_URL and the network"):
        s3.reach()


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("file:///data", "expected the folder itself, without file://"),
        ("memory://x", "memory:// is no store that is known here"),
        ("http://host/x", "http:// is no store that is known here"),
        ("s3://", "names no bucket"),
        ("s3:///", "names no bucket"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_by_name(address: str, why: str) -> None:
    assert why in refusal(address)
    with pytest.raises(StoreError, match=why):
        places.place_of(address)


def test_a_place_is_found_again_by_the_name_that_a_manifest_keeps(tmp_path: Path) -> None:
    root = ObjectPath.of(f"s3://{BUCKET}/set/")
    pairs: list[tuple[places.AnyPath, places.AnyPath, str]] = [
        (root, root / "data/raw", "data/raw"),
        (root, root, "."),
        (tmp_path, tmp_path, "."),
        (root, ObjectPath.of("s3://other/raw"), "s3://other/raw"),
        (root, ObjectPath.of(f"s3://{BUCKET}/set2/raw"), f"s3://{BUCKET}/set2/raw"),
        (root, tmp_path, str(tmp_path.resolve())),
        (tmp_path, tmp_path / "data/raw", "data/raw"),
        (tmp_path, root, f"s3://{BUCKET}/set"),
    ]
    for base, path, name in pairs:
        assert places.named_from(base, path) == name
        assert places.joined(base, name) == path


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")  # that is what is tried here
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_a_process_that_is_started_in_mid_work_makes_a_connection_of_its_own(s3: ObjectPath, start: str) -> None:
    (s3 / "film").write_bytes(b"0123456789")  # the parent has a connection, and a thread that serves it
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(start)) as pool:
        assert list(pool.map(ObjectPath.read_bytes, [s3 / "film"] * 4, timeout=60)) == [b"0123456789"] * 4
    assert (s3 / "film").read_bytes() == b"0123456789"
