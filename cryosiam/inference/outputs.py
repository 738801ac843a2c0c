"""What dense inference leaves on disk: one compact ``.npy`` per product, and the folder that holds them."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from cryosiam.domain.tomogram import ArrayVolume
from cryosiam.errors import InputError, StorageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from cryosiam.domain.tomogram import Box

SAMPLE_BLOCK: Final = 8
"""Edge, in voxels, of the cubes that the sample probability is averaged over."""

PRODUCTS: Final[dict[str, tuple[str, str]]] = {
    "denoised": ("denoise", "float16"),
    "sample": ("sample", "float32"),
    "semantic": ("semantic", "uint8"),
    "semantic_probability": ("semantic", "uint8"),
    "foreground": ("foreground", "uint8"),
    "boundary": ("boundary", "uint8"),
    "distance": ("distance", "float16"),
}
"""Products, the head each comes from, and its type. Probabilities are stored as ``round(255 * p)``."""

_RECORD = "dense.json"
_PLANES = 8


def product_names(heads: Sequence[str]) -> tuple[str, ...]:
    """Return the products that ``heads`` give."""
    return tuple(name for name, (head, _) in PRODUCTS.items() if head in heads)


def product_shape(name: str, shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return the size of product ``name`` for a volume of ``shape``."""
    if name != "sample":
        return shape
    z, y, x = (-(-size // SAMPLE_BLOCK) for size in shape)
    return z, y, x


def compact(head: str, raw: Tensor, *, contrast_sign: int = 1) -> dict[str, NDArray[np.generic]]:
    """Turn the raw output of one head into its products.

    Parameters
    ----------
    head
        Name of the head.
    raw
        ``(c, z, y, x)`` logits or values, any float type, on any device.
    contrast_sign
        Sign the input was multiplied with; the denoised volume gets its own contrast back.

    Returns
    -------
    dict
        Arrays ``(z, y, x)`` by product name (for ``sample`` block means; blocks start at the array's origin).
    """
    if head == "sample":
        return {"sample": _block_means(torch.sigmoid(raw[0].float()))}
    size = (raw.shape[1], raw.shape[2], raw.shape[3])
    products = {name: np.empty(size, PRODUCTS[name][1]) for name in product_names([head])}
    for start in range(0, size[0], _PLANES):
        planes = raw[:, start : start + _PLANES].float()
        for name, value in _compact_planes(head, planes, contrast_sign).items():
            products[name][start : start + _PLANES] = value.cpu().numpy()
    return products


def _compact_planes(head: str, raw: Tensor, contrast_sign: int) -> dict[str, Tensor]:
    if head == "denoise":
        return {"denoised": (raw[0] * contrast_sign).half()}
    if head == "distance":
        return {"distance": raw[0].half()}
    if head == "semantic":
        top, label = raw.max(dim=0)
        # Softmax at the arg-max: exp(top) / sum(exp) without forming the other classes.
        probability = 1.0 / (raw - top).exp_().sum(dim=0)
        return {"semantic": label.to(torch.uint8), "semantic_probability": _as_byte(probability)}
    return {head: _as_byte(torch.sigmoid(raw[0]))}


def _as_byte(probability: Tensor) -> Tensor:
    return (probability * 255.0).round_().to(torch.uint8)


def _block_means(probability: Tensor) -> NDArray[np.float32]:
    """Average over cubes of `SAMPLE_BLOCK` voxels; cubes cut by the far faces average what they hold."""
    padding = [pad for size in reversed(probability.shape) for pad in (0, -size % SAMPLE_BLOCK)]
    pool = torch.nn.functional.avg_pool3d
    sums = pool(torch.nn.functional.pad(probability, padding)[None], SAMPLE_BLOCK, divisor_override=1)[0]
    held = pool(torch.nn.functional.pad(torch.ones_like(probability), padding)[None], SAMPLE_BLOCK, divisor_override=1)[
        0
    ]
    return np.asarray((sums / held).cpu().numpy(), np.float32)


@dataclass(frozen=True)
class NpyVolume:
    """A `Volume` over an ``.npy`` file that maps only what it reads, and only while it reads.

    Parameters
    ----------
    path
        The file; its array has three axes (z, y, x).
    shape
        Size in voxels.
    """

    path: Path
    shape: tuple[int, int, int]

    def read(self, box: Box) -> NDArray[np.float32]:
        """Return the voxels of ``box`` as a new float32 array in C order."""
        return ArrayVolume(np.load(self.path, mmap_mode="r")).read(box)


@dataclass(frozen=True)
class DenseProducts:
    """Finished products of one dense inference.

    Parameters
    ----------
    folder
        Where they lie.
    record
        How they were made: shape, heads, precision, device, tiles, normalisation.
    """

    folder: Path
    record: dict[str, Any]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Size of the volume that was inferred."""
        z, y, x = self.record["shape"]
        return int(z), int(y), int(x)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the products there are, of `PRODUCTS`."""
        return product_names(self.record["heads"])

    def array(self, name: str) -> NDArray[Any]:
        """Return a read-only memory map of product ``name``."""
        array: NDArray[Any] = np.load(self._path(name), mmap_mode="r")
        return array

    def volume(self, name: str) -> NpyVolume:
        """Return product ``name`` as a lazily read `Volume` in its stored numbers."""
        return NpyVolume(self._path(name), product_shape(name, self.shape))

    def _path(self, name: str) -> Path:
        if name not in self.names:
            raise InputError(f"{self.folder} holds no product '{name}', only {', '.join(self.names)}")
        return self.folder / f"{name}.npy"


def open_products(folder: Path) -> DenseProducts | None:
    """Return the finished products in ``folder``, or None where there are none."""
    record = folder / _RECORD
    if not record.is_file():
        return None
    return DenseProducts(folder, json.loads(record.read_text(encoding="utf-8")))


def join_products(folder: Path, parts: Sequence[DenseProducts]) -> DenseProducts:
    """Move the products of several networks over one volume into one folder, which appears when all are there.

    Parameters
    ----------
    folder
        Final place; replaced if it exists.
    parts
        Products of different heads; they are moved, not copied. Their records are kept under ``networks``.

    Raises
    ------
    StorageError
        If the files cannot be moved.
    """
    heads = [head for part in parts for head in part.record["heads"]]
    with ProductWriter(folder, parts[0].shape, ()) as writer:
        try:
            for part in parts:
                for name in part.names:
                    writer.take(name, part)
        except OSError as error:
            raise _storage_error(folder, error) from error
        writer.heads = tuple(heads)
        joined = writer.finish({**parts[0].record, "networks": [part.record for part in parts]})
    for part in parts:
        shutil.rmtree(part.folder, ignore_errors=True)
    return joined


class ProductWriter:
    """Writes products tile by tile into a hidden folder that takes its name when all is there.

    Use as a context manager; leaving it without `finish` removes what was written.

    Parameters
    ----------
    folder
        Final place; replaced if it exists.
    shape
        Size of the volume.
    heads
        Heads whose products will be written.

    Raises
    ------
    StorageError
        If the folder cannot be made or the disk has no room for all products.
    """

    def __init__(self, folder: Path, shape: tuple[int, int, int], heads: Sequence[str]) -> None:
        self.folder = folder
        self.heads = tuple(heads)
        self._shape = shape
        self._partial = folder.with_name(f".{folder.name}.partial-{os.getpid()}")

    def __enter__(self) -> ProductWriter:
        try:
            shutil.rmtree(self._partial, ignore_errors=True)
            self._partial.mkdir(parents=True)
            for name in product_names(self.heads):
                self._reserve(name)
        except OSError as error:
            self._discard()
            raise _storage_error(self.folder, error) from error
        return self

    def __exit__(self, *exc: object) -> None:
        self._discard()

    def _discard(self) -> None:
        shutil.rmtree(self._partial, ignore_errors=True)

    def _reserve(self, name: str) -> None:
        """Make the file and its blocks, so that a full disk shows now and not as a bus error later."""
        path = self._partial / f"{name}.npy"
        shape = product_shape(name, self._shape)
        np.lib.format.open_memmap(path, mode="w+", dtype=np.dtype(PRODUCTS[name][1]), shape=shape)
        with path.open("r+b") as file:
            size = os.fstat(file.fileno()).st_size
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)

    def write(self, name: str, core: Box, array: NDArray[np.generic]) -> None:
        """Write ``array`` as the part ``core`` of product ``name``; ``core`` is in voxels of the volume."""
        box = core
        if name == "sample":
            z, y, x = (slice(part.start // SAMPLE_BLOCK, -(-part.stop // SAMPLE_BLOCK)) for part in core)
            box = (z, y, x)
        # Mapped for this tile only: pages of a map that stays open count as this process's memory.
        np.load(self._partial / f"{name}.npy", mmap_mode="r+")[box] = array

    def take(self, name: str, products: DenseProducts) -> None:
        """Move product ``name`` out of another folder."""
        shutil.move(products.folder / f"{name}.npy", self._partial / f"{name}.npy")

    def finish(self, record: Mapping[str, Any]) -> DenseProducts:
        """Give the folder its name and return the products.

        Parameters
        ----------
        record
            How the products were made; stored beside them as JSON.
        """
        full = {**record, "shape": list(self._shape), "heads": list(self.heads)}
        try:
            (self._partial / _RECORD).write_text(json.dumps(full, indent=2) + "\n", encoding="utf-8")
            if self.folder.exists():
                shutil.rmtree(self.folder)
            self._partial.replace(self.folder)
        except OSError as error:
            raise _storage_error(self.folder, error) from error
        return DenseProducts(self.folder, full)


def _storage_error(folder: Path, error: OSError) -> StorageError:
    return StorageError(
        f"the network's output cannot be written to {folder}: {error.strerror or error}; make room there"
    )
