"""Endless training batches: specimens imaged on the fast path, each time by another microscope, and cut to patches."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from cryosiam.domain import ArrayVolume
from cryosiam.inference.normalisation import measure_normalisation
from cryosiam.simulation.fast.imaging import FastMicroscope
from cryosiam.training.patches import LABELS, cut_patch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from cryosiam.training.specimens import StoredSpecimen

VOLUMES: Final = 4
"""Tomograms that the batches of one block are cut from: enough for neighbouring batches to differ."""

PATCHES_PER_VOLUME: Final = 12
"""Patches cut from each tomogram, about as many as fill it once, so that imaging costs little beside training."""

MOST_BLUR_VOXELS: Final = 1.2
MOST_NOISE: Final = 0.1
"""Of denoised tomograms: standard deviation of the blur in voxels, and of the noise in units of bulk protein."""


@dataclass(frozen=True)
class ImagedSpecimen:
    """A specimen with one of its endless images.

    Parameters
    ----------
    specimen
        Labels.
    noisy
        ``(z, y, x)`` float32, normalised as inference normalises a whole tomogram.
    """

    specimen: StoredSpecimen
    noisy: NDArray[np.float32]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Size in voxels along z, y, x."""
        return self.specimen.shape

    def cut(self, box: tuple[slice, slice, slice]) -> dict[str, NDArray[np.generic]]:
        """Return the image, ``clean`` and all labels in a box."""
        arrays: dict[str, NDArray[np.generic]] = {"noisy": self.noisy[box]}
        arrays |= {name: self.specimen.array(name)[box] for name in ("clean", *LABELS, "instances")}
        return arrays


def imaged(specimen: StoredSpecimen, rng: np.random.Generator) -> ImagedSpecimen:
    """Image a specimen with a microscope drawn for it."""
    spec = specimen.draw_microscope(rng)
    return _normalised(specimen, FastMicroscope(spec).image(np.asarray(specimen.array("seen"), np.float32), rng).noisy)


def cleared(specimen: StoredSpecimen, rng: np.random.Generator) -> ImagedSpecimen:
    """Return a specimen as a denoiser would show it: no microscope, a little blur, a little noise."""
    clean = ndimage.gaussian_filter(np.asarray(specimen.array("clean"), np.float32), rng.uniform(0.0, MOST_BLUR_VOXELS))
    noise = rng.uniform(0.0, MOST_NOISE) * rng.standard_normal(clean.shape, np.float32)
    return _normalised(specimen, clean + noise.astype(np.float32))


def _normalised(specimen: StoredSpecimen, volume: NDArray[np.float32]) -> ImagedSpecimen:
    normalisation = measure_normalisation(ArrayVolume(volume), run=specimen.folder.name, source="simulated")
    return ImagedSpecimen(specimen, normalisation.apply(volume))


class ImagedBatches:
    """Batches without end; batch ``n`` depends on the seed and on ``n`` alone.

    Batches come in blocks. A block images :data:`VOLUMES` specimens whole, because a tomogram is normalised whole, and
    cuts :data:`PATCHES_PER_VOLUME` patches from each.

    Parameters
    ----------
    specimens
        What is imaged, at least as large as a patch.
    chances
        How often each is drawn; they sum to 1.
    size_zyx
        Patch in voxels.
    batch
        Patches in a batch.
    seed
        Of everything random.
    clear
        Share of tomograms that are shown as a denoiser would show them, so that denoised input is understood too.
    """

    def __init__(
        self,
        specimens: Sequence[StoredSpecimen],
        chances: NDArray[np.float64],
        size_zyx: tuple[int, int, int],
        batch: int,
        seed: int,
        clear: float = 0.0,
    ) -> None:
        self._specimens, self._chances = specimens, chances
        self._size, self._batch, self._seed, self._clear = size_zyx, batch, seed, clear
        self._pool = ThreadPoolExecutor(1, "imaging")
        self._blocks: dict[int, Future[list[ImagedSpecimen]]] = {}

    def __call__(self, number: int) -> dict[str, Tensor]:
        """Return one batch; see :func:`cryosiam.training.patches.cut_patch` for what is in it."""
        volumes = self._block(number * self._batch // (VOLUMES * PATCHES_PER_VOLUME))
        patches = []
        for index in range(self._batch):
            rng = np.random.default_rng([self._seed, 1, number, index])
            patches.append(cut_patch(volumes[int(rng.integers(len(volumes)))], self._size, rng))
        return {name: torch.stack([patch[name] for patch in patches]) for name in patches[0]}

    def _block(self, number: int) -> list[ImagedSpecimen]:
        """Return the tomograms of a block, and have the next one made meanwhile."""
        wanted = (number, number + 1)
        self._blocks = {one: self._blocks.get(one) or self._pool.submit(self._imaged_block, one) for one in wanted}
        return self._blocks[number].result()

    def _imaged_block(self, number: int) -> list[ImagedSpecimen]:
        return [self._imaged(number, index) for index in range(VOLUMES)]

    def _imaged(self, block: int, index: int) -> ImagedSpecimen:
        rng = np.random.default_rng([self._seed, 0, block, index])
        specimen = self._specimens[int(rng.choice(len(self._specimens), p=self._chances))]
        return cleared(specimen, rng) if rng.random() < self._clear else imaged(specimen, rng)
