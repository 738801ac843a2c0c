"""Point group of a density map, from rotations about its principal axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from cryosiam.simulation.species import MASK_THRESHOLD, UNKNOWN_SYMMETRY

if TYPE_CHECKING:
    from numpy.typing import NDArray

_EDGE_VOXELS: Final = 33
_HIGHEST_FOLD: Final = 8
_TURNS_TO_AVERAGE: Final = 24
_ALIKE: Final = 0.85
_ALIKE_TURNED_OVER: Final = 0.975
_UNEVEN_POWER: Final = 0.002
_FEWEST_VOXELS: Final = 500
_ROUND: Final = 0.9
_DISTINCT: Final = 0.04
_STEP_DEG: Final = 3.0


def point_group_of_density(density: NDArray[np.float32]) -> str:
    """Find the point group of a density in a cube.

    An axis of three or more folds is a principal axis of the density, and so is a two-fold one, unless the density
    is round about another. Each principal axis is tried: the density less its average around the axis is compared with
    itself turned. Cubic groups leave no axis distinct; they, and all that is nearly as round, stay ``unknown``.

    Parameters
    ----------
    density
        ``(n, n, n)``, centred.

    Returns
    -------
    str
        ``C1``, ``C2``, ``D7`` and the like up to eight folds; ``unknown`` also for particles of few voxels.
    """
    small = _shrunk(density)
    centre = np.array(ndimage.center_of_mass(small))
    places = np.argwhere(small > 0) - centre
    weights = small[small > 0]
    if len(weights) == 0 or np.count_nonzero(small > MASK_THRESHOLD) < _FEWEST_VOXELS:
        return UNKNOWN_SYMMETRY
    moments, axes = np.linalg.eigh((places * weights[:, None]).T @ places / weights.sum())
    moments = moments / moments.max()
    if moments[0] > _ROUND:
        return UNKNOWN_SYMMETRY
    folds = [_fold_about(small, centre, axes[:, index]) for index in range(3)]
    main = int(np.argmax(folds))
    if folds[main] == 0:
        return UNKNOWN_SYMMETRY
    if folds[main] == 1:
        # Where two moments agree, their axes are arbitrary, and a two-fold one could lie between them.
        return "C1" if min(moments[1] - moments[0], moments[2] - moments[1]) > _DISTINCT else UNKNOWN_SYMMETRY
    others = [index for index in range(3) if index != main]
    dihedral = _has_perpendicular_twofold(small, centre, axes[:, others[0]], axes[:, main], folds[main])
    return f"{'D' if dihedral else 'C'}{folds[main]}"


def _shrunk(density: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the positive part on a grid small enough for many rotations."""
    positive = np.clip(density, 0, None).astype(np.float32)
    factor = max(1.0, density.shape[0] / _EDGE_VOXELS)
    smooth: NDArray[np.float32] = ndimage.gaussian_filter(positive, 0.5 * factor)
    return ndimage.zoom(smooth, 1 / factor, order=1) if factor > 1 else smooth


def _turned(
    density: NDArray[np.float32], centre: NDArray[np.float64], axis: NDArray[np.float64], angle: float
) -> NDArray[np.float32]:
    matrix = Rotation.from_rotvec(axis * angle).as_matrix()
    out: NDArray[np.float32] = ndimage.affine_transform(density, matrix, offset=centre - matrix @ centre, order=1)
    return out


def _fold_about(density: NDArray[np.float32], centre: NDArray[np.float64], axis: NDArray[np.float64]) -> int:
    """Return the highest fold of an axis, 1 for none, 0 where the density is round about it."""
    turns = [_turned(density, centre, axis, 2 * np.pi * k / _TURNS_TO_AVERAGE) for k in range(_TURNS_TO_AVERAGE)]
    uneven = density - np.mean(turns, axis=0)
    if (uneven**2).sum() < _UNEVEN_POWER * (density**2).sum():
        return 0
    best = 1
    for fold in range(2, _HIGHEST_FOLD + 1):
        if _likeness(uneven, _turned(uneven, centre, axis, 2 * np.pi / fold)) > _ALIKE:
            best = fold
    return best


def _has_perpendicular_twofold(
    density: NDArray[np.float32],
    centre: NDArray[np.float64],
    across: NDArray[np.float64],
    main: NDArray[np.float64],
    fold: int,
) -> bool:
    even = density - density.mean()
    for angle in np.arange(0, 180 / fold, _STEP_DEG):
        axis = Rotation.from_rotvec(main * np.radians(angle)).apply(across)
        turned = _turned(density, centre, axis, np.pi)
        if _likeness(even, turned - turned.mean()) > _ALIKE_TURNED_OVER:
            return True
    return False


def _likeness(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))
