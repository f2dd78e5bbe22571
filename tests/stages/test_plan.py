from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from math import ceil
from pathlib import Path
from statistics import median

import pyarrow as pa
import pytest
from click.testing import CliRunner
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from manifests.prefixes import films_by_prefix
from pipeline.cli import main
from pipeline.lock import LOCK
from stages import plan
from stages.audit import AuditParams
from stages.contract import Machine, ParamsError, StageError
from stages.planning import forecast, made_up, storage, words
from stages.planning.clock import Clocked
from stages.planning.forecast import Size
from stages.planning.rates import Rates, StageRates, combined
from stages.planning.sample import films_of
from stages.planning.schema import PlanReport
from stages.planning.storage import Prices
from stages.split import SplitParams

FREE = Prices(core_hour=0, gb_month=0, puts=0, gets=0)
FEW_MB = {"audit": 170, "split": 105, "normalize": 125, "augment": 130, "build": 190, "verify": 130}
CALIBRATED = {"films": "made up", "workers": 2, "rounds": 1, "seconds": 1.0, "usable_share": 1.0, "strata": 2}
RATES = Rates(
    audit=StageRates(start_s=1.5, work_s=3e-3, parent_s=2e-4, serial_s=1e-3, square_s=1e-8),
    split=StageRates(start_s=0.5, serial_s=1e-6),
    normalize=StageRates(start_s=1.0, work_s=5e-3, parent_s=1e-4),
    augment=StageRates(start_s=1.0, work_s=4e-4, parent_s=1e-5),
    verify=StageRates(start_s=0.6, work_s=5e-5, serial_s=1e-5),
    look_s=5e-3,
    look_after_s=1e-3,
    build_start_s=2.0,
    build_start_cpu_s=4.0,
    build_saved_s=3e-3,
    raw_bytes=150_000,
    normalized_bytes=77_000,
    image_bytes=18_000,
    audit_row_bytes=120,
    split_row_bytes=60,
    normalized_row_bytes=110,
    augmented_row_bytes=80,
    worker_mb=180,
)


