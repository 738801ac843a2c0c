"""Objects that only CryoSiam's protocols exchange."""

from __future__ import annotations

from typing import Any

from pwem.objects import EMObject
from pyworkflow.object import String


class CryosiamWeights(EMObject):
    """A folder of weights, made by training, that the other protocols take."""

    def __init__(self, folder: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._folder = String(folder)

    def getFolder(self) -> str:
        """Return the folder, relative to the project."""
        return str(self._folder.get())

    def setFolder(self, folder: str) -> None:
        """Set the folder, relative to the project."""
        self._folder.set(folder)

    def __str__(self) -> str:
        return f"CryosiamWeights ({self.getFolder()})"
