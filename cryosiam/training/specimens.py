"""Specimens to learn from: built once from seeds, kept on disk, imaged anew for as long as training lasts."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cryosiam.domain import Picks
from cryosiam.errors import TrainingError
from cryosiam.simulation.draw import draw_microscope, draw_spec
from cryosiam.simulation.fast.targets import boundary_and_distance
from cryosiam.simulation.spec import SimulationSpec, SlabSpec, SpecimenSpec, read_spec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from cryosiam.simulation.species import Species
    from cryosiam.simulation.tomogram import Specimen
    from cryosiam.training.recipe import PresetSeeds, SpecimenGroup

VARIED: Final = "training"
"""The preset whose specimens and microscopes are drawn from the ranges of real data sets, not from its own."""

_PLACES: Final = 4000


@dataclass(frozen=True)
class StoredSpecimen:
    """A specimen on disk, memory-mapped.

    Parameters
    ----------
    folder
        Where its arrays lie, all ``(z, y, x)``: ``seen`` (float16, all that images show, in units of bulk protein),
        ``clean`` (float16, protein about -1), ``semantic``, ``sample``, ``boundary``, ``distance`` (half voxels) as
        uint8, and ``instances`` (uint16). ``picks.json`` names the particles.
    """

    folder: Path

    def array(self, name: str) -> NDArray[np.generic]:
        """Return one of the arrays without reading it."""
        return np.load(self.folder / f"{name}.npy", mmap_mode="r")  # type: ignore[no-any-return]

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """Size in voxels along z, y, x."""
        z, y, x = self.array("seen").shape
        return z, y, x

    @cached_property
    def places(self) -> tuple[NDArray[np.int64], ...]:
        """Voxels (z, y, x) of each semantic class that occurs, background left out, at most some thousands of each."""
        stored = np.load(self.folder / "places.npz")
        return tuple(stored[name] for name in stored.files)

    @cached_property
    def picks(self) -> Picks:
        """The particles: centres, species, labels in ``instances``, and what share lies inside (as score).

        Raises
        ------
        TrainingError
            If the specimen was stored without them.
        """
        stored = self._stored_picks
        return Picks(
            run=self.folder.name,
            positions_angstrom=np.array(stored["positions_angstrom"], np.float64).reshape(-1, 3),
            scores=np.array(stored["visible"], np.float64),
            class_names=tuple(stored["class_names"]),
            instance_ids=np.array(stored["instance_ids"], np.int64),
        )

    @property
    def masses_kda(self) -> dict[str, float]:
        """Mass of each species in kDa."""
        return dict(self._stored_picks["masses_kda"])

    @cached_property
    def _stored_picks(self) -> dict[str, Any]:
        path = self.folder / "picks.json"
        if not path.exists():
            raise TrainingError(f"{self.folder} does not name its particles; remove the folder to have it built anew")
        stored: dict[str, Any] = json.loads(path.read_text())
        return stored

    def draw_microscope(self, rng: np.random.Generator) -> SimulationSpec:
        """Return a recipe to image this specimen by, every range drawn."""
        stored = json.loads((self.folder / "specimen.json").read_text())
        preset = read_spec(stored["preset"])
        slab = SlabSpec(thickness_nm=stored["thickness_nm"], tilt_deg=0.0)
        return SimulationSpec(
            name=preset.name,
            shape_zyx=self.shape,
            voxel_size_angstrom=stored["voxel_size_angstrom"],
            specimen=SpecimenSpec(slab=slab),
            microscope=draw_microscope(rng) if stored["preset"] == VARIED else preset.microscope,
        ).drawn(rng)


def group_spec(group: PresetSeeds, seed: int, voxel_size_angstrom: float) -> SimulationSpec:
    """Return the recipe of one specimen: the preset in a smaller field, with as much in it for its area."""
    preset = read_spec(group.preset)
    if group.preset == VARIED:
        return draw_spec(seed, preset.specimen.species, group.shape_zyx, voxel_size_angstrom)
    field = np.prod(group.shape_zyx[1:]) * voxel_size_angstrom**2
    share = float(field / (np.prod(preset.shape_zyx[1:]) * preset.voxel_size_angstrom**2))
    part = preset.specimen

    def scaled(number: int) -> int:
        return max(1, round(share * number)) if number else 0

    filaments = part.filaments.model_copy(
        update={name: scaled(getattr(part.filaments, name)) for name in ("actin", "microtubules", "dna", "nucleosomes")}
    )
    membranes = part.membranes.model_copy(
        update={name: scaled(getattr(part.membranes, name)) for name in ("vesicles", "irregular", "sheets")}
    )
    species = tuple(
        one if one.count is None else one.model_copy(update={"count": scaled(one.count)}) for one in part.species
    )
    specimen = part.model_copy(update={"filaments": filaments, "membranes": membranes, "species": species})
    return preset.model_copy(
        update={
            "shape_zyx": group.shape_zyx,
            "voxel_size_angstrom": voxel_size_angstrom,
            "specimen": specimen,
        }
    )


def make_specimens(
    folder: Path,
    group: SpecimenGroup,
    voxel_size_angstrom: float,
    load: Callable[[SimulationSpec], Mapping[str, Species]],
    report: Callable[[str], None],
) -> list[StoredSpecimen]:
    """Build the specimens of a group into ``folder``; those already there are kept.

    Parameters
    ----------
    folder
        One subfolder per specimen.
    group
        Preset, seeds and size.
    voxel_size_angstrom
        Edge of the voxel.
    load
        Gives the densities of the species of a recipe; called only where a specimen is to be built.
    report
        Told of every specimen that is built.
    """
    from cryosiam.simulation.build import build_specimen

    made = []
    first, last = group.seeds
    for seed in range(first, last + 1):
        target = folder / f"{group.preset}-{seed:05d}"
        if not target.exists():
            report(f"building {target.name}")
            spec = group_spec(group, seed, voxel_size_angstrom)
            _write(target, group.preset, build_specimen(spec, load(spec), seed))
        made.append(StoredSpecimen(target))
    return made


def _write(target: Path, preset: str, specimen: Specimen) -> None:
    boundary, distance = boundary_and_distance(specimen.instances)
    arrays: dict[str, NDArray[np.generic]] = {
        "seen": (specimen.density + specimen.unlabelled).astype(np.float16),
        "clean": (-specimen.density).astype(np.float16),
        "semantic": specimen.semantic.astype(np.uint8),
        "sample": specimen.sample_mask.astype(np.uint8),
        "boundary": boundary.astype(np.uint8),
        "distance": (2 * distance).astype(np.uint8),
        "instances": specimen.instances.astype(np.uint16),
    }
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for name, array in arrays.items():
        np.save(partial / f"{name}.npy", array)
    places: dict[str, Any] = _places(specimen.semantic)
    np.savez(partial / "places.npz", **places)
    depth = np.count_nonzero(specimen.sample_mask) / np.prod(specimen.sample_mask.shape[1:])
    voxel = specimen.voxel_size_angstrom
    facts = {"preset": preset, "voxel_size_angstrom": voxel, "thickness_nm": max(1.0, float(depth * voxel / 10))}
    (partial / "specimen.json").write_text(json.dumps(facts))
    (partial / "picks.json").write_text(picks_text(specimen))
    os.replace(partial, target)


def picks_text(specimen: Specimen) -> str:
    """Return what ``picks.json`` of a stored specimen holds: its particles and the masses of their species."""
    picks = specimen.picks
    return json.dumps(
        {
            "positions_angstrom": np.round(picks.positions_angstrom, 3).tolist(),
            "visible": np.round(picks.scores, 4).tolist(),
            "class_names": picks.class_names,
            "instance_ids": picks.instance_ids.tolist(),
            "masses_kda": specimen.masses_kda,
        }
    )


def _places(semantic: NDArray[np.uint8]) -> dict[str, NDArray[np.int64]]:
    """Return voxels of every class that occurs, evenly picked from all of them."""
    found = {}
    for label in np.unique(semantic)[1:]:
        voxels = np.flatnonzero(semantic == label)
        chosen = voxels[np.linspace(0, len(voxels) - 1, min(_PLACES, len(voxels))).astype(np.int64)]
        found[f"class{label}"] = np.stack(np.unravel_index(chosen, semantic.shape), axis=1).astype(np.int64)
    return found


def pool(
    groups: Sequence[tuple[SpecimenGroup, list[StoredSpecimen]]],
) -> tuple[list[StoredSpecimen], NDArray[np.float64]]:
    """Return all specimens and how often each is drawn: groups by their share, members of a group alike."""
    specimens = [one for _, members in groups for one in members]
    chances = np.concatenate([np.full(len(members), group.share / len(members)) for group, members in groups])
    return specimens, chances / chances.sum()
