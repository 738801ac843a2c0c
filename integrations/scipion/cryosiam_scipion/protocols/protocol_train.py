"""Fine-tune CryoSiam's weights on annotations of a Scipion project."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from pwem.protocols import EMProtocol
from pyworkflow.protocol import params
from pyworkflow.protocol.constants import STEPS_SERIAL
from tomo.constants import BOTTOM_LEFT_CORNER
from tomo.protocols.protocol_base import ProtTomoBase

from cryosiam_scipion.constants import CLASSES
from cryosiam_scipion.convert import file_of, run_name
from cryosiam_scipion.copick_project import LABELS, TOMOGRAM_TYPE, AnnotatedTomogram, write_project
from cryosiam_scipion.inputs import objections
from cryosiam_scipion.objects import CryosiamWeights
from cryosiam_scipion.outputs import BOX_PER_DIAMETER
from cryosiam_scipion.protocols.protocol_base import CryosiamCommand

OUTPUT = "weights"
HEADS = ("semantic", "instance", "dense")
OWN_LABELS = "as CryoSiam numbers them"
MASK_MEANINGS = (OWN_LABELS, *CLASSES[1:])
BACKGROUND_KNOWN, BACKGROUND_UNKNOWN = range(2)


class ProtCryosiamTrain(CryosiamCommand, EMProtocol, ProtTomoBase):
    """Fine-tune CryoSiam on your own coordinates or masks.

    At least two annotated tomograms are needed: one is held out, to measure by. The weights that come out are taken by
    the other protocols.
    """

    _label = "train"
    _possibleOutputs: ClassVar[dict[str, type]] = {OUTPUT: CryosiamWeights}
    stepsExecutionMode = STEPS_SERIAL

    def _defineParams(self, form: Any) -> None:
        form.addSection(label="Input")
        form.addParam(
            "inputTomograms",
            params.PointerParam,
            pointerClass="SetOfTomograms",
            important=True,
            label="Tomograms",
            help="Tomograms to learn from, as reconstructed. Those without annotations are left out.",
        )
        form.addParam(
            "inputCoordinates",
            params.PointerParam,
            pointerClass="SetOfCoordinates3D",
            allowsNull=True,
            label="Coordinates",
            help="Particles in the tomograms; they become spheres of the diameter below. Leave out none: what is not "
            "annotated counts as background, unless you say otherwise below.",
        )
        form.addParam(
            "diameter",
            params.FloatParam,
            default=-1,
            label="Particle diameter (Å)",
            help="Diameter of the particles at the coordinates; -1 for two thirds of the box.",
        )
        form.addParam(
            "inputMasks",
            params.PointerParam,
            pointerClass="SetOfTomoMasks",
            allowsNull=True,
            label="Masks",
            help="Segmentations on the grid of the tomograms.",
        )
        form.addParam(
            "maskMeaning",
            params.EnumParam,
            choices=list(MASK_MEANINGS),
            default=0,
            label="Labels of the masks",
            help="Either CryoSiam's own labels, "
            + ", ".join(f"{label} {name}" for label, name in enumerate(CLASSES))
            + ", or everything above zero is one class, such as membrane.",
        )
        form.addParam(
            "background",
            params.EnumParam,
            choices=["background", "unknown"],
            default=BACKGROUND_KNOWN,
            label="What has no label is",
            help="*unknown* for tomograms that are annotated in part: only labelled voxels count then.",
        )
        self._defineTrainingParams(form)

    def _defineTrainingParams(self, form: Any) -> None:
        form.addSection(label="Training")
        form.addParam(
            "head",
            params.EnumParam,
            choices=[
                "classes of voxels (semantic)",
                "separation of particles (instance)",
                "all at once (dense)",
            ],
            default=0,
            label="What learns",
        )
        self._defineWeightsParams(form)
        form.addParam(
            "freezeTrunk",
            params.BooleanParam,
            default=True,
            condition="head != 2",
            label="Few annotations?",
            help="Only the last layers learn, which needs few annotations. With many, say no.",
        )
        form.addParam(
            "recipe",
            params.StringParam,
            default="fine-tune",
            expertLevel=params.LEVEL_ADVANCED,
            label="Recipe",
            help="Name of a recipe, or a YAML file; `cryosiam train recipes` lists them.",
        )
        form.addParam(
            "timeBudget",
            params.StringParam,
            default="",
            label="Time",
            help="Stop after so long, such as 90m or 1h30m; empty to go to the end. *Continue* goes on later.",
        )
        self._defineGpuParams(form)
        form.addParallelSection(threads=4, mpi=0)

    # --------------------------- steps ------------------------------------------------------------------------------

    def _insertAllSteps(self) -> None:
        self._insertFunctionStep(self.convertInputStep, needsGPU=False)
        self._insertFunctionStep(self.trainStep, needsGPU=self._usesGpu())
        self._insertFunctionStep(self.createOutputStep, needsGPU=False)

    def convertInputStep(self) -> None:
        """Write the annotations as a copick project."""
        if self._annotations().exists():
            # A training that goes on wants the very files that it began with.
            return
        meaning = MASK_MEANINGS[self.maskMeaning.get()]
        write_project(
            self._annotations().parent,
            self._annotated(),
            self._voxelSize(),
            self._diameter() / 2,
            None if meaning == OWN_LABELS else meaning,
        )

    def trainStep(self) -> None:
        """Run the training; called again, it goes on."""
        arguments = ["train", HEADS[self.head.get()], "--copick", str(self._annotations()), "--labels", LABELS]
        arguments += ["--tomogram", f"{TOMOGRAM_TYPE}@{self._voxelSize():.3f}", "--from", self._weights()]
        arguments += ["--recipe", self.recipe.get().strip(), "--out", self._getExtraPath("training")]
        if self.freezeTrunk.get() and HEADS[self.head.get()] != "dense":
            arguments.append("--freeze-trunk")
        if self.background.get() == BACKGROUND_UNKNOWN:
            arguments.append("--background-unknown")
        if self.timeBudget.get("").strip():
            arguments += ["--time-budget", self.timeBudget.get().strip()]
        self._runCryosiam(arguments)

    def createOutputStep(self) -> None:
        """Register the weights."""
        folder = Path(self._getExtraPath("training", "weights"))
        if not folder.is_dir():
            raise RuntimeError("The time was over before there were weights; choose Continue to go on")
        made = CryosiamWeights(str(folder))
        self._defineOutputs(**{OUTPUT: made})
        self._defineSourceRelation(self.inputTomograms, made)

    def _threads(self) -> int:
        return int(self.numberOfThreads.get())

    # --------------------------- annotations ------------------------------------------------------------------------

    def _annotations(self) -> Path:
        return Path(self._getExtraPath("annotations", "project.json"))

    def _voxelSize(self) -> float:
        return float(self.inputTomograms.get().getSamplingRate())

    def _diameter(self) -> float:
        coordinates = self.inputCoordinates.get()
        if self.diameter.get() > 0 or coordinates is None:
            return float(self.diameter.get())
        return float((coordinates.getBoxSize() or 0) * coordinates.getSamplingRate() / BOX_PER_DIAMETER)

    def _annotated(self) -> list[AnnotatedTomogram]:
        """Return the tomograms that have coordinates or a mask."""
        positions = self._positions()
        masks = self.inputMasks.get()
        files = {} if masks is None else {str(one.getTsId()): Path(file_of(one)) for one in masks.iterItems()}
        return [
            AnnotatedTomogram(run_name(ts_id), Path(file_of(one)), positions.get(ts_id, ()), files.get(ts_id))
            for one in self.inputTomograms.get().iterItems()
            for ts_id in [str(one.getTsId())]
            if ts_id in positions or ts_id in files
        ]

    def _positions(self) -> dict[str, list[tuple[float, float, float]]]:
        """Return the coordinates in voxels of the tomograms, which may be binned otherwise than those picked in."""
        coordinates = self.inputCoordinates.get()
        positions: dict[str, list[tuple[float, float, float]]] = {}
        if coordinates is not None:
            scale = coordinates.getSamplingRate() / self._voxelSize()
            for one in coordinates.iterCoordinates():
                x, y, z = (value * scale for value in one.getPosition(BOTTOM_LEFT_CORNER))
                positions.setdefault(str(one.getTomoId()), []).append((x, y, z))
        return positions

    # --------------------------- what the user sees -----------------------------------------------------------------

    def _validate(self) -> list[str]:
        found: list[str] = self._objectionsToCommand()
        tomograms, coordinates, masks = self.inputTomograms.get(), self.inputCoordinates.get(), self.inputMasks.get()
        if coordinates is None and masks is None:
            return [*found, "Give coordinates or masks to learn from."]
        if tomograms is None:
            return found
        wrong = objections(tomograms)
        if wrong:
            return [*found, *wrong]
        if coordinates is not None and not self._diameter() > 0:
            found.append("The coordinates state no box size; give the diameter of the particles.")
        annotated = self._annotated()
        if len(annotated) < 2:
            found.append(
                f"{len(annotated)} of the tomograms has coordinates or masks by its id; at least two are needed, one "
                "to learn from and one to measure by."
            )
        return found + _masks_elsewhere(masks, tomograms)

    def _citations(self) -> list[str]:
        return ["Stojanovska2025", "Stojanovska2024"]

    def _summary(self) -> list[str]:
        made = getattr(self, OUTPUT, None)
        return ["Not finished yet."] if made is None else [f"Weights: {made.getFolder()}"]


def _masks_elsewhere(masks: Any, tomograms: Any) -> list[str]:
    """Return one sentence for each mask that is not on the grid of its tomogram."""
    if masks is None:
        return []
    sizes = {str(one.getTsId()): one.getDim() for one in tomograms.iterItems()}
    return [
        f"The mask of '{one.getTsId()}' has {one.getDim()} voxels along x, y and z, and the tomogram "
        f"{sizes[str(one.getTsId())]}; masks must be on the grid of the tomograms."
        for one in masks.iterItems()
        if str(one.getTsId()) in sizes and one.getDim() != sizes[str(one.getTsId())]
    ]
