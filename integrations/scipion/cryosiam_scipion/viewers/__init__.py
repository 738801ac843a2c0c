"""Viewers of what other plug-ins do not show; coordinates, masks and tomograms open in theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.image import imread
from pwem.viewers import EmPlotter
from pyworkflow.viewer import DESKTOP_TKINTER, TextView, View, Viewer

from cryosiam_scipion.objects import CryosiamWeights
from cryosiam_scipion.protocols import ProtCryosiamPick


class PictureView(View):
    """A picture in a window of its own."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def plot(self) -> EmPlotter:
        """Return the window with the picture, not shown yet."""
        plotter = EmPlotter(1, 1, mainTitle=self.path.stem, windowTitle=self.path.stem)
        axes = plotter.createSubPlot("", "", "")
        axes.imshow(imread(str(self.path)))
        axes.set_axis_off()
        return plotter

    def show(self) -> None:
        """Show the picture."""
        self.plot().show()


class CryosiamPickViewer(Viewer):
    """Shows the central slices of every tomogram, with segmentation and picks drawn over them."""

    _label = "slices with picks"
    _environments = [DESKTOP_TKINTER]  # noqa: RUF012 - Scipion reads a list
    _targets = [ProtCryosiamPick]  # noqa: RUF012 - Scipion reads a list

    def _visualize(self, obj: Any, **_: Any) -> list[View]:
        return [PictureView(path) for path in sorted(Path(obj._getExtraPath()).glob("*/*.png"))]


class CryosiamWeightsViewer(Viewer):
    """Shows the cards of trained weights: what they learnt from, and how well they do."""

    _label = "cards of the weights"
    _environments = [DESKTOP_TKINTER]  # noqa: RUF012 - Scipion reads a list
    _targets = [CryosiamWeights]  # noqa: RUF012 - Scipion reads a list

    def _visualize(self, obj: Any, **_: Any) -> list[View]:
        cards = sorted(str(path) for path in Path(obj.getFolder()).glob("*.json"))
        return [TextView(cards, tkParent=self.getTkRoot())]