def a_size(films: int = 10_000, workers: int = 2, copies: int = 20, **told: object) -> Size:
    usual = {"usable_share": 1.0, "train_share": 0.68, "cores": workers, "looked_at": 1800}
    limits = {"films_per_shard": 128, "trained_per_shard": max(1, 1000 // (copies + 1))}
    return Size(**{"films": films, "workers": workers, "copies": copies, **usual, **limits, **told})  # type: ignore[arg-type]


sizes = st.integers(1, 2_000_000)
workers = st.integers(1, 5_000)


# --- the arithmetic --------------------------------------------------------------------------------------------


@given(sizes, st.integers(0, 100_000), workers)
def test_more_films_take_no_less_time_once_there_is_a_job_for_each_worker(films: int, more: int, number: int) -> None:
    assume(films * 0.68 >= number * 128)  # fewer films may lie in one shard, and a second one busies a second worker
    fewer, many = (forecast.times(RATES, a_size(size, number)) for size in (films, films + more))
    assert all(fewer[name].total_s <= many[name].total_s * (1 + 1e-12) for name in fewer)


@given(sizes, workers)
def test_twice_the_workers_are_never_slower_and_never_beat_what_is_serial(films: int, number: int) -> None:
    some, twice = (forecast.times(RATES, a_size(films, of)) for of in (number, 2 * number))
    for name in some:
        assert twice[name].total_s <= some[name].total_s * (1 + 1e-12)
        assert twice[name].total_s >= twice[name].least_s * (1 - 1e-12)
        assert some[name].least_s == pytest.approx(twice[name].least_s)


def test_a_stage_takes_its_start_its_parent_and_its_share_of_the_work() -> None:
    rates = StageRates(start_s=1.0, work_s=0.01, parent_s=0.001, serial_s=0.002, square_s=1e-6)
    told = forecast.taken(rates, 1000, 10, size=a_size(workers=4, cores=8))
    # 10 s of work among 4, and half a job of 0.1 s for the three that wait; 2 s of the parent and 1 s of pairs
    assert told.parallel_s == pytest.approx(10 / 4 + 0.75 * 0.05)
    assert told.serial_s == pytest.approx(3.0)
    assert told.total_s == pytest.approx(1 + 3 + told.parallel_s)
    assert told.least_s == pytest.approx(1 + 3 + 1)
    assert told.cpu_s == pytest.approx(3 + 10 + 1)


def test_with_many_workers_the_parent_is_what_takes_the_time() -> None:
    rates = StageRates(start_s=0.0, work_s=0.01, parent_s=0.001)
    assert forecast.taken(rates, 1000, 1, size=a_size(workers=1000)).parallel_s == pytest.approx(1.0)


def test_on_as_many_cores_as_workers_the_parent_takes_from_them() -> None:
    rates = StageRates(start_s=0.0, work_s=0.01, parent_s=0.004)
    alone, beside = (forecast.taken(rates, 1000, 1, size=a_size(workers=2, cores=cores)) for cores in (2, 3))
    assert alone.parallel_s == pytest.approx(7.0)
    assert beside.parallel_s == pytest.approx(5.0, rel=1e-3)


def test_workers_without_a_job_do_not_help() -> None:
    rates = StageRates(start_s=0.0, work_s=0.01)
    two, hundred = (forecast.taken(rates, 200, 100, size=a_size(workers=number)) for number in (2, 100))
    assert two == hundred


def test_twice_the_films_take_four_times_as_long_where_all_are_compared_with_all() -> None:
    once, twice = (forecast.times(RATES, a_size(films))["audit"].square_s for films in (10**6, 2 * 10**6))
    assert twice == pytest.approx(4 * once)


@given(st.integers(1, 60_000), st.integers(1, 200))
@settings(max_examples=15)
def test_the_disk_is_shards_times_their_size_and_grows_with_the_films(films: int, most: int) -> None:
    kept = storage.stored(RATES, a_size(films, films_per_shard=most))["normalized"]
    assert kept.files * kept.file_bytes == pytest.approx(films * RATES.normalized_bytes)
    assert kept.files >= ceil(films / most)
    assert storage.stored(RATES, a_size(2 * films))["normalized"].image_bytes > kept.image_bytes


def test_shards_of_large_sets_are_counted_as_the_stages_make_them() -> None:
    films = 3 * storage.MOST_PLANNED
    real = len(films_by_prefix(pa.chunked_array([made_up.hashes(films, "others")]), films_per_shard=47))
    assert storage.shards(films, 47) == pytest.approx(real, rel=0.03)


def test_in_the_folder_layout_each_image_is_a_file() -> None:
    kept = storage.stored(RATES, a_size(1000, films_per_shard=0, trained_per_shard=0, train_share=0.5))
    assert (kept["normalized"].files, kept["augmented"].files) == (1000, 500 * 21)


def test_a_plan_costs_what_its_prices_say() -> None:
    size, kept = a_size(1000, workers=8), storage.stored(RATES, a_size(1000, workers=8))
    costs = storage.cost(Prices(core_hour=0.5, gb_month=2, puts=10, gets=1), size, 3.0, kept)
    gb = sum(one.image_bytes + one.manifest_bytes for one in kept.values()) / 1e9
    asked = storage.requests(size, kept)
    assert costs == pytest.approx(
        {"cores": 12.0, "storage a month": 2 * gb, "writes": asked.puts / 100, "reads": asked.gets / 1000}
    )
    assert asked.puts >= kept["normalized"].files + kept["augmented"].files
    assert asked.gets >= size.films


def test_rates_of_rounds_are_combined_number_by_number() -> None:
    rounds = [
        replace(RATES, look_s=look, audit=replace(RATES.audit, work_s=work))
        for look, work in ((1.0, 9.0), (2.0, 8.0), (3.0, 1.0))
    ]
    middle = combined(rounds, median)
    assert (middle.look_s, middle.audit.work_s, middle.split) == (2.0, 8.0, RATES.split)
    assert combined(rounds, min).audit.work_s == 1.0


# --- what is told ----------------------------------------------------------------------------------------------


def told(size: Size, prices: Prices = FREE) -> PlanReport:
    low, high = plan.doubted(RATES, -0.1, -0.02), plan.doubted(RATES, 0.1, 0.02)
    return words.report(size, (low, RATES, high), FEW_MB, prices, CALIBRATED)


def test_a_large_plan_names_its_bottleneck_and_what_it_does_not_know() -> None:
    report = told(a_size(377_110, workers=64))
    lines = words.lines(report, words.Here(2, 25 * 10**9))
    assert any("audit" in line and "compare all films with all" in line for line in lines)
    assert any("64 workers are taken to be as fast each as 2 workers together" in line for line in lines)
    spread = report.folders["augmented"].bytes
    assert spread.low < spread.middle < spread.high


def test_what_this_machine_has_not_is_told() -> None:
    small, large = (words.lines(told(a_size(workers=64)), words.Here(2, memory)) for memory in (10**12, 10**9))
    assert not any("more than the" in line for line in small)
    assert any("more than the 1 GB of this machine" in line for line in large)


def test_costs_stand_there_only_where_prices_are_given() -> None:
    priced = told(a_size(), Prices(core_hour=1, gb_month=0, puts=0, gets=0))
    here = words.Here(2, 10**12)
    assert any(line.startswith("build costs") for line in words.lines(priced, here))
    assert not any(line.startswith("build costs") for line in words.lines(told(a_size()), here))
    assert told(a_size()).cost == {}


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (43.2, "43 s"), (600, "10 min"), (4 * 3600, "4.0 h"), (4 * 86_400, "4.0 days")],
)
def test_times_are_said_as_people_say_them(seconds: float, said: str) -> None:
    assert words.duration(seconds) == said


