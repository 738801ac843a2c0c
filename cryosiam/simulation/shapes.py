"""Protein-like species made of simple shapes, which need no file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import ndimage

from cryosiam.errors import InputError
from cryosiam.simulation.species import SMOOTHING_VOXELS, Species, species_from_density

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Field = NDArray[np.float64]
    Shape = Callable[[Field, Field, Field], Field]

_OVERSAMPLING = 3


def builtin_species(voxel_size_angstrom: float = 10.0) -> list[Species]:
    """Return the parametric species of the demo, largest first.

    Parameters
    ----------
    voxel_size_angstrom
        Edge of the voxel in Å.

    Returns
    -------
    list[Species]
        ``capsid`` (280 Å shell), ``two-lobe`` (a ribosome's size and density), ``barrel`` (a proteasome's),
        ``three-lobe``, ``ring-stack``, ``cage`` (120 Å shell, a ferritin's) and ``ellipsoid``.
    """
    species = [builtin_shape(name, voxel_size_angstrom) for name in DEMO_SHAPES]
    return sorted(species, key=lambda s: -s.volume_voxels)


def builtin_shape(name: str, voxel_size_angstrom: float) -> Species:
    """Return one parametric species.

    Parameters
    ----------
    name
        One of :data:`SHAPE_NAMES`: those of :func:`builtin_species`; ``nucleosome`` (disc 110 Å wide and 55 Å high,
        the axis along z, the denser DNA around it, its ends at the dyad, along x); ``channel`` and ``receptor``,
        membrane proteins with the membrane's normal along z (see :data:`MEMBRANE_CENTRES_ANGSTROM`).
    voxel_size_angstrom
        Edge of the voxel in Å.

    Raises
    ------
    KeyError
        If there is no shape of that name.
    InputError
        If it vanishes at so large a voxel.
    """
    shape, reach_angstrom, symmetry = _SHAPES[name]
    try:
        return _render(name, shape, reach_angstrom, voxel_size_angstrom, symmetry)
    except ValueError:
        raise InputError(
            f"the built-in shape {name} vanishes at voxels of {voxel_size_angstrom:g} Å; "
            "make voxel_size_angstrom smaller, or leave the shape out."
        ) from None


def _render(name: str, shape: Shape, reach_angstrom: float, voxel_size_angstrom: float, symmetry: str) -> Species:
    """Sample a shape finely, low-pass it to the voxel size and take every voxel."""
    half = int(np.ceil(reach_angstrom / voxel_size_angstrom)) + 3
    axis = np.arange(-half * _OVERSAMPLING, half * _OVERSAMPLING + 1) * voxel_size_angstrom / _OVERSAMPLING
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij", sparse=True)
    smooth = ndimage.gaussian_filter(shape(x, y, z), SMOOTHING_VOXELS * _OVERSAMPLING)
    density = smooth[::_OVERSAMPLING, ::_OVERSAMPLING, ::_OVERSAMPLING]
    return species_from_density(name, density, voxel_size_angstrom, symmetry)


def _ball(x: Field, y: Field, z: Field, centre: tuple[float, float, float], radii: tuple[float, ...]) -> Field:
    scaled = [(axis - c) / r for axis, c, r in zip((x, y, z), centre, radii, strict=True)]
    inside: Field = (scaled[0] ** 2 + scaled[1] ** 2 + scaled[2] ** 2 < 1).astype(np.float64)
    return inside


def _shell(outer: float, inner: float, bumps: float) -> Shape:
    """Hollow sphere (radii in Å) whose outer radius swells by ``bumps`` in a cubic pattern of capsomers."""

    def shape(x: Field, y: Field, z: Field) -> Field:
        radius = np.sqrt(x**2 + y**2 + z**2) + 1e-9
        pattern = (x**4 + y**4 + z**4) / radius**4 - 0.6
        return ((radius < outer * (1 + bumps * pattern)) & (radius > inner)).astype(np.float64)

    return shape


def _two_lobe(x: Field, y: Field, z: Field) -> Field:
    large = 1.3 * _ball(x, y, z, (0, 0, -25), (115, 100, 85))
    small = 1.25 * _ball(x, y, z, (20, 10, 85), (95, 60, 45))
    stalk = _ball(x, y, z, (-110, 40, -10), (35, 22, 22))
    tunnel = 1.1 * _ball(x, y, z, (10, 0, 42), (60, 22, 14))
    return np.clip(np.maximum(np.maximum(large, small), stalk) - tunnel, 0, None)


def _barrel(x: Field, y: Field, z: Field) -> Field:
    radius = np.sqrt(x**2 + y**2)
    waist = 57 - 5 * np.cos(2 * np.pi * z / 75)
    wall = (radius < waist) & (radius > 17) & (np.abs(z) < 75)
    chamber = (np.abs(z) < 22) & (radius < 27)
    return (wall & ~chamber).astype(np.float64)


def _three_lobe(x: Field, y: Field, z: Field) -> Field:
    body = np.zeros(np.broadcast_shapes(x.shape, y.shape, z.shape))
    for turn, radii in zip(range(3), ((42, 42, 42), (36, 36, 50), (30, 30, 30)), strict=True):
        angle = 2 * np.pi * turn / 3
        centre = (55 * float(np.cos(angle)), 55 * float(np.sin(angle)), 0.0)
        body = np.maximum(body, _ball(x, y, z, centre, radii))
    return np.maximum(body, _ball(x, y, z, (0, 0, -10), (32, 32, 28)))


def _ring_stack(x: Field, y: Field, z: Field) -> Field:
    radius = np.sqrt(x**2 + y**2)
    body: Field = np.zeros(np.broadcast_shapes(x.shape, y.shape, z.shape))
    for height, ring in ((-48, 52), (0, 62), (42, 46)):
        body = np.maximum(body, ((radius - ring + 4) ** 2 + (z - height) ** 2 < 21**2).astype(np.float64))
    posts = (np.abs(radius - 48) < 10) & (np.cos(6 * np.arctan2(y, x)) > 0.3) & (z > -48) & (z < 42)
    stack: Field = np.maximum(body, posts.astype(np.float64))
    return stack


def _ellipsoid(x: Field, y: Field, z: Field) -> Field:
    return np.maximum(_ball(x, y, z, (0, 0, 0), (38, 38, 80)), _ball(x, y, z, (25, 0, 55), (30, 26, 26)))


def _nucleosome(x: Field, y: Field, z: Field) -> Field:
    radius, angle = np.sqrt(x**2 + y**2), np.arctan2(y, x)
    core = 0.95 * ((radius < 32) & (np.abs(z) < 22)).astype(np.float64)
    # 1.65 turns of DNA: two gyres, the second open about the dyad's far side.
    pitch = 26.0
    body = core
    for gyre, low, high in ((-1, -np.pi, 0.65 * np.pi), (1, -0.65 * np.pi, np.pi)):
        height = pitch * (gyre / 2 + 0.12 * angle / np.pi)
        dna = ((radius - 44) ** 2 + (z - height) ** 2 < 9.5**2) & (angle >= low) & (angle <= high)
        body = np.maximum(body, 1.4 * dna)
    linker = _ball(x, y, z, (42, 0, 0), (11, 10, 24))
    nucleosome: Field = np.maximum(body, linker)
    return nucleosome


def _channel(x: Field, y: Field, z: Field) -> Field:
    radius, angle = np.sqrt(x**2 + y**2), np.arctan2(y, x)
    lobes = 1 + 0.12 * np.cos(4 * angle)
    inside = (np.abs(z) < 22) & (radius < 38 * lobes)
    collar = (z >= 20) & (z < 80) & (radius < (30 + 0.3 * (z - 20)) * lobes)
    pore = (radius < 7) | ((z > 45) & (radius < 16))
    channel: Field = ((inside | collar) & ~pore).astype(np.float64)
    return channel


def _receptor(x: Field, y: Field, z: Field) -> Field:
    bundle = ((x**2 + y**2 < 20**2) & (np.abs(z) < 26)).astype(np.float64)
    outside = _ball(x, y, z, (6, 0, 48), (26, 22, 30))
    partner = np.maximum(_ball(x, y, z, (-8, 4, -52), (38, 32, 30)), _ball(x, y, z, (18, -6, -70), (26, 24, 22)))
    return np.maximum(np.maximum(bundle, outside), partner)


DEMO_SHAPES: Final = ("capsid", "two-lobe", "barrel", "three-lobe", "ring-stack", "cage", "ellipsoid")

_SHAPES: Final[dict[str, tuple[Shape, float, str]]] = {
    "capsid": (_shell(140.0, 100.0, bumps=0.12), 165.0, "O"),
    "two-lobe": (_two_lobe, 170.0, "C1"),
    "barrel": (_barrel, 110.0, "unknown"),
    "three-lobe": (_three_lobe, 150.0, "C1"),
    "ring-stack": (_ring_stack, 120.0, "C6"),
    "cage": (_shell(62.0, 38.0, bumps=0.0), 75.0, "unknown"),
    "ellipsoid": (_ellipsoid, 110.0, "C1"),
    "nucleosome": (_nucleosome, 80.0, "C2"),
    "channel": (_channel, 110.0, "C4"),
    "receptor": (_receptor, 130.0, "C1"),
}

SHAPE_NAMES: Final = tuple(_SHAPES)
"""Names of the built-in shapes."""

MEMBRANE_CENTRES_ANGSTROM: Final = {"channel": -28.0, "receptor": 24.0}
"""Height of the bilayer's middle, from the centre of those that sit in membranes."""
