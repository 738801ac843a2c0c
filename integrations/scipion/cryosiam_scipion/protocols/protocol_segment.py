"""Segment tomograms."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from pwem.protocols import EMProtocol
from pyworkflow.protocol import params
from tomo.objects import SetOfTomoMasks
from tomo.protocols.protocol_base import ProtTomoBase

from cryosiam_scipion.constants import CLASSES
from cryosiam_scipion.outputs import tomo_masks
from cryosiam_scipion.protocols.protocol_base import CryosiamOnTomograms
from cryosiam_scipion.volumes import write_mask_of_label

OUTPUT = "tomoMasks"
ALL, INSTANCES = "all classes", "single particles"
CHOICES = (ALL, *CLASSES[1:], INSTANCES)


class ProtCryosiamSegment(CryosiamOnTomograms, EMProtocol, ProtTomoBase):
    """Segment tomograms into membrane, particle, microtubule, actin and filament, or into single particles."""

    _label = "segment"
    _possibleOutputs: ClassVar[dict[str, type]] = {OUTPUT: SetOfTomoMasks}

    def _defineParams(self, form: Any) -> None:
        self._defineInputParams(form)
        form.addParam(
            "what",
            params.EnumParam,
            choices=list(CHOICES),
            default=0,
            label="Masks of",
            help="*all classes*: one mask per tomogram, with the labels "
            + ", ".join(f"{label} {name}" for label, name in enumerate(CLASSES))
            + ".\n*membrane* and the other classes: 1 in that class, 0 elsewhere.\n"
            "*single particles*: a number of its own for every particle.",
        )
        self._defineWorkParams(form)

    def _command(self) -> str:
        return "instances" if CHOICES[self.what.get()] == INSTANCES else "segment"

    def createOutputStep(self) -> None:
        """Register the masks."""
        what = CHOICES[self.what.get()]
        files = self._products("instances" if what == INSTANCES else "segmentation")
        if what not in (ALL, INSTANCES):
            files = {ts_id: self._maskOf(ts_id, path, what) for ts_id, path in files.items()}
        made = tomo_masks(self._getPath(), "", self._tomograms(), files)
        self._defineOutputs(**{OUTPUT: made})
        self._defineSourceRelation(self.inputTomograms, made)

    def _maskOf(self, tsId: str, path: Path, what: str) -> Path:
        mask = path.with_name(f"{self._folder(tsId).name}_{what}.mrc")
        write_mask_of_label(path, CLASSES.index(what), mask)
        return mask

    def _summary(self) -> list[str]:
        made = getattr(self, OUTPUT, None)
        return ["Not finished yet."] if made is None else [f"Masks of {CHOICES[self.what.get()]}: {made.getSize()}"]
