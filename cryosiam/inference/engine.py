"""Dense inference over a tomogram of any size in bounded memory, tile by tile, exact at every voxel."""

from __future__ import annotations

import dataclasses
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from cryosiam.errors import InputError
from cryosiam.inference.memory import tile_memory_bytes
from cryosiam.inference.outputs import SAMPLE_BLOCK, DenseProducts, ProductWriter, compact
from cryosiam.inference.precision import choose_device, choose_precision
from cryosiam.inference.resampling import ResampledVolume
from cryosiam.inference.runtime import TorchRuntime
from cryosiam.inference.tiles import TilePlan, plan_tiles

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from cryosiam.domain.tomogram import Volume
    from cryosiam.inference.normalisation import Normalisation
    from cryosiam.inference.tiles import Tile
    from cryosiam.networks.dense import DenseNetwork

READER_BYTES_PER_VOXEL: Final = 16
"""float32 voxels of the tile at work, of the next one, and of the copies that normalising and padding make."""


def run_dense(
    net: DenseNetwork,
    volume: Volume,
    normalisation: Normalisation,
    folder: Path,
    *,
    heads: Sequence[str] | None = None,
    memory_bytes: int | None = None,
    precision: str | None = None,
    device: str | None = "cpu",
    contrast_sign: int = 1,
    progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> DenseProducts:
    """Run ``net`` over ``volume`` and write its compact products into ``folder``.

    Parameters
    ----------
    net
        The network.
    volume
        The tomogram at the network's voxel size, axis order (z, y, x); read one tile ahead.
    normalisation
        Applied to every voxel read.
    folder
        Where the products go (`cryosiam.inference.outputs.PRODUCTS`); appears only when all are complete.
    heads
        Outputs to compute; all by default.
    memory_bytes
        Memory for tiles, beside what the process already holds; by default `tile_memory_bytes`.
    precision
        ``"float32"``, ``"bfloat16"`` or ``"auto"``.
    device
        ``"cpu"``, ``"cuda"`` or ``"auto"``.
    contrast_sign
        1, or -1 to show the network the volume in inverted contrast.
    progress
        Called with (tiles done, tiles in all) before the first tile and after each.
    cancelled
        Asked before each tile; when true the work stops and nothing is left behind.

    Raises
    ------
    InputError
        If a head is unknown, the device is missing or the memory is too small.
    StorageError
        If the products cannot be written.
    concurrent.futures.CancelledError
        If ``cancelled`` said so.
    """
    wanted = tuple(heads) if heads is not None else net.heads
    unknown = sorted(set(wanted) - set(net.heads))
    if unknown:
        raise InputError(f"the network has no head '{unknown[0]}', only {', '.join(net.heads)}; use other weights")
    chosen_device = choose_device(device)
    chosen_precision = choose_precision(precision, chosen_device)
    runtime = TorchRuntime(net, wanted, chosen_precision, chosen_device)
    plan = plan_tiles(
        volume.shape,
        multiple=net.multiple,
        halo=net.halo,
        bytes_per_voxel=runtime.bytes_per_voxel + READER_BYTES_PER_VOXEL,
        memory_bytes=_for_tiles(tile_memory_bytes() if memory_bytes is None else memory_bytes, volume),
        alignment=SAMPLE_BLOCK,
    )
    with ProductWriter(folder, volume.shape, wanted) as writer:
        _run_tiles(runtime, volume, normalisation, plan, writer, contrast_sign, progress, cancelled)
        return writer.finish(_record(plan, normalisation, str(chosen_precision), chosen_device, contrast_sign))


def _for_tiles(memory_bytes: int, volume: Volume) -> int:
    """Return what is left for tiles beside what a resampled volume works on while the next tile is read."""
    working = volume.working_bytes if isinstance(volume, ResampledVolume) else 0
    return max(1, memory_bytes - working)


def _run_tiles(
    runtime: TorchRuntime,
    volume: Volume,
    normalisation: Normalisation,
    plan: TilePlan,
    writer: ProductWriter,
    contrast_sign: int,
    progress: Callable[[int, int], None] | None,
    cancelled: Callable[[], bool] | None,
) -> None:
    total = len(plan.tiles)

    def load(number: int) -> NDArray[np.float32]:
        return _load_tile(volume, normalisation, plan.tiles[number], contrast_sign)

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="tile-reader") as reader:
        pending = reader.submit(load, 0)
        for number, tile in enumerate(plan.tiles):
            if progress is not None:
                progress(number, total)
            if cancelled is not None and cancelled():
                raise CancelledError
            voxels = pending.result()
            if number + 1 < total:
                pending = reader.submit(load, number + 1)
            for head, raw in runtime.run(voxels, tile.crop):
                for name, array in compact(head, raw, contrast_sign=contrast_sign).items():
                    writer.write(name, tile.core, array)
    if progress is not None:
        progress(total, total)


def _load_tile(volume: Volume, normalisation: Normalisation, tile: Tile, contrast_sign: int) -> NDArray[np.float32]:
    """Read, normalise and, at the far end of the volume, pad with the mean, which is 0."""
    z, y, x = (slice(part.start, min(part.stop, size)) for part, size in zip(tile.read, volume.shape, strict=True))
    voxels = normalisation.apply(volume.read((z, y, x)))
    if contrast_sign < 0:
        np.negative(voxels, out=voxels)
    padding = [(0, part.stop - part.start - size) for part, size in zip(tile.read, voxels.shape, strict=True)]
    return np.pad(voxels, padding) if any(after for _, after in padding) else voxels


def _record(
    plan: TilePlan, normalisation: Normalisation, precision: str, device: str, contrast_sign: int
) -> dict[str, Any]:
    return {
        "precision": precision,
        "device": device,
        "threads": torch.get_num_threads(),
        "contrast_sign": contrast_sign,
        "normalisation": dataclasses.asdict(normalisation),
        "tiles": len(plan.tiles),
        "largest_tile_voxels": plan.largest_tile_voxels,
        "computed_voxels": plan.computed_voxels,
    }
