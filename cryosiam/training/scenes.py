"""Simulated scenes on disk: made once from seeds, read many times while training."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from cryosiam.domain import ArrayVolume, Picks
from cryosiam.inference.normalisation import measure_normalisation
from cryosiam.simulation.fast.targets import boundary_and_distance

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from cryosiam.simulation.spec import SimulationSpec, SpeciesSpec
    from cryosiam.simulation.species import Species
    from cryosiam.simulation.tomogram import SimulatedTomogram
    from cryosiam.training.recipe import PresetSeeds

ARRAYS = ("noisy", "clean", "semantic", "sample", "foreground", "boundary", "distance", "instances")


@dataclass(frozen=True)
class Scene:
    """One simulated tomogram with its targets, memory-mapped.

    Parameters
    ----------
    folder
        Where the arrays lie: ``noisy`` (normalised as inference does), ``clean`` (solvent 0, protein about -1),
        ``semantic``, ``sample``, ``foreground``, ``boundary``, ``distance`` (half voxels) and ``instances``.
    """

    folder: Path

    def array(self, name: str) -> NDArray[np.generic]:
        """Return one of the arrays, shape ``(z, y, x)``, without reading it."""
        return np.load(self.folder / f"{name}.npy", mmap_mode="r")  # type: ignore[no-any-return]

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """Size in voxels along z, y, x."""
        z, y, x = self.array("noisy").shape
        return z, y, x

    def picks(self) -> Picks:
        """Return the true particles."""
        stored = json.loads((self.folder / "picks.json").read_text())
        return Picks(
            run=self.folder.name,
            positions_angstrom=np.array(stored["positions_angstrom"], np.float64).reshape(-1, 3),
            scores=np.ones(len(stored["class_names"])),
            class_names=tuple(stored["class_names"]),
            instance_ids=np.array(stored["instance_ids"], np.int64),
        )


def make_scenes(
    folder: Path,
    seeds: Sequence[int],
    shape_zyx: tuple[int, int, int],
    recipes: Sequence[SpeciesSpec],
    species: Mapping[str, Species],
) -> list[Scene]:
    """Simulate one scene per seed into ``folder``; scenes already there are kept.

    Parameters
    ----------
    folder
        One subfolder per seed.
    seeds
        Seeds of specimen, microscope and noise.
    shape_zyx
        Size of each scene in voxels.
    recipes, species
        Particles to pack, and their densities by name; needed where a scene is to be made.
    """
    from cryosiam.simulation.draw import draw_spec
    from cryosiam.simulation.run import simulate

    scenes = []
    for seed in seeds:
        target = folder / f"{seed:05d}"
        if not target.exists():
            _write_scene(target, simulate(draw_spec(seed, recipes, shape_zyx), species, seed))
        scenes.append(Scene(target))
    return scenes


def make_preset_scenes(
    folder: Path,
    group: PresetSeeds,
    voxel_size_angstrom: float,
    load: Callable[[SimulationSpec], Mapping[str, Species]],
) -> list[Scene]:
    """Simulate one scene of a preset per seed into ``folder``; scenes already there are kept.

    Parameters
    ----------
    folder
        One subfolder per preset and seed.
    group
        Preset, seeds and size.
    voxel_size_angstrom
        Edge of the voxel.
    load
        Gives the densities of the species of a recipe; called only where a scene is to be made.
    """
    from cryosiam.simulation.run import simulate
    from cryosiam.training.specimens import group_spec

    scenes = []
    for seed in range(group.seeds[0], group.seeds[1] + 1):
        target = folder / f"{group.preset}-{seed:05d}"
        if not target.exists():
            spec = group_spec(group, seed, voxel_size_angstrom)
            _write_scene(target, simulate(spec, load(spec), seed))
        scenes.append(Scene(target))
    return scenes


def _write_scene(target: Path, simulated: SimulatedTomogram) -> None:
    normalisation = measure_normalisation(
        ArrayVolume(simulated.noisy), run=target.name, source=f"simulated with seed {simulated.seed}"
    )
    specimen = simulated.specimen
    boundary, distance = boundary_and_distance(specimen.instances)
    arrays: dict[str, NDArray[np.generic]] = {
        "noisy": normalisation.apply(simulated.noisy).astype(np.float16),
        "clean": simulated.clean.astype(np.float16),
        "semantic": specimen.semantic.astype(np.uint8),
        "sample": specimen.sample_mask.astype(np.uint8),
        "foreground": (specimen.instances > 0).astype(np.uint8),
        "boundary": boundary.astype(np.uint8),
        "distance": (2 * distance).astype(np.uint8),
        "instances": specimen.instances.astype(np.uint16),
    }
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for name, array in arrays.items():
        np.save(partial / f"{name}.npy", array)
    picks = specimen.picks
    (partial / "picks.json").write_text(
        json.dumps(
            {
                "positions_angstrom": picks.positions_angstrom.tolist(),
                "class_names": picks.class_names,
                "instance_ids": picks.instance_ids.tolist(),
            }
        )
    )
    os.replace(partial, target)
