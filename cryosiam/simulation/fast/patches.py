"""Endless training patches: cut from specimens, imaged on the fast path with a microscope drawn for each."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import Tensor

from cryosiam.simulation.fast.imaging import FastMicroscope
from cryosiam.simulation.fast.targets import boundary_and_distance
from cryosiam.simulation.fast.transfer import TiltState
from cryosiam.simulation.spec import SlabSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from cryosiam.simulation.spec import SimulationSpec
    from cryosiam.simulation.tomogram import Specimen

MARGIN_VOXELS: Final = 12
"""What is imaged beyond a patch on each side: images spread a particle's signal, and rays cross."""

_TRIES: Final = 4
_LEAST_LABELLED: Final = 0.01


@dataclass(frozen=True)
class PatchSpecimen:
    """A specimen made ready to cut patches from; arrays ``(z, y, x)``.

    Parameters
    ----------
    voxel_size_angstrom, thickness_nm
        Edge of the voxel, and mean depth of the sample along z.
    seen
        float32: all that images show, in units of bulk protein.
    labels
        ``clean`` (float32, protein about -1), ``semantic`` (uint8), ``instances`` (int32), ``sample``, ``boundary``
        (bool) and ``distance`` (float16, voxels).
    """

    voxel_size_angstrom: float
    thickness_nm: float
    seen: NDArray[np.float32]
    labels: dict[str, NDArray[np.generic]]

    @classmethod
    def of(cls, specimen: Specimen) -> PatchSpecimen:
        """Prepare a specimen: its instance targets are computed once, for all patches."""
        boundary, distance = boundary_and_distance(specimen.instances)
        labels: dict[str, NDArray[np.generic]] = {
            "clean": -specimen.density,
            "semantic": specimen.semantic,
            "instances": specimen.instances,
            "sample": specimen.sample_mask,
            "boundary": boundary,
            "distance": distance.astype(np.float16),
        }
        voxel = specimen.voxel_size_angstrom
        depth = np.count_nonzero(specimen.sample_mask) / np.prod(specimen.sample_mask.shape[1:])
        return cls(voxel, float(depth * voxel / 10), specimen.density + specimen.unlabelled, labels)

    def imaged_by(self, spec: SimulationSpec) -> SimulationSpec:
        """Return a recipe with the voxel size and the ice of this specimen."""
        slab = SlabSpec(thickness_nm=max(self.thickness_nm, 1.0), tilt_deg=0.0)
        specimen = spec.specimen.model_copy(update={"slab": slab})
        return spec.model_copy(update={"specimen": specimen, "voxel_size_angstrom": self.voxel_size_angstrom})


