"""Who takes part: one function per contestant, all in one table. Each runs in a process of its own.

A function prepares (imports, workers started), then does the work between two looks at the clock. What lies
outside counts as its start-up, which a full run pays once: that is how a sample stands for the whole.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks import floor
from benchmarks.floor import DEGREES, HEIGHT, JITTER, RECIPE_2020, TODAY, WIDTH, Pixels
from benchmarks.processes import REPOSITORY, finish, stage_command

STAGES = ("audit", "split", "normalize", "augment")
BUILD = ("build",)
SPLIT = {"val_fraction": 0, "leak_probe_fraction": 0, "test_fraction": 0}  # every film is a training film


@dataclass(frozen=True, slots=True)
class Task:
    """What a contestant shall do.

    Attributes:
        raw: the raw films, under `train/class`.
        out: an empty folder to write into.
        copies: of every film, beside the original.
        sample: how many images a contestant that is slow makes.
        jobs: workers.
    """

    raw: Path
    out: Path
    copies: int
    sample: int
    jobs: int

    @property
    def films(self) -> list[Path]:
        """Every raw film."""
        return sorted((self.raw / "train").rglob("*.jpeg"))

    def sampled_films(self, per_film: int) -> list[Path]:
        """Return a random sample of films that gives the sample of images at so many images per film."""
        films = self.films
        wanted = max(-(-self.sample // per_film), 4 * self.jobs)  # as many again for each worker, lest one waits
        return random.Random(0).sample(films, min(wanted, len(films)))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a contestant did.

    Attributes:
        images: how many it wrote.
        work_s: how long that took, without the start-up.
        stages: seconds of its parts, and the memory of each in MB, where it has parts.
    """

    images: int
    work_s: float
    stages: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Contestant:
    """One way to make the augmented images.

    Attributes:
        run: does it.
        what: a sentence about it.
        pixels: what it makes of them.
        peer: whether it is a tool that others would take.
        needs: packages beyond the project's own.
    """

    run: Callable[[Task], Outcome]
    what: str
    pixels: Pixels
    peer: bool = False
    needs: tuple[str, ...] = ()

    @property
    def missing(self) -> list[str]:
        """Packages that it needs and that are not installed."""
        return [name for name in self.needs if find_spec(name) is None]


def recipe(task: Task) -> Outcome:
    """Run the 2020 recipe as its author did: each image decoded again for each copy, one process."""
    from torchvision import datasets, utils

    films = datasets.ImageFolder(str(task.raw / "train"))
    per_film = task.copies + 1
    chosen = _sampled(len(films) * per_film, task.sample)
    started = time.perf_counter()
    for index in chosen:
        film, copy = divmod(index, per_film)
        image = _recipe_transform(augmented=copy > 0)(films[film][0])
        utils.save_image(image, task.out / f"{index}.jpeg")
    return Outcome(len(chosen), time.perf_counter() - started)


