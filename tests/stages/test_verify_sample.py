from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from shutil import copytree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from stages import audit, augment, normalize, paths, split, verify
from stages.augment_params import AugmentParams
from stages.contract import Machine
from stages.proof.draw import EVERYTHING, Draw, chance_to_find, most_spoilt
from tests.conftest import in_order, silent


@pytest.fixture(scope="module")
def _set(tmp_path_factory: pytest.TempPathFactory, film_file: Callable[..., Path]) -> Path:
    root = tmp_path_factory.mktemp("set")
    for seed in range(60):
        film_file(root / f"data/raw/ill/{seed:03d}.png", seed, height=16, width=18)
    machine = Machine(fan_out=in_order, track=silent)
    audit.run(audit.AuditParams(), root, machine)
    split.run(split.SplitParams(), root, machine)
    normalize.run(normalize.NormalizeParams(height=16, width=18), root, machine)
    augment.run(AugmentParams(copies=100), root, machine)
    return root


@pytest.fixture
def built(_set: Path, tmp_path: Path) -> Path:
    """Return the root of 60 tiny films whose copies lie in several shards; a copy of its own."""
    return copytree(_set, tmp_path / "set")


def spoil(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)


def looked(root: Path, machine: Machine, share: float, seed: int) -> verify.Verdict:
    return verify.inspect(verify.VerifyParams(sample=share, seed=seed), root, machine)


def test_a_sample_reads_what_its_draw_takes_and_finds_what_is_spoilt_among_it(built: Path, machine: Machine) -> None:
    shards = sorted((built / paths.AUGMENTED / "shards").iterdir())
    victim = shards[len(shards) // 2]
    spoil(victim)
    place = f"{paths.AUGMENTED}/shards/{victim.name}"
    for seed in range(12):
        draw = Draw(0.4, seed)
        verdict = looked(built, machine, 0.4, seed)
        taken = sum(draw.takes(f"{paths.AUGMENTED}/{shard.name}") for shard in shards)
        read = verdict.by_folder[paths.AUGMENTED].files - 1 if taken else 0  # the manifest is one
        assert read == taken
        found = [finding.where for finding in verdict.findings]
        assert found == ([place] if draw.takes(f"{paths.AUGMENTED}/{victim.name}") else [])


def test_another_seed_reads_other_files_and_the_same_seed_the_same(built: Path, machine: Machine) -> None:
    sizes = {looked(built, machine, 0.3, seed).by_folder["data/raw"].size for seed in range(6)}
    assert len(sizes) > 1
    assert looked(built, machine, 0.3, 1).by_folder == looked(built, machine, 0.3, 1).by_folder


def test_files_too_many_are_found_whatever_is_drawn(built: Path, machine: Machine) -> None:
    (built / paths.AUGMENTED / "shards" / "stray.parquet").write_bytes(b"no shard")
    (built / paths.RAW / "ill" / "new.png").write_bytes(b"no film")
    found = {finding.where for finding in looked(built, machine, 1e-9, 0).findings}
    assert found == {"data/raw/ill/new.png", f"{paths.AUGMENTED}/shards/stray.parquet"}


def test_what_a_sample_says_of_the_rest_is_told(built: Path, machine: Machine) -> None:
    report = verify.run(verify.VerifyParams(sample=0.5), built, machine)
    line = next(line for line in report.lines if line.startswith("a sample: "))
    read, there = (int(line.split()[place].replace(",", "")) for place in (2, 4))
    assert 0 < read < there
    assert f"fewer than {100 * most_spoilt(read):.2f} %" in line
    assert "that was read" in report.verdict

    nothing = verify.run(verify.VerifyParams(sample=1e-12), built, machine)
    assert any("it says nothing of the others; take a larger --sample" in line for line in nothing.lines)
    whole = verify.run(verify.VerifyParams(), built, machine)
    assert not any("a sample" in line for line in whole.lines)


def test_a_sample_with_a_fault_sends_its_reader_to_look_at_all(built: Path, machine: Machine) -> None:
    for shard in (built / paths.AUGMENTED / "shards").iterdir():
        spoil(shard)
    report = verify.run(verify.VerifyParams(sample=0.6), built, machine)
    assert report.failed
    assert any("are not as claimed: read all, without --sample" in line for line in report.lines)


@given(st.lists(st.text(), min_size=1, max_size=50, unique=True), st.floats(0.01, 1), st.floats(0.01, 1), st.integers())
def test_a_larger_share_takes_the_same_files_and_more(places: list[str], one: float, other: float, seed: int) -> None:
    small, large = (Draw(share, seed) for share in sorted((one, other)))
    assert all(large.takes(place) for place in places if small.takes(place))
    assert all(EVERYTHING.takes(place) for place in places)


def test_a_share_is_what_is_drawn_on_average() -> None:
    taken = sum(Draw(0.2, seed=7).takes(f"data/augmented/{number}") for number in range(10_000))
    assert taken == pytest.approx(2000, abs=4 * (10_000 * 0.2 * 0.8) ** 0.5)


@given(st.integers(1, 10_000))
def test_the_bound_is_the_share_that_would_have_shown_in_nineteen_samples_of_twenty(read: int) -> None:
    assert chance_to_find(most_spoilt(read), read) == pytest.approx(0.95)


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1, float("nan")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(ValidationError):
        verify.VerifyParams(sample=share)
