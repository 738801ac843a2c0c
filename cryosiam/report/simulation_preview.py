"""Picture of a simulated tomogram: slices with their truth, tilt images, power spectra beside the theory's zeros."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import fft

from cryosiam.domain import SEMANTIC_CLASSES
from cryosiam.geometry import volume_centre_index
from cryosiam.pipeline.storage import whole_file
from cryosiam.report.overlay import CLASS_COLOURS
from cryosiam.simulation.microscope.ctf import CTF
from cryosiam.simulation.spec import fixed

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patheffects import AbstractPathEffect
    from numpy.typing import NDArray

    from cryosiam.simulation.tomogram import SimulatedTomogram, Specimen

WIDTH_INCHES: Final = 15.0
DOTS_PER_INCH: Final = 110
_DB_RANGE: Final = (0.5, 99.8)
_FONT_SIZE: Final = 11
_INCHES_OF_TEXT: Final = 1.7
_ZERO_COLOUR: Final = "#e8590c"
_PARTICLE_HUES: Final = (0.07, 0.45)


@dataclass(frozen=True)
class SpectrumPanel:
    """An image to be shown with its power spectrum, and the CTF it should follow."""

    title: str
    image: NDArray[np.floating]
    pixel_size_angstrom: float
    ctf: CTF


def write_simulation_preview(path: Path, tomogram: SimulatedTomogram) -> None:
    """Draw a simulated tomogram and write it as PNG, whole or not at all.

    Parameters
    ----------
    path
        The picture.
    tomogram
        What to draw. Without a tilt series (fast path) the spectra are those of slices of the volume.
    """
    figure = draw_simulation_preview(tomogram)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DOTS_PER_INCH)


def draw_simulation_preview(tomogram: SimulatedTomogram) -> Figure:
    """Return the picture: xy slices, xz slices, two images with their spectra, radial spectra."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    specimen = tomogram.specimen
    depth, height, width = specimen.semantic.shape
    panels = _panels(tomogram)
    heights = [height / width, depth / width, 1.0, 0.6]
    figure = Figure(figsize=(WIDTH_INCHES, WIDTH_INCHES / 4 * sum(heights) + _INCHES_OF_TEXT), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(4, 4, height_ratios=heights, squeeze=False)
    _draw_slices(axes[0], tomogram, "xy")
    _draw_slices(axes[1], tomogram, "xz")
    for place, panel in zip((0, 2), panels, strict=True):
        square = _middle_square(panel.image)
        _show(axes[2][place], square, panel.title)
        _scale_bar(axes[2][place], square.shape[1], panel.pixel_size_angstrom)
        _draw_spectrum(axes[2][place + 1], panel)
    grid = axes[3][0].get_gridspec()
    for place, panel in zip((0, 2), panels, strict=True):
        for axis in axes[3][place : place + 2]:
            axis.remove()
        _draw_radial(figure.add_subplot(grid[3, place : place + 2]), panel)
    figure.suptitle(_title(tomogram), fontsize=14)
    return figure


def radial_power(
    image: NDArray[np.floating], pixel_size_angstrom: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the rotational mean of an image's power spectrum up to the Nyquist frequency.

    Parameters
    ----------
    image
        ``(y, x)``.
    pixel_size_angstrom
        Edge of its pixel.

    Returns
    -------
    tuple of NDArray
        Frequencies in 1/Å at the middle of each ring, and mean power there.
    """
    power = _power(image)
    ky, kx = (np.fft.fftshift(np.fft.fftfreq(size)) for size in image.shape)
    rings = min(image.shape) // 2
    ring = (np.hypot(ky[:, None], kx[None, :]) * 2 * rings).astype(np.int64).ravel()
    totals = np.bincount(ring, power.ravel(), rings + 1)[:rings]
    counts = np.bincount(ring, minlength=rings + 1)[:rings]
    frequencies = (np.arange(rings) + 0.5) / (2 * rings * pixel_size_angstrom)
    return frequencies, totals / np.maximum(counts, 1)


def _power(image: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the power spectrum, frequency 0 in the middle, of an image whose edges are faded out."""
    window = np.hanning(image.shape[0])[:, None] * np.hanning(image.shape[1])[None, :]
    values = (image - image.mean(dtype=np.float64)) * window
    power: NDArray[np.float64] = np.abs(fft.fftshift(fft.fft2(values))) ** 2 / np.square(window).sum()
    return power


def _panels(tomogram: SimulatedTomogram) -> list[SpectrumPanel]:
    """Return two images to take spectra of: the lowest and the highest tilt, or two slices of the volume."""
    series, voxel = tomogram.series, tomogram.specimen.voxel_size_angstrom
    if series is None:
        ctf = _ctf(tomogram, fixed(tomogram.spec.microscope.optics.defocus_um), _phase_shift_deg(tomogram))
        depth, height, _ = tomogram.noisy.shape
        return [
            SpectrumPanel("noisy, central xy slice", tomogram.noisy[volume_centre_index(depth)], voxel, ctf),
            SpectrumPanel("noisy, central xz slice", tomogram.noisy[:, volume_centre_index(height)], voxel, ctf),
        ]
    tilts = np.abs(series.tilt_angles_deg)
    return [
        SpectrumPanel(
            f"tilt image at {series.tilt_angles_deg[number]:g}°, after {series.prior_dose[number]:.0f} e/Å²",
            series.images[number],
            series.pixel_size_angstrom,
            _ctf(tomogram, float(series.defocus_um[number]), float(series.phase_shift_deg[number])),
        )
        for number in (int(tilts.argmin()), int(tilts.argmax()))
    ]


def _phase_shift_deg(tomogram: SimulatedTomogram) -> float:
    """Return the phase plate's shift of the first exposure in degrees."""
    return fixed(tomogram.spec.microscope.optics.phase_shift_deg)


def _ctf(tomogram: SimulatedTomogram, defocus_um: float, phase_shift_deg: float) -> CTF:
    optics = tomogram.spec.microscope.optics
    return CTF(
        defocus_um,
        voltage_kv=optics.voltage_kv,
        spherical_aberration_mm=optics.spherical_aberration_mm,
        amplitude_contrast=optics.amplitude_contrast,
        phase_shift_deg=phase_shift_deg,
    )


def _draw_slices(axes: NDArray[np.object_], tomogram: SimulatedTomogram, plane: str) -> None:
    """Draw the central slice of the clean and noisy volumes, and of the labels."""
    specimen = tomogram.specimen
    middle = volume_centre_index(specimen.semantic.shape[0 if plane == "xy" else 1])
    at = (middle,) if plane == "xy" else (slice(None), middle)
    # Only the slice: the whole clean volume would be another copy in memory.
    _show(axes[0], -specimen.density[at], f"truth: density, {plane}")
    _scale_bar(axes[0], specimen.semantic.shape[2], specimen.voxel_size_angstrom)
    axes[1].imshow(label_picture(specimen, at), interpolation="nearest")
    _bare(axes[1], f"truth: a colour per object, {plane}")
    if plane == "xy":
        _legend(axes[1], specimen)
    _show(axes[2], tomogram.noisy[at], f"tomogram, {plane}")
    corrected = tomogram.corrected
    if corrected is None:
        _show(axes[3], -specimen.density[at] - specimen.unlabelled[at], f"all that is imaged, {plane}")
    else:
        _show(axes[3], corrected[at], f"tomogram, CTF-corrected, {plane}")


def label_picture(specimen: Specimen, at: tuple[int | slice, ...]) -> NDArray[np.float64]:
    """Return a slice of the labels in colour: particles from orange to green, dark grey inside the sample.

    Membranes and filaments have the colour of their class.

    Parameters
    ----------
    specimen
        With its labels.
    at
        Index of the slice.

    Returns
    -------
    NDArray
        ``(rows, columns, 3)`` from 0 to 1.
    """
    from matplotlib.colors import hsv_to_rgb, to_rgb

    palette = np.array([to_rgb(colour) for colour in CLASS_COLOURS])
    semantic, instances = specimen.semantic[at], specimen.instances[at]
    picture: NDArray[np.float64] = palette[semantic]
    # Multiples of irrational numbers: ids that follow each other are far apart in hue and in brightness.
    first, last = _PARTICLE_HUES
    hues = first + (last - first) * np.modf(instances * 0.618033988749895)[0]
    values = 0.6 + 0.4 * np.modf(instances * 0.414213562373095)[0]
    particles = np.stack([hues, np.full_like(hues, 0.75), values], axis=-1)
    picture[instances > 0] = hsv_to_rgb(particles[instances > 0])
    picture[(semantic == 0) & specimen.sample_mask[at]] = 0.18
    return picture


def _legend(axis: Axes, specimen: Specimen) -> None:
    from matplotlib.patches import Patch

    there = [index for index in np.unique(specimen.semantic).tolist() if index]
    handles = [Patch(color=CLASS_COLOURS[index], label=SEMANTIC_CLASSES[index]) for index in there]
    if handles:
        axis.legend(handles=handles, fontsize=9, loc="lower right", framealpha=0.85, borderpad=0.3, handlelength=1.2)


def _scale_bar(axis: Axes, width: int, voxel_size_angstrom: float) -> None:
    """Draw a bar of a round length, about a fifth of the picture, in its lower left corner."""
    wanted = width * voxel_size_angstrom / 10 / 5
    step = 10.0 ** np.floor(np.log10(wanted))
    nanometres = step * max(factor for factor in (1, 2, 5) if factor * step <= wanted)
    axis.plot(
        np.array([0.04, 0.04 + 10 * nanometres / (width * voxel_size_angstrom)]),
        [0.05, 0.05],
        transform=axis.transAxes,
        color="white",
        linewidth=4,
        solid_capstyle="butt",
        path_effects=_outlined(7.0),
    )
    axis.text(
        0.04,
        0.08,
        f"{nanometres:g} nm",
        transform=axis.transAxes,
        color="white",
        fontsize=11,
        path_effects=_outlined(3.0),
    )


def _outlined(linewidth: float) -> list[AbstractPathEffect]:
    """Return the effect that keeps white readable on white."""
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=linewidth, foreground="black")]


