"""Densities of atoms: exact integral and Fourier terms, whatever the grid."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryosiam.simulation.scattering import (
    POTENTIAL_PER_SCATTERING,
    PROTEIN_CONTRAST_VOLT,
    AtomKind,
    potential_of_atoms,
)
from cryosiam.simulation.species import SMOOTHING_VOXELS

CARBON = AtomKind((0.0893, 0.2563, 0.757, 1.0487, 0.3575), (0.2465, 1.71, 6.4094, 18.6113, 50.2523), 17.4)
PHOSPHORUS = AtomKind((0.2548, 0.6106, 1.4541, 2.3204, 0.8477), (0.2908, 1.874, 8.5176, 24.3434, 63.2996), 13.7)


def cloud(seed, atoms, reach):
    """Atoms of two kinds within ``reach`` Å of the middle."""
    rng = np.random.default_rng(seed)
    groups = []
    for kind in (CARBON, PHOSPHORUS):
        occupancies = rng.uniform(0.2, 1.0, atoms)
        groups.append((kind, rng.uniform(-reach, reach, (atoms, 3)), occupancies))
    return groups


def integral(volume, voxel):
    return volume.sum(dtype=np.float64) * voxel**3


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999), atoms=st.integers(1, 40), voxel=st.floats(1.0, 20.0))
def test_the_integral_is_the_sum_of_scattering_minus_displaced_ice(seed, atoms, voxel):
    groups = cloud(seed, atoms, 2.5 * voxel)
    volume = potential_of_atoms(groups, 25, voxel)
    expected = sum(
        occupancies.sum() * (47.878 * sum(kind.amplitudes) - 4.53 * kind.solvent_volume_a3)
        for kind, _, occupancies in groups
    )
    assert integral(volume, voxel) == pytest.approx(expected / 3.4, rel=5e-3)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 999), shift=st.tuples(*[st.floats(-0.5, 0.5)] * 3))
def test_the_grid_s_origin_does_not_matter(seed, shift):
    voxel = 6.8
    groups = cloud(seed, 200, 20.0)
    moved = [(kind, positions + np.array(shift) * voxel, occupancies) for kind, positions, occupancies in groups]
    here, there = potential_of_atoms(groups, 21, voxel), potential_of_atoms(moved, 21, voxel)
    assert integral(there, voxel) == pytest.approx(integral(here, voxel), rel=2e-3)
    assert (there**2).sum() == pytest.approx((here**2).sum(), rel=5e-3)


def test_structure_factors_are_those_of_the_atoms_summed_one_by_one():
    voxel, edge, b_factor = 3.0, 27, 40.0
    groups = cloud(3, 30, 15.0)
    volume = potential_of_atoms(groups, edge, voxel, b_factor)
    spectrum = np.fft.fftn(np.fft.ifftshift(volume)) * voxel**3
    rng = np.random.default_rng(1)
    for _ in range(30):
        k_zyx = rng.integers(-6, 7, 3)
        k = k_zyx / (edge * voxel)
        if 2 * voxel * np.linalg.norm(k) > 0.75:
            continue
        expected = 0
        for kind, positions, occupancies in groups:
            s2 = (k @ k) / 4
            factor = sum(a * np.exp(-b * s2) for a, b in zip(kind.amplitudes, kind.widths, strict=True))
            volume_a3 = kind.solvent_volume_a3
            ice = 4.53 * volume_a3 * np.exp(-np.pi * (k @ k) * volume_a3 ** (2 / 3))
            phases = np.exp(-2j * np.pi * positions @ k[::-1])
            expected += (POTENTIAL_PER_SCATTERING * factor - ice) * np.exp(-b_factor * s2) * (occupancies @ phases)
        expected *= np.exp(-2 * np.pi**2 * SMOOTHING_VOXELS**2 * voxel**2 * (k @ k)) / PROTEIN_CONTRAST_VOLT
        total = sum(kind.contrast_volt_a3 * occupancies.sum() for kind, _, occupancies in groups) / 3.4
        assert spectrum[tuple(k_zyx)] == pytest.approx(expected, abs=3e-3 * total)


def test_one_atom_is_round_and_where_it_was_put():
    voxel = 2.0
    place = np.array([[3.1, -1.3, 0.4]])
    bare = AtomKind(CARBON.amplitudes, CARBON.widths, 0.0)
    volume = potential_of_atoms([(bare, place, np.ones(1))], 31, voxel, 100.0).astype(np.float64)
    grid = (np.indices(volume.shape) - 15)[::-1] * voxel
    total = volume.sum()
    centre = (grid * volume).sum((1, 2, 3)) / total
    assert np.allclose(centre, place[0], atol=0.03)
    spread = ((grid - centre[:, None, None, None]) ** 2 * volume).sum((1, 2, 3)) / total
    assert np.allclose(spread, spread.mean(), rtol=0.02)


def test_a_voxel_of_one_angstrom_and_one_of_twenty_hold_the_same():
    groups = cloud(5, 50, 8.0)
    fine, coarse = potential_of_atoms(groups, 61, 1.0), potential_of_atoms(groups, 9, 20.0)
    assert integral(coarse, 20.0) == pytest.approx(integral(fine, 1.0), rel=3e-3)
