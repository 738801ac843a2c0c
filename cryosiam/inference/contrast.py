"""Is protein dark or bright? Decided from the voxels, and by a network's vote where weights are at hand."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import ndimage

from cryosiam.domain.tomogram import Contrast

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cryosiam.domain.tomogram import Box, Volume
    from cryosiam.inference.normalisation import Normalisation
    from cryosiam.networks.dense import DenseNetwork

FINE_SIGMA_ANGSTROM: Final = 40.0
COARSE_SIGMA_ANGSTROM: Final = 160.0
"""The band between these blurs holds particles and membranes: not noise, not ice thickness."""

OUTLIER_SPREADS: Final = 5.0
SYSTEMATIC_SKEW: Final = 0.1
"""Skewness that volumes without protein may show; simulated and real tomograms with protein show 0.25 to 0.7."""

SURE: Final = 0.9
"""Confidence in the voxels' skewness below which the contrast is reported as unknown."""

SURE_VOTE: Final = 0.3
"""The same for a network's vote, whose confidence is a margin: 0.36 to 0.58 on simulated tomograms, all right."""

EVIDENCE: Final = 0.01
"""Mean squared certainty of foreground that counts as evidence: simulated tomograms give 0.15 to 0.35 the right way
up, an empty volume or one far from what the network learnt gives 1e-5, whose ratio means nothing."""


@dataclass(frozen=True)
class ContrastGuess:
    """Contrast of a tomogram as its voxels show it.

    Parameters
    ----------
    contrast
        ``UNKNOWN`` where the confidence is below `SURE`, for a network's vote below `SURE_VOTE`.
    confidence
        In [0, 1]; 0 means that either could be.
    leaning
        The likelier of dark and bright, however weak the evidence.
    """

    contrast: Contrast
    confidence: float
    leaning: Contrast


def guess_contrast(volume: Volume, voxel_size_angstrom: float) -> ContrastGuess:
    """Decide whether protein is dark or bright from the skewness of the band-passed volume.

    Protein is the minority in a tomogram, so the tail of the grey values at the scale of particles points to it.
    Values beyond five robust standard deviations are clipped: gold and ice crystals must not decide alone.

    Parameters
    ----------
    volume
        The tomogram, axis order (z, y, x); read once, slab by slab.
    voxel_size_angstrom
        Edge of its voxel in Å.
    """
    factor = max(1, int(FINE_SIGMA_ANGSTROM / voxel_size_angstrom))
    factor = min(factor, *volume.shape)
    small = _block_means(volume, factor)
    binned_voxel = factor * voxel_size_angstrom
    fine = ndimage.gaussian_filter(small, FINE_SIGMA_ANGSTROM / binned_voxel)
    band = fine - ndimage.gaussian_filter(small, COARSE_SIGMA_ANGSTROM / binned_voxel)
    centred = band - np.median(band)
    spread = 1.4826 * float(np.median(np.abs(centred)))
    if spread <= 0.0:
        return ContrastGuess(Contrast.UNKNOWN, 0.0, Contrast.DARK)
    values = np.clip(centred / spread, -OUTLIER_SPREADS, OUTLIER_SPREADS).astype(np.float64)
    deviations = values - values.mean()
    skewness = float((deviations**3).mean() / (deviations**2).mean() ** 1.5)
    # Voxels of blurred noise are not independent: one sample for each blur volume.
    blur_volume = (2.0 * math.sqrt(math.pi) * FINE_SIGMA_ANGSTROM / binned_voxel) ** 3
    independent = max(1.0, values.size / max(1.0, blur_volume))
    error = math.hypot(math.sqrt(6.0 / independent), SYSTEMATIC_SKEW)
    confidence = math.erf(abs(skewness) / error / math.sqrt(2.0))
    return _guess(Contrast.DARK if skewness < 0 else Contrast.BRIGHT, confidence, SURE)


def _guess(leaning: Contrast, confidence: float, sure: float) -> ContrastGuess:
    return ContrastGuess(leaning if confidence >= sure else Contrast.UNKNOWN, confidence, leaning)


def _block_means(volume: Volume, factor: int) -> NDArray[np.float32]:
    """Average over cubes of ``factor`` voxels; what is left over at the far ends is not used."""
    depth, height, width = (size // factor for size in volume.shape)
    means = np.empty((depth, height, width), np.float32)
    planes = max(1, 32 // factor)
    for start in range(0, depth, planes):
        stop = min(start + planes, depth)
        slab = volume.read((slice(start * factor, stop * factor), slice(0, height * factor), slice(0, width * factor)))
        blocks = slab.reshape(stop - start, factor, height, factor, width, factor)
        means[start:stop] = blocks.mean(axis=(1, 3, 5))
    return means


def contrast_vote(
    net: DenseNetwork,
    volume: Volume,
    normalisation: Normalisation,
    *,
    tiles: int = 3,
    edge: int = 96,
    precision: str | None = None,
    device: str | None = "cpu",
) -> ContrastGuess:
    """Let a network trained on dark protein decide: which sign shows it more foreground that it is sure of?

    Parameters
    ----------
    net
        Network with a ``foreground`` head.
    volume
        The tomogram at the network's voxel size.
    normalisation
        Of the volume as it is.
    tiles, edge
        How many cubes along the diagonal through the middle are looked at, and their size in voxels.
    precision, device
        As for :func:`cryosiam.inference.engine.run_dense`.
    """
    from cryosiam.inference.precision import choose_device, choose_precision
    from cryosiam.inference.runtime import TorchRuntime
    from cryosiam.inference.tiles import round_up

    chosen = choose_device(device)
    runtime = TorchRuntime(net, ["foreground"], choose_precision(precision, chosen), chosen)
    scores = {1: 0.0, -1: 0.0}
    for position in np.linspace(0.3, 0.7, tiles):
        spans = []
        for size in volume.shape:
            start = max(0, min(int(size * position) - edge // 2, size - edge))
            spans.append(slice(start, min(size, start + edge)))
        box: Box = (spans[0], spans[1], spans[2])
        voxels = normalisation.apply(volume.read(box))
        padded = np.pad(voxels, [(0, round_up(size, net.multiple) - size) for size in voxels.shape])
        z, y, x = (slice(0, size) for size in voxels.shape)
        for sign in scores:
            ((_, raw),) = runtime.run(np.float32(sign) * padded, (z, y, x))
            certainty = (2.0 * raw.float().sigmoid() - 1.0).clamp(min=0.0)
            scores[sign] += float(certainty.square().mean())
    confidence = abs(scores[1] - scores[-1]) / (scores[1] + scores[-1] + EVIDENCE)
    return _guess(Contrast.DARK if scores[1] >= scores[-1] else Contrast.BRIGHT, confidence, SURE_VOTE)
