"""Tables of ``cryosiam evaluate``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from cryosiam.cli.tables import console

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cryosiam.evaluation.results import (
        CziiResult,
        DenoisingResult,
        DiceResult,
        Evaluation,
        IdentificationResult,
        InstanceResult,
        PickResult,
        PicksResult,
        Spread,
    )


def print_evaluation(result: Evaluation, files: Sequence[Path]) -> None:
    """Print everything that was measured, what was not, and where it was written."""
    output = console()
    runs = f"{len(result.runs)} run{'s' * (len(result.runs) != 1)}"
    output.print(f"{result.project}: {result.predicted} against {result.truth}, {runs}", markup=False)
    for table in _tables(result):
        output.print()
        output.print(table)
    if result.calibration is not None:
        output.print(
            f"\nscores: expected calibration error {_number(result.calibration.expected_calibration_error)}, "
            f"largest {_number(result.calibration.maximum_calibration_error)}, "
            f"Brier score {_number(result.calibration.brier_score)}"
        )
    for name, reason in result.left_out.items():
        output.print(f"not measured: {name}: {reason}", markup=False)
    for path in files:
        output.print(str(path), markup=False)


def _tables(result: Evaluation) -> list[Table]:
    tables = (
        _dice(result.dice) if result.dice else None,
        _instances(result.instances) if result.instances else None,
        _picks(result.picks) if result.picks else None,
        _czii(result.czii) if result.czii else None,
        _identification(result.identification) if result.identification else None,
        _denoising(result.denoising) if result.denoising else None,
    )
    return [table for table in tables if table is not None]


def _table(title: str, first: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column(first)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _dice(part: DiceResult) -> Table:
    table = _table("Dice", "class", "mean", "std", "tomograms", "pooled")
    for name, each in part.classes.items():
        table.add_row(name, *_spread(each), _number(part.pooled[name]))
    table.add_row("all classes", *_spread(part.all_classes), "")
    table.add_row("without background", *_spread(part.foreground), "")
    return table


def _instances(part: InstanceResult) -> Table:
    keys = list(next(iter(part.sizes.values())).at)
    table = _table("Instances: AP, mean over tomograms (± std)", "size", "true", "AP", *keys)
    for size, each in part.sizes.items():
        table.add_row(size, str(each.truth), _short(each.average_precision), *(_short(each.at[key]) for key in keys))
    return table


def _picks(part: PicksResult) -> Table:
    columns = ("true", "picked", "found", "precision", "recall", "F1", "AP", "best F1", "from score", "F1 ± std")
    table = _table(f"Picks: a hit is within {part.hit_fraction:g} of the radius, one-to-one", "species", *columns)
    rows: list[tuple[str, PickResult]] = [
        ("all, names ignored", part.together),
        ("all, names counted", part.named),
        *part.species.items(),
    ]
    for name, each in rows:
        figures = (each.precision, each.recall, each.f1, each.average_precision, each.best_f1, each.best_f1_score)
        counts = (str(each.truth), str(each.picked), str(each.matched))
        table.add_row(name, *counts, *map(_number, figures), _short(each.f1_by_run))
    means = ("", "", "", "", "", _number(part.mean_f1), _number(part.mean_average_precision), "", "", "")
    table.add_row("mean over true species", *means)
    return table


def _czii(part: CziiResult) -> Table:
    table = _table("CZII: F-beta, beta 4, within half the radius", "class", "weight", "public scorer", "one-to-one")
    for name, weight in part.weights.items():
        table.add_row(name, f"{weight:g}", _number(part.public.by_class[name]), _number(part.one_to_one.by_class[name]))
    table.add_row("score", "", _number(part.public.score), _number(part.one_to_one.score))
    return table


def _identification(part: IdentificationResult) -> Table:
    table = _table(
        f"Identification: F1 of {part.particles} embeddings, learnt on other tomograms",
        "species",
        "particles",
        "mass (kDa)",
        "nearest neighbour",
        "network",
    )
    for name, each in sorted(part.species.items(), key=lambda item: item[1].mass_kda or 0.0):
        mass = "-" if each.mass_kda is None else f"{each.mass_kda:.0f}"
        table.add_row(name, str(each.particles), mass, _number(each.knn_f1), _number(each.mlp_f1))
    table.add_row("mean", "", "", _number(part.mean_knn_f1), _number(part.mean_mlp_f1))
    return table


def _denoising(part: DenoisingResult) -> Table:
    columns = ("PSNR (dB)", "SSIM", "correlation", "FSC 0.5 (Å)", "FSC 0.143 (Å)")
    table = _table(f"Tomograms against '{part.clean}', grey values matched (± std)", "tomogram", *columns)
    for each in (part.source, part.denoised):
        if each is not None:
            table.add_row(
                each.tomogram,
                _short(each.psnr_db, 2),
                *map(_short, (each.ssim, each.correlation)),
                *(_short(one, 1) for one in (each.resolution_05_angstrom, each.resolution_0143_angstrom)),
            )
    return table


def _spread(each: Spread) -> tuple[str, str, str]:
    return _number(each.mean), _number(each.std), str(each.n)


def _short(each: Spread, digits: int = 3) -> str:
    if each.std is None:
        return _number(each.mean, digits)
    return f"{_number(each.mean, digits)} ± {_number(each.std, digits)}"


def _number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
