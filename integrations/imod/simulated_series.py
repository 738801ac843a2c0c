"""A simulated tilt series in the files that tomography programs start from: MRC, ``.rawtlt``, ``.mdoc`` and ``.xf``."""

from __future__ import annotations

import csv
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import numpy as np

from cryosiam.domain import TiltAlignment
from cryosiam.files import whole_file, write_text_whole
from cryosiam.integrations.imod.transforms import imod_from_alignment
from cryosiam.pipeline.storage import storage_errors

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from cryosiam.simulation.microscope.series import SimulatedTiltSeries
    from cryosiam.simulation.spec import MicroscopeSpec

FIRST_EXPOSURE: Final = datetime(2000, 1, 1)
"""Made-up time of the first exposure; the others follow by the minute, so that files are the same when repeated."""

_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def write_tilt_series(folder: Path, run: str, series: SimulatedTiltSeries, microscope: MicroscopeSpec) -> None:
    """Write a tilt series; all files run along ascending tilt angle, as IMOD wants its stacks.

    ``RUN.mrc`` holds the images (16-bit where all are whole numbers of electrons, else 32-bit real),
    ``RUN_even.mrc`` and ``RUN_odd.mrc`` those of half of the frames each, where there are any, ``RUN.rawtlt`` the
    nominal tilt angles, ``RUN.mdoc`` SerialEM's record, ``RUN.xf`` the true alignment (its shifts and rotations undo
    what the simulation put in), and ``RUN_tilts.csv`` every other truth about each image.

    Parameters
    ----------
    folder
        To write into; it must exist.
    run
        Name of the run.
    series
        What to write.
    microscope
        Voltage for the record.

    Raises
    ------
    StorageError
        If the disk is full or the folder cannot be written.
    """
    with storage_errors("cannot write"):
        _write_stack(folder / f"{run}.mrc", series.images, series.pixel_size_angstrom)
        for name, images in zip(("even", "odd"), series.halves or (), strict=False):
            _write_stack(folder / f"{run}_{name}.mrc", images, series.pixel_size_angstrom)
        angles = "".join(f"{angle:.4f}\n" for angle in series.tilt_angles_deg)
        write_text_whole(folder / f"{run}.rawtlt", angles)
        write_text_whole(folder / f"{run}.mdoc", _mdoc(run, series, microscope.optics.voltage_kv))
        write_text_whole(folder / f"{run}.xf", _transforms(series))
        _write_truth(folder / f"{run}_tilts.csv", series)


def true_alignment(series: SimulatedTiltSeries) -> TiltAlignment:
    """Return the alignment that undoes the errors put into the images.

    A feature at ``p`` from the image's centre was drawn at ``m R p + s``, so the aligned image takes
    ``inverse(m R) (raw - s)``.
    """
    angles = np.radians(series.rotations_deg)
    cosines, sines = np.cos(angles), np.sin(angles)
    turns = np.stack([np.stack([cosines, sines], -1), np.stack([-sines, cosines], -1)], axis=1)
    matrices = turns / series.magnifications[:, None, None]
    shifts = -np.einsum("nij,nj->ni", matrices, series.shifts_angstrom)
    return TiltAlignment(series.tilt_angles_deg, matrices, shifts)


def _write_stack(path: Path, images: NDArray[np.float32], pixel_size_angstrom: float) -> None:
    import mrcfile

    with whole_file(path) as temporary, mrcfile.new_mmap(temporary, images.shape, _mode(images)) as file:
        for stored, image in zip(file.data, images, strict=True):
            stored[...] = image
        file.set_image_stack()
        file.voxel_size = (pixel_size_angstrom, pixel_size_angstrom, 1.0)
        file.update_header_stats()
        # mrcfile notes the time of writing; the same series shall give the same file.
        file.header.label[:] = b""
        file.header.label[0] = b"CryoSiam: simulated tilt series, electrons per pixel"
        file.header.nlabl = 1


