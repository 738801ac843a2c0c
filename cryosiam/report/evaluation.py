"""Plots of an evaluation: precision and recall, reliability of scores, Fourier shells, identification by mass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np

from cryosiam.pipeline.storage import whole_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from cryosiam.evaluation.results import (
        CalibrationResult,
        DenoisingResult,
        Evaluation,
        IdentificationResult,
        PicksResult,
    )

DOTS_PER_INCH: Final = 130
SIZE_INCHES: Final = (6.0, 5.0)
BLUE: Final = "#1f5fa8"
ORANGE: Final = "#d9730d"
GREY: Final = "#888888"

T = TypeVar("T")


def write_plots(folder: Path, result: Evaluation) -> list[Path]:
    """Draw what was measured, each plot as a PNG that is whole or not there; plots of an earlier call are removed.

    Parameters
    ----------
    folder
        Where they go.
    result
        The evaluation.

    Returns
    -------
    list
        The files written.
    """
    drawings: dict[str, Callable[[Axes], None] | None] = {
        "precision_recall.png": _drawing(_draw_curve, result.picks),
        "reliability.png": _drawing(_draw_reliability, result.calibration),
        "fourier_shells.png": _drawing(_draw_shells, result.denoising),
        "identification.png": _drawing(_draw_identification, result.identification),
    }
    written = []
    for name, draw in drawings.items():
        path = folder / name
        if draw is None:
            path.unlink(missing_ok=True)
            continue
        figure, axes = _figure()
        draw(axes)
        with whole_file(path) as temporary:
            figure.savefig(temporary, format="png", dpi=DOTS_PER_INCH)
        written.append(path)
    return written


def _drawing(draw: Callable[[Axes, T], None], part: T | None) -> Callable[[Axes], None] | None:
    """Return what draws a part of the evaluation; None where it was not measured."""
    return None if part is None else lambda axes: draw(axes, part)


def _figure() -> tuple[Figure, Axes]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE_INCHES, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    return figure, axes


def _draw_curve(axes: Axes, part: PicksResult) -> None:
    """Draw precision over recall, all species together, with the lines on which F1 is the same."""
    recall = np.linspace(0.01, 1, 200)
    for f1 in (0.2, 0.4, 0.6, 0.8):
        with np.errstate(divide="ignore"):
            precision = f1 * recall / (2 * recall - f1)
        shown = (precision > 0) & (precision <= 1)
        axes.plot(recall[shown], precision[shown], color=GREY, linewidth=0.7, linestyle=":")
        axes.text(1.005, f1 / (2 - f1), f"F1 {f1:g}", color=GREY, fontsize=8, va="center")
    axes.plot(part.curve.recall, part.curve.precision, color=BLUE, linewidth=2)
    if part.together.best_f1_score is not None:
        best = int(np.argmin(np.abs(np.array(part.curve.score) - part.together.best_f1_score)))
        axes.plot(part.curve.recall[best], part.curve.precision[best], "o", color=ORANGE)
        axes.annotate(
            f"best F1 {part.together.best_f1:.3f}\nfrom score {part.together.best_f1_score:.2f}",
            (part.curve.recall[best], part.curve.precision[best]),
            xytext=(10, 8),
            textcoords="offset points",
            fontsize=9,
            color=ORANGE,
        )
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.05))
    axes.set_title(
        f"Picks, all species together: AP {_text(part.together.average_precision)}, F1 {_text(part.together.f1)}",
        fontsize=11,
    )


def _draw_reliability(axes: Axes, part: CalibrationResult) -> None:
    """Draw the share of hits over the score, and below it how many picks have such scores."""
    edges, counts = np.array(part.bin_edges), np.array(part.bin_counts)
    filled = counts > 0
    score, share = _numbers(part.mean_score), _numbers(part.hit_share)
    axes.bar(
        edges[:-1],
        0.25 * counts / counts.max(),
        np.diff(edges),
        align="edge",
        color=GREY,
        alpha=0.3,
        edgecolor="white",
        label=f"picks (most in a bin: {counts.max()})",
    )
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="score = share")
    # Standard error of a share.
    error = np.sqrt(share[filled] * (1 - share[filled]) / counts[filled])
    axes.errorbar(
        score[filled], share[filled], yerr=error, color=BLUE, marker="o", linewidth=2, capsize=3, label="measured"
    )
    axes.set(xlabel="score", ylabel="share of picks that are true", xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(loc="upper left", fontsize=9, frameon=False)
    error_text = _text(part.expected_calibration_error)
    axes.set_title(f"Reliability of {part.picks} scores: expected calibration error {error_text}", fontsize=11)


def _draw_shells(axes: Axes, part: DenoisingResult) -> None:
    """Draw the Fourier shell correlation with the clean tomogram, before and after denoising."""
    for each, colour in ((part.source, GREY), (part.denoised, BLUE)):
        if each is None:
            continue
        crossing = each.resolution_05_angstrom.mean
        label = each.tomogram if crossing is None else f"{each.tomogram}: 0.5 at {crossing:.1f} Å"
        axes.plot(each.frequency_per_angstrom, _numbers(each.shell_correlation), color=colour, linewidth=2, label=label)
    nyquist = part.denoised.frequency_per_angstrom[-1]
    for threshold in (0.5, 0.143):
        axes.axhline(threshold, color=ORANGE, linewidth=0.8, linestyle="--")
        axes.text(nyquist, threshold + 0.01, f"{threshold:g}", color=ORANGE, fontsize=8, ha="right")
    top = axes.secondary_xaxis("top")
    ticks = [tick for tick in axes.get_xticks() if 0 < tick <= nyquist]
    top.set_xticks(ticks, [f"{1 / tick:.0f} Å" for tick in ticks], fontsize=8)
    axes.set(xlabel="spatial frequency (1/Å)", ylabel="Fourier shell correlation", ylim=(-0.1, 1.05))
    axes.set_xlim(0, nyquist)
    axes.legend(fontsize=9, frameon=False)
    axes.set_title(f"Against '{part.clean}'", fontsize=11)


def _draw_identification(axes: Axes, part: IdentificationResult) -> None:
    """Draw F1 of each species over its mass."""
    from matplotlib.ticker import LogFormatter

    # A species that could not be learnt has no F1.
    known = {
        name: (each.mass_kda, each) for name, each in part.species.items() if each.mass_kda and each.knn_f1 is not None
    }
    masses = [mass for mass, _ in known.values()]
    for marker, colour, label, values in (
        ("o", BLUE, f"network, mean {_text(part.mean_mlp_f1)}", [each.mlp_f1 for _, each in known.values()]),
        ("^", ORANGE, f"nearest neighbour, mean {_text(part.mean_knn_f1)}", [one.knn_f1 for _, one in known.values()]),
    ):
        axes.plot(masses, _numbers(values), marker, color=colour, label=label, alpha=0.85)
    for name, (mass, each) in known.items():
        height = max(each.mlp_f1 or 0.0, each.knn_f1 or 0.0)
        axes.annotate(name, (mass, height), xytext=(0, 6), textcoords="offset points", fontsize=8)
    axes.set_xscale("log")
    for axis_format in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
        axis_format(LogFormatter(minor_thresholds=(2, 0.4), labelOnlyBase=False))
    axes.set(xlabel="mass (kDa)", ylabel="F1", ylim=(-0.02, 1.08))
    axes.legend(fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2, frameon=False)
    axes.set_title(f"Identification of {part.particles} particles", fontsize=11)


def _numbers(values: list[float | None]) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _text(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
