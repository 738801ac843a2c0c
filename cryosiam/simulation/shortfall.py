"""Say what of a recipe a specimen does not hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryosiam.simulation.spec import fixed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryosiam.simulation.crowding import Filling
    from cryosiam.simulation.spec import SpecimenSpec


def shortfall(
    wanted: SpecimenSpec,
    left_out: Sequence[str],
    scaffold_kinds: Sequence[str],
    nucleosomes: int,
    gold_beads: int,
    in_membranes: Sequence[str],
    soluble: Filling,
) -> str | None:
    """Return a line that says what was asked for and is not there, or None if all is.

    Parameters
    ----------
    wanted
        Recipe, drawn.
    left_out
        Names of species that were not tried, as wider than the slab is thick.
    scaffold_kinds
        Kinds of the membranes and filaments placed.
    nucleosomes, gold_beads
        How many were placed.
    in_membranes
        Species of each membrane protein placed.
    soluble
        The other particles.
    """
    sentences = [f"left out, as wider than the slab is thick: {', '.join(left_out)}"] if left_out else []
    sentences += _impossible(wanted)
    missing = [
        *_missing_scaffolds(wanted, scaffold_kinds),
        *_of(wanted.filaments.nucleosomes, nucleosomes, "nucleosomes"),
        *_of(wanted.gold_beads, gold_beads, "gold beads"),
        *_missing_species(wanted, left_out, [*in_membranes, *soluble.names]),
    ]
    if missing:
        sentences.append(f"asked for but not placed: {', '.join(missing)}")
    if any(one.count is None and not one.membrane for one in wanted.species):
        sentences += filter(None, [soluble.shortfall()])
    elif wanted.species and "occupancy" in wanted.model_fields_set and soluble.shortfall() is not None:
        sentences.append(
            f"particles fill {soluble.occupancy_reached:.2f} of the free space instead of "
            f"{soluble.occupancy_asked:.2f}: the recipe lists no species without a count to fill it with"
        )
    return "; ".join(sentences) or None


def _impossible(wanted: SpecimenSpec) -> list[str]:
    """Return sentences about what no specimen of this recipe could hold."""
    sentences = []
    asked_for_particles = "occupancy" in wanted.model_fields_set and fixed(wanted.occupancy) > 0
    if not wanted.species and (asked_for_particles or not sum(_scaffolds(wanted).values())):
        sentences.append(
            "the recipe lists no species, so it has no particles to place; add some under specimen.species"
        )
    homeless = [one.name for one in wanted.species if one.membrane and one.count != 0] if not _membranes(wanted) else []
    if homeless:
        sentences.append(
            f"no membrane to put {', '.join(homeless)} into: ask for vesicles, irregular ones or sheets under "
            "specimen.membranes"
        )
    return sentences


def _missing_scaffolds(wanted: SpecimenSpec, placed: Sequence[str]) -> list[str]:
    names = {
        "vesicle": "vesicles",
        "irregular": "irregular membranes",
        "sheet": "membrane sheets",
        "microtubule": "microtubules",
        "actin": "actin filaments",
        "dna": "DNA filaments",
    }
    asked = _scaffolds(wanted)
    return [text for kind, name in names.items() for text in _of(asked[kind], placed.count(kind), name)]


def _missing_species(wanted: SpecimenSpec, left_out: Sequence[str], placed: Sequence[str]) -> list[str]:
    missing = []
    for one in wanted.species:
        if one.name in left_out or (one.membrane and not _membranes(wanted)):
            continue
        share = fixed(wanted.membranes.protein_share if one.membrane else wanted.occupancy)
        if one.count is not None:
            missing += _of(one.count, placed.count(one.name), one.name)
        elif share > 0 and one.name not in placed:
            missing.append(f"any {one.name}")
    return missing


def _scaffolds(wanted: SpecimenSpec) -> dict[str, int]:
    """Return how many membranes and filaments of each kind were asked for."""
    membranes, filaments = wanted.membranes, wanted.filaments
    return {
        "vesicle": membranes.vesicles,
        "irregular": membranes.irregular,
        "sheet": membranes.sheets,
        "microtubule": filaments.microtubules,
        "actin": filaments.actin,
        "dna": filaments.dna,
    }


def _membranes(wanted: SpecimenSpec) -> int:
    return wanted.membranes.vesicles + wanted.membranes.irregular + wanted.membranes.sheets


def _of(asked: int, placed: int, name: str) -> list[str]:
    return [f"{asked - placed} of {asked} {name}"] if placed < asked else []
