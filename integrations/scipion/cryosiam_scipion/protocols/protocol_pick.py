"""Pick particles."""

from __future__ import annotations

from typing import Any, ClassVar

from pyworkflow.protocol import params
from tomo.objects import SetOfCoordinates3D, SetOfTomograms, SetOfTomoMasks
from tomo.protocols import ProtTomoPicking

from cryosiam_scipion.convert import Pick, read_picks
from cryosiam_scipion.outputs import (
    attribute_name,
    box_voxels,
    class_names,
    coordinate,
    denoised_tomograms,
    label_sizes,
    new_coordinates,
    tomo_masks,
)
from cryosiam_scipion.protocols.protocol_base import CryosiamOnTomograms

TOMOGRAMS, MASKS = "tomograms", "tomoMasks"
PER_CLASS, TOGETHER = range(2)


class ProtCryosiamPick(CryosiamOnTomograms, ProtTomoPicking):
    """Find the particles of tomograms and tell their species, without training and without a reference.

    Gives a set of coordinates for every species, with scores, and on the way denoised tomograms and a segmentation.
    """

    _label = "pick"
    _possibleOutputs: ClassVar[dict[str, type]] = {
        ProtTomoPicking.OUTPUT_PREFIX: SetOfCoordinates3D,
        TOMOGRAMS: SetOfTomograms,
        MASKS: SetOfTomoMasks,
    }

    def _defineParams(self, form: Any) -> None:
        self._defineInputParams(form)
        form.addParam(
            "threshold",
            params.FloatParam,
            default=0.3,
            label="Least score",
            help="Leave out picks that score less. Scores are between 0 and 1: of picks scored 0.7, about 70 in 100 "
            "are right in tomograms like those that the networks learnt from.",
        )
        form.addParam(
            "objects",
            params.StringParam,
            default="",
            label="Species",
            help="Only pick sets of these species, separated by commas, such as ribosome,proteasome; empty for all. "
            "A particle that looks like none of them is put with *particle*.",
        )
        form.addParam(
            "nothingElse",
            params.BooleanParam,
            default=False,
            label="Nothing else in the sample?",
            help="The sample holds the species named above and no others, as one that was purified: every particle "
            "gets the likeliest of them.",
        )
        form.addParam(
            "outputAs",
            params.EnumParam,
            choices=["one set per species", "one set of all"],
            default=PER_CLASS,
            display=params.EnumParam.DISPLAY_COMBO,
            label="Coordinates in",
            help="Either way every coordinate carries its species, as the attribute _cryosiamClass and, by number, as "
            "its group.",
        )
        form.addParam(
            "diameter",
            params.FloatParam,
            default=-1,
            label="Particle diameter (Å)",
            help="Diameter, where you know it: the wizard of the box size reckons with it.",
        )
        form.addParam(
            "boxSize",
            params.IntParam,
            default=0,
            label="Box size (voxels)",
            help="Box of the coordinates; 0 for one and a half times the diameter of the particles found. The wizard "
            "gives one and a half times the diameter above.",
        )
        self._defineWorkParams(form)

    def _arguments(self) -> list[str]:
        arguments = ["--threshold", repr(self.threshold.get())]
        if self.objects.get("").strip():
            arguments += ["--objects", self.objects.get().strip()]
        return [*arguments, "--nothing-else"] if self.nothingElse.get() else arguments

    def _command(self) -> str:
        return "pick"

    def createOutputStep(self) -> None:
        """Register coordinates, denoised tomograms and masks."""
        tomograms = self._tomograms()
        volumes = {
            TOMOGRAMS: denoised_tomograms(self._getPath(), tomograms, self._products("denoised")),
            MASKS: tomo_masks(self._getPath(), "", tomograms, self._products("segmentation")),
        }
        picks = {ts_id: self._picks(ts_id) for ts_id in self._tsIds()}
        names = class_names(picks)
        if not names:
            raise RuntimeError(
                f"No particle in any tomogram scores {self.threshold.get():g} or more; lower the least score"
            )
        made = {**self._coordinates(picks, names), **volumes}
        self._defineOutputs(**made)
        for output in made.values():
            self._defineSourceRelation(self.inputTomograms, output)

    def _picks(self, tsId: str) -> list[Pick]:
        table = self._folder(tsId) / "picks.star"
        return read_picks(table) if table.exists() else []

    def _coordinates(self, picks: dict[str, list[Pick]], names: list[str]) -> dict[str, Any]:
        together = self.outputAs.get() == TOGETHER
        kinds: dict[str, list[str]] = {}
        for name in names:
            output = self.OUTPUT_PREFIX if together else attribute_name(self.OUTPUT_PREFIX, name)
            kinds.setdefault(output, []).append(name)
        boxes = self._boxes(picks, kinds)
        made = {}
        for output, wanted in kinds.items():
            made[output] = new_coordinates(self._getPath(), output, self.inputTomograms, boxes[output])
            for tomogram in self._iterTomograms():
                for pick in picks[str(tomogram.getTsId())]:
                    if pick.class_name in wanted:
                        made[output].append(coordinate(pick, tomogram, names.index(pick.class_name) + 1))
        return made

    def _boxes(self, picks: dict[str, list[Pick]], kinds: dict[str, list[str]]) -> dict[str, int]:
        """Return the box of each output: as asked for, or by the size of the particles in it."""
        if self.boxSize.get() > 0:
            return dict.fromkeys(kinds, self.boxSize.get())
        sizes = {ts_id: label_sizes(path) for ts_id, path in self._products("instances").items()}
        voxels = [
            (pick.class_name, sizes[ts_id][pick.instance_id])
            for ts_id in picks
            for pick in picks[ts_id]
            if pick.instance_id > 0
        ]
        found = {output: [size for name, size in voxels if name in wanted] for output, wanted in kinds.items()}
        if not all(found.values()):
            raise RuntimeError("The sizes of some particles are not known; give a box size")
        return {output: box_voxels(of_these) for output, of_these in found.items()}

    def _validate(self) -> list[str]:
        found: list[str] = super()._validate()
        if not 0 <= self.threshold.get() <= 1:
            found.append("The least score must be between 0 and 1.")
        if self.boxSize.get() < 0:
            found.append("The box size must be above zero, or 0 to find one.")
        if self.nothingElse.get() and not self.objects.get("").strip():
            found.append("Name the species that the sample holds, for that it holds nothing else to mean something.")
        return found

    def _summary(self) -> list[str]:
        sets = [(name, one) for name, one in self.iterOutputAttributes(SetOfCoordinates3D)]
        return [f"{name}: {one.getSize()}" for name, one in sets] or ["Not finished yet."]
