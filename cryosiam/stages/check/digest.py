"""Digest of a tomogram's voxels, for the record."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from cryosiam.inference.normalisation import z_slabs

if TYPE_CHECKING:
    from cryosiam.domain import Volume


def sha256_of_volume(volume: Volume) -> str:
    """Return the SHA-256 of a volume's shape and voxels (little-endian float32, C order), read slab by slab.

    The digest belongs to the voxels, not to the file format: the same tomogram as MRC and as Zarr has one digest.
    """
    digest = hashlib.sha256(np.array(volume.shape, dtype="<i8").tobytes())
    for box in z_slabs(volume.shape):
        digest.update(np.ascontiguousarray(volume.read(box), dtype="<f4").data)
    return digest.hexdigest()
