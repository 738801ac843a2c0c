"""A dense network made ready to run on one device: norms folded, memory layout and precision fixed.

Two things make it faster than calling the network, and change no result. The task heads look only a few voxels
around, so they run on the tile's core and not on the trunk's wide halo. And heads read the same embedding, so their
first convolutions run together, a few heads at a time: wide convolutions use the processor better than narrow ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch
from torch import nn

from cryosiam.inference.memory import peak_bytes
from cryosiam.inference.tiles import round_up
from cryosiam.networks.dense import depth_to_space
from cryosiam.networks.folding import fold_batch_norms

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from cryosiam.domain.tomogram import Box
    from cryosiam.inference.precision import Precision
    from cryosiam.networks.dense import DenseNetwork, TaskHead

GROUP_CHANNELS: Final = 48
"""First convolutions of heads are joined up to this many channels: as fast as wider ones, and smaller in memory."""

_PROBE_CELLS: Final = 8


class _HeadGroup(nn.Module):
    """Some heads whose first convolutions run as one."""

    def __init__(self, heads: dict[str, TaskHead]) -> None:
        super().__init__()
        firsts: list[nn.Conv3d] = [head.layers[0] for head in heads.values()]  # type: ignore[misc]
        self.names = tuple(heads)
        self.widths = tuple(conv.out_channels for conv in firsts)
        self.first = nn.Conv3d(firsts[0].in_channels, sum(self.widths), 3, padding=1)
        self.first.weight = nn.Parameter(torch.cat([conv.weight.detach() for conv in firsts]))
        self.first.bias = nn.Parameter(torch.cat([_bias(conv) for conv in firsts]))
        self.rest = nn.ModuleList(head.layers[1:] for head in heads.values())
        self.scales = tuple(head.scale for head in heads.values())

    def forward(self, embedding: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Yield each head's name and raw output ``(1, c, z, y, x)``, one at a time to save memory."""
        joined = self.first(embedding)
        starts = [sum(self.widths[:n]) for n in range(len(self.widths))]
        for name, start, width, rest, scale in zip(
            self.names, starts, self.widths, self.rest, self.scales, strict=True
        ):
            own = joined[:, start : start + width].contiguous(memory_format=torch.channels_last_3d)
            output = rest(own)
            yield name, output if scale == 1 else depth_to_space(output, scale)


def _bias(conv: nn.Conv3d) -> Tensor:
    if conv.bias is None:
        return torch.zeros(conv.out_channels, dtype=conv.weight.dtype)
    return conv.bias.detach()


def _grouped(heads: dict[str, TaskHead]) -> Iterator[dict[str, TaskHead]]:
    """Collect heads that have a hidden convolution until `GROUP_CHANNELS` are reached."""
    group: dict[str, TaskHead] = {}
    width = 0
    for name, head in heads.items():
        first: nn.Conv3d = head.layers[0]  # type: ignore[assignment]
        group[name] = head
        width += first.out_channels
        if width >= GROUP_CHANNELS:
            yield group
            group, width = {}, 0
    if group:
        yield group


class TorchRuntime:
    """A dense network in evaluation mode on one device.

    Parameters
    ----------
    net
        The network; it is copied, not changed.
    heads
        Outputs to compute.
    precision
        Arithmetic.
    device
        ``"cpu"``, ``"cuda"`` or ``"meta"`` (shapes only).

    Attributes
    ----------
    bytes_per_voxel : float
        Peak memory of one pass for each voxel of the tile, weights not counted.
    """

    def __init__(self, net: DenseNetwork, heads: Sequence[str], precision: Precision, device: str) -> None:
        self.heads = tuple(heads)
        self.device = device
        self.dtype = precision.dtype
        self._cell = net.config.encoder.stem_stride
        self._context = (len(net.config.head_channels) + 1) * self._cell
        folded = fold_batch_norms(net).eval().requires_grad_(False)
        chosen: dict[str, TaskHead] = {name: folded.task_heads[name] for name in self.heads}  # type: ignore[misc]
        self._trunk = self._place(folded.trunk)
        self._groups = [self._place(_HeadGroup(group)) for group in _grouped(chosen)]
        self.bytes_per_voxel = 0.0
        if device != "meta":
            twin = TorchRuntime(net, heads, precision, "meta")
            self.bytes_per_voxel = twin._measure(net.multiple * _PROBE_CELLS)

    def _place(self, module: nn.Module) -> nn.Module:
        placed = module.requires_grad_(False).to(device=self.device, dtype=self.dtype)
        for parameter in placed.parameters():
            if parameter.ndim == 5:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last_3d)
        return placed

    def _measure(self, side: int) -> float:
        def run_through() -> None:
            tile = torch.empty((side, side, side), device="meta", dtype=self.dtype)
            for _ in self._outputs(tile, (slice(0, side), slice(0, side), slice(0, side))):
                pass

        return peak_bytes(run_through) / side**3

    def run(self, tile: NDArray[np.float32], core: Box) -> Iterator[tuple[str, Tensor]]:
        """Yield each head's name and raw output ``(c, z, y, x)``, on the device, for the core of one tile.

        Parameters
        ----------
        tile
            Normalised voxels ``(z, y, x)``; sizes are multiples of the network's stride.
        core
            Part of the tile wanted; at least the network's halo from every face inside the volume.
        """
        with torch.inference_mode():
            yield from self._outputs(torch.from_numpy(tile).to(device=self.device, dtype=self.dtype), core)

    def _outputs(self, tile: Tensor, core: Box) -> Iterator[tuple[str, Tensor]]:
        starts, inner = [], []
        for part, size in zip(core, tile.shape, strict=True):
            start = max(0, part.start // self._cell * self._cell - self._context)
            stop = min(size, round_up(part.stop, self._cell) + self._context)
            starts.append(start)
            inner.append(slice(start // self._cell, stop // self._cell))
        z, y, x = inner
        embedding = self._trunk(tile[None, None])[:, :, z, y, x]
        embedding = embedding.contiguous(memory_format=torch.channels_last_3d)
        z, y, x = (slice(part.start - start, part.stop - start) for part, start in zip(core, starts, strict=True))
        for group in self._groups:
            for name, raw in group(embedding):
                yield name, raw[0, :, z, y, x]