class PatchStream:
    """Training patches without end; batch ``n`` depends on the seed and on ``n`` alone.

    Parameters
    ----------
    specimens
        Specimens of one voxel size, at least as large as a patch.
    draw
        Makes the recipe of a patch, of which only the microscope is used; ranges in it are drawn. A recipe alone stands
        for a function that always returns it.
    size_zyx
        Patch in voxels.
    batch
        Patches in a batch.
    seed
        Of everything random.
    device
        Torch device on which patches are imaged.
    workers
        Patches made at the same time. The result does not depend on it.

    Raises
    ------
    ValueError
        If there is no specimen, or one is smaller than a patch.
    """

    def __init__(
        self,
        specimens: Sequence[Specimen],
        draw: SimulationSpec | Callable[[np.random.Generator], SimulationSpec],
        *,
        size_zyx: tuple[int, int, int] = (64, 64, 64),
        batch: int = 2,
        seed: int = 0,
        device: str = "cpu",
        workers: int = 2,
    ) -> None:
        if not specimens:
            raise ValueError("patches need at least one specimen to be cut from")
        for one in specimens:
            if any(have < want for have, want in zip(one.density.shape, size_zyx, strict=True)):
                raise ValueError(f"a specimen of {one.density.shape} voxels has no room for a patch of {size_zyx}")
        self._specimens = [PatchSpecimen.of(one) for one in specimens]
        self._draw = draw if callable(draw) else lambda _: draw
        self._size, self._batch, self._seed, self._device = size_zyx, batch, seed, device
        self._workers = workers
        self._pool = ThreadPoolExecutor(workers, "patches") if workers > 1 else None

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        """Yield batch 0, 1, 2 and so on."""
        number = 0
        while True:
            yield self.batch(number)
            number += 1

    def batch(self, number: int) -> dict[str, Tensor]:
        """Return one batch.

        Returns
        -------
        dict
            ``noisy`` (zero mean, unit variance), ``clean``, ``sample``, ``foreground``, ``boundary`` and ``distance``
            (voxels) as ``(batch, 1, z, y, x)`` float32; ``semantic`` and ``instances`` as ``(batch, z, y, x)`` int64.
        """
        rngs = [np.random.default_rng([self._seed, number, index]) for index in range(self._batch)]
        if self._pool is None:
            patches = [self._patch(rng) for rng in rngs]
        else:
            threads = torch.get_num_threads()
            patches = list(self._pool.map(self._patch_alone, rngs))
            # Workers set the number for themselves, but torch hands the last one on to threads started later.
            torch.set_num_threads(threads)
        return {name: torch.stack([patch[name] for patch in patches]) for name in patches[0]}

    def _patch_alone(self, rng: np.random.Generator) -> dict[str, Tensor]:
        if torch.get_num_threads() > 1:
            torch.set_num_threads(1)
        return self._patch(rng)

    def _patch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        specimen = self._specimens[int(rng.integers(len(self._specimens)))]
        box = _place(specimen.labels["semantic"], self._size, rng)
        spec = specimen.imaged_by(self._draw(rng)).drawn(rng)
        patch = {"noisy": torch.from_numpy(_imaged(specimen.seen, box, spec, rng, self._device))[None]}
        cut = {name: np.ascontiguousarray(array[box]) for name, array in specimen.labels.items()}
        cut["foreground"] = cut["instances"] > 0
        for name in ("clean", "sample", "foreground", "boundary", "distance"):
            patch[name] = torch.from_numpy(cut[name].astype(np.float32))[None]
        for name in ("semantic", "instances"):
            patch[name] = torch.from_numpy(cut[name].astype(np.int64))
        return patch


def _place(
    semantic: NDArray[np.generic], size: tuple[int, int, int], rng: np.random.Generator
) -> tuple[slice, slice, slice]:
    """Draw where to cut, preferring places with labels."""
    for attempt in range(_TRIES):
        low = [int(rng.integers(0, have - want + 1)) for have, want in zip(semantic.shape, size, strict=True)]
        z, y, x = (slice(start, start + want) for start, want in zip(low, size, strict=True))
        labelled = np.count_nonzero(semantic[z, y, x][::4, ::4, ::4])
        if attempt == _TRIES - 1 or labelled > _LEAST_LABELLED * np.prod(size) / 64:
            break
    return z, y, x


def _imaged(
    seen: NDArray[np.float32],
    box: tuple[slice, slice, slice],
    spec: SimulationSpec,
    rng: np.random.Generator,
    device: str,
) -> NDArray[np.float32]:
    """Image a box with its surroundings, and return the box normalised."""
    region, inner = _with_margin(seen, box)
    microscope = FastMicroscope(spec, region.shape, device)
    volume = microscope.tomogram(region, rng, TiltState.drawn(spec, rng), range(inner[0].start, inner[0].stop))
    volume -= volume.mean()
    volume /= volume.std()
    return np.ascontiguousarray(volume[:, inner[1], inner[2]])


def _with_margin(
    seen: NDArray[np.float32], box: tuple[slice, slice, slice]
) -> tuple[NDArray[np.float32], tuple[slice, slice, slice]]:
    """Return a box with a margin, and where the box lies in it.

    Beyond the volume's faces the specimen goes on as its mirror image along y and x; above and below is nothing.
    """
    outer, inner, missing = [], [], []
    for axis, (part, length) in enumerate(zip(box, seen.shape, strict=True)):
        start, stop = part.start - MARGIN_VOXELS, part.stop + MARGIN_VOXELS
        low, high = max(start, 0), min(stop, length)
        outer.append(slice(low, high))
        missing.append((low - start, stop - high) if axis else (0, 0))
        first = part.start - (start if axis else low)
        inner.append(slice(first, first + part.stop - part.start))
    region = seen[tuple(outer)]
    if any(any(pair) for pair in missing):
        region = np.pad(region, missing, mode="symmetric")
    return region, (inner[0], inner[1], inner[2])
