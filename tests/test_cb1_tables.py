"""Tables of the benchmark CB-1: means, spreads and verdicts come out of its records as they should."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FIGURES = {"AP-50": 0.3, "AP-55": 0.2, "AP-60": 0.1, "AP-65": 0.1, "AP-70": 0.1, "AP-75": 0.0, "AP-80": 0.0}
SIZES = ("all", "very big", "big", "medium", "small", "tiny")


@pytest.fixture(scope="module")
def tables() -> Iterator[ModuleType]:
    path = Path(__file__).parents[1] / "benchmarks" / "cb1_tables.py"
    spec = importlib.util.spec_from_file_location("cb1_tables", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def record(run: str, column: str, dice: float, **parts: Any) -> dict[str, Any]:
    evaluation: dict[str, Any] = {
        "dice": {
            "all_classes": {"mean": dice},
            "foreground": {"mean": dice - 0.1},
            "classes": {"background": {"mean": 0.9}, "actin": {"mean": None}},
        },
        "instances": {
            "sizes": {size: {"truth": 7, "at": {k: {"mean": v} for k, v in FIGURES.items()}} for size in SIZES}
        },
        "picks": None,
        "calibration": None,
        "czii": None,
        "denoising": None,
    }
    cost = {"seconds": 12.0, "peak_memory_gib": 1.5}
    return {"run": run, "column": column, "pick": cost, "evaluation": evaluation | parts}


def row(lines: list[str], name: str) -> list[str]:
    (line,) = [line for line in lines if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_means_spreads_and_verdicts(tables: ModuleType) -> None:
    records = [record("G1", "noisy", 0.6), record("X1", "noisy", 0.7), record("G1", "denoised", 0.5)]
    lines = tables.report(records, "python bench_cb1.py", "light")
    clean_thesis, clean, noisy_thesis, noisy, denoised_thesis, denoised = row(lines, "Dice, all classes")
    assert (clean_thesis, noisy_thesis, denoised_thesis) == ("0.836", "0.635", "0.664")
    assert clean == "-"
    assert noisy == "0.650 ± 0.071 (2), reached (0.635), aim 0.735 not met"
    assert denoised == "0.500 (1), **missed** (0.664)"
    # A class that the truth lacks has no figure, and a figure without a bar no verdict.
    assert row(lines, "Dice actin")[3] == "-"
    assert row(lines, "Dice background")[3] == "0.900 ± 0.000 (2)"
    assert row(lines, "small (14)") == ["-", "0.300 ± 0.000 (2)", "0.300 (1)"]
    assert "reached (0.229), aim 0.350 not met" in row(lines, "instance AP-50")[3]


def test_czii_tomograms_have_a_table_of_their_own(tables: ModuleType) -> None:
    one = {"f1": 0.5, "best_f1": 0.6, "precision": 0.4, "recall": 0.7, "average_precision": 0.3}
    score = {"score": 0.8, "by_class": {"ribosome": 0.9}}
    parts = {
        "picks": {"together": one, "species": {"ribosome": one}},
        "calibration": {"expected_calibration_error": 0.1},
        "czii": {"public": score, "one_to_one": score, "weights": {"ribosome": 1.0}},
    }
    lines = tables.report([record("Z1", "noisy", 0.6, **parts)], "python bench_cb1.py", "light")
    assert not any(line.startswith("## Beside the thesis") for line in lines)
    assert row(lines, "F1 ribosome") == ["-", "0.500 (1)", "-"]
    assert row(lines, "CZII F-beta 4, one-to-one")[1] == "0.800 (1)"
    assert row(lines, "Z1") == ["noisy", "12", "1.50"]
