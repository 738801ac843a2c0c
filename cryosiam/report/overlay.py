"""Picture of a run: central slices of input and denoised volume, with segmentation and picks drawn over them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from cryosiam.domain import SEMANTIC_CLASSES
from cryosiam.geometry import indices_from_positions, volume_centre_index
from cryosiam.pipeline.storage import whole_file
from cryosiam.stages.preview.run import CentralSlices

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from cryosiam.domain import Picks

CLASS_COLOURS: Final = ("#000000", "#e6194b", "#ffd92f", "#3cb4ff", "#a65fd4", "#4daf4a")
"""Colour of each semantic class; the background is not drawn."""

PICK_COLOURS: Final = (
    "#00e5ff",
    "#ff7f0e",
    "#b6ff3b",
    "#ff4fd8",
    "#ffffff",
    "#7aa6ff",
    "#ffb3b3",
    "#2ee6a6",
    "#e0c8ff",
    "#c8a26b",
)
LABEL_OPACITY: Final = 0.35
SCALE_BARS_NM: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
WIDTH_INCHES: Final = 14.0
DOTS_PER_INCH: Final = 110
"""About 1500 pixels across: each of two columns shows a 630-voxel tomogram at full resolution."""

_PLANES = (("z", 1, 2), ("y", 0, 2), ("x", 0, 1))
"""For the slices across z, y and x: the volume axes drawn downwards and to the right."""


def write_overlay(path: Path, slices: CentralSlices, picks: Picks, radii_angstrom: NDArray[np.float64]) -> None:
    """Draw a run and write it as PNG, whole or not at all.

    Parameters
    ----------
    path
        The picture.
    slices
        Central slices.
    picks
        Picks; those whose ball reaches a slice are drawn there.
    radii_angstrom
        ``(n,)`` radius of each pick in Å.
    """
    figure = draw_overlay(slices, picks, radii_angstrom)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DOTS_PER_INCH)


def draw_overlay(slices: CentralSlices, picks: Picks, radii_angstrom: NDArray[np.float64]) -> Figure:
    """Return the picture: a row per slice, the input on the left, denoised and annotated on the right."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    heights = [slices.shape[down] / slices.shape[right] for _, down, right in _PLANES]
    figure = Figure(figsize=(WIDTH_INCHES, _figure_height(heights)), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.subplots(3, 2, height_ratios=heights, squeeze=False)
    colours = class_colours(picks)
    for row, (name, down, right) in enumerate(_PLANES):
        left, marked = axes[row]
        _show(left, slices.source[row], f"input, central {name} slice")
        _show(marked, slices.denoised[row], f"denoised, with segmentation and picks, central {name} slice")
        _paint_labels(marked, slices.semantic[row])
        _draw_picks(marked, slices, picks, radii_angstrom, (row, down, right), colours)
        _draw_scale_bar(left, slices.shape[right], slices.voxel_size_angstrom)
    _draw_legend(figure, slices, picks, colours)
    figure.suptitle(f"{picks.run}: {len(picks)} picks, voxel {slices.voxel_size_angstrom:g} Å", fontsize=13)
    return figure


def class_colours(picks: Picks) -> dict[str, str]:
    """Return a colour for each class that has picks, by name, so that a class keeps its colour within a run."""
    return {name: PICK_COLOURS[i % len(PICK_COLOURS)] for i, name in enumerate(sorted(set(picks.class_names)))}


def _figure_height(heights: list[float]) -> float:
    return WIDTH_INCHES / 2 * sum(heights) + 1.6


def _show(axes: Axes, image: NDArray[np.float32], title: str) -> None:
    low, high = np.percentile(image, (1, 99))
    axes.imshow(image, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), interpolation="nearest")
    axes.set_title(title, fontsize=9)
    axes.set_xticks([])
    axes.set_yticks([])


def _paint_labels(axes: Axes, labels: NDArray[np.float32]) -> None:
    """Paint the semantic classes over the image, the background left clear."""
    from matplotlib.colors import to_rgba

    palette = np.array([to_rgba(colour, LABEL_OPACITY) for colour in CLASS_COLOURS])
    palette[0, 3] = 0.0
    axes.imshow(palette[labels.astype(np.int64)], interpolation="nearest")


def _draw_picks(
    axes: Axes,
    slices: CentralSlices,
    picks: Picks,
    radii_angstrom: NDArray[np.float64],
    plane: tuple[int, int, int],
    colours: dict[str, str],
) -> None:
    """Draw the circle in which the slice cuts each pick's ball."""
    from matplotlib.patches import Circle

    across, down, right = plane
    indices = indices_from_positions(picks.positions_angstrom, slices.voxel_size_angstrom)
    radii = radii_angstrom / slices.voxel_size_angstrom
    distance = np.abs(indices[:, across] - volume_centre_index(slices.shape[across]))
    for i in np.flatnonzero(distance < radii):
        cut = float(np.sqrt(radii[i] ** 2 - distance[i] ** 2))
        centre = (float(indices[i, right]), float(indices[i, down]))
        # Surer picks are drawn stronger.
        strength = 0.35 + 0.65 * float(picks.scores[i])
        colour = colours[picks.class_names[i]]
        axes.add_patch(Circle(centre, max(cut, 1.0), fill=False, edgecolor=colour, linewidth=1.0, alpha=strength))


def _draw_scale_bar(axes: Axes, width: int, voxel_size_angstrom: float) -> None:
    """Draw a bar of a round length, at most a quarter of the width."""
    fitting = [nm for nm in SCALE_BARS_NM if nm * 10 / voxel_size_angstrom <= width / 4] or [SCALE_BARS_NM[0]]
    length = fitting[-1] * 10 / voxel_size_angstrom
    y = 0.06
    transform = axes.get_xaxis_transform()
    axes.plot([0.04 * width, 0.04 * width + length], [y, y], color="white", linewidth=4, transform=transform)
    axes.plot([0.04 * width, 0.04 * width + length], [y, y], color="black", linewidth=2, transform=transform)
    axes.text(
        0.04 * width + length / 2,
        y + 0.03,
        f"{fitting[-1]} nm",
        color="white",
        ha="center",
        va="bottom",
        fontsize=8,
        transform=transform,
        bbox={"facecolor": "black", "alpha": 0.5, "pad": 1, "linewidth": 0},
    )
    axes.set_xlim(-0.5, width - 0.5)


def _draw_legend(figure: Figure, slices: CentralSlices, picks: Picks, colours: dict[str, str]) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    present = set(np.unique(np.concatenate([image.ravel() for image in slices.semantic])).astype(int)) - {0}
    entries: list[Patch | Line2D] = [
        Patch(facecolor=CLASS_COLOURS[label], alpha=LABEL_OPACITY, label=SEMANTIC_CLASSES[label])
        for label in sorted(present)
    ]
    for name, colour in colours.items():
        count = picks.class_names.count(name)
        entries.append(
            Line2D([], [], color=colour, marker="o", fillstyle="none", linestyle="", label=f"{name} ({count} picks)")
        )
    if entries:
        legend = figure.legend(handles=entries, loc="outside lower center", ncols=6, fontsize=9)
        legend.get_frame().set_facecolor("#808080")