def _mode(images: NDArray[np.float32]) -> int:
    """Return MRC's mode: 1 (int16) where that loses nothing, else 2 (float32)."""
    if all(image.min() >= 0 and image.max() <= np.iinfo(np.int16).max and not (image % 1).any() for image in images):
        return 1
    return 2


def _transforms(series: SimulatedTiltSeries) -> str:
    height, width = series.images.shape[1:]
    matrices, shifts = imod_from_alignment(true_alignment(series), series.pixel_size_angstrom, (height, width))
    rows = np.concatenate([matrices.reshape(-1, 4), shifts], axis=1)
    return "".join("".join(f"{value:14.7f}" for value in row) + "\n" for row in rows + 0.0)


def _mdoc(run: str, series: SimulatedTiltSeries, voltage_kv: float) -> str:
    """Return SerialEM's record of the series; the frames named in it are the sections of the stack, split."""
    height, width = series.images.shape[1:]
    mode = _mode(series.images)
    head = [
        f"PixelSpacing = {series.pixel_size_angstrom:g}",
        f"Voltage = {voltage_kv:g}",
        f"ImageFile = {run}.mrc",
        f"ImageSize = {width} {height}",
        f"DataMode = {mode}",
        "",
        "[T = CryoSiam: simulated tilt series]",
        "",
        "[T =     Tilt axis angle = 0.0, binning = 1  spot = 1  camera = 0]",
        "",
    ]
    for section in range(len(series.images)):
        head += _mdoc_section(run, series, section)
    return "\n".join(head) + "\n"


def _mdoc_section(run: str, series: SimulatedTiltSeries, section: int) -> list[str]:
    order = int(series.exposure_index[section])
    image = series.images[section]
    digits = len(str(len(series.images) - 1))
    return [
        f"[ZValue = {section}]",
        f"MinMaxMean = {image.min():.6g} {image.max():.6g} {image.mean(dtype=np.float64):.6g}",
        f"TiltAngle = {series.tilt_angles_deg[section]:.4f}",
        "StagePosition = 0 0",
        f"ExposureDose = {series.dose_per_tilt:.6g}",
        f"PriorRecordDose = {series.prior_dose[section]:.6g}",
        f"PixelSpacing = {series.pixel_size_angstrom:g}",
        f"Defocus = {-series.defocus_um[section]:.5f}",
        f"TargetDefocus = {-series.defocus_um.mean():.5f}",
        "ImageShift = 0 0",
        "RotationAngle = 90",
        "ExposureTime = 1",
        "Binning = 1",
        "CameraIndex = 0",
        "DividedBy2 = 0",
        f"SubFramePath = {run}_{section:0{digits}d}.mrc",
        "NumSubFrames = 1",
        f"DateTime = {_serialem_time(order)}",
        "",
    ]


def _serialem_time(order: int) -> str:
    when = FIRST_EXPOSURE + timedelta(minutes=order)
    # strftime would name the month in the user's language.
    return f"{when.day:02d}-{_MONTHS[when.month - 1]}-{when.year % 100:02d}  {when:%H:%M:%S}"


def _write_truth(path: Path, series: SimulatedTiltSeries) -> None:
    columns = {
        "section": np.arange(len(series.images)),
        "tilt_deg": series.tilt_angles_deg,
        "exposure_index": series.exposure_index,
        "prior_dose": series.prior_dose,
        "dose": np.full(len(series.images), series.dose_per_tilt),
        "defocus_um": series.defocus_um,
        "astigmatism_um": np.full(len(series.images), series.astigmatism_um),
        "astigmatism_deg": np.full(len(series.images), series.astigmatism_deg),
        "phase_shift_deg": series.phase_shift_deg,
        "shift_x_angstrom": series.shifts_angstrom[:, 0],
        "shift_y_angstrom": series.shifts_angstrom[:, 1],
        "rotation_deg": series.rotations_deg,
        "magnification": series.magnifications,
    }
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(columns)
        table.writerows(zip(*(column.tolist() for column in columns.values()), strict=True))
