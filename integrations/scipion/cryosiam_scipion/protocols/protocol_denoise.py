"""Denoise tomograms."""

from __future__ import annotations

from typing import Any, ClassVar

from pwem.protocols import EMProtocol
from tomo.objects import SetOfTomograms
from tomo.protocols.protocol_base import ProtTomoBase

from cryosiam_scipion.outputs import denoised_tomograms
from cryosiam_scipion.protocols.protocol_base import CryosiamOnTomograms

OUTPUT = "tomograms"


class ProtCryosiamDenoise(CryosiamOnTomograms, EMProtocol, ProtTomoBase):
    """Denoise tomograms by a network that learnt from simulated tomograms; no training and no halves are needed."""

    _label = "denoise"
    _possibleOutputs: ClassVar[dict[str, type]] = {OUTPUT: SetOfTomograms}

    def _defineParams(self, form: Any) -> None:
        self._defineInputParams(form)
        self._defineWorkParams(form)

    def _command(self) -> str:
        return "denoise"

    def createOutputStep(self) -> None:
        """Register the denoised tomograms."""
        made = denoised_tomograms(self._getPath(), self._tomograms(), self._products("denoised"))
        self._defineOutputs(**{OUTPUT: made})
        self._defineSourceRelation(self.inputTomograms, made)

    def _summary(self) -> list[str]:
        made = getattr(self, OUTPUT, None)
        return ["Not finished yet."] if made is None else [f"Tomograms denoised: {made.getSize()}"]
