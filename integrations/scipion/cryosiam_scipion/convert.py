"""Between Scipion's tomograms and CryoSiam's files; nothing of CryoSiam is imported, as it lives elsewhere."""

from __future__ import annotations

import json
import math
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator

import numpy as np
from numpy.typing import NDArray

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf|infinity)|n/a|na|null|none", re.IGNORECASE)
_UNFIT = re.compile(r"[^A-Za-z0-9_.+-]")
_PRODUCTS = {"denoised", "segmentation", "instances"}
MRC_ENDINGS = (".mrc", ".rec", ".map")
"""Endings of files that CryoSiam reads."""


@dataclass(frozen=True)
class Pick:
    """A particle that CryoSiam found.

    Parameters
    ----------
    position_voxels
        x, y, z; voxel centres of the tomogram are whole numbers, the first is 0.
    score
        Between 0 and 1.
    class_name
        Its class, or ``particle`` where it has none.
    instance_id
        Its label in the instance segmentation, or 0.
    euler_degrees
        RELION's rot, tilt and psi; None without an orientation.
    """

    position_voxels: tuple[float, float, float]
    score: float
    class_name: str
    instance_id: int = 0
    euler_degrees: tuple[float, float, float] | None = None


def run_name(ts_id: str) -> str:
    """Return the name under which CryoSiam gets a tomogram: its id, with what STAR files cannot carry replaced.

    White space would end a value, and a name that reads as a number comes back as one.
    """
    name = _UNFIT.sub("-", ts_id)
    return f"TS_{name}" if _NUMBER.fullmatch(name) else name


def file_of(tomogram: Any) -> str:
    """Return the path of a tomogram's file, without the type that Xmipp adds behind a colon."""
    return re.sub(r":mrcs?$", "", str(tomogram.getFileName()))


def read_picks(path: Path) -> list[Pick]:
    """Read ``picks.star``.

    Raises
    ------
    ValueError
        If a column is missing or a value is no number.
    """
    return [_pick(row, path) for row in _rows(path)]


def read_products(folder: Path, run: str) -> dict[str, Path]:
    """Return the volumes that the manifest in ``folder`` names for ``run``: denoised, segmentation, instances.

    Raises
    ------
    ValueError
        If there is no manifest, or it does not know the run.
    """
    path = folder / "manifest.json"
    try:
        written: dict[str, dict[str, dict[str, str]]] = json.loads(path.read_text())["runs"][run]["written"]
    except (OSError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} does not say what was made of '{run}'; run the protocol again") from error
    return {
        product: Path(next(iter(files)))
        for products in written.values()
        for product, files in products.items()
        if product in _PRODUCTS and files
    }


def relion_matrix(euler_degrees: tuple[float, float, float]) -> NDArray[np.float64]:
    """Return rot, tilt and psi as the 4 x 4 matrix that Scipion stores by its convention ``TR_RELION``.

    RELION's angles turn the reference into the particle by Rz(-psi) Ry(-tilt) Rz(-rot); Scipion keeps the inverse, as
    scipion-em-reliontomo does in ``convert/convertBase.py``.
    """
    rot, tilt, psi = (math.radians(angle) for angle in euler_degrees)
    matrix = np.eye(4)
    matrix[:3, :3] = _about_z(rot) @ _about_y(tilt) @ _about_z(psi)
    return matrix


def _about_z(angle: float) -> NDArray[np.float64]:
    cosine, sine = math.cos(angle), math.sin(angle)
    return np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])


def _about_y(angle: float) -> NDArray[np.float64]:
    cosine, sine = math.cos(angle), math.sin(angle)
    return np.array([[cosine, 0.0, sine], [0.0, 1.0, 0.0], [-sine, 0.0, cosine]])


def _pick(row: dict[str, str], path: Path) -> Pick:
    try:
        x, y, z = (float(row[f"rlnCoordinate{axis}"]) for axis in "XYZ")
        angles = tuple(float(row[f"rlnAngle{name}"]) for name in ("Rot", "Tilt", "Psi") if f"rlnAngle{name}" in row)
        return Pick(
            position_voxels=(x, y, z),
            score=float(row["rlnAutopickFigureOfMerit"]),
            class_name=row["cryosiamClassName"],
            instance_id=int(row.get("cryosiamInstanceId", 0)),
            euler_degrees=(angles[0], angles[1], angles[2]) if len(angles) == 3 else None,
        )
    except (KeyError, ValueError) as error:
        raise ValueError(f"{path} is no table of picks by CryoSiam {error}; run the protocol again") from error


def _rows(path: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of the only table in a STAR file; all values stay text, so that names stay names."""
    columns: list[str] = []
    for line in path.read_text().splitlines():
        words = shlex.split(line, comments=True)
        if not words or words[0] == "loop_" or words[0].startswith("data_"):
            continue
        if words[0].startswith("_"):
            columns.append(words[0][1:])
        elif len(words) != len(columns):
            raise ValueError(f"{path} is damaged: a row has {len(words)} values in {len(columns)} columns")
        else:
            yield {name: words[place] for place, name in enumerate(columns)}
