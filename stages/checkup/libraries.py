"""Python, the libraries that decide bytes, and the extras."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from types import MappingProxyType

from packaging.requirements import Requirement

from manifests.installed import told_version
from stages.checkup.finding import Finding
from stages.folder import versions

PROJECT = "cxr-pipeline"
TOLD = ("numpy", "opencv-python-headless", "pillow", "pyarrow", "joblib", "torch", "torchvision")
# what each extra is for, and the modules by which it is known
EXTRAS: Mapping[str, tuple[str, tuple[str, ...]]] = MappingProxyType(
    {
        "dicom": ("DICOM films", ("pydicom", "imagecodecs")),
        "s3": ("roots in S3", ("s3fs",)),
        "dask": ("--backend dask", ("distributed",)),
        "ray": ("--backend ray", ("ray",)),
        "onnx": ("export --onnx", ("onnx", "onnxruntime", "onnxscript")),
        "tensorboard": ("train --tensorboard", ("tensorboard",)),
    }
)


def libraries() -> Iterator[Finding]:
    """Yield Python's version, the libraries', and those that are older than this version of the tool asks for."""
    yield Finding("python", f"{platform.python_version()}, {platform.system()} {platform.release()}")
    yield Finding("libraries", ", ".join(f"{name} {told_version(name)}" for name in TOLD))
    yield Finding("image bytes", ", ".join(f"{name} {told}" for name, told in versions().items()))
    for requirement in unmet():
        found = f"{requirement.name} {told_version(requirement.name)}; expected {requirement.specifier}"
        yield Finding("requirement", found, "wrong", f"pip install '{requirement.name}{requirement.specifier}'")


def unmet() -> list[Requirement]:
    """Return what the tool requires and is not there, or older; its extras are told of apart."""
    wanted = [Requirement(line) for line in requires(PROJECT) or ()]
    plain = [requirement for requirement in wanted if requirement.marker is None or requirement.marker.evaluate()]
    return [requirement for requirement in plain if not is_met(requirement)]


def is_met(requirement: Requirement) -> bool:
    """Tell whether a package of a requirement's version is installed."""
    try:
        return requirement.specifier.contains(version(requirement.name), prereleases=True)
    except PackageNotFoundError:
        return False


def extras() -> Iterator[Finding]:
    """Yield which extras are there, and how to get the others."""
    there = [name for name, (_, modules) in EXTRAS.items() if all(map(find_spec, modules))]
    yield Finding("extras", ", ".join(there) or "none")
    for name in [name for name in EXTRAS if name not in there]:
        yield Finding(
            f"extra {name}", f"not installed: {EXTRAS[name][0]}", "without", f"pip install '{PROJECT}[{name}]'"
        )
