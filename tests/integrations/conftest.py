"""copick projects made by unmodified copick, for the adapters to read and write."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cryosiam.integrations.copick.library import logging_kept
from cryosiam.ports import ProductKey

with logging_kept():
    import copick

KEY = ProductKey("cryosiam", "7")


@dataclass
class MadeProject:
    """A project on disk and the voxels that were put in."""

    config_path: Path
    overlay: Path
    voxels: NDArray[np.float32]

    def open(self) -> Any:
        """Open it with unmodified copick."""
        with logging_kept():
            return copick.from_file(str(self.config_path))

    def edit(self, **changes: Any) -> None:
        """Change keys of the project file; None removes one."""
        content = json.loads(self.config_path.read_text())
        content.update(changes)
        self.config_path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))

    def zattrs(self, name: str = "wbp", folder: str = "VoxelSpacing10.000") -> Path:
        """Return the attributes file of a tomogram."""
        return self.overlay / "ExperimentRuns" / "TS_01" / folder / f"{name}.zarr" / ".zattrs"

    def edit_scale(self, scale: list[Any], unit: str = "angstrom") -> None:
        """Change the voxel size in a tomogram's metadata."""
        attributes = json.loads(self.zattrs().read_text())
        attributes["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"] = scale
        for axis in attributes["multiscales"][0]["axes"]:
            axis["unit"] = unit
        self.zattrs().write_text(json.dumps(attributes))


@pytest.fixture
def make_project(tmp_path: Path) -> Callable[..., MadeProject]:
    """Return a maker of projects with one run, TS_01, and tomograms of the given names at 10 Å."""

    def make(
        tomograms: tuple[str, ...] = ("wbp",), shape: tuple[int, int, int] = (20, 30, 45), name: str = "project"
    ) -> MadeProject:
        overlay = tmp_path / name
        overlay.mkdir()
        config_path = tmp_path / f"{name}.json"
        config_path.write_text(
            json.dumps(
                {
                    "config_type": "filesystem",
                    "name": name,
                    "description": "made for a test",
                    "version": "1.0.0",
                    "pickable_objects": [
                        {"name": "ribosome", "is_particle": True, "label": 2, "radius": 120.0, "metadata": {"a": [1]}}
                    ],
                    "overlay_root": f"local://{overlay}",
                    "overlay_fs_args": {"auto_mkdir": True},
                }
            )
        )
        voxels = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        project = MadeProject(config_path, overlay, voxels)
        run = project.open().new_run("TS_01")
        spacing = run.new_voxel_spacing(10.0)
        for tomogram in tomograms:
            spacing.new_tomogram(tomogram).from_numpy(voxels, levels=1)
        return project

    return make


@pytest.fixture
def project(make_project: Callable[..., MadeProject]) -> MadeProject:
    """Return a project with one tomogram."""
    return make_project()
