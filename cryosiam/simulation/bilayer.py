"""The density across a lipid bilayer, and its drawing about a surface."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numba import njit
from scipy import optimize

from cryosiam.simulation.canvas import CLASS_INDEX

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cryosiam.simulation.canvas import Canvas

HEAD_DENSITY: Final = 1.15
"""Density of a head-group layer at its middle, bulk protein = 1."""
TAIL_DENSITY: Final = 0.3
"""Density of the lipid tails."""

_TAIL_PLACE: Final = 0.47
_TAIL_WIDTH: Final = 0.32
_EDGE_WIDTHS: Final = 2.0
_REACH_WIDTHS: Final = 3.3
_TABLE_STEP_ANGSTROM: Final = 0.25


@dataclass(frozen=True)
class Bilayer:
    """The density of a lipid bilayer, bulk protein = 1, over the distance from its middle.

    Scattering factors at zero angle (Peng et al., Acta Cryst. A52, 257, 1996) over the volumes of the parts of fluid
    phosphatidylcholine (Nagle and Tristram-Nagle, BBA 1469, 159, 2000) give contrasts over ice of 1.2 for head groups,
    0.5 for methylene and -0.3 for terminal methyl. Water among the head groups and the disorder of the chains take
    them to 1.15 at the heads and 0.3 half way to the middle, less in the middle itself.

    Parameters
    ----------
    thickness_angstrom
        Distance of the two maxima.
    leaflet_width_angstrom
        Standard deviation of a head-group layer.
    blur_angstrom
        Standard deviation of a Gaussian that limits the density to the voxel size. The maxima stay where they are,
        as long as it does not merge them.
    """

    thickness_angstrom: float
    leaflet_width_angstrom: float
    blur_angstrom: float = 0.0

    @property
    def half_width_angstrom(self) -> float:
        """Distance from the middle up to which voxels count as membrane: where the head groups end."""
        return self.thickness_angstrom / 2 + _EDGE_WIDTHS * self.leaflet_width_angstrom

    @property
    def reach_angstrom(self) -> float:
        """Distance from the middle beyond which the density is negligible."""
        return self.thickness_angstrom / 2 + _REACH_WIDTHS * self._blurred(self.leaflet_width_angstrom)

    def profile(self, distance_angstrom: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return the density at distances (Å) from the middle."""
        half = self.thickness_angstrom / 2
        heads, tails = self._blurred(self.leaflet_width_angstrom), self._blurred(_TAIL_WIDTH * half)
        head_height = HEAD_DENSITY * self.leaflet_width_angstrom / heads
        tail_layers = (TAIL_DENSITY * _TAIL_WIDTH * half / tails, _TAIL_PLACE * half, tails)

        def slope_at_maximum(place: float) -> float:
            return _layers_slope(half, head_height, place, heads) + _layers_slope(half, *tail_layers)

        # Tails pull the maxima inwards, so the heads are put further out until the maxima are where they belong.
        resolved = slope_at_maximum(half + heads) > 0
        place = float(optimize.brentq(slope_at_maximum, half, half + heads)) if resolved else half
        d = np.asarray(distance_angstrom, np.float64)
        density = _layers(d, head_height, place, heads) + _layers(d, *tail_layers)
        return density.astype(np.float32)

    def _blurred(self, width_angstrom: float) -> float:
        return float(np.hypot(width_angstrom, self.blur_angstrom))


def draw_bilayer(
    canvas: Canvas,
    bilayer: Bilayer,
    corner_zyx: NDArray[np.int64],
    shape_zyx: NDArray[np.int64],
    nodes: NDArray[np.float32],
    step: int,
    scaffold_id: int,
) -> None:
    """Draw a bilayer in a box of the canvas: density within the sample, and labels where nothing else is.

    Parameters
    ----------
    canvas
        Drawn on.
    bilayer
        Its density.
    corner_zyx, shape_zyx
        Box in voxels.
    nodes, step
        Distances from the middle, from :meth:`Surface.distances_on_nodes`.
    scaffold_id
        Label in :attr:`Canvas.scaffold`.
    """
    reach = bilayer.reach_angstrom
    table = bilayer.profile(np.arange(0, reach + 2 * _TABLE_STEP_ANGSTROM, _TABLE_STEP_ANGSTROM))
    box = tuple(slice(int(c), int(c + n)) for c, n in zip(corner_zyx, shape_zyx, strict=True))
    _draw(
        canvas.density[box],
        canvas.semantic[box],
        canvas.scaffold[box],
        canvas.sample[box],
        nodes,
        _cubic_weights(step),
        table,
        reach,
        bilayer.half_width_angstrom,
        CLASS_INDEX["membrane"],
        scaffold_id,
    )


