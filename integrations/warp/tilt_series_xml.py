"""Warp's tilt-series XML, also as M refined it.

Warp draws a point (x, y, z in Å from the volume's centre) at

``image = R(a) @ (x cos(t) - z sin(t), y) + AxisOffset - GridMovement``

from the image's centre, with ``a`` the AxisAngle and ``t`` the angle as it is written. The sign before ``z`` is
the opposite of IMOD's, so with our rule ``u = x cos(t) + z sin(t)`` the angles of a Warp XML are to be inverted,
and a tomogram from the same angles in an ``.xf`` alignment is the mirror image. ``AreAnglesInverted`` does not
change this: in Warp it turns the sign of the defocus slope only, by which the specimen itself has the other
hand. The test compares with positions that Warp computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree

import numpy as np

from cryosiam.domain import TiltAlignment
from cryosiam.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path
    from xml.etree.ElementTree import Element

    from numpy.typing import NDArray


TILT_SERIES_TAG: Final = "TiltSeries"


@dataclass(frozen=True)
class WarpTiltSeries:
    """What a Warp XML says of a tilt series.

    Parameters
    ----------
    tilt_angles_deg, axis_angles_deg
        ``(n,)`` tilt angle as written, and direction of the tilt axis.
    axis_offsets_angstrom
        ``(n, 2)`` (x, y): AxisOffset less the image movement at the image's centre.
    used
        ``(n,)`` False for tilts that the user left out.
    exposures_e_per_a2
        ``(n,)`` accumulated dose, or None.
    defocus_um
        ``(n,)`` defocus, positive for underfocus, or None.
    defocus_slope_inverted
        AreAnglesInverted: the defocus falls with rising z where it would rise.
    ignored
        Names of refined parameters that are not zero and that we do not model.
    """

    tilt_angles_deg: NDArray[np.float64]
    axis_angles_deg: NDArray[np.float64]
    axis_offsets_angstrom: NDArray[np.float64]
    used: NDArray[np.bool_]
    exposures_e_per_a2: NDArray[np.float64] | None
    defocus_um: NDArray[np.float64] | None
    defocus_slope_inverted: bool
    ignored: tuple[str, ...]

    def alignment(self, image_shape_yx: tuple[int, int], image_pixel_size_angstrom: float) -> TiltAlignment:
        """Return the alignment for images of that size; Warp's centre is ``size / 2``, ours ``size // 2``."""
        angles = np.radians(self.axis_angles_deg)
        cosines, sines = np.cos(angles), np.sin(angles)
        matrices = np.stack([np.stack([cosines, sines], -1), np.stack([-sines, cosines], -1)], axis=1)
        height, width = image_shape_yx
        to_our_centre = np.array([width // 2 - width / 2, height // 2 - height / 2]) * image_pixel_size_angstrom
        offsets = self.axis_offsets_angstrom - to_our_centre
        shifts = -(matrices @ offsets[:, :, None])[:, :, 0]
        return TiltAlignment(self.tilt_angles_deg, matrices, shifts, angles_inverted=True)


def read_warp_xml(path: Path) -> WarpTiltSeries:
    """Read a tilt-series XML of Warp or M.

    Raises
    ------
    InputError
        If the file is missing, is no tilt-series XML, has no tilts, or its columns differ in length.
    """
    root = xml_root(path)
    if root.tag != TILT_SERIES_TAG:
        raise InputError(f"{path} is a <{root.tag}>, not a <{TILT_SERIES_TAG}>; give the XML of the tilt series")
    try:
        return _parsed(root, path)
    except (ValueError, IndexError) as error:
        raise InputError(f"{path} has a damaged grid or number ({error}); write the file again") from error


def _parsed(root: Element, path: Path) -> WarpTiltSeries:
    angles = _column(root, "Angles", path)
    if angles is None:
        raise InputError(f"{path} has no tilts (no <Angles>); give the XML of an aligned tilt series")
    count = len(angles)
    columns = {name: _column(root, name, path) for name in ("AxisAngle", "AxisOffsetX", "AxisOffsetY", "Dose")}
    for name, values in columns.items():
        if values is None and name != "Dose":
            raise InputError(f"{path} has no <{name}>; give the XML of an aligned tilt series")
        if values is not None and len(values) != count:
            raise InputError(f"{path} has {count} tilt angles but {len(values)} values of <{name}>")
    offsets = np.stack([_present(columns["AxisOffsetX"]), _present(columns["AxisOffsetY"])], axis=1)
    movement = np.stack([_at_image_centre(root, f"GridMovement{axis}", count) for axis in "XY"], axis=1)
    used = (root.findtext("UseTilt") or "").split()
    return WarpTiltSeries(
        tilt_angles_deg=angles,
        axis_angles_deg=_present(columns["AxisAngle"]),
        axis_offsets_angstrom=offsets - movement,
        used=np.array([word.lower() != "false" for word in used]) if len(used) == count else np.ones(count, bool),
        exposures_e_per_a2=columns["Dose"],
        defocus_um=_at_image_centre(root, "GridCTF", count) if root.find("GridCTF") is not None else None,
        defocus_slope_inverted=root.get("AreAnglesInverted", "False").lower() == "true",
        ignored=_ignored(root),
    )


def xml_root(path: Path) -> Element:
    """Return the root of an XML file.

    Raises
    ------
    InputError
        If the file is missing or is not whole XML.
    """
    try:
        return ElementTree.parse(path).getroot()
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; give the XML that Warp wrote for the tilt series") from error
    except (OSError, ElementTree.ParseError) as error:
        raise InputError(f"{path} is not a whole XML file ({error}); copy it again") from error


def _column(root: Element, name: str, path: Path) -> NDArray[np.float64] | None:
    words = (root.findtext(name) or "").split()
    if not words:
        return None
    try:
        values = np.array([float(word) for word in words])
    except ValueError as error:
        raise InputError(f"<{name}> of {path} holds something that is no number; write the file again") from error
    if not np.isfinite(values).all():
        raise InputError(f"<{name}> of {path} holds a value that is not finite; align that tilt again")
    return values


def _present(values: NDArray[np.float64] | None) -> NDArray[np.float64]:
    assert values is not None
    return values


def _at_image_centre(root: Element, name: str, count: int) -> NDArray[np.float64]:
    """Return a grid's value in the middle of the image at each of ``count`` tilts.

    Warp's grids are interpolating natural cubic splines over node positions from 0 to 1 along each axis; the last
    axis is the tilt's number.
    """
    grid = root.find(name)
    if grid is None:
        return np.zeros(count)
    width, height, depth = (int(grid.get(side, "1")) for side in ("Width", "Height", "Depth"))
    values = np.zeros((width, height, depth))
    for node in grid.iter("Node"):
        place = tuple(int(node.get(axis, "0")) for axis in "XYZ")
        values[place] = float(node.get("Value", "0"))
    for _ in range(2):
        values = _spline(values, np.array([0.5]))[0]
    return _spline(values, np.linspace(0, 1, count))


def _spline(values: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Interpolate along the first axis, whose nodes lie evenly from 0 to 1."""
    from scipy.interpolate import CubicSpline

    nodes = len(values)
    if nodes == 1:
        return np.repeat(values, len(points), axis=0)
    return np.asarray(CubicSpline(np.linspace(0, 1, nodes), values, bc_type="natural")(points), np.float64)


def _ignored(root: Element) -> tuple[str, ...]:
    found = []
    for name in ("LevelAngleX", "LevelAngleY"):
        if float(root.get(name, "0")) != 0:
            found.append(name)
    if root.get("MagnificationCorrection", "1, 0, 0, 1").replace(" ", "") != "1,0,0,1":
        found.append("MagnificationCorrection")
    for axis in "XYZ":
        nodes = root.iterfind(f"GridVolumeWarp{axis}/Node")
        if any(float(node.get("Value", "0")) != 0 for node in nodes):
            found.append(f"GridVolumeWarp{axis}")
    return tuple(found)
