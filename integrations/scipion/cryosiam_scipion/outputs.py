"""Scipion's sets made of CryoSiam's results."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any, Mapping, Sequence

import mrcfile
import numpy as np
from numpy.typing import NDArray
from pyworkflow.object import String
from tomo.constants import BOTTOM_LEFT_CORNER, TR_RELION
from tomo.objects import Coordinate3D, SetOfCoordinates3D, SetOfTomograms, SetOfTomoMasks, Tomogram, TomoMask

from cryosiam_scipion.constants import CLASS_ATTRIBUTE, UNNAMED
from cryosiam_scipion.convert import Pick, relion_matrix

BOX_PER_DIAMETER = 1.5


def class_names(picks: Mapping[str, Sequence[Pick]]) -> list[str]:
    """Return the classes of all picks in alphabetical order, particles without a name last."""
    names = {pick.class_name for some in picks.values() for pick in some}
    return sorted(names, key=lambda name: (name == UNNAMED, name))


def attribute_name(prefix: str, class_name: str) -> str:
    """Return the name of an output: the prefix and what of a class name an attribute can hold."""
    return f"{prefix}_{re.sub('[^A-Za-z0-9_]', '_', class_name)}"


def coordinate(pick: Pick, tomogram: Any, group: int) -> Any:
    """Return a pick as Scipion's coordinate.

    Scipion keeps positions from the centre of the tomogram and asks the tomogram for its origin, so that comes first.
    """
    made = Coordinate3D()
    made.setVolume(tomogram)
    made.setPosition(*pick.position_voxels, BOTTOM_LEFT_CORNER)
    made.setScore(pick.score)
    made.setGroupId(group)
    if pick.euler_degrees is not None:
        made.setMatrix(relion_matrix(pick.euler_degrees), convention=TR_RELION)
    setattr(made, CLASS_ATTRIBUTE, String(pick.class_name))
    return made


def new_coordinates(folder: str, name: str, tomograms: Any, box: int) -> Any:
    """Return an empty set of coordinates in ``tomograms``, a pointer to a set."""
    made = SetOfCoordinates3D.create(folder, template="coordinates%s.sqlite", suffix=name)
    made.setPrecedents(tomograms)
    made.setSamplingRate(tomograms.get().getSamplingRate())
    made.setBoxSize(box)
    return made


def denoised_tomograms(folder: str, tomograms: Any, files: Mapping[str, Path]) -> Any:
    """Return the set of denoised tomograms; ``files`` are by tilt-series id."""
    made = SetOfTomograms.create(folder, template="tomograms%s.sqlite", suffix="Denoised")
    made.copyInfo(tomograms)
    for tomogram in tomograms.iterItems():
        made.append(_volume(Tomogram(), tomogram, files[str(tomogram.getTsId())]))
    return made


def tomo_masks(folder: str, suffix: str, tomograms: Any, files: Mapping[str, Path]) -> Any:
    """Return the set of masks, whole numbers as labels; ``files`` are by tilt-series id."""
    made = SetOfTomoMasks.create(folder, template="tomomasks%s.sqlite", suffix=suffix)
    made.copyInfo(tomograms)
    for tomogram in tomograms.iterItems():
        mask = _volume(TomoMask(), tomogram, files[str(tomogram.getTsId())])
        mask.setVolName(tomogram.getFileName())
        made.append(mask)
    return made


def label_sizes(path: Path) -> NDArray[np.int64]:
    """Return the number of voxels of every label of an integer volume; the place is the label."""
    counts = np.zeros(1, np.int64)
    with mrcfile.mmap(path, permissive=True) as file:
        for plane in file.data:
            found = np.bincount(plane.ravel())
            counts = np.pad(counts, (0, max(0, len(found) - len(counts))))
            counts[: len(found)] += found
    return counts


def box_voxels(voxels: Sequence[int]) -> int:
    """Return an even box around the median of particles of so many voxels, with room beside them."""
    return box_around(2.0 * (3.0 * float(np.median(voxels)) / (4.0 * math.pi)) ** (1 / 3))


def box_around(diameter_voxels: float) -> int:
    """Return an even box around a particle, with room beside it."""
    return 2 * math.ceil(BOX_PER_DIAMETER * diameter_voxels / 2)


def _volume(made: Any, tomogram: Any, path: Path) -> Any:
    made.copyInfo(tomogram)
    made.setTsId(tomogram.getTsId())
    made.setFileName(str(path))
    made.setObjId(tomogram.getObjId())
    return made