def distances_in_box(
    shape_zyx: NDArray[np.int64], nodes: NDArray[np.float32], step: int, reach_angstrom: float
) -> NDArray[np.float32]:
    """Return the distance of every voxel of a box from its nodes, cut to ``reach_angstrom`` (z, y, x)."""
    distances = np.empty([int(n) for n in shape_zyx], np.float32)
    _interpolate(distances, nodes, _cubic_weights(step))
    return np.clip(distances, -reach_angstrom, reach_angstrom, out=distances)


def _layers(d: NDArray[np.float64], height: float, place: float, width: float) -> NDArray[np.float64]:
    """Return a pair of Gaussian layers at ``-place`` and ``place``."""
    both: NDArray[np.float64] = np.exp(-0.5 * ((d - place) / width) ** 2) + np.exp(-0.5 * ((d + place) / width) ** 2)
    return height * both


def _layers_slope(d: float, height: float, place: float, width: float) -> float:
    """Return the derivative of :func:`_layers`."""
    slope = 0.0
    for one in (place, -place):
        slope -= height * (d - one) / width**2 * float(np.exp(-0.5 * ((d - one) / width) ** 2))
    return slope


def _cubic_weights(step: int) -> NDArray[np.float32]:
    """Return Keys' weights (IEEE Trans. ASSP 29, 1153, 1981) of four nodes, for each voxel between two of them."""
    t = np.arange(step)[:, None] / step - np.array([-1.0, 0.0, 1.0, 2.0])
    near, far = np.abs(t) <= 1, np.abs(t) < 2
    inner = 1.5 * np.abs(t) ** 3 - 2.5 * t**2 + 1
    outer = -0.5 * np.abs(t) ** 3 + 2.5 * t**2 - 4 * np.abs(t) + 2
    return np.where(near, inner, np.where(far, outer, 0)).astype(np.float32)


@njit(cache=True, nogil=True)
def _row(row: NDArray[np.float32], nodes: NDArray[np.float32], weights: NDArray[np.float32], iz: int, iy: int) -> None:
    """Interpolate the nodes along z and y onto a row of nodes along x."""
    step = len(weights)
    first_z, first_y = iz // step, iy // step
    row[:] = 0
    for kz in range(4):
        for ky in range(4):
            weight = weights[iz % step, kz] * weights[iy % step, ky]
            if weight != 0:
                source = nodes[first_z + kz, first_y + ky]
                for k in range(len(row)):
                    row[k] += weight * source[k]


@njit(cache=True, nogil=True)
def _interpolate(distances: NDArray[np.float32], nodes: NDArray[np.float32], weights: NDArray[np.float32]) -> None:
    step = len(weights)
    row = np.empty(nodes.shape[2], np.float32)
    for iz in range(distances.shape[0]):
        for iy in range(distances.shape[1]):
            _row(row, nodes, weights, iz, iy)
            for ix in range(distances.shape[2]):
                first, weight = ix // step, weights[ix % step]
                distances[iz, iy, ix] = (
                    weight[0] * row[first]
                    + weight[1] * row[first + 1]
                    + weight[2] * row[first + 2]
                    + weight[3] * row[first + 3]
                )


@njit(cache=True, nogil=True)
def _draw(
    density: NDArray[np.float32],
    semantic: NDArray[np.uint8],
    scaffold: NDArray[np.uint16],
    sample: NDArray[np.bool_],
    nodes: NDArray[np.float32],
    weights: NDArray[np.float32],
    table: NDArray[np.float32],
    reach: float,
    half_width: float,
    class_index: int,
    scaffold_id: int,
) -> None:
    step = len(weights)
    row = np.empty(nodes.shape[2], np.float32)
    for iz in range(density.shape[0]):
        for iy in range(density.shape[1]):
            _row(row, nodes, weights, iz, iy)
            for ix in range(density.shape[2]):
                if not sample[iz, iy, ix]:
                    continue
                first, weight = ix // step, weights[ix % step]
                d = abs(
                    weight[0] * row[first]
                    + weight[1] * row[first + 1]
                    + weight[2] * row[first + 2]
                    + weight[3] * row[first + 3]
                )
                if d >= reach:
                    continue
                place = d / _TABLE_STEP_ANGSTROM
                low = int(place)
                density[iz, iy, ix] += table[low] + (place - low) * (table[low + 1] - table[low])
                if d <= half_width and semantic[iz, iy, ix] == 0:
                    semantic[iz, iy, ix] = class_index
                    scaffold[iz, iy, ix] = scaffold_id
