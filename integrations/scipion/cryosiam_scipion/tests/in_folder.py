"""Tests in a folder of their own, with small tomograms."""

from __future__ import annotations

import os
import tempfile
import unittest
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
from tomo.objects import SetOfTomograms, Tomogram


class InFolder(unittest.TestCase):
    """Works in a folder of its own."""

    def setUp(self) -> None:
        """Make the folder and go there."""
        self.folder = Path(self.enter(tempfile.TemporaryDirectory()))
        before = os.getcwd()
        os.chdir(self.folder)
        self.addCleanup(os.chdir, before)

    def enter(self, context: Any) -> Any:
        """Enter a context until the test is over."""
        entered = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        return entered

    def volume(self, name: str, values: Any, voxel_size: float = 10.0) -> Path:
        """Write an MRC file."""
        with mrcfile.new(name, overwrite=True) as file:
            file.set_data(values)
            file.voxel_size = voxel_size
        return Path(name)

    def tomograms(self, **sizes: tuple[int, int, int]) -> Any:
        """Return a set of empty tomograms; sizes are z, y, x."""
        made = SetOfTomograms.create(".", template="tomograms%s.sqlite")
        made.setSamplingRate(10.0)
        for ts_id, size in sizes.items():
            tomogram = Tomogram()
            tomogram.setTsId(ts_id)
            tomogram.setSamplingRate(10.0)
            tomogram.setFileName(str(self.volume(f"{ts_id}.mrc", np.zeros(size, np.float32))))
            tomogram.setOrigin()
            made.append(tomogram)
        made.write()
        return made
