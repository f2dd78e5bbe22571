import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from manifests import store
from manifests.rows import NORMALIZED, SPLIT
from stages import paths
from stages.contract import Failure, Machine, ParamsError, StageError
from stages.films.frame import Frame
from stages.learning import checkpoint, networks
from stages.normalize import NormalizeParams
from stages.predict import Answer, FilmJob, PredictParams, films_at_once, films_of, header, prepare, row, run
from stages.scoring import Judge, read_images

SMALL = NormalizeParams(height=32, width=40)
CLASSES = ("normal", "bacterial", "viral")


def save(root: Path, params: NormalizeParams = SMALL, **facts: str) -> checkpoint.Checkpoint:
    """Write a network that was never trained, and return it."""
    network = networks.initialised("residual", params.frame, 3, how="he", seed=0).eval()
    saved = checkpoint.Checkpoint(
        network_name="residual",
        classes=CLASSES,
        frame=params.frame,
        mean=0.5,
        std=0.2,
        network=network,
        facts={"normalization": params.model_dump_json(), **facts},
    )
    checkpoint.save(root / paths.MODEL, saved)
    return saved


def said(root: Path, machine: Machine, *films: object, **params: str) -> str:
    """Return what goes to standard output."""
    parts: list[bytes] = []
    asked = PredictParams.model_validate({"films": tuple(map(str, films)), **params})
    run(asked, root, replace(machine, results=parts.append))
    return b"".join(parts).decode()


def same_as_evaluate(root: Path, machine: Machine, params: NormalizeParams) -> int:
    """Compare what is said of the raw films with what evaluate's judge says of the normalized; return how many."""
    known = save(root, params)
    images = read_images(root, paths.NORMALIZED, NORMALIZED)
    expected = Judge(known, torch.device("cpu"), lambda *_: None).score(images)
    of_film = dict(zip((image.film_id for image in images.rows), expected, strict=True))
    rows = csv.DictReader(io.StringIO(said(root, machine, root / paths.RAW)))
    found = {line["path"]: [line[f"probability_{name}"] for name in CLASSES] for line in rows}
    divided = [film for film in store.read(SPLIT, root / paths.SPLIT) if film.status == "ok"]
    for film in divided:
        answer = np.array(found[str(root / paths.RAW / film.path)], np.float32)
        # the same pixels through the same layers: batches that are cut otherwise round otherwise
        np.testing.assert_allclose(answer, of_film[film.film_id], rtol=0, atol=1e-6)
    return len(divided)


def test_a_raw_film_gets_the_probabilities_that_evaluate_gives_the_normalized_one(
    project: Path, machine: Machine
) -> None:
    assert same_as_evaluate(project, machine, SMALL) == 36


@pytest.mark.real
@pytest.mark.parametrize("policy", ["cover", "crop"])
def test_real_films_get_the_probabilities_that_evaluate_gives_them(
    machine: Machine, normalized_real_films: Callable[[NormalizeParams], Path], policy: str
) -> None:
    params = NormalizeParams.model_validate({"policy": policy})

    assert same_as_evaluate(normalized_real_films(params), machine, params) > 20


def test_a_film_that_is_none_gets_a_row_that_says_why_and_stops_nothing(
    tmp_path: Path, machine: Machine, film_file: Callable[..., Path]
) -> None:
    save(tmp_path)
    film_file(tmp_path / "films/deep/good.png", 1)
    (tmp_path / "films/empty.jpeg").write_bytes(b"")
    (tmp_path / "films/notes.txt").write_text("no film")

    rows = list(csv.DictReader(io.StringIO(said(tmp_path, machine, tmp_path / "films", tmp_path / "nowhere.png"))))

    assert [(Path(line["path"]).name, line["status"]) for line in rows] == [
        ("good.png", "ok"),
        ("empty.jpeg", "empty"),
        ("notes.txt", "not_an_image"),
        ("nowhere.png", "missing"),
    ]
    assert [line["reason"] for line in rows][::3] == ["", "no such file"]
    assert rows[0]["predicted"] in CLASSES
    assert all(line["predicted"] == line["probability_normal"] == "" for line in rows[1:])


