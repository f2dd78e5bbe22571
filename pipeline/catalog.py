"""The only list of stages and tools.

It names modules and does not import them: `cxr-pipeline --help` answers from here, and a command loads its own
stage alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stages.contract import Machine, Root, Stage
    from stages.foreseen.amounts import Foreseen


@dataclass(frozen=True, slots=True)
class Entry:
    """One command: the module of the same name under `stages` holds its `STAGE`.

    Attributes:
        name: the command's.
        summary: one sentence for the help.
        reads_raw: whether it takes --raw.
        foresees: whether it takes --dry-run: the module of the same name under `stages.foreseen` tells what a run
            would do.
    """

    name: str
    summary: str
    reads_raw: bool = False
    foresees: bool = False

    def load(self) -> Stage[Any]:
        """Import the module and return its stage."""
        stage: Stage[Any] = import_module(f"stages.{self.name}").STAGE
        return stage

    def foresee(self, params: Any, root: Root, machine: Machine) -> Foreseen:
        """Return what a run would do to the disk."""
        foreseen: Foreseen = import_module(f"stages.foreseen.{self.name}").foresee(params, root, machine)
        return foreseen


STAGES = (
    Entry("audit", "Look at every raw file: one row each, good or bad, and a page.", reads_raw=True),
    Entry("split", "Assign films to train, leak_probe, val and test; no patient crosses."),
    Entry("normalize", "Bring every film into one frame, grayscale, lossless.", reads_raw=True, foresees=True),
    Entry("augment", "Write the originals and N copies of every training film.", foresees=True),
    Entry("train", "Train a network on the augmented films; choose its epoch on val."),
    Entry("evaluate", "Score the network per split, with intervals and the train-test gap."),
)
TOOLS = (
    Entry(
        "build",
        "Audit, split, normalize and augment in one run: the same bytes, sooner.",
        reads_raw=True,
        foresees=True,
    ),
    Entry("plan", "Tell what a set of so many films would take: time, disk, memory, cost.", reads_raw=True),
    Entry("verify", "Compare every byte on disk with what the manifests say; mend it on request.", reads_raw=True),
    Entry("replay", "Make an image anew from its raw film and its row, and compare.", reads_raw=True),
    Entry("show", "Lay out the films that a question to a manifest finds, as a contact sheet.", reads_raw=True),
    Entry("compare", "Compare evaluated runs on the films they share: differences, intervals, exact tests."),
    Entry("predict", "Give films and folders of films the probabilities of the classes, by a trained network."),
    Entry(
        "export", "Write the images for ImageFolder, WebDataset or Hugging Face, or the network as ONNX.", foresees=True
    ),
    Entry("probe", "Run simple models on the films: what the data alone gives away."),
    Entry("networks", "Tell what each network takes to train, and whether it fits into the memory at hand."),
    Entry("fetch", "Bring Kermany's public films, or another archive's, into data/raw.", foresees=True),
    Entry("doctor", "Ask this machine what it is, what is missing on it, and what would be slow."),
    Entry("phantom", "Draw a small synthetic raw set, with planted faults on request.", foresees=True),
)
COMMANDS = (*STAGES, *TOOLS)
