"""Rules on optics groups and pixel sizes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cryosiam.integrations.star.check import mend
from cryosiam.integrations.star.check.context import Context, numbers_of
from cryosiam.integrations.star.check.finding import RELION, Hit, Program, error, for_all, note, rule, wrong
from cryosiam.integrations.star.check.words import OPTICS, PIXEL_SIZE

_PARTICLES = "RELION src/jaz/tomography/particle_set.cpp"
_VALIDATE = "RELION src/jaz/tomography/tomogram.cpp validateParticleOptics; measured with 5.0.1"
_WARP = "Warp ExportParticlesTiltseries.cs, ParseRelionParticleStar"
_GROUP = "rlnOpticsGroup"
TOLERANCE = 1e-3
"""What RELION allows optics and tomograms to differ by."""

_READS_OPTICS = (*RELION, Program.WARP, Program.M)


@rule(
    "optics-without-pixel-size",
    "data_optics has no rlnTomoTiltSeriesPixelSize.",
    for_all(
        (Program.RELION5, Program.RELION4),
        error(
            'stops: "rlnTomoTiltSeriesPixelSize missing from optics MetaDataTable"',
            f"{_PARTICLES}, constructor and getTiltSeriesPixelSize (line 130 in 5.0.1)",
        ),
    ),
)
def _no_pixel_size(context: Context) -> Iterator[Hit]:
    if context.is_particles and context.optics is not None and PIXEL_SIZE not in context.optics:
        yield Hit(f"data_optics has no {PIXEL_SIZE}", mend.export(context), block="optics", column=PIXEL_SIZE)


@rule(
    "optics-clash",
    "Voltage, Cs, amplitude contrast or pixel size of data_optics and of tomograms.star differ by more than 0.001.",
    for_all(
        (Program.RELION5, Program.RELION4),
        error('stops: "inconsistent values between optics and tomograms tables"', _VALIDATE),
    ),
)
def _clash(context: Context) -> Iterator[Hit]:
    if context.optics is None or context.tomograms is None or not context.has(_GROUP) or not context.names:
        return
    groups = context.numbers(_GROUP)
    pairs = dict.fromkeys(zip(context.names, groups.tolist(), strict=True))
    for column in (*OPTICS, PIXEL_SIZE):
        values = numbers_of(context.optics, column)
        for name, group in pairs:
            tomogram = context.tomograms.named(name)
            row = int(group) - 1 if np.isfinite(group) else -1
            if tomogram is None or column not in tomogram.optics or not 0 <= row < len(values):
                continue
            if not abs(values[row] - tomogram.optics[column]) < TOLERANCE:
                yield Hit(
                    f"{column} is {values[row]:g} in data_optics and {tomogram.optics[column]:g} for '{name}' in "
                    f"{context.tomograms.path.name}",
                    mend.export(context),
                    block="optics",
                    column=column,
                    row=row + 1,
                )
                break


@rule(
    "tomograms-without-optics",
    "The particles have no data_optics, and tomograms.star lacks what RELION would make it of.",
    {
        Program.RELION5: error(
            "makes the optics from tomograms.star and stops, because that lacks the label",
            f"{_PARTICLES}:44; measured with 5.0.1",
        )
    },
)
def _tomograms_without_optics(context: Context) -> Iterator[Hit]:
    if not context.is_particles or context.has_optics or context.tomograms is None:
        return
    missing = [column for column in (*OPTICS, PIXEL_SIZE) if column not in context.tomograms.columns]
    if missing:
        yield Hit(
            f"there is no data_optics, and {context.tomograms.path.name} has no {', '.join(missing)}",
            "give the tomograms.star of RELION's Reconstruct Tomograms job",
            block="global",
            column=missing[0],
        )


@rule(
    "no-optics",
    "The particles have no data_optics.",
    {
        Program.RELION5: note(
            "makes one group per tomogram from tomograms.star; relion_star_handler, relion_refine and "
            "zarr-particle-tools want the table",
            f"{_PARTICLES}:44; measured with 5.0.1",
        ),
        Program.RELION4: note(
            "takes it for coordinates to import, and makes the optics then", "RELION 4 apps/import_particles.cpp"
        ),
    },
)
def _no_optics(context: Context) -> Iterator[Hit]:
    if context.is_particles and not context.has_optics:
        yield Hit(f"data_{context.block} comes without data_optics", mend.export(context), block=context.block)


@rule(
    "no-optics-group",
    "There is a data_optics, but the particles have no rlnOpticsGroup.",
    {
        **for_all(RELION, error('stops: "optics group (rlnOpticsGroup) is missing"', f"{_PARTICLES} getOpticsGroup")),
        **for_all((Program.WARP, Program.M), error("stops: it joins the tables by that column", _WARP)),
    },
)
def _no_group(context: Context) -> Iterator[Hit]:
    if context.is_particles and context.optics is not None and len(context.optics) and not context.has(_GROUP):
        yield Hit(f"data_{context.block} has no {_GROUP}", mend.export(context), block=context.block, column=_GROUP)


@rule(
    "unknown-optics-group",
    "Particles are of an optics group that data_optics does not have.",
    {
        **for_all(
            RELION,
            error(
                'stops: "the following optics groups were not defined"', "src/jaz/obs_model.cpp; measured with 3.1.3"
            ),
        ),
        **for_all((Program.WARP, Program.M), error("stops: it has no data of that group", _WARP)),
    },
)
def _unknown_group(context: Context) -> Iterator[Hit]:
    if context.optics is None or _GROUP not in context.optics or not context.has(_GROUP):
        return
    groups = context.numbers(_GROUP)
    unknown = np.flatnonzero(~np.isin(groups, numbers_of(context.optics, _GROUP)))
    if len(unknown):
        row = int(unknown[0])
        yield Hit(
            f"data_optics has no group {groups[row]:g} ({len(unknown)} particles)",
            mend.export(context),
            block=context.block,
            column=_GROUP,
            row=row + 1,
        )


@rule(
    "optics-groups-not-in-order",
    "Optics groups are not numbered 1, 2, 3 in the order of their rows.",
    for_all(
        (Program.RELION5, Program.RELION4),
        wrong(
            "takes rlnOpticsGroup less one for the row of data_optics: it uses another group, or stops",
            f"{_PARTICLES} getOpticsGroup, getTiltSeriesPixelSize",
        ),
    ),
)
def _order(context: Context) -> Iterator[Hit]:
    groups = numbers_of(context.optics, _GROUP) if context.is_particles else np.empty(0)
    bad = np.flatnonzero(groups != np.arange(1, len(groups) + 1))
    if len(bad):
        row = int(bad[0])
        yield Hit(
            f"row {row + 1} of data_optics is group {groups[row]:g}",
            mend.export(context),
            block="optics",
            column=_GROUP,
            row=row + 1,
        )


@rule(
    "pixel-size-clash",
    "The particles state another pixel size of the tilt series than tomograms.star.",
    {
        Program.RELION5: wrong(
            "uses that of its optics or of tomograms.star; coordinates in Å that were made with another one are scaled",
            f"{_PARTICLES} getParticleCoordDecenteredPixel",
        )
    },
)
def _pixel_size_clash(context: Context) -> Iterator[Hit]:
    if context.tomograms is None or not context.has(PIXEL_SIZE):
        return
    stated = context.numbers(PIXEL_SIZE)
    for name in dict.fromkeys(context.names):
        tomogram = context.tomograms.named(name)
        row = context.names.index(name)
        if tomogram is None or tomogram.pixel_size_angstrom is None:
            continue
        if not abs(stated[row] - tomogram.pixel_size_angstrom) < TOLERANCE:
            yield Hit(
                f"{PIXEL_SIZE} is {stated[row]:g} for the particles and {tomogram.pixel_size_angstrom:g} for '{name}' "
                f"in {context.tomograms.path.name}",
                "pick or convert again with the right pixel size; if only the size is wrong, multiply the coordinates "
                f"by {tomogram.pixel_size_angstrom / stated[row]:.6g}",
                block=context.block,
                column=PIXEL_SIZE,
                row=row + 1,
            )
            return


RULES = (
    _no_pixel_size,
    _clash,
    _tomograms_without_optics,
    _no_optics,
    _no_group,
    _unknown_group,
    _order,
    _pixel_size_clash,
)
