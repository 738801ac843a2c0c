"""Volumes of a simulated run: reconstructions, label volumes, and maps made from the labels."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from scipy import ndimage

from cryosiam.domain import ArrayVolume, Contrast, Hand
from cryosiam.integrations.copick.folders import whole_folder
from cryosiam.integrations.copick.ome import ATTRIBUTE, COMPANION
from cryosiam.integrations.copick.simulated_objects import SAMPLE_OBJECT
from cryosiam.integrations.copick.sink import SEMANTIC_NAME, TOMOGRAM_LEVELS
from cryosiam.integrations.copick.zarr_writer import real_errors, write_volume
from cryosiam.integrations.volumes import BLOCK, boxes
from cryosiam.pipeline.storage import storage_errors
from cryosiam.ports import ProductKey
from cryosiam.simulation.fast.targets import object_boundary
from cryosiam.simulation.spec import fixed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import DTypeLike, NDArray

    from cryosiam.domain.tomogram import Box, Volume
    from cryosiam.simulation.tomogram import SimulatedTomogram, Specimen

TRUTH: Final = ProductKey("truth", "1")
"""User and session of all ground truth."""

MAIN_TYPE: Final = "wbp"
"""Tomogram type of the noisy reconstruction; the others are ``wbp-ctfcorr``, ``wbp-even``, ``wbp-odd``, ``clean``."""

DISTANCE_LIMIT_VOXELS: Final = 16
"""Signed distances are exact up to here, and clipped beyond."""

_DISTANCE_BLOCK: Final = 128

_WRITERS: Final = 2


class _Negative(ArrayVolume):
    """An array seen with its sign turned, without a copy of the whole."""

    def read(self, box: Box) -> NDArray[np.float32]:
        """Return the voxels of ``box`` with their sign turned."""
        return -super().read(box)


@dataclass(frozen=True)
class _Product:
    """A volume to be written at ``place`` within the run's folder."""

    place: str
    volume: Volume
    dtype: DTypeLike
    levels: int
    facts: dict[str, Any]


def write_volumes(run_folder: Path, tomogram: SimulatedTomogram, maps: bool) -> None:
    """Write all volumes of a run as OME-Zarr, in copick's places.

    Parameters
    ----------
    run_folder
        Folder of the run, being made.
    tomogram
        What to write.
    maps
        Also write, as features of ``wbp``, the signed distance to the particles' surface and their boundaries.

    Raises
    ------
    StorageError
        If the disk is full or the folder cannot be written.
    """
    voxel = tomogram.specimen.voxel_size_angstrom
    tasks: list[Callable[[], None]] = [
        lambda one=one: write_volume(  # type: ignore[misc]
            run_folder / one.place, one.volume, voxel, one.levels, one.dtype, one.facts
        )
        for one in (*_tomograms(tomogram), *_labels(tomogram.specimen))
    ]
    panoptic = run_folder / "PanopticSegmentations" / f"{_stem(voxel)}_panoptic.zarr"
    tasks.append(lambda: write_panoptic(panoptic, tomogram.specimen))
    if maps:
        tasks.append(lambda: _write_maps(run_folder, tomogram.specimen))
    with _repeatable_compression(), ThreadPoolExecutor(_WRITERS) as pool:
        for written in [pool.submit(task) for task in tasks]:
            written.result()


def write_panoptic(path: Path, specimen: Specimen) -> None:
    """Write copick's panoptic segmentation: channel 0 the class, channel 1 the object's id, 0 in the background.

    Particles have the ids 1 to n of their picks, membranes and filaments follow from n + 1.
    """
    dtype = _id_type(len(specimen.picks) + len(specimen.scaffold_kinds))
    with storage_errors("cannot write"), whole_folder(path) as folder, real_errors():
        array = _panoptic_group(folder, specimen, dtype)
        for box in boxes(specimen.semantic.shape):
            part = replace(specimen, instances=specimen.instances[box], scaffold=specimen.scaffold[box])
            array[(0, *box)] = specimen.semantic[box]
            array[(1, *box)] = np.where(specimen.semantic[box] > 0, part.panoptic(), 0)


