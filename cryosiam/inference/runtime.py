"""A dense network made ready to run on one device: norms folded, memory layout and precision fixed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch

from cryosiam.inference.memory import activation_bytes_per_voxel
from cryosiam.networks.folding import fold_batch_norms

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from cryosiam.inference.precision import Precision


class DenseNet(Protocol):
    """What the engine asks of a network: fully convolutional, batch norms only, sizes in multiples."""

    @property
    def halo(self) -> int:
        """Receptive-field radius in voxels."""
        ...

    @property
    def multiple(self) -> int:
        """Total stride: input sizes and tile starts are multiples of it."""
        ...

    @property
    def heads(self) -> tuple[str, ...]:
        """Names of the outputs."""
        ...

    def __call__(self, x: Tensor, heads: Iterable[str] | None = None) -> dict[str, Tensor]:
        """Return the raw outputs ``(b, c, z, y, x)`` for ``x`` of shape ``(b, 1, z, y, x)``."""
        ...


class TorchRuntime:
    """A network in evaluation mode on one device.

    Parameters
    ----------
    net
        The network; it is copied, not changed.
    heads
        Outputs to compute.
    precision
        Arithmetic.
    device
        ``"cpu"`` or ``"cuda"``.
    """

    def __init__(self, net: DenseNet, heads: Sequence[str], precision: Precision, device: str) -> None:
        if not isinstance(net, torch.nn.Module):
            raise TypeError("the network must be a torch module")
        self.heads = tuple(heads)
        self.device = device
        self.dtype = precision.dtype
        folded = fold_batch_norms(net).eval().requires_grad_(False)
        self.bytes_per_voxel = activation_bytes_per_voxel(folded, self.heads, self.dtype, net.multiple)
        self._net = folded.to(device=device, dtype=self.dtype).to(memory_format=torch.channels_last_3d)

    def run(self, tile: NDArray[np.float32]) -> dict[str, Tensor]:
        """Return the raw outputs ``(c, z, y, x)``, on the device, for one normalised tile ``(z, y, x)``."""
        with torch.inference_mode():
            x = torch.from_numpy(tile).to(device=self.device, dtype=self.dtype)[None, None]
            outputs: dict[str, Tensor] = self._net(x, self.heads)
        return {name: value[0] for name, value in outputs.items()}