def _middle_square(image: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the middle of an image; what is beside it comes from beyond the volume."""
    side = min(image.shape)
    top, left = ((size - side) // 2 for size in image.shape)
    return image[top : top + side, left : left + side]


def _draw_spectrum(axis: Axes, panel: SpectrumPanel) -> None:
    """Draw the logarithm of the power, and rings where theory has its first zeros."""
    from matplotlib.patches import Circle

    power = np.log10(_power(panel.image) + 1e-12)
    nyquist = 0.5 / panel.pixel_size_angstrom
    low, high = np.percentile(power, _DB_RANGE)
    axis.imshow(
        power,
        cmap="gray",
        vmin=low,
        vmax=max(high, low + 1e-6),
        extent=(-nyquist, nyquist, nyquist, -nyquist),
        aspect="equal",
        interpolation="nearest",
    )
    for zero in panel.ctf.zeros(nyquist)[:3]:
        axis.add_patch(Circle((0, 0), zero, fill=False, edgecolor=_ZERO_COLOUR, linewidth=1.2, linestyle=":"))
    _bare(axis, "power spectrum and the CTF's first zeros")


def _draw_radial(axis: Axes, panel: SpectrumPanel) -> None:
    frequencies, power = radial_power(panel.image, panel.pixel_size_angstrom)
    (measured,) = axis.semilogy(frequencies[1:], power[1:], color="black", linewidth=1.4)
    zeros = panel.ctf.zeros(float(frequencies[-1]))
    lines = [axis.axvline(zero, color=_ZERO_COLOUR, linewidth=1.2, linestyle=":") for zero in zeros]
    theory = axis.twinx()
    (expected,) = theory.plot(frequencies, panel.ctf.at(frequencies) ** 2, color="#1f83c9", linewidth=1.1)
    # The theory takes the lower quarter, so that the two curves seldom cross.
    theory.set_ylim(0, 4)
    theory.set_yticks([])
    axis.set_xlim(0, float(frequencies[-1]))
    axis.set_xlabel("frequency (1/Å)", fontsize=_FONT_SIZE)
    axis.set_ylabel("power", fontsize=_FONT_SIZE)
    axis.tick_params(labelsize=9)
    names = ["mean power at each frequency", "CTF²", "its zeros"]
    axis.legend([measured, expected, *lines[:1]], names[: 2 + len(lines[:1])], fontsize=9, loc="upper right")


def _show(axis: Axes, image: NDArray[np.floating], title: str) -> None:
    low, high = np.percentile(image, (1, 99))
    if high <= low:
        low, high = float(image.min()), float(image.max()) + 1e-6
    axis.imshow(image, cmap="gray", vmin=low, vmax=high)
    _bare(axis, title)


def _bare(axis: Axes, title: str) -> None:
    axis.set_title(title, fontsize=_FONT_SIZE)
    axis.set_xticks([])
    axis.set_yticks([])


def _title(tomogram: SimulatedTomogram) -> str:
    specimen, spec = tomogram.specimen, tomogram.spec
    size = " x ".join(map(str, specimen.semantic.shape))
    optics = spec.microscope.optics
    return (
        f"{spec.name}, seed {tomogram.seed}: {size} voxels of {specimen.voxel_size_angstrom:g} Å, "
        f"{len(specimen.picks)} particles, slab {fixed(spec.specimen.slab.thickness_nm):.0f} nm, "
        f"defocus {fixed(optics.defocus_um):.1f} µm, {fixed(spec.microscope.exposure.total_dose):.0f} e/Å², "
        f"{spec.path} path"
    )
