"""A small recipe, and what a training run leaves on disk or says."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import yaml

RECIPE: dict[str, Any] = {
    "name": "light",
    "voxel_size_angstrom": 10.0,
    "specimens": [{"preset": "demo", "seeds": [1, 2], "shape_zyx": [80, 64, 64], "share": 1.0}],
    "validation": {"seeds": [9001, 9002], "shape_zyx": [48, 80, 80]},
    "patch_zyx": [32, 48, 48],
    "self_supervision": {"patch_zyx": [32, 32, 32], "view_zyx": [24, 24, 24]},
    "pretrain_dense": {"steps": 2, "batch": 2, "learning_rate": 0.002},
    "dense": {"steps": 2, "batch": 1, "learning_rate": 0.002},
    "refine": {"steps": 2, "batch": 1, "learning_rate": 0.001, "denoised": 0.5},
    "rebalance": {
        "steps": 2,
        "batch": 1,
        "learning_rate": 0.001,
        "specimens": [{"preset": "demo", "seeds": [21, 22], "shape_zyx": [80, 64, 64], "share": 1.0}],
    },
    "broaden": {"steps": 2, "batch": 1, "learning_rate": 0.001, "kept": 0.3},
    "particles": 40,
    "pretrain_subtomogram": {"steps": 2, "batch": 4, "learning_rate": 0.001},
    "contrastive": {"steps": 2, "batch": 4, "learning_rate": 0.001},
}


def write_recipe(folder: Path, change: dict[str, Any] | None = None) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump({**RECIPE, **(change or {})}))
    return path


def contents(folder: Path) -> dict[str, bytes | None]:
    found = (path for path in sorted(folder.rglob("*")) if path.name != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in found}


def digests(out: Path) -> dict[str, str]:
    """Return the digest of every weights file that a run made."""
    return {path.stem: json.loads(path.read_text())["sha256"] for path in (out / "weights").glob("*.json")}


def log_steps(out: Path, stage: str) -> list[int]:
    with (out / stage / "log.csv").open() as stream:
        return [int(row["step"]) for row in csv.DictReader(stream)]


def assert_refused(result: Any, *words: str) -> None:
    """Check that one sentence was said, that it holds all ``words``, and that the exit code tells."""
    assert result.returncode == 1, result.stdout + result.stderr
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    assert "Traceback" not in result.stdout + result.stderr
    for word in words:
        assert word in lines[0]
