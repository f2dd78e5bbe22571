"""A trained network as ONNX: grey levels in, probabilities out, so that who runs it need know nothing of training."""

from __future__ import annotations

import json
import warnings
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from manifests.store import TOOL_VERSION
from stages.contract import StageError
from stages.learning.checkpoint import Checkpoint

OPSET = 20  # of ONNX's operators: all that our networks need, and onnxruntime reads it since 1.17
LARGEST_BYTES = 2**31 - 2**24  # of weights: one ONNX file holds less than 2 GiB, and the graph needs some of it
INPUT, OUTPUT = "images", "probabilities"


class Whole(nn.Module):
    """The network with what comes before and after it: uint8 (images, height, width) in, probabilities out."""

    def __init__(self, known: Checkpoint) -> None:
        super().__init__()
        self.network = known.network
        self.mean, self.std = 255 * known.mean, 255 * known.std

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the classes' probabilities for each image."""
        levels = images.unsqueeze(1).to(torch.float32).sub(self.mean).div(self.std)
        probabilities: torch.Tensor = self.network(levels).softmax(dim=1)
        return probabilities


def require_extra() -> None:
    """Refuse where the packages of the extra are missing.

    Raises:
        StageError: naming them.
    """
    missing = [name for name in ("onnx", "onnxruntime", "onnxscript") if find_spec(name) is None]
    if missing:
        raise StageError(f"ONNX needs {', '.join(missing)}; install the extra: pip install 'cxr-pipeline[onnx]'")


def exported(known: Checkpoint, *, sha256: str) -> bytes:
    """Return an ONNX file's bytes: the same for the same network and versions.

    Args:
        known: the network, on the CPU.
        sha256: of the model's own file; it goes into the metadata.

    Raises:
        StageError: where the extra is missing, or the weights are more than one file can hold.
    """
    require_extra()
    held = sum(weights.nbytes for weights in known.network.state_dict().values())
    if held > LARGEST_BYTES:
        raise StageError(f"{known.network_name}: has {held:,} bytes of weights; expected less than 2 GiB for one file")
    model = _graph(known)
    _forget_where_it_was_made(model.graph)
    for name, value in metadata_of(known, sha256=sha256).items():
        model.metadata_props.add(key=name, value=value)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def metadata_of(known: Checkpoint, *, sha256: str) -> dict[str, str]:
    """Return what one must know to use the network, as text: classes and normalization are JSON."""
    return {
        "classes": json.dumps(list(known.classes), ensure_ascii=False),
        "height": str(known.frame.height),
        "width": str(known.frame.width),
        "mean": repr(known.mean),
        "std": repr(known.std),
        "network": known.network_name,
        "normalization": known.facts.get("normalization", ""),
        "model_sha256": sha256,
        "tool_version": TOOL_VERSION,
    }


def _graph(known: Checkpoint) -> Any:
    """Return the network as torch's exporter gives it; how many images come at once is left open."""
    example = torch.zeros(2, known.frame.height, known.frame.width, dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own; what it made is checked on films
        program = torch.onnx.export(
            Whole(known).eval(),
            (example,),
            dynamo=True,
            input_names=[INPUT],
            output_names=[OUTPUT],
            opset_version=OPSET,
            dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
            external_data=False,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


def _forget_where_it_was_made(graph: Any) -> None:
    """Take out what the exporter notes of each step: lines of source, with the paths of this machine."""
    for part in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")


def answers_of(data: bytes, images: NDArray[np.uint8], *, at_once: int = 64) -> NDArray[np.float32]:
    """Return what onnxruntime answers on the CPU with an ONNX file's bytes: float32 (images, classes)."""
    import onnxruntime  # noqa: PLC0415 - of the extra

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    parts = [session.run(None, {INPUT: images[at : at + at_once]})[0] for at in range(0, len(images), at_once)]
    return np.concatenate(parts)
