"""Tilt images of a handed set of beads, drawn by the formulas of the other programs, pixel by pixel."""

from __future__ import annotations

from pathlib import Path

import mrcfile
import numpy as np

ANGLES_DEG = np.arange(-60.0, 61.0, 4.0)
RNG = np.random.default_rng(11)
SHIFTS_PX = RNG.uniform(-4, 4, (len(ANGLES_DEG), 2))
"""Shift of each tilt in unbinned pixels (x, y)."""
TURN_DEG = 5.0

BEADS_XYZ = np.array([[14 * np.cos(t), 14 * np.sin(t), 4.5 * k - 11] for k, t in enumerate(np.arange(6) * np.pi / 3)])
"""A right-handed helix, in binned voxels from the volume's centre."""


def rotation(degrees):
    a = np.radians(degrees)
    return np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])


def draw(places_xy, shape, sigma):
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = np.zeros(shape, np.float32)
    for place in places_xy:
        image += np.exp(-0.5 * ((x - place[0]) ** 2 + (y - place[1]) ** 2) / sigma**2).astype(np.float32)
    return image


def imod_images(shape, binning):
    """IMOD: u = x cos t + z sin t; aligned = A (raw - middle) + d, middle = (size - 1) / 2."""
    matrix = rotation(TURN_DEG)
    middle = (np.array(shape[::-1]) - 1) / 2
    images = []
    for angle, shift in zip(np.radians(ANGLES_DEG), SHIFTS_PX, strict=True):
        x, y, z = BEADS_XYZ.T * binning
        aligned = np.stack([x * np.cos(angle) + z * np.sin(angle), y], axis=1)
        raw = np.linalg.solve(matrix, (aligned - shift).T).T + middle
        images.append(draw(raw, shape, 2.0 * binning))
    return np.array(images)


def warp_images(shape, binning, pixel_size):
    """Warp: image = R(axis angle) (x cos t - z sin t, y) + offset + size / 2; offsets are the shifts in Å."""
    images = []
    for angle, offset in zip(np.radians(ANGLES_DEG), SHIFTS_PX * pixel_size, strict=True):
        x, y, z = BEADS_XYZ.T * binning * pixel_size
        flat = np.stack([x * np.cos(angle) - z * np.sin(angle), y])
        raw = (rotation(TURN_DEG) @ flat).T + offset
        images.append(draw(raw / pixel_size + np.array(shape[::-1]) / 2, shape, 2.0 * binning))
    return np.array(images)


def write_stack(path: Path, images, pixel_size: float | None) -> Path:
    with mrcfile.new(path, data=images.astype(np.float32), overwrite=True) as file:
        if pixel_size is not None:
            file.voxel_size = pixel_size
    return path


def write_imod(folder: Path) -> tuple[Path, Path]:
    tlt, xf = folder / "S.tlt", folder / "S.xf"
    tlt.write_text("".join(f"{angle:8.2f}\n" for angle in ANGLES_DEG))
    numbers = rotation(TURN_DEG).ravel()
    xf.write_text(
        "".join(" ".join(f"{v:12.7f}" for v in numbers) + f" {x:11.3f} {y:11.3f}\n" for x, y in SHIFTS_PX.round(3))
    )
    return tlt, xf


def write_warp(path: Path, pixel_size: float, inverted: bool = False, angles=ANGLES_DEG) -> Path:
    offsets = SHIFTS_PX[: len(angles)] * pixel_size

    def column(name, values):
        return f"<{name}>" + "\n".join(str(value) for value in values) + f"</{name}>"

    parts = [
        column("Angles", angles),
        column("Dose", 3.0 * np.arange(len(angles))),
        column("UseTilt", ["True"] * len(angles)),
        column("AxisAngle", [TURN_DEG] * len(angles)),
        column("AxisOffsetX", offsets[:, 0]),
        column("AxisOffsetY", offsets[:, 1]),
    ]
    head = f'<?xml version="1.0" encoding="utf-8"?>\n<TiltSeries AreAnglesInverted="{inverted}">'
    path.write_text(head + "".join(parts) + "</TiltSeries>", encoding="utf-8-sig")
    return path


def write_tomostar(path: Path, pixel_size: float, leave_out: tuple[str, ...] = ()) -> Path:
    """Warp's own order of columns, tabs and padding included."""
    offsets = SHIFTS_PX * pixel_size
    columns = {
        "wrpMovieName": [f"../frames/tilt_{number:02}.mrc" for number in range(len(ANGLES_DEG))],
        "wrpAngleTilt": ANGLES_DEG,
        "wrpAxisAngle": [TURN_DEG] * len(ANGLES_DEG),
        "wrpDose": 3.0 * np.arange(len(ANGLES_DEG)),
        "wrpAverageIntensity": [3.721] * len(ANGLES_DEG),
        "wrpMaskedFraction": [0.0] * len(ANGLES_DEG),
        "wrpAxisOffsetX": offsets[:, 0],
        "wrpAxisOffsetY": offsets[:, 1],
    }
    kept = [name for name in columns if name not in leave_out]
    head = "\ndata_\n\nloop_\n" + "".join(f"_{name} #{number}\n" for number, name in enumerate(kept, start=1))
    rows = zip(*(columns[name] for name in kept), strict=True)
    path.write_text(head + "".join("  " + "\t ".join(map(str, row)) + "  \n" for row in rows))
    return path


def bead_errors(volume, beads_xyz=BEADS_XYZ):
    """Return how far in voxels the peak nearest to each bead lies from it."""
    centre = np.array([size // 2 for size in volume.shape])
    errors = []
    for bead in beads_xyz:
        place = centre + bead[::-1]
        corner = np.rint(place).astype(int) - 3
        window = volume[tuple(slice(c, c + 7) for c in corner)]
        peak = np.array(np.unravel_index(window.argmax(), window.shape))
        if ((peak == 0) | (peak == 6)).any():
            errors.append(np.inf)
            continue
        offset = []
        for axis in range(3):
            line = np.moveaxis(window, axis, -1)[tuple(np.delete(peak, axis))]
            low, mid, high = line[peak[axis] - 1 : peak[axis] + 2]
            offset.append(0.5 * (low - high) / (low - 2 * mid + high))
        errors.append(float(np.linalg.norm(corner + peak + offset - place)))
    return np.array(errors)
