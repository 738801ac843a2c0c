"""Reconstruct a real tilt series through both alignment routes and compare.

Data: Mycoplasma pneumoniae, EMPIAR-10499, 41 tilts at 10 Å, with an IMOD alignment and the XML that M refined; and
a reconstruction of the same series by independent code. Run from the project's root:

    python benchmarks/compare_reconstruction.py ../shared/data --pictures pictures/

Prints markdown and writes it to ``benchmarks/reconstruction.md``.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace
from pathlib import Path

import mrcfile
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import fourier_shift, gaussian_filter

from cryosiam.domain import Hand, Tomogram
from cryosiam.integrations.tilt_series import TiltSeriesFiles, load_tilt_series
from cryosiam.pipeline.measure import measured
from cryosiam.tomography.back_projection import BackProjectedVolume
from cryosiam.tomography.projection import project
from cryosiam.tomography.reconstruct import ReconstructionOptions, WeightedTiltSeries, weight_tilt_series

VOXEL_SIZE_ANGSTROM = 10.0
THICKNESS = 240
LOCAL_BOX = 48
LOW_PASS_SIGMA = 1.5
"""Gaussian in voxels, about a 40 Å low-pass at half height."""
BAND_SIGMAS = (3.0, 15.0)
"""Difference of Gaussians for re-projections: what is left is about 80 to 500 Å."""

Array = NDArray[np.float32]


@dataclass
class Route:
    """A reconstruction and what it took; ``volume`` is mirrored where the angles were inverted."""

    name: str
    weighted: WeightedTiltSeries
    volume: Array
    hand: Hand
    seconds: float
    cpu_seconds: float
    peak_mib: float


def whole(tomogram: Tomogram) -> Array:
    """Back-project all of a tomogram."""
    depth, height, width = tomogram.shape
    return tomogram.volume.read((slice(0, depth), slice(0, height), slice(0, width)))


def unmirrored(volume: Array, hand: Hand) -> Array:
    """Mirror an inverted volume along z about its centre voxel, for comparison."""
    return volume if hand is Hand.AS_GIVEN else np.roll(volume[::-1], 1 - volume.shape[0] % 2, axis=0)


def reconstruct(name: str, files: TiltSeriesFiles, voxel_size: float = VOXEL_SIZE_ANGSTROM) -> Route:
    """Reconstruct and measure."""
    series, _ = load_tilt_series("00254", files)
    options = ReconstructionOptions(voxel_size, round(THICKNESS * VOXEL_SIZE_ANGSTROM / voxel_size))
    cpu = time.process_time()
    with measured() as work:
        weighted = weight_tilt_series(series, options)
        tomogram = weighted.tomogram()
        volume = whole(tomogram)
    cpu = time.process_time() - cpu
    hand = weighted.hand
    return Route(name, weighted, unmirrored(volume, hand), hand, work.seconds, cpu, work.peak_memory_mib)


def correlation(a: Array, b: Array) -> float:
    """Pearson correlation."""
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def against_reference(volume: Array, reference: Array) -> tuple[float, float, NDArray[np.float64]]:
    """Correlate with a reference that shares the centre, after a shift by a fraction of a voxel.

    Returns the correlation at full band, that of low-passed volumes, and the shift in voxels (z, y, x).
    """
    from skimage.registration import phase_cross_correlation

    corner = [size // 2 - other // 2 for size, other in zip(volume.shape, reference.shape, strict=True)]
    ours = volume[tuple(slice(c, c + n) for c, n in zip(corner, reference.shape, strict=True))]
    smooth = [gaussian_filter(v, LOW_PASS_SIGMA) for v in (reference, ours)]
    shift, *_ = phase_cross_correlation(*smooth, upsample_factor=20, normalization=None)
    moved = np.fft.ifftn(fourier_shift(np.fft.fftn(ours), shift)).real.astype(np.float32)
    inner = tuple(slice(8, n - 8) for n in reference.shape)
    low = correlation(*(gaussian_filter(v, LOW_PASS_SIGMA)[inner] for v in (moved, reference)))
    return correlation(moved[inner], reference[inner]), low, shift


def half_correlation(route: Route, resolutions: tuple[float, ...]) -> list[float]:
    """Fourier shell correlation of even against odd tilts, in boxes of the cell.

    In a whole volume the two halves share hardly a Fourier voxel; in boxes of 48 voxels, central slices are thick
    enough to overlap down to about 1/50 Å at 6 degrees.
    """
    halves = [whole(route.weighted.tomogram(tilts))[50:190, 120:520, 150:500] for tilts in route.weighted.halves()]
    window = np.hanning(LOCAL_BOX + 2)[1:-1]
    mask = window[:, None, None] * window[:, None] * window
    full, real = np.fft.fftfreq(LOCAL_BOX), np.fft.rfftfreq(LOCAL_BOX)
    frequency = np.sqrt(full[:, None, None] ** 2 + full[:, None] ** 2 + real**2)
    shell = np.rint(frequency * LOCAL_BOX).astype(int).ravel()
    sums = np.zeros((3, shell.max() + 1))
    for corner in np.ndindex(*(size // LOCAL_BOX for size in halves[0].shape)):
        box = tuple(slice(c * LOCAL_BOX, (c + 1) * LOCAL_BOX) for c in corner)
        a, b = (np.fft.rfftn((half[box] - half[box].mean()) * mask).ravel() for half in halves)
        for row, value in zip(sums, ((a * b.conj()).real, abs(a) ** 2, abs(b) ** 2), strict=True):
            row += np.bincount(shell, value)
    curve = sums[0] / np.sqrt(sums[1] * sums[2])
    shells = np.arange(len(curve)) / LOCAL_BOX / VOXEL_SIZE_ANGSTROM
    return [float(np.interp(1 / resolution, shells, curve)) for resolution in resolutions]


def left_out_agreement(route: Route, rows: slice) -> NDArray[np.float64]:
    """Project the tomogram made without a tilt at that tilt, and correlate with the image left out.

    Nothing of an image is in what it is compared with, so a better alignment is the only way to a higher value.
    """
    weighted = route.weighted
    sign = -1 if weighted.hand is Hand.INVERTED else 1
    angles = sign * weighted.series.alignment.tilt_angles_deg
    images = weighted.images[:, rows]
    box = (slice(0, THICKNESS), slice(0, images.shape[1]), slice(0, images.shape[2]))
    total = BackProjectedVolume(images, angles, THICKNESS).read(box)
    # A single image is scaled by a half turn, one of many by the mean increment.
    share = np.float32(np.radians(np.ptp(angles)) / (len(angles) - 1) / np.pi)
    margin = (slice(40, -40), slice(100, -100))
    agreement = []
    for tilt, angle in enumerate(angles):
        alone = BackProjectedVolume(images[tilt : tilt + 1], [angle], THICKNESS).read(box)
        predicted = project(total - share * alone, [angle])[0]
        low, high = BAND_SIGMAS
        pair = (gaussian_filter(v, low) - gaussian_filter(v, high) for v in (predicted, images[tilt]))
        agreement.append(correlation(*(v[margin] for v in pair)))
    return np.array(agreement)


def pictures(folder: Path, routes: list[Route], reference: Array) -> None:
    """Draw central slices through each reconstruction."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)

    def show(axes: object, image: Array, title: str) -> None:
        low, high = np.percentile(image, (0.5, 99.5))
        axes.imshow(image, cmap="gray", vmin=low, vmax=high, origin="lower")  # type: ignore[attr-defined]
        axes.set_title(title)  # type: ignore[attr-defined]
        axes.axis("off")  # type: ignore[attr-defined]

    for route in routes:
        smooth = gaussian_filter(route.volume, 1.0)
        figure, axes = plt.subplots(2, 1, figsize=(11, 14), height_ratios=(630, 240))
        show(axes[0], smooth[115:125].mean(axis=0), f"{route.name}: xy, 10 slices of 10 Å")
        show(axes[1], smooth[:, 310:320].mean(axis=1), f"{route.name}: xz")
        figure.tight_layout()
        figure.savefig(folder / f"{route.name.replace(' ', '_')}.png", dpi=80)
        plt.close(figure)
    figure, axes = plt.subplots(1, len(routes) + 1, figsize=(8 * (len(routes) + 1), 8))
    for axis, route in zip(axes, routes, strict=False):
        crop = gaussian_filter(route.volume, 1.0)[115:125, 187:443, 198:454]
        show(axis, crop.mean(axis=0), route.name)
    show(axes[-1], gaussian_filter(reference, 1.0)[105:115].mean(axis=0), "independent code")
    figure.tight_layout()
    figure.savefig(folder / "detail.png", dpi=60)
    plt.close(figure)


