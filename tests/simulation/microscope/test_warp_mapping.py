"""The projection geometry of this project explains where C# Warp puts points in a tilt series that M refined."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import starfile
from scipy.interpolate import CubicSpline

from cryosiam.tomography.projection import project

DATA = Path(__file__).resolve().parents[4] / "shared" / "data" / "tilt_series" / "warp_TS_1"
pytestmark = pytest.mark.skipif(not DATA.exists(), reason=f"no shared data at {DATA}")
PIXEL_SIZE_ANGSTROM = 0.834


def about_z(degrees):
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def about_y(degrees):
    """``x' = x cos + z sin``: our projection is the x and y of a point turned by this."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def about_x(degrees):
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


class Warp:
    def __init__(self):
        self.root = ElementTree.parse(DATA / "TS_1.xml").getroot()
        self.tilts, self.axes = self.column("Angles"), self.column("AxisAngle")
        self.offsets = np.stack([self.column("AxisOffsetX"), self.column("AxisOffsetY")], axis=1)
        self.level_x, self.level_y = (float(self.root.get(f"LevelAngle{axis}")) for axis in "XY")
        self.image_size = np.array([float(part) for part in self.root.get("ImageDimensionsAngstrom").split(",")])
        tables = starfile.read(DATA / "TS_1.star")
        self.points = tables["points"].to_numpy(float)[:, -3:]
        self.mappings = tables["mappings"].sort_values(["tiltID", "pointID"])

    def column(self, name):
        return np.array(self.root.find(name).text.split(), float)

    def grid(self, name):
        node = self.root.find(name)
        values = np.zeros([int(node.get(key)) for key in ("Depth", "Height", "Width")])
        for item in node.iterfind("Node"):
            values[int(item.get("Z")), int(item.get("Y")), int(item.get("X"))] = float(item.get("Value"))
        return values

    def movement(self, name, tilt, positions):
        """Natural cubic splines through the nodes, the first and the last at the edges of the image."""
        values = self.grid(name)[tilt]
        x, y = (positions / self.image_size + 0.5).T
        rows = CubicSpline(np.linspace(0, 1, values.shape[1]), values, axis=1, bc_type="natural")(x)
        columns = CubicSpline(np.linspace(0, 1, values.shape[0]), rows, axis=0, bc_type="natural")(y)
        return np.diagonal(columns)

    def turned(self, sign=-1.0, levelled=True):
        """All points in the frame of each image before it is moved: ``(tilt, point, xyz)``."""
        level = about_y(-self.level_y) @ about_x(self.level_x) if levelled else np.eye(3)
        return np.stack(
            [
                self.points @ (about_z(axis) @ about_y(sign * tilt) @ level).T
                for tilt, axis in zip(self.tilts, self.axes, strict=True)
            ]
        )

    def images(self, moved=True, **options):
        found = self.turned(**options)[:, :, :2] + self.offsets[:, None]
        if moved:
            for tilt, positions in enumerate(found):
                shifts = [self.movement(f"GridMovement{axis}", tilt, positions) for axis in "XY"]
                found[tilt] = positions - np.stack(shifts, axis=1)
        return found

    def errors_px(self, **options):
        expected = self.mappings.iloc[:, 2:4].to_numpy(float).reshape(len(self.tilts), len(self.points), 2)
        return np.abs(self.images(**options) - expected).max() / PIXEL_SIZE_ANGSTROM


def test_all_mappings_are_explained():
    """Our rule with the tilts of the XML negated, the volume levelled first; nothing is left over but float32."""
    warp = Warp()
    assert len(warp.mappings) == 1107
    assert warp.errors_px() < 0.001
    # Each part matters: the hand, the level angles, the local movements (magnification and angle grids do not enter).
    assert warp.errors_px(sign=1.0) > 100
    assert warp.errors_px(levelled=False) > 10
    assert warp.errors_px(moved=False) > 5


def test_defocus_falls_with_the_height_of_a_point_as_in_our_frame():
    """Angles as written belong to our rule with z mirrored; there 1 Å of height takes 1 Å off the underfocus.

    Of the middle plane, whose height is ``-u tan(t)``, the right side at positive tilt is the more underfocused.
    """
    warp = Warp()
    level = about_y(-warp.level_y) @ about_x(warp.level_x)
    ours = warp.points @ level.T * [1, 1, -1]
    turned = np.stack([ours @ about_y(tilt).T for tilt in warp.tilts])
    in_images = warp.turned()[:, :, :2]
    unturned = np.stack([xy @ about_z(axis)[:2, :2] for xy, axis in zip(in_images, warp.axes, strict=True)])
    assert turned[:, :, :2] == pytest.approx(unturned, abs=1e-9)
    measured = warp.mappings[["defocusU", "defocusV"]].to_numpy(float).mean(axis=1).reshape(turned.shape[:2])
    mean = warp.grid("GridCTF")[:, 0, 0] * 1e4
    assert measured - mean[:, None] == pytest.approx(-turned[:, :, 2], abs=0.1)


def test_the_projector_draws_points_where_the_rule_says():
    """Beads at three places through every tilt of the series, the projector against the rule: 0.05 pixel."""
    tilts = -Warp().tilts[::4]
    volume = np.zeros((33, 9, 49), np.float32)
    z, y, x = np.mgrid[:33, :9, :49]
    beads = np.array([[-11.0, 0.0, 6.0], [9.0, 0.0, -8.0], [0.0, 0.0, 0.0]])
    for bead in beads:
        distance = (x - 24 - bead[0]) ** 2 + (y - 4) ** 2 + (z - 16 - bead[2]) ** 2
        volume[:] = np.exp(-distance / (2 * 1.5**2))
        images = project(volume, tilts)
        profile = images.sum(axis=1)
        centres = (profile * (np.arange(49) - 24)).sum(axis=1) / profile.sum(axis=1)
        expected = np.array([(about_y(tilt) @ bead)[0] for tilt in tilts])
        assert centres == pytest.approx(expected, abs=0.05)
