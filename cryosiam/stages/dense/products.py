"""What the dense pass left, for the stages after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryosiam.errors import InputError

if TYPE_CHECKING:
    from cryosiam.inference.normalisation import Normalisation
    from cryosiam.inference.outputs import DenseProducts
    from cryosiam.stages.scratch import Scratch


def dense_products(scratch: Scratch) -> DenseProducts:
    """Return the maps of the dense pass.

    Raises
    ------
    InputError
        If they are gone, as when somebody emptied the results folder during the work.
    """
    from cryosiam.inference.outputs import open_products

    products = open_products(scratch.maps_folder("dense"))
    if products is None:
        raise InputError(f"the network's maps in {scratch.folder} are gone; run the same command again")
    return products


def denoised_scale(scratch: Scratch, contrast_sign: int) -> Normalisation:
    """Return the scaling of the denoised volume to [0, 1], for networks that learnt from such volumes."""
    from cryosiam.inference.normalisation import whole_range

    return whole_range(dense_products(scratch).volume("denoised")).to_unit_range(contrast_sign)


def grid_voxel_size(scratch: Scratch) -> float:
    """Return the voxel size in Å of the grid that the dense maps are on."""
    return float(scratch.table("checked")["grid_voxel_size_angstrom"])
