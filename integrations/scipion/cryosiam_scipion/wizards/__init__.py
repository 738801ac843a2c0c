"""Wizards: the values that a user would otherwise look up or reckon."""

from __future__ import annotations

from typing import Any

from pyworkflow.wizard import Wizard

from cryosiam_scipion.convert import file_of
from cryosiam_scipion.inputs import header_voxel_size
from cryosiam_scipion.outputs import BOX_PER_DIAMETER, box_around
from cryosiam_scipion.protocols import (
    ProtCryosiamClassify,
    ProtCryosiamDenoise,
    ProtCryosiamPick,
    ProtCryosiamSegment,
    ProtCryosiamTrain,
)


class CryosiamVoxelSizeWizard(Wizard):
    """Reads the voxel size from the header of the first tomogram; the set's where the header states none."""

    _targets = [  # noqa: RUF012 - Scipion reads a list
        (ProtCryosiamPick, ["voxelSize"]),
        (ProtCryosiamSegment, ["voxelSize"]),
        (ProtCryosiamDenoise, ["voxelSize"]),
        (ProtCryosiamClassify, ["voxelSize"]),
    ]

    def show(self, form: Any, *_: Any) -> None:
        """Fill in the voxel size."""
        tomograms = form.protocol._tomograms()
        if tomograms is not None and tomograms.getSize():
            stated = header_voxel_size(file_of(tomograms.getFirstItem()))
            form.setVar("voxelSize", round(stated or tomograms.getSamplingRate(), 4))


class CryosiamBoxSizeWizard(Wizard):
    """Gives the box, in voxels of the tomograms, for particles of the diameter in the form."""

    _targets = [(ProtCryosiamPick, ["boxSize"])]  # noqa: RUF012 - Scipion reads a list

    def show(self, form: Any, *_: Any) -> None:
        """Fill in the box size: 0, which finds one, where no diameter is given."""
        tomograms, diameter = form.protocol._tomograms(), form.protocol.diameter.get()
        known = tomograms is not None and diameter > 0
        form.setVar("boxSize", box_around(diameter / form.protocol._voxelSize()) if known else 0)


class CryosiamDiameterWizard(Wizard):
    """Gives the diameter of particles, in Å, for which the box of the coordinates was probably made."""

    _targets = [(ProtCryosiamTrain, ["diameter"])]  # noqa: RUF012 - Scipion reads a list

    def show(self, form: Any, *_: Any) -> None:
        """Fill in the diameter."""
        coordinates = form.protocol.inputCoordinates.get()
        if coordinates is not None and coordinates.getBoxSize():
            edge = coordinates.getBoxSize() * coordinates.getSamplingRate()
            form.setVar("diameter", round(edge / BOX_PER_DIAMETER, 1))
