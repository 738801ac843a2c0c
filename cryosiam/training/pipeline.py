"""The dense network and the instance separation run on a volume, as `pick` runs them on a tomogram."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from cryosiam.domain import ArrayVolume
from cryosiam.inference.engine import run_dense
from cryosiam.inference.normalisation import Normalisation
from cryosiam.segmentation import InstanceConfig, InstanceMaps, ScoreCalibration, separate_instances
from cryosiam.segmentation.sample import find_sample

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from cryosiam.inference.outputs import DenseProducts
    from cryosiam.networks.dense import DenseNetwork
    from cryosiam.segmentation import InstanceTable
    from cryosiam.weights import DenseWeights

AS_STORED = Normalisation(low=-1e4, high=1e4, mean=0.0, std=1.0)
"""Scenes and images of specimens are normalised already."""

TILE_BYTES: Final = 1_500_000_000
"""Memory for tiles. What training holds beside them, such as particles found before, is not theirs to make up for."""


@dataclass(frozen=True)
class FoundInstances:
    """What the dense network and the instance separation find in a volume.

    Parameters
    ----------
    products
        Products of the dense network.
    labels
        ``(z, y, x)`` int32 instances.
    table
        One row per instance.
    """

    products: DenseProducts
    labels: NDArray[np.int32]
    table: InstanceTable


@contextmanager
def denoise_volume(noisy: NDArray[np.generic], network: DenseNetwork) -> Iterator[DenseProducts]:
    """Denoise a volume; the one product, ``denoised``, is removed on leaving.

    Parameters
    ----------
    noisy
        ``(z, y, x)``, normalised as inference normalises a whole tomogram.
    network
        Has the head ``denoise``.
    """
    with tempfile.TemporaryDirectory() as scratch:
        yield run_dense(
            network,
            ArrayVolume(noisy),
            AS_STORED,
            Path(scratch) / "dense",
            heads=["denoise"],
            memory_bytes=TILE_BYTES,
            precision="auto",
        )


@contextmanager
def find_in_volume(
    noisy: NDArray[np.generic], dense: DenseWeights, config: InstanceConfig | None = None
) -> Iterator[FoundInstances]:
    """Run the dense network and separate the instances of a volume; the products are removed on leaving.

    Parameters
    ----------
    noisy
        ``(z, y, x)``, normalised as inference normalises a whole tomogram.
    dense
        Weights.
    config
        Settings of the separation.
    """
    calibration = ScoreCalibration.from_json(dense.card.score) if dense.card.score else None
    with tempfile.TemporaryDirectory() as scratch:
        products = run_dense(
            dense.network,
            ArrayVolume(noisy),
            AS_STORED,
            Path(scratch) / "dense",
            memory_bytes=TILE_BYTES,
            precision="auto",
        )
        sample = find_sample(products.array("sample"), products.shape, dense.card.voxel_size_angstrom)
        maps = InstanceMaps(
            foreground=products.array("foreground"),
            boundary=products.array("boundary"),
            distance=products.array("distance"),
            semantic=products.array("semantic"),
            sample=sample,
        )
        labels = np.zeros(products.shape, np.int32)
        yield FoundInstances(products, labels, separate_instances(maps, labels, config, calibration))