def report(routes: list[Route], binned: Route, data: Path) -> str:
    """Return the tables as markdown."""
    crop = mrcfile.read(data / "tomograms/empiar10499_00254_derived/crop_10A_full.mrc").astype(np.float32)
    full_20 = mrcfile.read(data / "tomograms/empiar10499_00254_derived/full_20A.mrc").astype(np.float32)
    lines = [
        "# Reconstruction of a real tilt series",
        "",
        "Printed by `compare_reconstruction.py`: EMPIAR-10499 00254, *M. pneumoniae*, 41 tilts of 652 x 630 pixels "
        f"at 10 Å, {THICKNESS} voxels thick. The reference is the same series reconstructed by independent code from "
        "the `.xf`. Inverted volumes are mirrored for the comparison. Times are of a shared 2-core machine.",
        "",
        "| route | hand | wall s | CPU s | peak MiB | r with reference | r low-passed | shift z, y, x (voxels) |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for route, reference in [*((route, crop) for route in routes), (binned, full_20)]:
        r_full, r_low, shift = against_reference(route.volume, reference)
        lines.append(
            f"| {route.name} | {route.hand.value} | {route.seconds:.1f} | {route.cpu_seconds:.1f} | "
            f"{route.peak_mib:.0f} | {r_full:.3f} | {r_low:.3f} | {', '.join(f'{s:.2f}' for s in shift)} |"
        )
    resolutions = (160.0, 120.0, 80.0, 60.0, 50.0)
    lines += [
        "",
        "Does the refined alignment sharpen? Agreement of each image with the projection of the tomogram made "
        "without it, and Fourier shell correlation of even against odd tilts in boxes of 48 voxels in the cell:",
        "",
        "| route | all tilts | below 20° | 20° to 45° | above 45° | "
        + " | ".join(f"FSC {resolution:.0f} Å" for resolution in resolutions)
        + " |",
        "| --- " * (5 + len(resolutions)) + "|",
    ]
    agreements = []
    for route in routes:
        agreement = left_out_agreement(route, slice(187, 443))
        agreements.append(agreement)
        tilt = np.abs(route.weighted.series.alignment.tilt_angles_deg)
        groups = (tilt >= 0, tilt < 20, (tilt >= 20) & (tilt < 45), tilt >= 45)
        cells = [f"{agreement[group].mean():.3f}" for group in groups]
        cells += [f"{value:.3f}" for value in half_correlation(route, resolutions)]
        lines.append(f"| {route.name} | {' | '.join(cells)} |")
    gain = agreements[1] - agreements[0]
    error = gain.std(ddof=1) / np.sqrt(len(gain))
    lines += [
        "",
        f"Refined less `.xf`, per tilt: {gain.mean():+.4f} ± {error:.4f} (standard error), "
        f"better at {np.count_nonzero(gain > 0)} of {len(gain)} tilts.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", type=Path, help="folder that holds tilt_series/ and tomograms/")
    parser.add_argument("--pictures", type=Path, help="folder to draw slices into")
    chosen = parser.parse_args()
    series = chosen.data / "tilt_series" / "empiar10499_00254"
    imod = TiltSeriesFiles(
        series / "00254.stack_x400_int16.mrc",
        tilt=series / "xf_import_00254.tlt",
        xf=series / "xf_import_00254.xf",
    )
    refined = replace(imod, tilt=None, xf=None, warp_xml=series / "00254.xml")
    # The kernel is compiled before the clock runs.
    BackProjectedVolume(np.zeros((1, 2, 2), np.float32), [0.0], 1).read((slice(0, 1), slice(0, 2), slice(0, 2)))
    routes = [reconstruct("IMOD xf", imod), reconstruct("refined XML", refined)]
    text = report(routes, reconstruct("IMOD xf at 20 Å", imod, 2 * VOXEL_SIZE_ANGSTROM), chosen.data)
    Path(__file__).with_name("reconstruction.md").write_text(text, encoding="utf-8")
    print(text)
    if chosen.pictures is not None:
        crop = chosen.data / "tomograms/empiar10499_00254_derived/crop_10A_full.mrc"
        pictures(chosen.pictures, routes, mrcfile.read(crop).astype(np.float32))


if __name__ == "__main__":
    main()
