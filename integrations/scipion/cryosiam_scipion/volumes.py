"""Voxels of MRC files, plane by plane: tomograms may be larger than memory."""

from __future__ import annotations

import os
from pathlib import Path

import mrcfile
import numpy as np


def write_mask_of_label(labels: Path, label: int, mask: Path) -> None:
    """Write a mask that is 1 where ``labels`` is ``label`` and 0 elsewhere; a half-written one is not left."""
    unfinished = mask.with_name(f"{mask.stem}.unfinished.mrc")
    with mrcfile.mmap(labels, permissive=True) as source:
        shape, voxel_size = source.data.shape, source.voxel_size
        with mrcfile.new_mmap(unfinished, shape, mrc_mode=0, overwrite=True) as target:
            for place, plane in enumerate(source.data):
                target.data[place] = (plane == label).astype(np.int8)
            target.voxel_size = voxel_size
            target.update_header_stats()
    os.replace(unfinished, mask)
