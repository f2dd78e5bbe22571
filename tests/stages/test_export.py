from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from manifests import store
from manifests.rows import NORMALIZED
from stages import paths
from stages.contract import Machine, ParamsError, StageError
from stages.export import ExportParams, held_out, run
from stages.learning import batches, checkpoint, networks, portable, prediction
from stages.normalize import NormalizeParams
from stages.scoring import read_images

CLASSES = ("normal", "bacterial", "viral")


def save(root: Path, params: NormalizeParams, *, classes: tuple[str, ...] = CLASSES) -> checkpoint.Checkpoint:
    """Write a network that was never trained, and return it."""
    network = networks.initialised("residual", params.frame, len(classes), how="he", seed=0).eval()
    known = checkpoint.Checkpoint(
        network_name="residual", classes=classes, frame=params.frame, mean=0.5, std=0.2, network=network
    )
    checkpoint.save(root / paths.MODEL, known)
    return known


def exported(root: Path, machine: Machine, **params: object) -> tuple[bytes, list[str]]:
    report = run(ExportParams.model_validate({"onnx": str(root / "net.onnx"), **params}), root, machine)
    return (root / "net.onnx").read_bytes(), list(report.lines)


def test_the_network_is_written_once_it_answers_the_held_out_films_alike(project: Path, machine: Machine) -> None:
    params = NormalizeParams(height=32, width=40)
    save(project, params)

    data, (line,) = exported(project, machine, films=4)

    assert "over 4 films of val and test, probabilities differ from PyTorch's by " in line
    assert float(line.split(" by ")[1].split()[0]) < 1e-4
    told = {entry.key: entry.value for entry in onnx.load_from_string(data).metadata_props}
    assert told["model_sha256"] == store.file_sha256(project / paths.MODEL)


@pytest.mark.real
def test_real_films_are_answered_alike_from_the_file(
    machine: Machine, normalized_real_films: Callable[[NormalizeParams], Path]
) -> None:
    params = NormalizeParams()
    root = normalized_real_films(params)
    known = save(root, params)

    data, _ = exported(root, machine)

    films = read_images(root, paths.NORMALIZED, NORMALIZED)
    pixels = batches.resident(films.folder, films.rows, params.frame, machine.track).numpy()
    found, expected = portable.answers_of(data, pixels), prediction.probabilities(known, pixels, torch.device("cpu"))
    assert len(pixels) > 20
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def test_held_out_films_alone_are_asked_chosen_by_their_hashes(project: Path) -> None:
    films = read_images(project, paths.NORMALIZED, NORMALIZED)

    some, every = held_out(films, 2), held_out(films, 1000)

    assert {row.split for row in every.rows} == {"val", "test"}
    assert [row.film_id for row in some.rows] == sorted(row.film_id for row in every.rows if row.film_id)[:2]
    with pytest.raises(StageError, match="holds no film of val or test to check on"):
        held_out(replace(films, rows=[row for row in films.rows if row.split == "train"]), 2)


def test_a_network_that_answers_with_no_number_is_not_written(project: Path, machine: Machine) -> None:
    known = save(project, NormalizeParams(height=32, width=40))
    with torch.no_grad():
        next(known.network.parameters()).fill_(torch.nan)
    checkpoint.save(project / paths.MODEL, known)

    with pytest.raises(StageError, match=r"net\.onnx: not written: onnxruntime and PyTorch differ by nan"):
        exported(project, machine, films=2)
    assert not (project / "net.onnx").exists()


def test_a_network_of_other_classes_or_of_another_frame_is_refused(project: Path, machine: Machine) -> None:
    save(project, NormalizeParams(height=32, width=40), classes=("well", "ill"))
    with pytest.raises(StageError, match=r"its classes are well, ill; .* has normal, bacterial, viral"):
        exported(project, machine)
    save(project, NormalizeParams(height=64, width=75))
    with pytest.raises(StageError, match=r"takes 64x75 pixels; .* has 32x40"):
        exported(project, machine)


def test_without_a_file_to_write_or_a_model_it_says_what_to_give(project: Path, machine: Machine) -> None:
    with pytest.raises(ParamsError, match="names nothing to write; expected --onnx FILE"):
        exported(project, machine, onnx="")
    with pytest.raises(StageError, match="not found; run train first"):
        exported(project, machine)