def recipe_joblib(task: Task) -> Outcome:
    """Run the same transforms on all cores."""
    import joblib

    films = task.films
    per_film = task.copies + 1
    chosen = _sampled(len(films) * per_film, task.sample)
    calls = [(films[index // per_film], index % per_film, task.out / f"{index}.jpeg") for index in chosen]
    with joblib.Parallel(n_jobs=task.jobs) as parallel:
        parallel(joblib.delayed(_recipe_image)(*call) for call in calls[: task.jobs])
        started = time.perf_counter()
        parallel(joblib.delayed(_recipe_image)(*call) for call in calls)
    return Outcome(len(calls), time.perf_counter() - started)


def _sampled(images: int, wanted: int) -> list[int]:
    return random.Random(0).sample(range(images), min(wanted, images))


@cache
def _recipe_transform(*, augmented: bool) -> Any:
    import torch
    from torchvision import transforms

    torch.set_num_threads(1)  # more gain nothing on images this small, and make it several times slower on busy cores
    steps: list[Any] = [transforms.Grayscale(), transforms.Resize(HEIGHT), transforms.CenterCrop((HEIGHT, WIDTH))]
    if augmented:
        steps += [
            transforms.ColorJitter(brightness=JITTER),
            transforms.RandomRotation(DEGREES),
            transforms.RandomHorizontalFlip(0.5),
        ]
    return transforms.Compose([*steps, transforms.ToTensor()])


def _recipe_image(film: Path, copy: int, path: Path) -> None:
    from torchvision import datasets, utils

    image = datasets.folder.default_loader(str(film))
    utils.save_image(_recipe_transform(augmented=copy > 0)(image), path)


def albumentations(task: Task, *, pixels: Pixels) -> Outcome:
    """Run Albumentations over whole films on all cores, each decoded once."""
    import joblib

    started = time.perf_counter()
    work = joblib.delayed(partial(_albumentations_film, out=task.out, copies=task.copies, pixels=pixels))
    images = joblib.Parallel(n_jobs=task.jobs)(work(film) for film in task.films)
    return Outcome(sum(images), time.perf_counter() - started)


def _albumentations_film(film: Path, *, out: Path, copies: int, pixels: Pixels) -> int:
    import cv2

    framed, augmented = _albumentations_transforms(pixels)
    options = [cv2.IMWRITE_JPEG_QUALITY, pixels.quality]
    image = framed(image=cv2.imread(str(film), cv2.IMREAD_GRAYSCALE))["image"]
    cv2.imwrite(str(out / f"{film.stem}-0.jpeg"), image, options)
    for copy in range(1, copies + 1):
        cv2.imwrite(str(out / f"{film.stem}-{copy}.jpeg"), augmented(image=image)["image"], options)
    return copies + 1


@cache
def _albumentations_transforms(pixels: Pixels) -> tuple[Any, Any]:
    import albumentations as al
    import cv2

    cv2.setNumThreads(1)
    framed = [
        al.SmallestMaxSize(HEIGHT, interpolation=cv2.INTER_AREA),  # as antialiased as ours
        al.CenterCrop(HEIGHT, WIDTH, pad_if_needed=True),
    ]
    augmented = [
        al.RandomBrightnessContrast(brightness_limit=JITTER, contrast_limit=0, p=1),
        al.Rotate(DEGREES, interpolation=cv2.INTER_NEAREST if pixels.nearest else cv2.INTER_LINEAR, p=1),
        al.HorizontalFlip(p=0.5),
    ]
    return al.Compose(framed), al.Compose(augmented)


def augmentor(task: Task) -> Outcome:
    """Run an Augmentor pipeline with its own threads on films that are in the frame already."""
    import Augmentor
    import cv2

    framed = task.out / "framed"
    for film in task.sampled_films(task.copies + 1):
        image = framed / film.parent.name / f"{film.stem}.png"
        image.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(image), floor.framed(film.read_bytes(), cover=False))
    pipeline = Augmentor.Pipeline(str(framed), output_directory=str(task.out / "copies"), save_format="JPEG")
    pipeline.random_brightness(probability=1, min_factor=1 - JITTER, max_factor=1 + JITTER)
    pipeline.rotate_without_crop(probability=1, max_left_rotation=DEGREES, max_right_rotation=DEGREES)
    pipeline.flip_left_right(probability=0.5)
    started = time.perf_counter()
    pipeline.sample(task.sample)
    work_s = time.perf_counter() - started
    return Outcome(sum(1 for path in (task.out / "copies").rglob("*") if path.is_file()), work_s)


def torchvision_v2(task: Task) -> Outcome:
    """Run torchvision's second transforms on tensors of bytes, each film decoded once, on all cores."""
    import joblib

    films = task.sampled_films(task.copies + 1)
    work = joblib.delayed(partial(_v2_film, out=task.out, copies=task.copies))
    with joblib.Parallel(n_jobs=task.jobs) as parallel:
        parallel(work(film) for film in films[: task.jobs])
        started = time.perf_counter()
        images = parallel(work(film) for film in films)
    return Outcome(sum(images), time.perf_counter() - started)


def _v2_film(film: Path, *, out: Path, copies: int) -> int:
    from torchvision import io

    framed, augmented = _v2_transforms()
    image = framed(io.decode_jpeg(io.read_file(str(film)), mode=io.ImageReadMode.GRAY))
    io.write_jpeg(image, str(out / f"{film.stem}-0.jpeg"), quality=RECIPE_2020.quality)
    for copy in range(1, copies + 1):
        io.write_jpeg(augmented(image), str(out / f"{film.stem}-{copy}.jpeg"), quality=RECIPE_2020.quality)
    return copies + 1


@cache
def _v2_transforms() -> tuple[Any, Any]:
    import torch
    from torchvision.transforms import v2

    torch.set_num_threads(1)
    framed = [v2.Resize(HEIGHT, antialias=True), v2.CenterCrop((HEIGHT, WIDTH))]
    augmented = [v2.ColorJitter(brightness=JITTER), v2.RandomRotation(DEGREES), v2.RandomHorizontalFlip(0.5)]
    return v2.Compose(framed), v2.Compose(augmented)


def ours(task: Task, *, pixels: Pixels, stages: Sequence[str] = STAGES) -> Outcome:
    """Run the stages as a user does, command by command, from the raw folder on."""
    write_params(task, pixels)
    started = time.perf_counter()
    ran = {stage: finish(stage_command(stage, task.out, jobs=task.jobs, raw=_raw(stage, task))) for stage in stages}
    work_s = time.perf_counter() - started
    images = len(task.films) * (task.copies + 1)
    last = stages[-1]
    if last in ("augment", "build") and f"{last}: {images:,} images" not in ran[last].output:
        raise RuntimeError(f"expected {images:,} images; found {ran[last].output}")
    return Outcome(images, work_s, {stage: (of.wall_s, of.peak_mb) for stage, of in ran.items()})


def write_params(task: Task, pixels: Pixels) -> None:
    """Write the parameters: the defaults or the 2020 recipe's, all films in train."""
    import yaml

    name = "params.yaml" if pixels.cover else "params/recipe-2020.yaml"
    params = yaml.safe_load((REPOSITORY / name).read_text(encoding="utf-8"))
    params["split"] = {**params.get("split", {}), **SPLIT}
    params["augment"]["copies"] = task.copies
    (task.out / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")


def _raw(stage: str, task: Task) -> Path | None:
    return task.raw if stage in ("audit", "build") else None


def bare_loop(task: Task, *, pixels: Pixels) -> Outcome:
    """Run the floor."""
    started = time.perf_counter()
    images = floor.run(task.films, task.out, copies=task.copies, jobs=task.jobs, pixels=pixels)
    return Outcome(images, time.perf_counter() - started)


CONTESTANTS: Mapping[str, Contestant] = {
    "recipe": Contestant(recipe, "the 2020 recipe: ImageFolder, save_image, one process; a sample", RECIPE_2020),
    "recipe-joblib": Contestant(recipe_joblib, "the same transforms with joblib; a sample", RECIPE_2020, peer=True),
    "albumentations": Contestant(
        partial(albumentations, pixels=TODAY),
        "Albumentations, each film decoded once, joblib, an image file each; bilinear",
        TODAY,
        peer=True,
        needs=("albumentations",),
    ),
    "albumentations-2020": Contestant(
        partial(albumentations, pixels=RECIPE_2020),
        "the same; nearest",
        RECIPE_2020,
        peer=True,
        needs=("albumentations",),
    ),
    "augmentor": Contestant(
        augmentor,
        "Augmentor with its threads, from films in the frame already; a sample",
        RECIPE_2020,
        peer=True,
        needs=("Augmentor",),
    ),
    "torchvision-v2": Contestant(
        torchvision_v2,
        "torchvision v2 on tensors, each film decoded once, joblib; a sample",
        RECIPE_2020,
        peer=True,
    ),
    "ours": Contestant(
        partial(ours, pixels=TODAY, stages=BUILD), "`cxr-pipeline build`, one process; default parameters", TODAY
    ),
    "ours-2020": Contestant(
        partial(ours, pixels=RECIPE_2020, stages=BUILD), "the same; parameters of the 2020 recipe", RECIPE_2020
    ),
    "ours-by-stage": Contestant(
        partial(ours, pixels=TODAY), "audit, split, normalize, augment, a command each; the same bytes", TODAY
    ),
    "ours-2020-by-stage": Contestant(
        partial(ours, pixels=RECIPE_2020), "the same; parameters of the 2020 recipe", RECIPE_2020
    ),
    "floor": Contestant(
        partial(bare_loop, pixels=TODAY), "the library calls alone in a bare loop; bilinear, quality 95", TODAY
    ),
    "floor-2020": Contestant(partial(bare_loop, pixels=RECIPE_2020), "the same; nearest, quality 75", RECIPE_2020),
}
