"""Rules on the density under the particles: mistakes of centre, hand, axes and binning that only it can show."""

from __future__ import annotations

from collections.abc import Iterator

from cryosiam.integrations.star.check import mend
from cryosiam.integrations.star.check.context import Context
from cryosiam.integrations.star.check.density import FEWEST, Evidence, likely_mistake
from cryosiam.integrations.star.check.density_look import has_other_size
from cryosiam.integrations.star.check.finding import Hit, Program, for_all, note, rule, wrong
from cryosiam.integrations.star.check.geometry import unit_to_tell
from cryosiam.integrations.star.check.words import CENTRED, CORNER

_MEASURED = "density compared; how often that is right: benchmarks/check.md"


@rule(
    "density-elsewhere",
    "The density is not where the particles are, but where they would be after a common mistake.",
    for_all(Program, wrong("cuts out what lies beside the particles", _MEASURED)),
)
def _elsewhere(context: Context) -> Iterator[Hit]:
    mistake = likely_mistake(context.density.evidence)
    if mistake is not None and unit_to_tell(context) is None:
        as_read = context.density.evidence[0]
        columns = CENTRED if context.places.reads_centred else CORNER
        now = f"none shows as they are (z {as_read.strength:.1f})"
        if as_read.count < FEWEST:
            now = f"only {as_read.count} lie inside as they are"
        yield Hit(
            f"there is density under the particles if they are {mistake.reading} (z {mistake.strength:.1f}, "
            f"{mistake.count} particles, {mistake.share:.0%} stand out from places beside them), and {now}",
            _mend(context, mistake),
            block=context.block,
            column=columns[0],
        )


def _mend(context: Context, mistake: Evidence) -> str:
    columns = CENTRED if context.places.reads_centred else CORNER
    if mistake.factor is not None:
        return mend.multiplied(context, columns, f"{mistake.factor:.6g}")
    how, _, rest = mistake.reading.partition(" ")
    if how == "moved":
        places = context.places
        half = places.sizes[0] / 2 / (1.0 if places.reads_centred else places.unit[0])
        step = "subtract" if rest.endswith("towards 0") else "add"
        return f"{step} {', '.join(f'{value:.6g}' for value in half)} along x, y and z"
    if how == "mirrored":
        return (
            f"pick on the tomogram that {context.program.label} reconstructed, or mirror the coordinates "
            f"{rest}: voxel i becomes n - 1 - i"
        )
    if how == "with":
        first, second = rest.removesuffix(" exchanged").split(" and ")
        names = [columns["xyz".index(axis)] for axis in (first, second)]
        return f"exchange the labels _{names[0]} and _{names[1]}"
    return "pick on the tomogram as it was reconstructed, before it was turned (trimvol -rx), or turn the coordinates"


@rule(
    "density-beside",
    "The density lies beside the particles, always in the same direction.",
    for_all(Program, wrong("cuts out boxes that are off by as much", _MEASURED)),
)
def _beside(context: Context) -> Iterator[Hit]:
    offset = context.density.offset
    if offset is not None and offset.is_sure and likely_mistake(context.density.evidence) is None:
        x, y, z = offset.angstrom
        yield Hit(
            f"the density lies {x:+.1f}, {y:+.1f}, {z:+.1f} Å beside the particles, give or take "
            f"{offset.error_angstrom:.1f} Å ({offset.count} particles)",
            f"add {x:.2f}, {y:.2f}, {z:.2f} Å to x, y and z, in the unit of the file",
            block=context.block,
        )


@rule(
    "density-one-pixel",
    "The density lies one pixel of the tilt series before the particles, along x, y and z alike.",
    for_all(
        Program,
        note(
            "cuts out boxes that are off by a pixel; a centre at N/2 - 1 does that, and so does a tomogram that is off",
            _MEASURED,
        ),
    ),
)
def _one_pixel(context: Context) -> Iterator[Hit]:
    offset, pixel = context.density.offset, context.pixel_size_angstrom
    if offset is not None and pixel is not None and not offset.is_sure and offset.is_one_pixel(pixel):
        x, y, z = offset.angstrom
        columns = CENTRED if context.places.reads_centred else CORNER
        step = pixel if context.places.reads_centred else pixel / context.places.unit[0]
        yield Hit(
            f"the density lies {x:+.2f}, {y:+.2f}, {z:+.2f} Å beside the particles; a pixel is {pixel:g} Å",
            mend.shifted(context, columns, f"-{step:.6g}"),
            block=context.block,
            column=columns[0],
        )


@rule(
    "tomogram-of-other-size",
    "The tomogram's file is not as large as tomograms.star says.",
    for_all(
        (Program.RELION5, Program.RELION4),
        wrong(
            "counts places by the size in tomograms.star; those of a file that was trimmed or turned are shifted",
            "docs/geometry.md",
        ),
    ),
)
def _other_size(context: Context) -> Iterator[Hit]:
    for tomogram, volume in context.density.volumes:
        if context.tomograms is not None and has_other_size(tomogram, volume):
            size = " x ".join(str(n) for n in volume.size_xyz)
            yield Hit(
                f"{volume.path.name} is {size} voxels of {volume.voxel_size_angstrom:g} Å, which is not the size of "
                f"'{tomogram.name}' in {context.tomograms.path.name}",
                "name the file that RELION reconstructed",
                block="global",
                column="rlnTomoSizeX",
            )
            return


RULES = (_elsewhere, _beside, _one_pixel, _other_size)
