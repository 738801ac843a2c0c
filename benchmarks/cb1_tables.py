"""Tables of `bench_cb1.py`, made of its JSON records alone."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

COLUMNS: Final = ("clean", "noisy", "denoised")
CZII_PREFIX: Final = "Z"

Record = dict[str, Any]
Figure = Callable[[Record], float | None]


@dataclass(frozen=True)
class Row:
    """A row of the table beside the thesis.

    Parameters
    ----------
    name
        What it is.
    figure
        Takes it from a record's evaluation; None where the tomogram does not have it.
    thesis
        Thesis' figure by column.
    bars
        What is to be reached, by column; the thesis' figure where it is not stated otherwise.
    """

    name: str
    figure: Figure
    thesis: tuple[float, float, float]
    bars: tuple[float | None, float | None, float | None] | None = None

    def bar(self, column: str) -> float | None:
        """Return what is to be reached in a column; None where nothing is."""
        return (self.thesis if self.bars is None else self.bars)[COLUMNS.index(column)]


def _dice(name: str) -> Figure:
    def figure(evaluation: Record) -> float | None:
        dice = evaluation["dice"]
        found = dice[name] if name in dice else dice["classes"].get(name)
        return None if found is None else found["mean"]

    return figure


def _precision(threshold: str, size: str = "all") -> Figure:
    return lambda evaluation: evaluation["instances"]["sizes"][size]["at"][threshold]["mean"]


_NO_BAR: Final = (None, None, None)

THESIS_ROWS: Final = (
    Row("Dice, all classes", _dice("all_classes"), (0.836, 0.635, 0.664)),
    Row("Dice background", _dice("background"), (0.944, 0.894, 0.896), _NO_BAR),
    Row("Dice membrane", _dice("membrane"), (0.778, 0.639, 0.671)),
    Row("Dice particles", _dice("particle"), (0.822, 0.619, 0.636)),
    Row("Dice microtubules", _dice("microtubule"), (0.874, 0.754, 0.793)),
    Row("Dice actin", _dice("actin"), (0.788, 0.280, 0.342), (None, 0.45, None)),
    Row("Dice nucleic-acid filaments", _dice("filament"), (0.703, 0.332, 0.350), _NO_BAR),
    Row("instance AP-50", _precision("AP-50"), (0.437, 0.229, 0.249)),
    Row("instance AP-55", _precision("AP-55"), (0.417, 0.180, 0.196), _NO_BAR),
    Row("instance AP-60", _precision("AP-60"), (0.393, 0.121, 0.133), _NO_BAR),
    Row("instance AP-65", _precision("AP-65"), (0.346, 0.063, 0.071), _NO_BAR),
    Row("instance AP-70", _precision("AP-70"), (0.241, 0.020, 0.024), _NO_BAR),
    Row("instance AP-75", _precision("AP-75"), (0.099, 0.003, 0.003), _NO_BAR),
    Row("instance AP-80", _precision("AP-80"), (0.016, 0.000, 0.000), _NO_BAR),
)
"""Tables 6 and 7 of the thesis, and which of their figures are bars."""

AIMS: Final = {("Dice, all classes", "noisy"): 0.735, ("instance AP-50", "noisy"): 0.35}
"""What we aim for beyond the bars."""

SIZES: Final = ("very big", "big", "medium", "small", "tiny")

NOTES: Final = (
    "Every figure is the mean over tomograms ± their sample standard deviation (number of tomograms). "
    "Dice over all classes is taken per tomogram, over the classes that its truth holds, background counted. So does "
    "the thesis: its classes of table 6 average to 0.841, 0.637 and 0.668 with background and without filaments, which "
    "most of its tomograms lack, and to 0.816, 0.573 and 0.611 without background; it states 0.836, 0.635 and 0.664.",
    "What differs from the thesis: our simulator, our particles, and voxels of 10 Å inside the network where it had "
    "6.8 Å; results are compared at 6.8 Å. The thesis trained one network for each column; ours is one network that "
    "reads all three.",
)


def report(records: list[Record], command: str, weights: str) -> list[str]:
    """Return the lines of the report.

    Parameters
    ----------
    records
        One for each tomogram and column.
    command, weights
        What printed it, and with what.
    """
    lines = ["# CB-1: the simulated benchmark", "", f"`{command}` printed this. Weights: {weights}.", ""]
    cells = [record for record in records if not record["run"].startswith(CZII_PREFIX)]
    czii = [record for record in records if record["run"].startswith(CZII_PREFIX)]
    if cells:
        lines += [f"## Beside the thesis: {_names(cells)}", "", *_thesis_table(cells), ""]
        for note in NOTES:
            lines += [note, ""]
        lines += ["Instance AP-50 by size class (true instances in all tomograms):", "", *_size_table(cells), ""]
        lines += ["Picks, whatever their names; a hit is within half the radius:", "", *_pick_table(cells), ""]
    if czii:
        lines += [f"## CZII-like tomograms: {_names(czii)}", "", *_czii_table(czii), ""]
        lines += ["Dice and instances of these tomograms:", "", *_plain_table(czii), ""]
    lines += ["## Denoising against the noiseless tomogram", "", *_denoising_table(records), ""]
    if any(record["pick"] for record in records):
        lines += ["## Time and memory of `cryosiam pick`", "", *_time_table(records), ""]
    return lines


def _names(records: list[Record]) -> str:
    return ", ".join(dict.fromkeys(record["run"] for record in records))


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def _values(records: list[Record], column: str, figure: Figure) -> list[float]:
    """Return the figure of every tomogram that has it."""
    found = [figure(record["evaluation"]) for record in records if record["column"] == column]
    return [value for value in found if value is not None and math.isfinite(value)]


def _spread(values: list[float], digits: int = 3) -> str:
    if not values:
        return "-"
    deviation = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.{digits}f}{deviation} ({len(values)})"


def _spreads(records: list[Record], figure: Figure, digits: int = 3) -> list[str]:
    return [_spread(_values(records, column, figure), digits) for column in COLUMNS]


def _thesis_table(records: list[Record]) -> list[str]:
    rows = []
    for row in THESIS_ROWS:
        cells = [row.name]
        for column, thesis in zip(COLUMNS, row.thesis, strict=True):
            values = _values(records, column, row.figure)
            cells += [f"{thesis:.3f}", f"{_spread(values)}{_verdict(row, column, values)}"]
        rows.append(cells)
    foreground = ["Dice, all classes but background"]
    for cell in _spreads(records, _dice("foreground")):
        foreground += ["", cell]
    rows.insert(1, foreground)
    head = ["figure", *(text for column in COLUMNS for text in (f"{column}: thesis", "ours"))]
    return _table(head, rows)


def _verdict(row: Row, column: str, values: list[float]) -> str:
    bar = row.bar(column)
    if bar is None or not values:
        return ""
    mean = statistics.fmean(values)
    aim = AIMS.get((row.name, column))
    if mean < bar:
        return f", **missed** ({bar:.3f})"
    return f", reached ({bar:.3f})" + ("" if aim is None else f", aim {aim:.3f} {'met' if mean >= aim else 'not met'}")


def _size_table(records: list[Record]) -> list[str]:
    rows = []
    for size in SIZES:
        first = {record["run"]: record["evaluation"]["instances"]["sizes"][size]["truth"] for record in records}
        rows.append([f"{size} ({sum(first.values())})", *_spreads(records, _precision("AP-50", size))])
    return _table(["size class", *COLUMNS], rows)


def _together(name: str) -> Figure:
    return lambda evaluation: evaluation["picks"]["together"][name] if evaluation["picks"] else None


def _calibration(name: str) -> Figure:
    return lambda evaluation: evaluation["calibration"][name] if evaluation["calibration"] else None


_PICK_FIGURES: Final = (
    ("F1", _together("f1")),
    ("precision", _together("precision")),
    ("recall", _together("recall")),
    ("F1 at the best threshold", _together("best_f1")),
    ("average precision", _together("average_precision")),
    ("expected calibration error of scores", _calibration("expected_calibration_error")),
)


def _pick_table(records: list[Record]) -> list[str]:
    return _table(["picks", *COLUMNS], [[name, *_spreads(records, figure)] for name, figure in _PICK_FIGURES])


def _czii_table(records: list[Record]) -> list[str]:
    species = sorted({name for record in records for name in record["evaluation"]["czii"]["weights"]})

    def f1(name: str, which: str) -> Figure:
        return lambda evaluation: evaluation["picks"]["species"][name][which]

    def f_beta(variant: str, name: str) -> Figure:
        return lambda evaluation: evaluation["czii"][variant]["by_class"].get(name)

    def score(variant: str) -> Figure:
        return lambda evaluation: evaluation["czii"][variant]["score"]

    rows = [
        ["CZII F-beta 4, as the public scorer counts", *_spreads(records, score("public"))],
        ["CZII F-beta 4, one-to-one", *_spreads(records, score("one_to_one"))],
        *([name, *_spreads(records, figure)] for name, figure in _PICK_FIGURES),
        *([f"F1 {name}", *_spreads(records, f1(name, "f1"))] for name in species),
        *([f"F1 {name}, best threshold", *_spreads(records, f1(name, "best_f1"))] for name in species),
        *([f"F-beta 4 {name}, public", *_spreads(records, f_beta("public", name))] for name in species),
    ]
    return _table(["figure", *COLUMNS], rows)


def _plain_table(records: list[Record]) -> list[str]:
    rows = [[row.name, *_spreads(records, row.figure)] for row in THESIS_ROWS]
    return _table(["figure", *COLUMNS], [row for row in rows if any(cell != "-" for cell in row[1:])])


def _denoising_table(records: list[Record]) -> list[str]:
    figures = (
        ("PSNR, dB", "psnr_db", 2),
        ("SSIM", "ssim", 3),
        ("correlation", "correlation", 3),
        ("FSC falls below 0.5 at, Å", "resolution_05_angstrom", 1),
        ("FSC falls below 0.143 at, Å", "resolution_0143_angstrom", 1),
    )

    def figure(which: str, name: str) -> Figure:
        def found(evaluation: Record) -> float | None:
            part = (evaluation["denoising"] or {}).get(which)
            return part[name]["mean"] if part else None

        return found

    rows = [
        [text, *(_spread(_values(records, "noisy", figure(which, name)), digits) for which in ("source", "denoised"))]
        for text, name, digits in figures
    ]
    return _table(["figure", "noisy", "denoised"], rows)


def _time_table(records: list[Record]) -> list[str]:
    rows = [
        [
            record["run"],
            record["column"],
            f"{record['pick']['seconds']:.0f}",
            f"{record['pick']['peak_memory_gib']:.2f}",
        ]
        for record in records
        if record["pick"]
    ]
    return _table(["tomogram", "column", "wall s", "peak GiB"], rows)
