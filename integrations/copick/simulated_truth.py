"""Tables and the recipe of a simulated run."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import yaml

from cryosiam.domain import SEMANTIC_CLASSES
from cryosiam.files import whole_file, write_text_whole
from cryosiam.pipeline.storage import storage_errors

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from cryosiam.simulation.spec import SimulationSpec
    from cryosiam.simulation.tomogram import SimulatedTomogram, Specimen

TRUTH_FOLDER: Final = "Simulation"
"""Folder within a run of recipe, seed and tables; copick passes over it."""

PARTICLES_FILE: Final = "particles.csv"
OBJECTS_FILE: Final = "objects.csv"
RECIPE_FILE: Final = "recipe.yaml"
FACTS_FILE: Final = "simulation.json"
TRUTH_FILES: Final = (PARTICLES_FILE, OBJECTS_FILE, RECIPE_FILE, FACTS_FILE)

_PARTICLE_COLUMNS: Final = (
    "instance_id",
    "species",
    "x_angstrom",
    "y_angstrom",
    "z_angstrom",
    *(f"r{row}{column}" for row in (1, 2, 3) for column in (1, 2, 3)),
    "occupancy",
    "voxels",
)


def write_truth(folder: Path, tomogram: SimulatedTomogram, facts: Mapping[str, Any]) -> None:
    """Write what is known of a run into ``folder``.

    ``particles.csv`` has a row per particle: instance id, species, position in Å, rotation (object -> tomogram,
    row by row), occupancy (share of the particle inside the volume) and voxels. ``objects.csv`` has a row per
    membrane and filament: id in the panoptic segmentation, kind, semantic class and voxels. ``recipe.yaml`` is the
    recipe with every range drawn: with the seed in ``simulation.json`` it makes the same tomogram again. That file
    also tells the contents, the share of the free space that soluble particles fill, and what of the recipe could not
    be reached.

    Parameters
    ----------
    folder
        Made if it is not there.
    tomogram
        What was simulated.
    facts
        What to put into ``simulation.json`` besides the contents.

    Raises
    ------
    StorageError
        If the disk is full or the folder cannot be written.
    """
    specimen = tomogram.specimen
    voxels = _count_ids(specimen.instances, len(specimen.picks))
    with storage_errors("cannot write"):
        folder.mkdir(parents=True, exist_ok=True)
        _write_table(folder / PARTICLES_FILE, _PARTICLE_COLUMNS, _particle_rows(specimen, voxels))
        _write_table(folder / OBJECTS_FILE, ("panoptic_id", "kind", "class", "voxels"), _object_rows(specimen))
        write_text_whole(folder / RECIPE_FILE, recipe_text(tomogram.spec))
        content = {**facts, **_contents(specimen)}
        write_text_whole(folder / FACTS_FILE, json.dumps(content, indent=2) + "\n")


def recipe_text(spec: SimulationSpec) -> str:
    """Return a recipe as YAML, which :func:`cryosiam.simulation.spec.parse_spec` reads back as it was."""
    return yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False)


def _particle_rows(specimen: Specimen, voxels: NDArray[np.int64]) -> list[list[Any]]:
    picks = specimen.picks
    rotations = np.tile(np.eye(3), (len(picks), 1, 1)) if picks.rotations is None else picks.rotations
    return [
        [number, name, *position, *rotation, visible, int(voxels[number])]
        for number, name, position, rotation, visible in zip(
            picks.instance_ids.tolist(),
            picks.class_names,
            picks.positions_angstrom.tolist(),
            rotations.reshape(-1, 9).tolist(),
            picks.scores.tolist(),
            strict=True,
        )
    ]


def _object_rows(specimen: Specimen) -> list[list[Any]]:
    """Return the rows of membranes and filaments; those hidden behind others to the last voxel have no class."""
    scaffold = specimen.scaffold
    there = scaffold > 0
    ids, first, sizes = np.unique(scaffold[there], return_index=True, return_counts=True)
    classes = dict(zip(ids.tolist(), specimen.semantic[there][first].tolist(), strict=True))
    voxels = dict(zip(ids.tolist(), sizes.tolist(), strict=True))
    offset = len(specimen.picks)
    return [
        [offset + number, kind, SEMANTIC_CLASSES[classes[number]] if number in classes else "", voxels.get(number, 0)]
        for number, kind in enumerate(specimen.scaffold_kinds, start=1)
    ]


def _count_ids(instances: NDArray[np.int32], largest: int) -> NDArray[np.int64]:
    """Return how many voxels have each id from 0 on; plane by plane, as numpy counts 64-bit copies."""
    counts = np.zeros(largest + 1, np.int64)
    for plane in instances:
        counts += np.bincount(plane.ravel(), minlength=largest + 1)
    return counts


def _contents(specimen: Specimen) -> dict[str, Any]:
    names = specimen.picks.class_names
    return {
        "voxel_size_angstrom": specimen.voxel_size_angstrom,
        "shape_zyx": list(specimen.semantic.shape),
        "particles": len(names),
        "occupancy": round(float(specimen.occupancy), 6),
        "shortfall": specimen.shortfall,
        "species": {
            name: {
                "count": names.count(name),
                "radius_angstrom": float(radius),
                "mass_kda": specimen.masses_kda.get(name),
            }
            for name, radius in specimen.radii_angstrom.items()
        },
        "membranes_and_filaments": {
            kind: specimen.scaffold_kinds.count(kind) for kind in dict.fromkeys(specimen.scaffold_kinds)
        },
    }


def _write_table(path: Path, columns: tuple[str, ...], rows: list[list[Any]]) -> None:
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(columns)
        table.writerows(rows)
