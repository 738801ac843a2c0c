"""Random patches of scenes, augmented as in thesis section 3.2.1."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from cryosiam.training.prefetch import prefetched

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from cryosiam.training.scenes import Scene

LABELS = ("semantic", "sample", "foreground", "boundary", "distance")


def augment_grey(patch: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Change grey values only: low-pass, high-pass or noise, then gain and offset.

    The ranges are those of the thesis where they leave the signal of a noisy volume alive: low-pass sigma 0.5 to 1
    voxel, difference of Gaussians, additive noise of 0.1 to 0.5 standard deviations.
    """
    choice = rng.random()
    if choice < 0.15:
        patch = ndimage.gaussian_filter(patch, rng.uniform(0.4, 1.0))
        patch /= max(float(patch.std()), 1e-3)
    elif choice < 0.25:
        patch = patch - ndimage.gaussian_filter(patch, rng.uniform(8, 20))
        patch /= max(float(patch.std()), 1e-3)
    elif choice < 0.4:
        patch = patch + rng.normal(0, rng.uniform(0.1, 0.5), patch.shape).astype(np.float32)
    return (patch * rng.uniform(0.85, 1.15) + rng.uniform(-0.15, 0.15)).astype(np.float32)


def orient(arrays: dict[str, NDArray[np.generic]], rng: np.random.Generator) -> dict[str, NDArray[np.generic]]:
    """Flip along each axis and turn by quarters about z, all arrays alike.

    A quarter turn moves the tilt axis from y to x, so the network meets the missing wedge along both.
    """
    flips = tuple(axis for axis in range(3) if rng.random() < 0.5)
    quarters = int(rng.integers(4))
    return {name: np.rot90(np.flip(array, flips), quarters, axes=(1, 2)) for name, array in arrays.items()}


def draw_patch(scene: Scene, size: tuple[int, int, int], rng: np.random.Generator) -> dict[str, Tensor]:
    """Cut a random patch, preferring places with labels, and augment it.

    Returns
    -------
    dict
        ``noisy`` and ``clean`` as ``(1, z, y, x)`` float32, labels as ``(z, y, x)`` int64 or ``(1, z, y, x)`` float32.
    """
    low = [0, 0, 0]
    for attempt in range(4):
        low = [int(rng.integers(0, n - s + 1)) for n, s in zip(scene.shape, size, strict=True)]
        box = tuple(slice(a, a + s) for a, s in zip(low, size, strict=True))
        if attempt == 3 or (scene.array("semantic")[box][::4, ::4, ::4] > 0).mean() > 0.01:  # type: ignore[operator]
            break
    arrays = orient({name: scene.array(name)[box] for name in ("noisy", "clean", *LABELS)}, rng)
    noisy = augment_grey(arrays["noisy"].astype(np.float32), rng)
    patch = {"noisy": torch.from_numpy(np.ascontiguousarray(noisy))[None]}
    patch["clean"] = torch.from_numpy(arrays["clean"].astype(np.float32))[None]
    patch["semantic"] = torch.from_numpy(arrays["semantic"].astype(np.int64))
    for name in ("sample", "foreground", "boundary"):
        patch[name] = torch.from_numpy(arrays[name].astype(np.float32))[None]
    patch["distance"] = torch.from_numpy(arrays["distance"].astype(np.float32) / 2)[None]
    return patch


def batches(
    scenes: Sequence[Scene], size: tuple[int, int, int], batch: int, first_step: int, steps: int, seed: int
) -> Iterator[dict[str, Tensor]]:
    """Return batches; batch ``n`` depends on ``seed`` and ``n`` alone, so training resumes where it was."""

    def make(step: int) -> dict[str, Tensor]:
        rng = np.random.default_rng([seed, step])
        drawn = [draw_patch(scenes[int(rng.integers(len(scenes)))], size, rng) for _ in range(batch)]
        return {name: torch.stack([patch[name] for patch in drawn]) for name in drawn[0]}

    return prefetched(make, first_step, steps)