def test_json_lines_say_the_same_as_csv(tmp_path: Path, machine: Machine, film_file: Callable[..., Path]) -> None:
    save(tmp_path)
    film_file(tmp_path / "films/a.png", 1)
    (tmp_path / "films/b.png").write_bytes(b"")

    (good, bad) = map(json.loads, said(tmp_path, machine, tmp_path / "films", format="jsonl").splitlines())
    (line, _) = csv.DictReader(io.StringIO(said(tmp_path, machine, tmp_path / "films")))

    assert good["probabilities"] == {name: float(line[f"probability_{name}"]) for name in CLASSES}
    assert good["predicted"] == max(good["probabilities"], key=good["probabilities"].get) == line["predicted"]
    assert (good["status"], good["reason"]) == ("ok", None)
    assert (bad["predicted"], bad["probabilities"], bad["status"]) == (None, None, "empty")


def test_a_file_holds_what_standard_output_would_and_standard_output_nothing(
    tmp_path: Path, machine: Machine, film_file: Callable[..., Path]
) -> None:
    save(tmp_path)
    film = film_file(tmp_path / "films/a.png", 1)

    shown = said(tmp_path, machine, film)

    assert said(tmp_path, machine, film, out=str(tmp_path / "deep/rows.csv")) == ""
    assert (tmp_path / "deep/rows.csv").read_text() == shown


def test_films_come_in_the_order_they_are_named_and_folders_in_the_order_of_their_files(tmp_path: Path) -> None:
    for name in ("b/2.png", "b/1.png", "a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    found = films_of([f"{tmp_path}/b", f"{tmp_path}/a.png", f"{tmp_path}/none.png"])

    assert [Path(film).relative_to(tmp_path).as_posix() for film in found] == [
        "b/1.png",
        "b/2.png",
        "a.png",
        "none.png",
    ]


def test_no_film_and_a_folder_without_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="names no film; expected films or folders"):
        films_of([])
    with pytest.raises(StageError, match="holds no file; expected films in it"):
        films_of([str(tmp_path)])


def test_a_film_that_ended_its_process_gets_a_row_as_well() -> None:
    failure = Failure("crashed", "ended its process by SIGSEGV")

    assert prepare(FilmJob("film.png", failure), params=SMALL).reason == failure.reason


def test_names_that_hold_commas_quotes_and_line_breaks_come_back_from_csv_and_json() -> None:
    name = 'a "b", c\nd é.png'
    answer = Answer(name, "ok", None, np.array([0.25, 0.75], np.float32))

    lines = (header(("x", "y"), form="csv") + row(answer, ("x", "y"), form="csv")).decode()
    assert next(csv.DictReader(io.StringIO(lines, newline="")))["path"] == name
    assert json.loads(row(answer, ("x", "y"), form="jsonl"))["path"] == name


def test_what_waits_for_the_network_is_bounded_in_bytes() -> None:
    assert films_at_once(Frame(height=256, width=300)) == 873
    assert films_at_once(Frame(height=16, width=16)) == 1024
    assert films_at_once(Frame(height=4096, width=4096)) == 4


def test_many_films_come_out_part_by_part(tmp_path: Path, machine: Machine) -> None:
    save(tmp_path)
    parts: list[bytes] = []

    run(PredictParams(films=("nowhere.png",) * 1030), tmp_path, replace(machine, results=parts.append))

    assert [part.count(b"\n") for part in parts] == [1, 1024, 6]


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"normalization": "{"}, "normalized in a way not known here"),
        ({"normalization": '{"policy": "stretch"}'}, "normalized in a way not known here"),
        ({"normalization": '{"height": 64, "width": 75}'}, "takes 32x40 pixels, and says that its films were 64x75"),
    ],
)
def test_a_network_that_does_not_say_how_films_were_normalized_is_refused(
    tmp_path: Path, machine: Machine, facts: dict[str, str], message: str
) -> None:
    save(tmp_path, SMALL, **facts)

    with pytest.raises(StageError, match=message):
        said(tmp_path, machine, "film.png")


def test_a_network_of_an_older_version_and_a_missing_one_say_what_to_do(tmp_path: Path, machine: Machine) -> None:
    with pytest.raises(StageError, match="not found; run train first"):
        said(tmp_path, machine, "film.png")
    saved = save(tmp_path)
    checkpoint.save(tmp_path / paths.MODEL, replace(saved, facts={}))
    with pytest.raises(StageError, match=r"does not say how its films were normalized; .* train again"):
        said(tmp_path, machine, "film.png")