def signed_distance(
    instances: NDArray[np.int32], voxel_size_angstrom: float, limit_voxels: int = DISTANCE_LIMIT_VOXELS
) -> NDArray[np.float32]:
    """Return the distance from each voxel's centre to the nearest surface of a particle, positive inside.

    Computed block by block: the distance transform of a whole volume takes ten times the volume's memory.

    Parameters
    ----------
    instances
        ``(z, y, x)`` ids, 0 outside. Where particles touch there is a surface between them.
    voxel_size_angstrom
        Edge of the voxel.
    limit_voxels
        Longer distances are clipped to this.

    Returns
    -------
    NDArray
        ``(z, y, x)`` in Å.
    """
    result = np.empty(instances.shape, np.float32)
    corners = np.ndindex(*(-(-size // _DISTANCE_BLOCK) for size in instances.shape))
    for corner in corners:
        starts = [_DISTANCE_BLOCK * place for place in corner]
        stops = [min(start + _DISTANCE_BLOCK, size) for start, size in zip(starts, instances.shape, strict=True)]
        halo = [max(0, start - limit_voxels - 1) for start in starts]
        around = tuple(slice(h, stop + limit_voxels + 1) for h, stop in zip(halo, stops, strict=True))
        own = tuple(slice(start, stop) for start, stop in zip(starts, stops, strict=True))
        inner = tuple(slice(s.start - h, s.stop - h) for s, h in zip(own, halo, strict=True))
        result[own] = _distance_voxels(instances[around])[inner].clip(-limit_voxels, limit_voxels)
    result *= voxel_size_angstrom
    return result


def _distance_voxels(instances: NDArray[np.int32]) -> NDArray[np.float32]:
    inside = instances > 0
    if not inside.any():
        return np.full(instances.shape, -np.inf, np.float32)
    edge = object_boundary(instances) & inside
    # Voxels of the edge have their centre half a voxel inside the surface, their neighbours half a voxel outside.
    height = 0.5 - ndimage.distance_transform_edt(~inside).astype(np.float32)
    if not edge.any():
        return np.full(instances.shape, np.inf, np.float32)
    depth = ndimage.distance_transform_edt(~edge).astype(np.float32) + 0.5
    return np.where(inside, depth, height)


def _tomograms(tomogram: SimulatedTomogram) -> list[_Product]:
    """Return the reconstructions and the clean volume."""
    seen, beside = _acquisition(tomogram), {COMPANION: MAIN_TYPE}
    arrays, facts = {MAIN_TYPE: tomogram.noisy}, {MAIN_TYPE: seen}
    if tomogram.corrected is not None:
        arrays[f"{MAIN_TYPE}-ctfcorr"] = tomogram.corrected
    if tomogram.halves is not None:
        arrays[f"{MAIN_TYPE}-even"], arrays[f"{MAIN_TYPE}-odd"] = tomogram.halves
    facts |= {name: {**beside, **seen} for name in arrays if name != MAIN_TYPE}
    volumes: dict[str, Volume] = {name: ArrayVolume(array) for name, array in arrays.items()}
    volumes["clean"] = _Negative(tomogram.specimen.density)
    facts["clean"] = {**beside, "contrast": Contrast.DARK.value, "hand": Hand.AS_GIVEN.value}
    spacing = f"VoxelSpacing{tomogram.specimen.voxel_size_angstrom:.3f}"
    return [
        _Product(f"{spacing}/{name}.zarr", volume, np.float32, TOMOGRAM_LEVELS, facts[name])
        for name, volume in volumes.items()
    ]


def _labels(specimen: Specimen) -> list[_Product]:
    stem = _stem(specimen.voxel_size_angstrom)
    semantic, mask, instances = (
        ArrayVolume(array) for array in (specimen.semantic, specimen.sample_mask, specimen.instances)
    )
    ids = _id_type(len(specimen.picks))
    return [
        _Product(f"Segmentations/{stem}_{SEMANTIC_NAME}-multilabel.zarr", semantic, np.uint8, 1, {}),
        _Product(f"Segmentations/{stem}_{SAMPLE_OBJECT}.zarr", mask, np.uint8, 1, {}),
        _Product(f"InstanceSegmentations/{stem}_particle.zarr", instances, ids, 1, {}),
    ]


def _write_maps(run_folder: Path, specimen: Specimen) -> None:
    voxel, instances = specimen.voxel_size_angstrom, specimen.instances
    stem = run_folder / f"VoxelSpacing{voxel:.3f}" / MAIN_TYPE
    distance = ArrayVolume(signed_distance(instances, voxel))
    boundary = ArrayVolume(object_boundary(instances))
    write_volume(stem.with_name(f"{MAIN_TYPE}_signed-distance_features.zarr"), distance, voxel, 1, np.float32, {})
    write_volume(stem.with_name(f"{MAIN_TYPE}_boundary_features.zarr"), boundary, voxel, 1, np.float32, {})


def _stem(voxel_size_angstrom: float) -> str:
    return f"{voxel_size_angstrom:.3f}_{TRUTH.user_id}_{TRUTH.session_id}"


def _id_type(largest: int) -> DTypeLike:
    return np.uint16 if largest <= np.iinfo(np.uint16).max else np.uint32


def _acquisition(tomogram: SimulatedTomogram) -> dict[str, Any]:
    """Return what our own source reads back (:func:`cryosiam.integrations.copick.ome.read_acquisition`)."""
    wedge = tomogram.wedge
    return {
        "contrast": Contrast.DARK.value,
        "hand": Hand.AS_GIVEN.value,
        "defocus_um": fixed(tomogram.spec.microscope.optics.defocus_um),
        "wedge": {
            "tilt_min_deg": wedge.tilt_min_deg,
            "tilt_max_deg": wedge.tilt_max_deg,
            "tilt_axis": wedge.tilt_axis,
        },
    }


def _panoptic_group(folder: Path, specimen: Specimen, dtype: DTypeLike) -> Any:
    """Make the group as copick lays it out, and return its array ``(2, z, y, x)``."""
    import zarr

    space = [{"name": name, "type": "space", "unit": "angstrom"} for name in "zyx"]
    scale = [{"scale": [1.0, *[specimen.voxel_size_angstrom] * 3], "type": "scale"}]
    multiscale = {
        "axes": [{"name": "c", "type": "channel"}, *space],
        "datasets": [{"coordinateTransformations": scale, "path": "0"}],
        "metadata": {"copick": {"segmentation_type": "panoptic", "channels": ["label", "instance"]}},
        "name": "/",
        "version": "0.4",
    }
    group = zarr.group(store=zarr.DirectoryStore(str(folder), dimension_separator="/"), overwrite=True)
    group.attrs.put({"multiscales": [multiscale], ATTRIBUTE: {}})
    return group.create_dataset(
        "0",
        shape=(2, *specimen.semantic.shape),
        chunks=(1, BLOCK, BLOCK, BLOCK),
        dtype=dtype,
        fill_value=0,
        dimension_separator="/",
    )


@contextmanager
def _repeatable_compression() -> Iterator[None]:
    """Let each chunk be compressed by one thread: several finish in any order, and the bytes follow that order."""
    from numcodecs import blosc

    before = blosc.use_threads
    blosc.use_threads = False
    try:
        yield
    finally:
        blosc.use_threads = before
