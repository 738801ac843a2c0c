"""A copick project to learn from: the form in which CryoSiam takes annotations. Written in plain Python and NumPy."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterable, Iterator, Sequence

import mrcfile
import numpy as np
from numpy.typing import DTypeLike, NDArray

from cryosiam_scipion.constants import CLASSES, UNNAMED

TOMOGRAM_TYPE = "wbp"
USER, SESSION = "scipion", "1"
LABELS = f"{USER}/{SESSION}"
"""How the annotations are named to CryoSiam."""


@dataclass(frozen=True)
class AnnotatedTomogram:
    """A tomogram and what is known of it.

    Parameters
    ----------
    run
        Name that STAR files and folders can carry.
    tomogram
        MRC file.
    positions_voxels
        x, y, z of particles; voxel centres are whole numbers.
    mask
        MRC file of labels on the grid of the tomogram, or None.
    """

    run: str
    tomogram: Path
    positions_voxels: Sequence[tuple[float, float, float]] = ()
    mask: Path | None = None


def write_project(
    folder: Path,
    tomograms: Iterable[AnnotatedTomogram],
    voxel_size: float,
    radius_angstrom: float,
    mask_class: str | None = None,
) -> Path:
    """Write a copick project and return its configuration, which comes last: where it is there, all is.

    Parameters
    ----------
    folder
        Where to write.
    tomograms
        What to write.
    voxel_size
        Of all tomograms, in Å.
    radius_angstrom
        Of the particles at the positions.
    mask_class
        Class of everything above zero in the masks; None where masks hold CryoSiam's own labels.
    """
    config = folder / "project.json"
    for one in tomograms:
        run = folder / "overlay" / "ExperimentRuns" / one.run
        _write_volume(
            run / f"VoxelSpacing{voxel_size:.3f}" / f"{TOMOGRAM_TYPE}.zarr", one.tomogram, voxel_size, np.float32
        )
        if one.mask is not None:
            name = f"{voxel_size:.3f}_{USER}_{SESSION}_semantic-multilabel.zarr"
            _write_volume(run / "Segmentations" / name, one.mask, voxel_size, np.uint8, mask_class)
        if one.positions_voxels:
            picks = run / "Picks" / f"{USER}_{SESSION}_{UNNAMED}.json"
            picks.parent.mkdir(parents=True, exist_ok=True)
            picks.write_text(json.dumps(_picks(one, voxel_size)))
    unfinished = config.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(_config(folder, radius_angstrom), indent=2))
    os.replace(unfinished, config)
    return config


def _config(folder: Path, radius_angstrom: float) -> dict[str, Any]:
    objects = [
        {
            "name": name,
            "label": label,
            "is_particle": name == UNNAMED,
            **({"radius": radius_angstrom} if name == UNNAMED and radius_angstrom > 0 else {}),
        }
        for label, name in enumerate(CLASSES)
        if label > 0
    ]
    return {
        "config_type": "filesystem",
        "name": "scipion",
        "description": "Annotations of a Scipion project, to train CryoSiam on",
        "version": "1.0.0",
        "pickable_objects": objects,
        "overlay_root": f"local://{(folder / 'overlay').absolute()}",
        "overlay_fs_args": {"auto_mkdir": True},
    }


def _picks(one: AnnotatedTomogram, voxel_size: float) -> dict[str, Any]:
    points = [
        {
            "location": {axis: value * voxel_size for axis, value in zip("xyz", position)},
            "transformation_": np.eye(4).tolist(),
            "instance_id": 0,
            "score": 1.0,
        }
        for position in one.positions_voxels
    ]
    return {
        "pickable_object_name": UNNAMED,
        "user_id": USER,
        "session_id": SESSION,
        "run_name": one.run,
        "voxel_spacing": voxel_size,
        "unit": "angstrom",
        "points": points,
        "trust_orientation": False,
    }


def _write_volume(
    group: Path, source: Path, voxel_size: float, dtype: DTypeLike, mask_class: str | None = None
) -> None:
    """Write an MRC volume as OME-Zarr 0.4 with one level, a file per plane and no compression."""
    array = group / "0"
    array.mkdir(parents=True, exist_ok=True)
    with mrcfile.mmap(source, permissive=True) as file:
        shape = file.data.shape
        for place, plane in enumerate(_planes(file.data, mask_class)):
            chunk = array / str(place) / "0" / "0"
            chunk.parent.mkdir(parents=True, exist_ok=True)
            chunk.write_bytes(np.ascontiguousarray(plane, dtype).tobytes())
    description = {
        "zarr_format": 2,
        "shape": list(shape),
        "chunks": [1, *shape[1:]],
        "dtype": np.dtype(dtype).str,
        "compressor": None,
        "fill_value": 0,
        "filters": None,
        "order": "C",
        "dimension_separator": "/",
    }
    scale = [{"type": "scale", "scale": [voxel_size] * 3}]
    multiscale = {
        "version": "0.4",
        "axes": [{"name": name, "type": "space", "unit": "angstrom"} for name in "zyx"],
        "datasets": [{"path": "0", "coordinateTransformations": scale}],
    }
    (array / ".zarray").write_text(json.dumps(description))
    (group / ".zattrs").write_text(json.dumps({"multiscales": [multiscale]}))
    (group / ".zgroup").write_text(json.dumps({"zarr_format": 2}))


def _planes(volume: NDArray[Any], mask_class: str | None) -> Iterator[NDArray[Any]]:
    for plane in volume:
        yield plane if mask_class is None else (plane > 0) * CLASSES.index(mask_class)