# --- what is asked ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"films": 0}, {"films": -5}, {"copies": -1}, {"workers": -1}, {"sample": 0}, {"rounds": 0},
        {"train_share": 1.5}, {"price_per_core_hour": -1}, {"out": "plan.csv"}, {"films": 10**12},
    ],
)  # fmt: skip
def test_nonsense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        plan.PlanParams.model_validate(wrong)


def test_without_films_and_their_number_nothing_is_planned(tmp_path: Path, machine: Machine) -> None:
    with pytest.raises(ParamsError, match="say how many with --films, or where with --raw"):
        plan.run(plan.PlanParams(), tmp_path, machine)


def test_a_raw_folder_that_is_not_there_is_no_reason_to_measure_phantoms(tmp_path: Path, machine: Machine) -> None:
    with pytest.raises(ParamsError, match="no such folder; leave it out to measure phantoms"):
        plan.run(plan.PlanParams(films=5), tmp_path, replace(machine, raw=tmp_path / "nowhere"))


def test_a_folder_without_films_is_refused(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "labels.csv").write_text("path,label\n")
    with pytest.raises(StageError, match="holds 1 files, none of them a film"):
        films_of(tmp_path / "raw", AuditParams(), 8, tmp_path / "into")


def test_a_sample_is_the_same_each_time_and_leaves_csvs_out(tmp_path: Path, film_file: Callable[..., Path]) -> None:
    for seed in range(12):
        film_file(tmp_path / f"raw/ill/{seed:02d}.png", seed, height=16, width=18)
    (tmp_path / "raw" / "labels.csv").write_text("path,label\n")
    one, other = (films_of(tmp_path / "raw", AuditParams(), 5, tmp_path / name) for name in ("a", "b"))
    assert [*one.files] == [*other.files]
    assert (len(one.files), one.of, one.labels["labels"]) == (5, 12, "folder")
    contents = [sorted((place.raw / path).read_bytes() for path in place.files) for place in (one, other)]
    assert contents[0] == contents[1]


def test_films_that_cannot_be_measured_are_named_with_the_way_out(tmp_path: Path, machine: Machine) -> None:
    (tmp_path / "raw/ill").mkdir(parents=True)
    for number in range(8):
        (tmp_path / f"raw/ill/{number}.png").write_bytes(b"no film")
    asked = plan.PlanParams(sample=8, rounds=1)
    with pytest.raises(StageError, match=r"on 8 of 8 files under .*raw \(.* none usable.*\); point --raw at films"):
        plan.run(asked, tmp_path, replace(machine, raw=tmp_path / "raw"))


def test_a_note_beside_the_films_costs_no_folder_its_meaning(tmp_path: Path, film_file: Callable[..., Path]) -> None:
    """A licence or a README names no film: classes and delivered splits stay those of the folders."""
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "LICENSE.txt").write_text("CC BY 4.0")
    for seed in range(6):
        film_file(tmp_path / f"raw/{'test' if seed % 2 else 'train'}/ill/{seed}.png", seed, height=16, width=18)
    sample = films_of(tmp_path / "raw", AuditParams(), 6, tmp_path / "into")
    assert sample.labels == {}
    assert sorted({Path(path).parent.as_posix() for path in sample.files}) == ["test/ill", "train/ill"]


