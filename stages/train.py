"""train: a network learns from the augmented images; the epoch best on the validation films is kept."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from manifests import store
from stages import paths
from stages.contract import Machine, Params, Report, Root, Stage
from stages.leaks import leak_warning
from stages.learning.names import NetworkName
from stages.train_sources import absent, read_sources
from stages.train_summary import remarks, summary


class TrainParams(Params):
    """Which network learns, and how."""

    network: NetworkName = Field(
        "alexnet",
        description="alexnet: network B of 2020; cifar: network A of 2020 (312 million weights at 256x300, "
        "over 5 GB of memory); residual: a small residual network with batch norm; torchvision:NAME: any of its "
        "classification models, for one channel. `cxr-pipeline networks` lists them.",
    )
    weights: str = Field(
        "",
        description="File of first weights: a state dict of torchvision (.pth), or .safetensors; none for weights "
        "drawn anew.",
    )
    augment: Literal["stored", "online"] = Field(
        "stored",
        description="stored: the images that augment wrote; online: as many copies, drawn anew for every epoch by "
        "augment's recipe and made on the device.",
    )
    epochs: int = Field(5, ge=1, description="How often each augmented image is seen.")
    batch_size: int = Field(35, ge=1, description="Images per update of the weights, over all processes.")
    accumulation: int = Field(
        1, ge=1, description="Parts in which an update's batch is computed: as many times less memory, the same step."
    )
    optimizer: Literal["adamw", "sgd"] = Field(
        "adamw", description="adamw, or sgd: gradient descent with Nesterov momentum."
    )
    learning_rate: float = Field(
        3e-4, gt=0, description="Highest learning rate; adamw wants about 0.0003, sgd about 0.01."
    )
    scale_learning_rate: Literal["none", "linear", "sqrt"] = Field(
        "none",
        description="What learning_rate is multiplied by: nothing, batch_size / 35, or the square root of that.",
    )
    weight_decay: float = Field(
        0.01, ge=0, description="Pull of the weights to 0; adamw wants about 0.01, sgd about 0.0005."
    )
    momentum: float = Field(0.9, ge=0, lt=1, description="Share of the last step that sgd adds to the next.")
    initialisation: Literal["he", "default"] = Field(
        "he",
        description="First weights: he keeps the signal's strength from layer to layer; default is "
        "PyTorch's, with which alexnet begins by giving all films the same answer.",
    )
    schedule: Literal["cosine", "one_cycle", "constant"] = Field(
        "cosine",
        description="After the warm-up the learning rate falls to 0 by a cosine; one_cycle: so too, and the momentum "
        "goes from 0.95 to 0.85 and back; constant: it stays.",
    )
    warm_up: float = Field(0.2, ge=0, le=1, description="Share of the updates over which the learning rate rises.")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Share of each label that is spread over all classes.")
    ema_decay: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="0.999, say: what is scored and kept is a running mean of the weights, of which an update leaves "
        "this share; 0 for the weights themselves.",
    )
    patience: int = Field(
        0, ge=0, description="Stop after so many epochs in a row that are no better on val; 0 for never."
    )
    mixed_precision: bool = Field(
        True, description="Compute layers in bfloat16 on CUDA devices that can; elsewhere nothing changes."
    )
    deterministic: bool = Field(
        False, description="Use kernels alone that give the same bits each time on the same device; slower on CUDA."
    )
    shuffle_window: int = Field(
        32_768,
        ge=1,
        description="Images that are shuffled at once; of larger sets the shards are shuffled, and the images within "
        "so many: a set that does not fit into memory is read so.",
    )
    seed: int = Field(0, ge=0, lt=2**63, description="Decides the first weights and the order of the images.")


def run(params: TrainParams, root: Root, machine: Machine) -> Report:
    """Train the network on the augmented images; write its best weights, the logs and a summary."""
    from stages.learning import checkpoint  # noqa: PLC0415 - torch is slow to import
    from stages.training import learn  # noqa: PLC0415 - torch, as above

    if machine.training.rank == 0:
        store.remove_partials(root / paths.TRAIN_STATE)
    sources = read_sources(root, online=params.augment == "online")
    trained = learn(params, sources, root, machine)
    images = len(trained.fitted.log) * trained.images
    facts = summary(params.model_dump(), sources, trained.fitted, trained.used, images=trained.images)
    if machine.training.rank == 0:
        checkpoint.save(root / paths.MODEL, trained.checkpoint)
        store.write_json(root / paths.TRAIN_SUMMARY, facts)
        trained.keeper.forget()
    return Report(
        done=images,
        unit="images",
        lines=[
            *trained.lines,
            *remarks(facts, trained.fitted, absent(sources.val, sources.classes)),
            *leak_warning(sources.split),
        ],
        written=(paths.MODEL, paths.TRAIN_SUMMARY, paths.TRAIN_LOG, paths.TRAIN_STEPS),
    )


STAGE = Stage(
    "train",
    TrainParams,
    reads=(paths.AUGMENTED, paths.NORMALIZED),
    writes=(paths.MODEL, paths.TRAIN_SUMMARY, paths.TRAIN_LOG, paths.TRAIN_STEPS),
    run=run,
    trains=True,
    goes_on="it goes on from the state saved last, if there is one",
)
