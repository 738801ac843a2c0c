"""RELION 3.1: cut particles out of tomograms and average them with the angles of the STAR file."""

from __future__ import annotations

from pathlib import Path

import mrcfile
import numpy as np
import starfile
from numpy.typing import NDArray

from ..clients import client_program, run_client  # noqa: TID252 - tests are no package


def extract(project: Path, species: str, box: int) -> Path:
    """Cut boxes around the picks ``<tomogram>_<species>.star`` with ``relion_preprocess``; return their table."""
    out = "boxes/"
    (project / out).mkdir()
    command = [client_program("relion_preprocess"), "--i", "tomos.star"]
    command += ["--coord_dir", "./", "--coord_suffix", f"_{species}.star", "--part_star", f"{out}particles.star"]
    run_client([*command, "--part_dir", out, "--extract", "--extract_size", str(box)], project)
    return project / out / "particles.star"


def boxes(project: Path, table: Path) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return the boxes (n, z, y, x), and in voxels the shifts (n, 3) (x, y, z) that centre their contents."""
    tables = starfile.read(table, always_dict=True)
    shifts_angstrom = tables["particles"][[f"rlnOrigin{axis}Angst" for axis in "XYZ"]].to_numpy(float)
    voxel_size = float(tables["optics"]["rlnImagePixelSize"].iloc[0])
    found = [mrcfile.read(project / name) for name in tables["particles"]["rlnImageName"]]
    return np.stack(found), shifts_angstrom / voxel_size


def average(project: Path, table: Path, pixel_size_angstrom: float) -> NDArray[np.float32]:
    """Average the boxes with ``relion_reconstruct --3d_rot``."""
    out = table.with_name("average.mrc")
    command = [client_program("relion_reconstruct"), "--i", table.relative_to(project), "--o", out.relative_to(project)]
    run_client([*command, "--3d_rot", "--angpix", str(pixel_size_angstrom)], project)
    return mrcfile.read(out)
