"""Batch norm whose statistics are those of the whole batch, though several processes hold a part each."""

from __future__ import annotations

from typing import Any

import torch
from torch import distributed, nn


def synchronised(network: nn.Module, device: torch.device) -> nn.Module:
    """Return the network, itself changed, with every batch norm taking its statistics over all processes."""
    if device.type == "cuda":
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return converted
    for name, layer in list(network.named_children()):
        if isinstance(layer, nn.BatchNorm2d):
            setattr(network, name, GatheredBatchNorm.of(layer))
        else:
            synchronised(layer, device)
    return network


class GatheredBatchNorm(nn.BatchNorm2d):
    """Batch norm over all processes on the CPU, which PyTorch's SyncBatchNorm refuses; the same formula."""

    @classmethod
    def of(cls, layer: nn.BatchNorm2d) -> GatheredBatchNorm:
        """Return a layer that shares the weights and running statistics of another."""
        made = cls(layer.num_features, layer.eps, layer.momentum, layer.affine, layer.track_running_stats)
        made.__dict__.update(layer.__dict__)
        return made

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the images normed; in eval mode by the running statistics, as ever."""
        if not self.training:
            normed: torch.Tensor = super().forward(images)
            return normed
        count = torch.tensor([float(images.numel() // images.shape[1])])
        sums = torch.cat([count, images.sum((0, 2, 3))])
        gathered = _summed(sums)
        count, total = gathered[:1], gathered[1:]
        mean = total / count
        centred = images - mean[:, None, None]
        variance = _summed(centred.square().sum((0, 2, 3))) / count
        self._remember(mean.detach(), variance.detach(), float(count.detach()))
        scale = torch.rsqrt(variance + self.eps) * self.weight
        return centred * scale[:, None, None] + self.bias[:, None, None]

    @torch.no_grad()
    def _remember(self, mean: torch.Tensor, variance: torch.Tensor, count: float) -> None:
        """Move the running statistics; their variance is that of a sample, as PyTorch's is."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance * count / max(count - 1, 1), share)


class _Sum(torch.autograd.Function):
    """The sums over all processes, which autograd can follow: each process's gradient is the sum of all theirs."""

    @staticmethod
    def forward(_context: Any, values: torch.Tensor) -> torch.Tensor:
        return _added(values)

    @staticmethod
    def backward(_context: Any, gradient: torch.Tensor) -> torch.Tensor:
        return _added(gradient)


def _added(values: torch.Tensor) -> torch.Tensor:
    """Return the sums over all processes; autograd does not follow."""
    total = values.clone()
    distributed.all_reduce(total)
    return total


def _summed(values: torch.Tensor) -> torch.Tensor:
    """Return the sums over all processes; gradients flow back to each."""
    total: torch.Tensor = _Sum.apply(values)
    return total
