"""A RELION 5 project with analytic tilt series, and its particles cut out and averaged by zarr-particle-tools.

zarr-particle-tools is an independent implementation of RELION 5's extraction and reconstruction that runs on a CPU;
its boxes equal RELION's (corr 1 - 1e-13, measured).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import mrcfile
import numpy as np
from numpy.typing import NDArray

from ..clients import client_program, run_client  # noqa: TID252 - tests are no package
from .phantom import PIXEL_SIZE_ANGSTROM, TILTS_DEG


@dataclass(frozen=True)
class Series:
    """A tilt series: images (tilt, y, x), size (x, y, z) of the unbinned tomogram, binning of the tomogram."""

    images: NDArray[np.float32]
    size_xyz: tuple[int, int, int]
    binning: int


def write_project(folder: Path, series: Mapping[str, Series]) -> Path:
    """Write stacks with dark particles, as microscopes do, tilt tables and ``tomograms.star``; return the last."""
    rows = []
    for name, one in series.items():
        stack = folder / f"{name}.mrcs"
        with mrcfile.new(stack, data=-one.images) as file:
            file.voxel_size = PIXEL_SIZE_ANGSTROM
            file.set_image_stack()
        tilts = _write_tilts(folder / f"{name}_tilts.star", name, stack)
        geometry = " ".join(str(n) for n in (PIXEL_SIZE_ANGSTROM, one.binning, *one.size_xyz))
        rows.append(f"{name} {tilts} 300 2.7 0.1 {PIXEL_SIZE_ANGSTROM} -1 optics {geometry}")
    columns = ["rlnTomoName", "rlnTomoTiltSeriesStarFile", "rlnVoltage", "rlnSphericalAberration"]
    columns += ["rlnAmplitudeContrast", "rlnMicrographOriginalPixelSize", "rlnTomoHand", "rlnOpticsGroupName"]
    columns += ["rlnTomoTiltSeriesPixelSize", "rlnTomoTomogramBinning", "rlnTomoSizeX", "rlnTomoSizeY", "rlnTomoSizeZ"]
    return write_loop(folder / "tomograms.star", "global", columns, rows)


def _write_tilts(path: Path, name: str, stack: Path) -> Path:
    columns = ["rlnMicrographName", "rlnTomoXTilt", "rlnTomoYTilt", "rlnTomoZRot", "rlnTomoXShiftAngst"]
    columns += ["rlnTomoYShiftAngst", "rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle", "rlnCtfScalefactor"]
    columns += ["rlnMicrographPreExposure", "rlnTomoNominalStageTiltAngle"]
    rows = [
        f"{number}@{stack} 0 {tilt} 0 0 0 20000 20000 0 1 {0.01 * number} {tilt}"
        for number, tilt in enumerate(TILTS_DEG, start=1)
    ]
    return write_loop(path, name, columns, rows)


def write_loop(path: Path, block: str, columns: Sequence[str], rows: Sequence[str]) -> Path:
    """Write one block of a STAR file by hand: what the proof puts in must not come from the code it proves."""
    labels = [f"_{name} #{number}" for number, name in enumerate(columns, start=1)]
    path.write_text("\n".join([f"data_{block}", "", "loop_", *labels, *rows, ""]))
    return path


def extract(particles: Path, tomograms_star: Path, out: Path, box: int, crop: int) -> dict[str, NDArray[np.float32]]:
    """Cut particles out of the tilt images; return boxes (tilt, y, x) by particle name ``<tomogram>/<number>``."""
    given = ["--particles-starfile", particles, "--tomograms-starfile", tomograms_star]
    command = [client_program("zarr-particle-extract"), "local", *given, *_options(out, box, crop)]
    run_client([*command, "--no-circle-crop"], particles.parent)
    found = sorted(out.rglob("*_stack2d.mrcs"))
    return {f"{path.parent.name}/{path.name.removesuffix('_stack2d.mrcs')}": mrcfile.read(path) for path in found}


def average(particles: Path, tomograms_star: Path, out: Path, box: int, crop: int) -> NDArray[np.float32]:
    """Average the particles with their angles; return the map (z, y, x)."""
    return _averaged(["--particles-starfile", particles, "--tomograms-starfile", tomograms_star], out, box, crop)


def average_set(optimisation_set: Path, out: Path, box: int, crop: int) -> NDArray[np.float32]:
    """Average the particles of an optimisation set, in whose folder the project is; return the map (z, y, x)."""
    return _averaged(["--optimisation-set-starfile", optimisation_set], out, box, crop)


def _averaged(given: list[str | Path], out: Path, box: int, crop: int) -> NDArray[np.float32]:
    command = [client_program("zarr-particle-reconstruct"), "local", *given, *_options(out, box, crop)]
    run_client(command, out.parent)
    return mrcfile.read(out / "merged.mrc")


def _options(out: Path, box: int, crop: int) -> list[str | Path]:
    sizes: list[str | Path] = ["--box-size", str(box), "--crop-size", str(crop), "--bin", "1"]
    return [*sizes, "--no-ctf", "--output-dir", out, "--overwrite"]
