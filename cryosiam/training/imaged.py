"""Endless training batches: specimens imaged on the fast path, each time by another microscope, and cut to patches."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

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
"""Of clear tomograms: standard deviation of the blur in voxels, and of the noise in units of bulk protein."""


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
    noisy = FastMicroscope(spec).image(np.asarray(specimen.array("seen"), np.float32), rng).noisy
    return ImagedSpecimen(specimen, normalised(noisy, specimen.folder.name))


class Denoiser(Protocol):
    """Gives a normalised tomogram as it is once denoised."""

    def __call__(self, noisy: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the denoised tomogram, of the same shape ``(z, y, x)``."""
        ...


@dataclass(frozen=True)
class Looks:
    """How often tomograms are shown otherwise than a microscope shows them, so that such input is understood too.

    Parameters
    ----------
    clear
        Share that is shown without a microscope.
    denoised
        Share that is shown denoised.
    denoiser
        Needed where any is.

    Raises
    ------
    ValueError
        If denoised tomograms are wanted of no denoiser.
    """

    clear: float = 0.0
    denoised: float = 0.0
    denoiser: Denoiser | None = None

    def __post_init__(self) -> None:
        if self.denoised and self.denoiser is None:
            raise ValueError("tomograms can be shown denoised only by a denoiser")

    def show(self, specimen: StoredSpecimen, rng: np.random.Generator) -> ImagedSpecimen:
        """Return a specimen in one of the looks."""
        drawn = rng.random()
        if drawn < self.clear:
            return cleared(specimen, rng)
        noisy = imaged(specimen, rng)
        if self.denoiser is None or drawn >= self.clear + self.denoised:
            return noisy
        return ImagedSpecimen(specimen, normalised(self.denoiser(noisy.noisy), specimen.folder.name))


def cleared(specimen: StoredSpecimen, rng: np.random.Generator) -> ImagedSpecimen:
    """Return a specimen without a microscope: no more than a little blur, a little noise."""
    clean = np.asarray(specimen.array("clean"), np.float32)
    if rng.random() < 0.5:
        clean = ndimage.gaussian_filter(clean, rng.uniform(0.0, MOST_BLUR_VOXELS))
    if rng.random() >= 0.5:
        noise = rng.uniform(0.0, MOST_NOISE) * rng.standard_normal(clean.shape, np.float32)
        clean = clean + noise.astype(np.float32)
    return ImagedSpecimen(specimen, normalised(clean, specimen.folder.name))


def normalised(volume: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    """Return a simulated image, ``(z, y, x)``, normalised as inference normalises a whole tomogram.

    ``name`` is that of the specimen, for messages.
    """
    return measure_normalisation(ArrayVolume(volume), run=name, source="simulated").apply(volume)


NOISY: Final = Looks()
"""All tomograms as a microscope shows them."""


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
    looks
        How often tomograms are shown clear or denoised.
    """

    def __init__(
        self,
        specimens: Sequence[StoredSpecimen],
        chances: NDArray[np.float64],
        size_zyx: tuple[int, int, int],
        batch: int,
        seed: int,
        looks: Looks = NOISY,
    ) -> None:
        self._specimens, self._chances = specimens, chances
        self._size, self._batch, self._seed, self._looks = size_zyx, batch, seed, looks
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
        return self._looks.show(specimen, rng)
