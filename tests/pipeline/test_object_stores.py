"""The same data set in a folder and in a store that speaks S3: the same bytes, whatever happens on the way."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
from click.testing import CliRunner, Result

from manifests import store
from manifests.objects import ObjectPath
from manifests.places import AnyPath
from manifests.rows import NORMALIZED
from pipeline.cli import main
from pipeline.lock import LOCK
from stages import paths
from stages.drawn import AUGMENTED
from stages.learning.dataset import FilmDataset
from tests import stores
from tests.stores import Gateway, contents

PARAMS = "audit: {height: 32, width: 40}\nnormalize: {height: 32, width: 40}\naugment: {copies: 199}\n"
FILMS = "24"  # of which some 17 are trained on, four shards of copies
OF_THE_CLOCK = ("reports/test_peeks.jsonl", "reports/train.json", "reports/evaluation.html")


def invoke(root: AnyPath, *arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--root", str(root), "--backend", "sequential"])


def done(root: AnyPath, *arguments: str) -> str:
    result = invoke(root, *arguments)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of raw films and parameters."""
    root = tmp_path_factory.mktemp("begun") / "root"
    root.mkdir()
    (root / "params.yaml").write_text(PARAMS)
    done(root, "phantom", "--films", FILMS, "--longest-side-px", "120", "--faults", "truncated")
    return root


@pytest.fixture(scope="module")
def built(begun: Path) -> Path:
    """Return the data set in a folder."""
    root = begun.with_name("built")
    copytree(begun, root)
    done(root, "build")
    return root


def put(folder: Path, root: ObjectPath, *, but: str = "/none") -> None:
    """Copy a folder into the store."""
    for name in contents(folder):
        if not name.startswith(but):
            (root / name).upload(folder / name)


def test_a_whole_run_in_a_store_gives_every_byte_that_a_folder_gets(begun: Path, built: Path, s3: ObjectPath) -> None:
    put(begun, s3)
    done(s3, "build")
    assert contents(s3) == contents(built)
    local = built.with_name("trained")
    copytree(built, local)
    for root in (local, s3):
        done(root, "train", "--network", "residual", "--epochs", "1", "--device", "cpu", "--augment", "online")
        done(root, "evaluate", "--draws", "100", "--split", "val", "--device", "cpu")
    found, expected = contents(s3), contents(local)
    assert found.keys() == expected.keys()
    assert {name for name in found if found[name] != expected[name]} <= {*OF_THE_CLOCK}
    assert "every byte and every row as the manifests say" in done(s3, "verify")
    assert "byte for byte the same as the manifest's and the stored" in done(s3, "replay", "--path", _some_path(s3))


def _some_path(root: ObjectPath) -> str:
    return str(store.read_table(AUGMENTED, root / paths.AUGMENTED_MANIFEST).column("path")[5])


def test_tools_read_and_write_in_a_store(built: Path, s3: ObjectPath, tmp_path: Path) -> None:
    put(built, s3, but="data/raw")
    done(s3, "show", "--limit", "3", "--raw", str(built / paths.RAW))
    done(built, "show", "--limit", "3", "--out", str(tmp_path / "show.png"))
    assert (s3 / "reports/show.png").read_bytes() == (tmp_path / "show.png").read_bytes()
    done(s3, "probe")
    path = _some_path(s3)
    done(s3, "replay", "--path", path, "--raw", str(built / paths.RAW), "--out", f"{s3}/made.jpeg")
    assert (s3 / "made.jpeg").read_bytes()[:2] == b"\xff\xd8"
    done(s3, "phantom", "--films", "12", "--longest-side-px", "64", "--out", "data/drawn")
    assert "holds" in invoke(s3, "phantom", "--films", "12", "--out", "data/drawn").output


def test_a_dry_run_tells_of_a_store_what_it_tells_of_a_folder_and_changes_nothing(
    built: Path, s3: ObjectPath, tmp_path: Path
) -> None:
    local = copytree(built, tmp_path / "local")
    next((local / "data/augmented/shards").iterdir()).unlink()
    (local / "data/augmented/shards/stray.parquet").write_bytes(b"of another run")
    put(local, s3, but="data/raw")
    before = contents(s3)

    told = done(s3, "augment", "--dry-run")

    assert contents(s3) == before
    of_folder = done(local, "augment", "--dry-run").splitlines()
    assert told.splitlines() == [line for line in of_folder if "are free there" not in line]
    for verb in ("write to", "keep in", "delete from"):
        assert f"{verb} data/augmented" in told


