"""Tilt stacks in MRC files, as IMOD, SerialEM and Warp write them."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from cryosiam.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray


def open_stack(path: Path) -> tuple[NDArray[np.generic], float | None]:
    """Open a tilt stack as a memory map.

    Returns
    -------
    tuple
        Images ``(n, y, x)`` on disk, and the pixel size in Å, None where the header has none.

    Raises
    ------
    InputError
        If the file is missing, is no whole MRC file, or holds something else than a stack of real images.
    """
    import mrcfile

    if not path.exists():
        raise InputError(f"{path} does not exist; give the tilt stack")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            stack = mrcfile.mmap(path, mode="r", permissive=True)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as an MRC file ({error}); copy the tilt stack again") from error
    images = stack.data
    if images is None:
        size = path.stat().st_size
        raise InputError(f"{path} is not a whole MRC file ({size} bytes on disk); copy the tilt stack again")
    if images.ndim != 3 or images.dtype.kind not in "iuf" or min(images.shape) < 1:
        raise InputError(
            f"{path} holds {images.dtype} data of shape {images.shape}, not a stack of images; give the tilt stack"
        )
    pixel_size = float(stack.voxel_size.x)
    return images, pixel_size if pixel_size > 0 else None