@given(st.floats(0, 0.4), st.floats(0, 0.4), st.floats(0, 0.9))
def test_the_share_of_training_films_is_what_split_leaves(val: float, probe: float, delivered: float) -> None:
    params = plan.PlanParams(split=SplitParams(val_fraction=val, leak_probe_fraction=probe, test_fraction=0.2))
    pool = 1 - (delivered or 0.2)
    assert plan.train_share(params, delivered) == pytest.approx(pool * (1 - val - probe))
    assert plan.train_share(plan.PlanParams(train_share=0.25), delivered) == 0.25


# --- the clock -------------------------------------------------------------------------------------------------


def test_a_clocked_fan_out_gives_the_same_results_and_counts_them(machine: Machine) -> None:
    clocked = Clocked(machine.fan_out)
    assert list(clocked(str, [1, 2, 3])) == ["1", "2", "3"]
    assert list(clocked(str, [4])) == ["4"]
    assert (len(clocked.calls), len(clocked.seconds)) == (2, 3)
    assert clocked.work_s >= 0
    assert clocked.worker_mb == 0  # the jobs were done here


@given(st.integers(0, 400), st.sampled_from(["nih", "mimic"]))
@settings(max_examples=10)
def test_made_up_rows_are_those_of_an_audit(films: int, collection: made_up.Collection) -> None:
    rows = made_up.audited(films, collection=collection)
    assert len(rows) == films
    assert len(set(rows.column("film_id").to_pylist())) == films
    assert len(set(rows.column("path").to_pylist())) == films
    assume(films > 100)
    groups = rows.column("group_id").to_pylist()
    assert 1 < len(set(groups)) < films


# --- as a whole ------------------------------------------------------------------------------------------------


def test_a_plan_from_phantoms_is_printed_and_written(tmp_path: Path) -> None:
    small = ["--sample", "8", "--rounds", "1", "--side-px", "96", "--films", "5000", "--copies", "3", "--jobs", "1"]
    result = CliRunner().invoke(
        main, ["plan", "--root", str(tmp_path), *small, "--workers", "16", "--out", "reports/plan.json"]
    )
    assert result.exit_code == 0, result.output
    found = PlanReport.model_validate(json.loads((tmp_path / "reports" / "plan.json").read_text()))
    assert (found.films, found.copies, found.workers) == (5000, 3, 16)
    assert found.images == found.training_films * 4
    assert set(found.stages) == {"audit", "split", "normalize", "augment", "build", "verify"}
    assert all(stage.seconds.low <= stage.seconds.middle <= stage.seconds.high for stage in found.stages.values())
    assert found.folders["normalized"].bytes.middle > found.usable * 256 * 300
    assert "phantoms of up to 96 pixels" in result.output
    assert {path.name for path in tmp_path.iterdir()} == {"reports", LOCK}  # nothing else is left


def test_a_parent_takes_what_it_takes_on_few_films_and_some_more_for_each() -> None:
    few, many = (forecast.parents_mb(FEW_MB, a_size(films)) for films in (1, 10**6))
    assert few["split"] == pytest.approx(FEW_MB["split"], abs=0.01)
    assert many["split"] == pytest.approx(FEW_MB["split"] + forecast.PARENT_BYTES["split"])
    assert many["build"] - FEW_MB["build"] == pytest.approx(many["audit"] - FEW_MB["audit"])


def test_what_cannot_be_read_is_not_measured(tmp_path: Path, film_file: Callable[..., Path]) -> None:
    film_file(tmp_path / "raw/ill/0.png", 0, height=16, width=18)
    os.mkfifo(tmp_path / "raw" / "ill" / "pipe.png")
    assert list(films_of(tmp_path / "raw", AuditParams(), 8, tmp_path / "some").files) == ["ill/0.png"]
    (tmp_path / "raw" / "ill" / "0.png").unlink()
    with pytest.raises(StageError, match="none of 1 files that were drawn can be read"):
        films_of(tmp_path / "raw", AuditParams(), 8, tmp_path / "none")
