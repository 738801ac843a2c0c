"""Build a specimen from a recipe: slab, membranes, filaments, membrane proteins, then particles."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from cryosiam.domain import Picks
from cryosiam.errors import InputError
from cryosiam.geometry import positions_from_indices
from cryosiam.simulation import additions
from cryosiam.simulation.canvas import Canvas
from cryosiam.simulation.crowding import fill
from cryosiam.simulation.filaments import add_filaments
from cryosiam.simulation.membrane_proteins import add_membrane_proteins
from cryosiam.simulation.membranes import add_membranes
from cryosiam.simulation.placement import Placement
from cryosiam.simulation.shortfall import shortfall
from cryosiam.simulation.slab import make_slab
from cryosiam.simulation.spec import SpeciesSpec, fixed
from cryosiam.simulation.tomogram import Specimen

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cryosiam.simulation.slab import Slab
    from cryosiam.simulation.spec import SimulationSpec
    from cryosiam.simulation.species import Species

Progress = Callable[[str], None]
"""Told what is worked on now."""

Kind = tuple[SpeciesSpec, "Species"]
"""A species' part of the recipe, and its density."""

NUCLEOSOME = "nucleosome"


def species_wanted(spec: SimulationSpec) -> tuple[SpeciesSpec, ...]:
    """Return the species that a recipe needs: those listed, and the nucleosome where filaments carry any."""
    listed = spec.specimen.species
    filaments = spec.specimen.filaments
    if filaments.nucleosomes and NUCLEOSOME not in {one.name for one in listed}:
        return (*listed, SpeciesSpec(name=NUCLEOSOME, source=filaments.nucleosome_source, count=0))
    return listed


def build_specimen(
    spec: SimulationSpec, species: Mapping[str, Species], seed: int, *, progress: Progress | None = None
) -> Specimen:
    """Build a specimen.

    Parameters
    ----------
    spec
        Recipe; ranges are drawn with ``seed``. Its microscope is not used.
    species
        Densities of :func:`species_wanted`, by name, at the recipe's voxel size.
    seed
        Same seed and recipe, same specimen, byte for byte.
    progress
        Told of each step.

    Returns
    -------
    Specimen
        Density and ground truth.

    Raises
    ------
    InputError
        If a species is wider than the slab is thick, or the slab does not fit the volume.
    """
    tell = progress or (lambda _: None)
    spec = spec.for_seed(seed)
    wanted = spec.specimen
    pairs, left_out = _with_room([(one, species[one.name]) for one in wanted.species], fixed(wanted.slab.thickness_nm))
    voxel = spec.voxel_size_angstrom
    tell("slab")
    slab = make_slab(spec.shape_zyx, voxel, wanted.slab, _stream(seed, "slab"))
    canvas = Canvas.of_sample(slab.sample, voxel)
    tell("membranes")
    membranes = add_membranes(canvas, wanted.membranes, _stream(seed, "membranes"))
    tell("filaments")
    _, nucleosomes = add_filaments(
        canvas, wanted.filaments, species.get(NUCLEOSOME), slab, 1, _stream(seed, "filaments")
    )
    tell("membrane proteins")
    in_membranes = add_membrane_proteins(
        canvas,
        membranes,
        [pair for pair in pairs if pair[0].membrane],
        fixed(wanted.membranes.protein_share),
        1 + len(nucleosomes),
        _stream(seed, "membrane proteins"),
    )
    tell("particles")
    soluble = fill(
        canvas,
        [pair for pair in pairs if not pair[0].membrane],
        fixed(wanted.occupancy),
        1 + len(nucleosomes) + len(in_membranes),
        _stream(seed, "particles"),
        tell,
    )
    tell("ice, gold and carbon")
    unlabelled, gold_beads = _unlabelled(slab, spec, seed)
    placement = Placement.joined([nucleosomes, in_membranes, soluble])
    return Specimen(
        voxel_size_angstrom=voxel,
        density=canvas.density,
        unlabelled=unlabelled,
        semantic=canvas.semantic,
        instances=canvas.instances,
        scaffold=canvas.scaffold,
        scaffold_kinds=tuple(canvas.scaffold_kinds),
        sample_mask=canvas.sample,
        picks=_picks(placement, voxel, seed),
        radii_angstrom={
            one.name: one.radius_angstrom or species[one.name].radius_angstrom for one in species_wanted(spec)
        },
        masses_kda={one.name: round(species[one.name].mass_kda, 1) for one in species_wanted(spec)},
        occupancy=soluble.occupancy_reached,
        shortfall=shortfall(
            wanted, left_out, canvas.scaffold_kinds, len(nucleosomes), gold_beads, in_membranes.names, soluble
        ),
    )


def _stream(seed: int, part: str) -> np.random.Generator:
    """Return the random numbers of one part, so that a change of one part leaves the others as they are."""
    return np.random.default_rng([seed, *part.encode()])


def _with_room(pairs: Sequence[Kind], thickness_nm: float) -> tuple[list[Kind], list[str]]:
    """Leave out species that are wider than the slab is thick; return the others and the names of those.

    Raises
    ------
    InputError
        If one of them was to be placed by number, or no other species is left.
    """
    wide = [pair for pair in pairs if 2 * pair[1].radius_angstrom > 10 * thickness_nm]
    if not wide:
        return list(pairs), []
    spec, kind = wide[0]
    size = f"{kind.radius_angstrom / 5:.0f} nm across and does not fit a slab {thickness_nm:.0f} nm thick"
    if len(wide) == len(pairs) or any(one.count for one, _ in wide):
        raise InputError(f"species {spec.name} is {size}; make slab.thickness_nm larger or leave the species out")
    names = [one.name for one, _ in wide]
    return [pair for pair in pairs if pair[0].name not in names], names


def _unlabelled(slab: Slab, spec: SimulationSpec, seed: int) -> tuple[NDArray[np.float32], int]:
    """Return what images show beside the labelled objects: rough faces, ice, carbon, and so many gold beads."""
    wanted, voxel = spec.specimen, spec.voxel_size_angstrom
    total = slab.surface + additions.background(slab.sample, fixed(wanted.background_std), voxel, _stream(seed, "ice"))
    if wanted.carbon_film_nm:
        total += additions.carbon_film(slab, wanted.carbon_film_nm, wanted.carbon_edge, voxel, _stream(seed, "carbon"))
    gold = _stream(seed, "gold")
    return total, len(additions.add_gold(total, slab, wanted.gold_beads, wanted.gold_diameter_nm, voxel, gold))


def _picks(placement: Placement, voxel_size_angstrom: float, seed: int) -> Picks:
    return Picks(
        run=f"simulated-{seed}",
        positions_angstrom=positions_from_indices(placement.indices_zyx, voxel_size_angstrom),
        scores=placement.visible,
        class_names=placement.names,
        instance_ids=np.arange(1, len(placement) + 1, dtype=np.int64),
        rotations=placement.rotations,
    )