@pytest.mark.parametrize("in_store", ["raw", "root"])
def test_raw_films_and_root_lie_where_each_is_said_to(begun: Path, built: Path, s3: ObjectPath, in_store: str) -> None:
    root: AnyPath = begun.with_name(f"root-of-{in_store}")
    raw = str(begun / paths.RAW)
    if in_store == "raw":
        put(begun, s3)
        raw = f"{s3}/{paths.RAW}"
    else:
        root = s3
    for stage in ("audit", "split", "normalize"):
        more = ["--raw", raw] if stage == "audit" else []  # normalize finds what the audit wrote down
        done(root, stage, *more, "--params", str(begun / "params.yaml"))
    found, expected = (
        store.read_table(NORMALIZED, each / paths.NORMALIZED_MANIFEST).column("sha256") for each in (root, built)
    )
    assert found == expected
    assert "raw films are not checked" not in done(root, "verify")


def command(root: ObjectPath, address: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a command of two worker processes, which asks a store of that address."""
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline", *arguments, "--root", str(root), "--jobs", "2", "--no-progress"],
        env=stores.environment(address),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def test_a_run_keeps_others_out_and_killed_leaves_whole_shards_from_which_the_same_command_goes_on(
    built: Path, counted: tuple[ObjectPath, Gateway]
) -> None:
    root, gateway = counted
    put(built, root, but="data/augmented")
    gateway.stalls = lambda method, path: method == "PUT" and "augmented/shards" in path and _written(gateway) > 2
    with command(root, gateway.address, "augment") as process:
        assert gateway.stalled.wait(60)
        refused = invoke(root, "split")
        os.killpg(process.pid, signal.SIGKILL)
    assert (refused.exit_code, "two runs under one root" in refused.output) == (1, True)
    gateway.stalls = lambda _method, _path: False
    left = {name for name, _ in root.under() if name.startswith("data/augmented")}
    assert left
    assert all(contents(root)[name] == contents(built)[name] for name in left)
    refused = invoke(root, "augment")
    assert refused.exit_code == 1
    assert refused.output.count("\n") == 1
    assert "in use by `cxr-pipeline augment`" in refused.output
    (root / LOCK).unlink()  # test_lease.py shows that it is taken over in time
    output = done(root, "augment")
    assert f"images kept from before: {len(left)} of" in output
    assert contents(root) == contents(built)


def _written(gateway: Gateway) -> int:
    return sum(method == "PUT" and "augmented/shards" in path for method, path in gateway.requests)


def test_requests_that_fail_now_and_then_change_nothing(
    begun: Path, built: Path, counted: tuple[ObjectPath, Gateway]
) -> None:
    """Every seventh request fails, in one way after the other; a third of the answers that are cut are of films."""
    root, gateway = counted
    put(begun, root)
    ways: list[Any] = ["500", "reset", "503", "cut"]
    gateway.fault = lambda number, _method, _path: ways[number // 7 % 4] if number % 7 == 0 else ""
    with command(root, gateway.address, "build") as process:
        output = process.communicate(timeout=200)[0]
    gateway.fault = lambda _number, _method, _path: ""
    assert process.returncode == 0, output
    assert contents(root) == contents(built)


def test_verify_finds_what_was_changed_and_mends_it(built: Path, s3: ObjectPath) -> None:
    """A changed byte in a shard and in a manifest, an object that is gone, and one too many."""
    put(built, s3)
    changed = [next(s3.glob("data/normalized/shards/*.parquet")), s3 / paths.NORMALIZED_MANIFEST]
    for path in changed:
        data = bytearray(path.read_bytes())
        data[len(data) // 3] ^= 1
        path.write_bytes(bytes(data))
    missing, extra = next(s3.glob("data/augmented/shards/*.parquet")), s3 / "data/augmented/shards/x.parquet"
    missing.unlink()
    extra.write_bytes(b"x")
    found = invoke(s3, "verify")
    assert found.exit_code == 1
    assert [path.name for path in (*changed[1:], missing, extra) if path.name not in found.output] == []
    for _ in range(2):  # what a spoilt manifest says of its shards comes to light when it is made anew
        invoke(s3, "verify", "--repair")
    assert "every byte and every row as the manifests say" in done(s3, "verify")
    assert contents(s3) == contents(built)


def test_verify_mends_one_shard_from_its_manifest(built: Path, s3: ObjectPath) -> None:
    put(built, s3)
    path = next(s3.glob("data/augmented/shards/*.parquet"))
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(bytes(data))
    assert path.name in invoke(s3, "verify").output
    assert "made anew: seal" in done(s3, "verify", "--repair")
    assert contents(s3) == contents(built)


def test_each_film_and_each_shard_costs_a_fixed_number_of_requests(
    begun: Path, counted: tuple[ObjectPath, Gateway]
) -> None:
    root, gateway = counted
    put(begun, root)
    films = len([name for name in contents(begun) if name.startswith(paths.RAW)])
    costs: dict[str, dict[str, int]] = {}
    for stage in ("audit", "split", "normalize", "augment", "augment"):
        gateway.requests.clear()
        done(root, stage)
        costs[stage if stage not in costs else f"{stage} again"] = {
            "film": sum("data/raw/" in path and method == "GET" for method, path in gateway.requests),
            **{f"shard {kind}": n for kind, n in gateway_of(gateway, "shards/").items()},
            "all": len(gateway.requests),
        }
    pictures = costs["audit"]["film"] - films  # of the report, read a second time
    assert 0 <= pictures <= films
    shards = {stage: sum(1 for _ in root.glob(f"data/{stage}/shards/*")) for stage in ("normalized", "augmented")}
    normalized, augmented = shards["normalized"], shards["augmented"]
    assert costs["normalize"]["shard PUT"] == normalized
    assert costs["normalize"]["shard GET"] == normalized  # the seal, by a range
    assert costs["normalize"]["film"] <= films
    assert costs["augment"]["shard PUT"] == augmented
    assert costs["augment"]["shard GET"] == normalized + augmented  # each normalized shard once, however many want it
    assert costs["augment again"]["shard GET"] == 2 * augmented  # whole, to see that it is right; and the seal
    assert costs["augment again"].get("shard PUT", 0) == 0
    assert all(cost["all"] < 120 + 2 * films for cost in costs.values())


def gateway_of(gateway: Gateway, part: str) -> dict[str, int]:
    """Return the requests for objects whose keys hold a part, by their kind."""
    found: dict[str, int] = {}
    for method, path in gateway.requests:
        if part in path and "list-type" not in path:
            found[method] = found.get(method, 0) + 1
    return found


def no_package(name: str, found: Callable[..., Any] = importlib.util.find_spec) -> Any:
    return None if name == "s3fs" else found(name)


def test_what_cannot_be_used_is_said_in_one_line(s3: ObjectPath, monkeypatch: pytest.MonkeyPatch) -> None:
    for root, code, said in (
        ("s3://there-is-no-such-bucket/x", 1, "no such bucket; expected one that is there; create it first"),
        ("ftp://host/x", 2, "ftp:// is no store that is known here; expected a folder, or one of s3://"),
        ("memory://x", 2, "memory:// is no store that is known here"),
        (str(s3), 1, "no such folder; put the films there"),
    ):
        result = CliRunner().invoke(main, ["audit", "--root", root])
        assert (result.exit_code, said in result.output) == (code, True), result.output
        assert root in result.output
        assert "Traceback" not in result.output
    monkeypatch.setattr("manifests.addresses.find_spec", no_package)
    result = CliRunner().invoke(main, ["audit", "--raw", str(s3)])
    assert result.exit_code == 2
    assert "needs s3fs: pip install 'cxr-pipeline[s3]'" in result.output


def test_an_export_of_a_store_is_that_of_the_folder_and_lies_on_this_machine(
    built: Path, s3: ObjectPath, tmp_path: Path
) -> None:
    put(built, s3)
    for to in ("webdataset", "hf", "folder"):
        places = {"folder": tmp_path / f"of-folder-{to}", "store": tmp_path / f"of-store-{to}"}
        done(built, "export", "--to", to, "--out", str(places["folder"]))
        done(s3, "export", "--to", to, "--out", str(places["store"]))
        assert contents(places["store"]) == contents(places["folder"])
    refused = invoke(s3, "export", "--to", "hf")
    assert refused.exit_code == 1
    assert "name a folder by --out" in refused.output


def test_the_dataset_of_a_store_gives_the_folders_images(built: Path, s3: ObjectPath) -> None:
    put(built, s3)
    here, there = FilmDataset(built), FilmDataset(str(s3))
    assert len(here) == len(there)
    for number in (0, len(here) // 2, len(here) - 1):
        assert here[number][0].equal(there[number][0])
        assert here[number][1] == there[number][1]
        assert here.row(number) == there.row(number)
