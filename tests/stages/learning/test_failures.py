import pytest
import torch

from stages.contract import StageError
from stages.learning.failures import explained


def advice() -> str:
    return "batch_size 3 would fit"


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried to"),
    ],
    ids=["python", "device", "host"],
)
def test_memory_that_ran_out_is_told_with_what_would_fit(error: Exception) -> None:
    with pytest.raises(StageError, match=r"out of memory.*; batch_size 3 would fit"), explained(advice):
        raise error


def test_what_torch_says_when_a_tensor_is_too_large_is_recognised() -> None:
    with pytest.raises(StageError, match=r"out of memory .*; batch_size 3 would fit"), explained(advice):
        torch.empty(2**50, dtype=torch.uint8)


def test_other_errors_stay_as_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), explained(advice):
        torch.ones(2, 3) @ torch.ones(2, 3)


def test_a_compiler_that_is_missing_is_told_with_the_way_without() -> None:
    class CompilerError(RuntimeError):
        """Stands for torch's, which takes seconds to raise."""

    CompilerError.__module__ = "torch._inductor.exc"
    with pytest.raises(StageError, match="--compile: no working compiler; train with --no-compile"), explained(advice):
        raise CompilerError("no working compiler\nand much more")


def test_a_batch_that_is_normed_to_nothing_is_told_with_what_to_change() -> None:
    with pytest.raises(StageError, match=r"one image alone.*choose another batch_size"), explained(advice):
        torch.nn.BatchNorm2d(3)(torch.ones(1, 3, 1, 1))
    with pytest.raises(ValueError, match="too many"), explained(advice):
        raise ValueError("too many")
