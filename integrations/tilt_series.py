"""Tilt series from files: a stack with IMOD's or Warp's alignment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cryosiam.domain import TiltAlignment, TiltSeries
from cryosiam.errors import InputError
from cryosiam.integrations.imod.stack import open_stack
from cryosiam.integrations.imod.transforms import alignment_from_imod, read_tilt_angles, read_transforms
from cryosiam.integrations.warp.tilt_series_xml import read_warp_xml
from cryosiam.integrations.warp.tomostar import ENDING, read_tomostar

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class TiltSeriesFiles:
    """Files that make up a tilt series.

    Parameters
    ----------
    stack
        Tilt images, an MRC file.
    tilt
        ``.tlt`` or ``.rawtlt``; needed without ``warp_xml``.
    xf
        IMOD's transforms; without them and without ``warp_xml`` the stack counts as aligned, tilt axis along y.
    warp_xml
        Warp's or M's XML, or the ``.tomostar`` of a tilt series that has none yet, in place of ``tilt`` and ``xf``.
    pixel_size_angstrom
        Of the stack; by default that of its header.
    xf_pixel_size_angstrom
        Of the stack that ``xf`` was made for, whose pixels its shifts count; by default that of ``stack``.
    """

    stack: Path
    tilt: Path | None = None
    xf: Path | None = None
    warp_xml: Path | None = None
    pixel_size_angstrom: float | None = None
    xf_pixel_size_angstrom: float | None = None


def load_tilt_series(run: str, files: TiltSeriesFiles) -> tuple[TiltSeries, list[str]]:
    """Open a tilt series; its images stay on disk.

    Returns
    -------
    tuple
        The tilt series, and sentences about it that the user should read.

    Raises
    ------
    InputError
        If a file is missing or damaged, the numbers of tilts differ, or the pixel size is not known.
    """
    images, header_pixel_size = open_stack(files.stack)
    pixel_size = _pixel_size(files, header_pixel_size)
    if files.warp_xml is not None:
        if files.xf is not None or files.tilt is not None:
            raise InputError("--warp-xml brings its own angles and shifts; leave out --tilt and --xf")
        return _with_warp(run, files.stack, files.warp_xml, images, pixel_size)
    if files.tilt is None:
        raise InputError(f"{files.stack} has no tilt angles; give them with --tilt, or the alignment with --warp-xml")
    angles_deg = read_tilt_angles(files.tilt)
    _same_number(len(images), files.stack, len(angles_deg), f"angles in {files.tilt}")
    if files.xf is None:
        identity = np.broadcast_to(np.eye(2), (len(images), 2, 2))
        alignment = TiltAlignment(angles_deg, identity, np.zeros((len(images), 2)))
        return TiltSeries(run, images, pixel_size, alignment), [
            "no --xf or --warp-xml: the images count as aligned, with the tilt axis along y"
        ]
    matrices, shifts_px = read_transforms(files.xf)
    _same_number(len(images), files.stack, len(matrices), f"transforms in {files.xf}")
    xf_pixel_size = _positive(files.xf_pixel_size_angstrom, "--xf-pixel-size") or pixel_size
    shape = (images.shape[1], images.shape[2])
    alignment = alignment_from_imod(angles_deg, matrices, shifts_px, xf_pixel_size, shape, pixel_size)
    return TiltSeries(run, images, pixel_size, alignment), []


def _with_warp(
    run: str, stack: Path, path: Path, images: NDArray[np.generic], pixel_size: float
) -> tuple[TiltSeries, list[str]]:
    warp = read_tomostar(path).tilt_series if path.suffix == ENDING else read_warp_xml(path)
    used = np.flatnonzero(warp.used)
    alignment = warp.alignment((images.shape[1], images.shape[2]), pixel_size)
    alignment = TiltAlignment(
        alignment.tilt_angles_deg[used],
        alignment.matrices[used],
        alignment.shifts_angstrom[used],
        alignment.angles_inverted,
    )
    if len(images) != len(used):
        _same_number(len(images), stack, len(warp.used), f"tilts in {path}")
        images = images[used]
    notes = []
    if len(used) < len(warp.used):
        notes.append(f"{len(warp.used) - len(used)} of {len(warp.used)} tilts are left out, as {path} says")
    if warp.defocus_slope_inverted:
        notes.append(
            f"{path} says AreAnglesInverted: by the defocus gradient the specimen has the other hand than Warp's "
            "tomogram, which is the one made here; --keep-angles makes the mirror image"
        )
    if warp.ignored:
        notes.append(
            f"{', '.join(warp.ignored)} of {path} are not applied; expect small shifts against Warp's tomogram"
        )
    exposures, defocus = warp.exposures_e_per_a2, warp.defocus_um
    series = TiltSeries(
        run,
        images,
        pixel_size,
        alignment,
        None if exposures is None else exposures[used],
        None if defocus is None else defocus[used],
    )
    return series, notes


def _pixel_size(files: TiltSeriesFiles, header_pixel_size: float | None) -> float:
    pixel_size = _positive(files.pixel_size_angstrom, "--pixel-size") or header_pixel_size
    if pixel_size is None:
        raise InputError(f"{files.stack} has no pixel size in its header; give it with --pixel-size")
    return pixel_size


def _positive(value: float | None, option: str) -> float | None:
    if value is not None and not (np.isfinite(value) and value > 0):
        raise InputError(f"{option} must be a positive number of Å, not {value:g}")
    return value


def _same_number(images: int, stack: Path, others: int, what: str) -> None:
    if images != others:
        raise InputError(
            f"{stack} has {images} images but there are {others} {what}; give files of the same tilt series"
        )
