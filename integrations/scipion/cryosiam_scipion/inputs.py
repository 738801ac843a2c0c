"""What is wrong, or worth a word, with a set of tomograms before anything is run."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import mrcfile

from cryosiam_scipion.convert import MRC_ENDINGS, file_of, run_name

_TOLERANCE = 0.01
_USUAL_ANGSTROM = (5.0, 20.0)


def objections(tomograms: Any, voxel_size: float = -1) -> list[str]:
    """Return one sentence for each reason why CryoSiam cannot work on a set."""
    if tomograms.getSize() == 0:
        return ["The set holds no tomograms; choose another one."]
    found = []
    sampling = tomograms.getSamplingRate()
    if not voxel_size > 0 and not (sampling and sampling > 0):
        found.append("The set of tomograms states no sampling rate; give the voxel size, or import it again with one.")
    names: Counter[str] = Counter()
    for tomogram in tomograms.iterItems():
        names[run_name(str(tomogram.getTsId()))] += 1
        found += _objections_to(tomogram)
    found += [
        f"Several tomograms have the id '{name}'; import them again under names of their own."
        for name, count in names.items()
        if count > 1
    ]
    return found


def warnings(tomograms: Any, voxel_size: float) -> list[str]:
    """Return one sentence for each thing that is probably not meant."""
    found = []
    low, high = _USUAL_ANGSTROM
    if not low <= voxel_size <= high:
        found.append(
            f"The voxel size is {voxel_size:g} Å; the networks learnt from 10 Å, and other tomograms are resampled."
        )
    for tomogram in tomograms.iterItems():
        ts_id = str(tomogram.getTsId())
        if run_name(ts_id) != ts_id:
            found.append(f"STAR files cannot hold '{ts_id}'; CryoSiam's own files call it '{run_name(ts_id)}'.")
        stated = header_voxel_size(file_of(tomogram))
        if stated is not None and abs(stated / voxel_size - 1) > _TOLERANCE:
            found.append(
                f"{file_of(tomogram)} states {stated:.4g} Å per voxel in its header, and {voxel_size:.4g} Å are used."
            )
    return found


def header_voxel_size(path: str) -> float | None:
    """Return the voxel size that an MRC file states, in Å along x, or None where it states none."""
    try:
        with mrcfile.open(path, header_only=True, permissive=True) as file:
            stated = float(file.voxel_size.x)
    except (OSError, ValueError):
        return None
    # 1 Å is what programs write that know nothing.
    return stated if stated > 0 and stated != 1.0 else None


def _objections_to(tomogram: Any) -> list[str]:
    ts_id, path = tomogram.getTsId(), file_of(tomogram)
    if not ts_id:
        return [f"{path} has no tilt-series id, by which picks find their tomogram; import the tomograms again."]
    if not os.path.exists(path):
        return [f"{path}, the tomogram '{ts_id}', is not there; was it moved, or is its disk not mounted?"]
    if not path.lower().endswith(MRC_ENDINGS):
        return [f"{path} is no MRC file; convert the tomogram '{ts_id}' to MRC first."]
    return []
