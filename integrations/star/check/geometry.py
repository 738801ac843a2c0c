"""Rules on where particles lie: outside, in another unit, measured from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from cryosiam.integrations.star.check import mend
from cryosiam.integrations.star.check.context import Context
from cryosiam.integrations.star.check.density import likely_mistake
from cryosiam.integrations.star.check.finding import Hit, Program, error, for_all, note, rule, wrong
from cryosiam.integrations.star.check.places import Places
from cryosiam.integrations.star.check.words import CENTRED, CORNER

_EDGE = "RELION src/jaz/tomography/tomogram.cpp; measured with 5.0.1; pytom-match-pick issue 254"
_ANY = "coordinates and sizes compared"
MOSTLY = 0.98
"""Share of particles inside from which a reading of the coordinates is possible."""
SPREAD = 0.3
"""Share of the tomogram, along x or y, that particles must spread over for a reading to be likely."""
FEW = 20
"""From so many particles their spread says something."""

_OUTSIDE = {
    Program.RELION5: wrong('drops them: "too close to the edge"', _EDGE),
    Program.RELION4: wrong('drops them: "too close to the edge"', _EDGE),
    Program.RELION31: error(
        'stops: the "particle lies completely outside" the tomogram', "measured with relion_preprocess 3.1.3"
    ),
    Program.WARP: wrong("cuts out boxes outside the specimen", "Warp ExportParticlesTiltseries.cs"),
    Program.M: wrong("refines against images of something else", "Warp MTools/Commands/ParticleStarParsing.cs"),
    Program.SCIPION: wrong("shows and extracts them outside the tomogram", "scipion-em-tomo Coordinate3D"),
}


def _readings(places: Places) -> Mapping[str, NDArray[np.float64]]:
    """Return where particles would lie if the numbers in use were of another kind."""
    raw = places.raw_centred if places.reads_centred else places.raw_corner
    pixels = raw * places.pixel_sizes[:, None]
    voxels = raw * places.voxel_sizes[:, None]
    return {
        "pixels of the tilt series from the corner": pixels,
        "voxels of the tomogram from the corner": voxels,
        "Å from the corner": raw,
        "pixels of the tilt series from the centre": places.from_centre(pixels),
        "voxels of the tomogram from the centre": places.from_centre(voxels),
        "Å from the centre": places.from_centre(raw),
    }


def _spread(places: Places, positions: NDArray[np.float64]) -> float:
    """Return the larger share of the tomogram that particles span along x or y."""
    with np.errstate(invalid="ignore"):
        shares = positions / places.sizes
    shares = shares[np.isfinite(shares).all(axis=1)]
    return float(np.ptp(shares[:, :2], axis=0).max()) if len(shares) else 0.0


def _likely(places: Places) -> list[str]:
    """Return the readings by which nearly all particles lie inside and spread over the tomogram."""
    return [
        name
        for name, positions in _readings(places).items()
        if places.inside(positions).mean() >= MOSTLY and _spread(places, positions) >= SPREAD
    ]


def _known(context: Context) -> Places | None:
    """Return the places where those of enough particles can be told."""
    if not context.is_particles:
        return None
    sizes = np.isfinite(context.places.sizes).all(axis=1)
    known: NDArray[np.bool_] = np.asarray(np.isfinite(context.places.as_read).all(axis=1) & sizes)
    return context.places.only(known) if known.any() else None


def _is_elsewhere(context: Context) -> bool:
    """Tell whether most particles lie outside as read, and inside by another reading."""
    places = _known(context)
    return places is not None and places.inside(places.as_read).mean() < 0.5 and bool(_likely(places))


@rule(
    "wrong-unit",
    "Most particles lie outside their tomogram, and inside if the numbers are in another unit or from elsewhere.",
    _OUTSIDE,
)
def _wrong_unit(context: Context) -> Iterator[Hit]:
    places = _known(context)
    if places is None or not _is_elsewhere(context) or unit_to_tell(context) is not None:
        return
    columns = CENTRED if places.reads_centred else CORNER
    share = 1 - places.inside(places.as_read).mean()
    yield Hit(
        f"{share:.0%} of the particles lie outside; all lie inside if the coordinates are "
        f"{' or '.join(_likely(places))}",
        _unit_mend(context, places, _likely(places)),
        block=context.block,
        column=columns[0],
    )


def unit_to_tell(context: Context) -> float | None:
    """Return what one of the coordinates is in Å where the program has to be told, and it is no voxel; else None."""
    told = context.program in (Program.WARP, Program.SCIPION)
    told = told or (context.program is Program.M and context.pixel_size_of_m is None)
    places = _known(context) if told and context.voxel_size_angstrom is None else None
    if places is None:
        return None
    mistake = likely_mistake(context.density.evidence)
    if mistake is not None and mistake.factor is not None:
        return mistake.factor * float(places.unit[0])
    if context.density.evidence or places.inside(places.as_read).mean() >= 0.5:
        return None
    units = {"pixels": float(places.pixel_sizes[0]), "voxels": float(places.voxel_sizes[0]), "Å": 1.0}
    fitting = [
        (_spread(places, positions), units[name.split()[0]])
        for name, positions in _readings(places).items()
        if name.endswith("corner") and places.inside(positions).mean() >= MOSTLY
    ]
    return max(fitting)[1] if fitting else None


@rule(
    "unit-to-tell",
    "Coordinates are in another unit than voxels of the tomogram, and the program has to be told in which.",
    {
        Program.WARP: note("multiplies them by --coords_angpix", "Warp ExportParticlesTiltseries.cs, Run"),
        Program.M: note("multiplies them by --angpix_coords", "Warp MTools/Commands/ParticleStarParsing.cs"),
        Program.SCIPION: note(
            "multiplies them by 'Coordinates sampling rate'",
            "reliontomo 4.0.5 protocols/protocol_base_import_from_star.py getCoordsSRate",
        ),
    },
)
def _unit_to_tell(context: Context) -> Iterator[Hit]:
    unit = unit_to_tell(context)
    if unit is not None:
        yield Hit(
            f"by density or size the coordinates are in units of {unit:.4g} Å",
            mend.told(context, unit),
            block=context.block,
            column=CORNER[0],
        )


def _unit_mend(context: Context, places: Places, readings: list[str]) -> str:
    """Return what turns numbers of that kind into those that the program reads."""
    columns = CENTRED if places.reads_centred else CORNER
    reading = readings[0]
    to_angstrom = float({"pixels": places.pixel_sizes, "voxels": places.voxel_sizes}.get(reading.split()[0], [1.0])[0])
    factor = to_angstrom if places.reads_centred else to_angstrom / float(places.unit[0])
    which = "" if len(readings) == 1 else f"if they are {reading}: "
    if reading.endswith("centre") != places.reads_centred:
        half = places.sizes[0] / 2 / (1.0 if places.reads_centred else places.unit[0])
        how = "subtract" if places.reads_centred else "add"
        return (
            f"{which}multiply the coordinates by {factor:.6g} and {how} "
            f"{', '.join(f'{value:.6g}' for value in half)} along x, y and z"
        )
    if context.program in (Program.WARP, Program.M, Program.SCIPION):
        return which + mend.told(context, to_angstrom)
    return which + mend.multiplied(context, columns, f"{factor:.6g}")


@rule("outside", "Particles lie outside their tomogram.", _OUTSIDE)
def _outside(context: Context) -> Iterator[Hit]:
    places = _known(context)
    if places is None or _is_elsewhere(context) or unit_to_tell(context) is not None:
        return
    positions, sizes = context.places.as_read, context.places.sizes
    known = np.isfinite(positions).all(axis=1) & np.isfinite(sizes).all(axis=1)
    outside = np.flatnonzero(~context.places.inside(positions) & known)
    if len(outside):
        row = int(outside[0])
        x, y, z = positions[row]
        size = " x ".join(f"{value:.0f}" for value in sizes[row])
        yield Hit(
            f"{len(outside)} of {context.count} particles lie outside, the first at {x:.0f}, {y:.0f}, {z:.0f} Å in a "
            f"tomogram of {size} Å",
            "remove them, or look for a mistake in unit or centre if they are many",
            block=context.block,
            column=(CENTRED if places.reads_centred else CORNER)[0],
            row=row + 1,
        )


@rule(
    "crowded",
    "All particles lie in a corner or in the middle of their tomogram, as coordinates do that are in a coarser unit.",
    for_all(Program, note("takes them as they are", _ANY)),
)
def _crowded(context: Context) -> Iterator[Hit]:
    places = _known(context)
    if places is None or len(places.as_read) < FEW or not places.inside(places.as_read).all():
        return
    binnings = places.voxel_sizes / places.pixel_sizes
    if not np.isfinite(binnings).all() or binnings[0] < 1.5:
        return
    shares = places.as_read / places.sizes
    shares = 2 * np.abs(shares - 0.5) if places.reads_centred else shares
    if (shares.max(axis=0) < 1.05 / binnings[0]).all():
        columns = CENTRED if places.reads_centred else CORNER
        yield Hit(
            f"all particles lie in {'the middle' if places.reads_centred else 'the corner at 0, 0, 0'}, within "
            f"1/{binnings[0]:g} of the size along x, y and z: they may be in voxels of the tomogram, binned by "
            f"{binnings[0]:g}",
            f"if so: {mend.multiplied(context, columns, f'{binnings[0]:.6g}')}",
            block=context.block,
            column=columns[0],
        )


RULES = (_wrong_unit, _unit_to_tell, _outside, _crowded)
