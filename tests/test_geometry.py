"""The geometry contract: round trips, binning, and an object that tells a rotation from its inverse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.ndimage import affine_transform, center_of_mass
from scipy.spatial.transform import Rotation

from cryosiam.geometry import (
    binning_shift_angstrom,
    dynamo_euler_deg,
    dynamo_pixels,
    indices_from_positions,
    nearest_voxels,
    positions_from_dynamo_pixels,
    positions_from_indices,
    positions_from_relion5_centered,
    relion5_centered_angstrom,
    relion_euler_deg,
    relion_positions,
    rotations_from_dynamo_euler,
    rotations_from_relion_euler,
    volume_centre_index,
)

coordinates = arrays(np.float64, st.tuples(st.integers(0, 5), st.just(3)), elements=st.floats(-1e4, 1e4))
voxel_sizes = st.floats(0.5, 40)
sizes = st.tuples(*[st.integers(2, 4000)] * 3)


@given(coordinates, voxel_sizes)
def test_positions_and_indices_invert(indices: NDArray[np.float64], voxel_size: float) -> None:
    positions = positions_from_indices(indices, voxel_size)
    assert positions.shape == indices.shape
    np.testing.assert_allclose(indices_from_positions(positions, voxel_size), indices, atol=1e-9)


def test_first_voxel_is_the_origin_and_axes_swap() -> None:
    np.testing.assert_array_equal(positions_from_indices([[0, 0, 0], [1, 2, 3]], 10), [[0, 0, 0], [30, 20, 10]])


@given(arrays(np.int64, (4, 3), elements=st.integers(0, 5000)), voxel_sizes, st.floats(-0.49, 0.49))
def test_nearest_voxel_is_the_one_whose_centre_is_near(
    voxels: NDArray[np.int64], voxel_size: float, offset: float
) -> None:
    positions = positions_from_indices(voxels, voxel_size) + offset * voxel_size
    np.testing.assert_array_equal(nearest_voxels(positions, voxel_size), voxels)


@given(coordinates, sizes, voxel_sizes)
def test_relion5_coordinates_invert(
    positions: NDArray[np.float64], size: tuple[int, int, int], pixel_size: float
) -> None:
    centred = relion5_centered_angstrom(positions, size, pixel_size)
    np.testing.assert_allclose(
        positions_from_relion5_centered(centred, size, pixel_size), positions, atol=1e-6, rtol=1e-9
    )


@pytest.mark.parametrize(("size", "centre"), [(256, 128.0), (255, 127.5)])
def test_relion5_centre_is_half_the_size_for_odd_sizes_too(size: int, centre: float) -> None:
    at_centre = np.full((1, 3), centre * 2.5)
    np.testing.assert_allclose(relion5_centered_angstrom(at_centre, [size] * 3, 2.5), 0, atol=1e-12)


@given(st.integers(1, 8), st.integers(0, 50), voxel_sizes)
def test_binning_shift_is_the_mean_of_the_voxels_averaged(binning: int, index: int, unbinned: float) -> None:
    averaged = np.mean([(index * binning + k) * unbinned for k in range(binning)])
    binned = positions_from_indices([[index] * 3], binning * unbinned)[0, 0]
    assert binned + binning_shift_angstrom(binning, unbinned) == pytest.approx(averaged)


@pytest.mark.parametrize("binning", [1, 2, 4])
@pytest.mark.parametrize("size", [40, 41, 43])
def test_bead_in_a_volume_binned_by_averaging(binning: int, size: int) -> None:
    unbinned = 2.5
    place = np.array([19.3, 18.6, 20.2])
    z, y, x = np.indices((size, size, size))
    blob = np.exp(-((z - place[2]) ** 2 + (y - place[1]) ** 2 + (x - place[0]) ** 2) / (2 * 3.0**2))
    kept = blob[tuple(slice(0, size // binning * binning) for _ in range(3))]
    coarse = size // binning
    binned = kept.reshape(coarse, binning, coarse, binning, coarse, binning).mean((1, 3, 5))
    found = positions_from_indices([center_of_mass(binned)], binning * unbinned)
    found += binning_shift_angstrom(binning, unbinned)
    np.testing.assert_allclose(found[0], place * unbinned, atol=0.02 * unbinned)


angles = arrays(np.float64, (3, 3), elements=st.floats(-179, 179))


@given(angles)
def test_euler_angles_invert(degrees: NDArray[np.float64]) -> None:
    matrices = rotations_from_relion_euler(degrees)
    again = rotations_from_relion_euler(relion_euler_deg(matrices))
    np.testing.assert_allclose(again, matrices, atol=1e-6)


@given(angles)
def test_dynamo_angles_invert_and_are_the_documented_rotations(degrees: NDArray[np.float64]) -> None:
    matrices = rotations_from_dynamo_euler(degrees)
    np.testing.assert_allclose(rotations_from_dynamo_euler(dynamo_euler_deg(matrices)), matrices, atol=1e-6)
    for triple, matrix in zip(degrees, matrices, strict=True):
        tdrot, tilt, narot = (
            Rotation.from_euler(axis, angle, degrees=True) for axis, angle in zip("zxz", triple, strict=True)
        )
        np.testing.assert_allclose(matrix, (narot * tilt * tdrot).inv().as_matrix(), atol=1e-9)


def test_no_warning_where_two_angles_are_one() -> None:
    np.testing.assert_allclose(relion_euler_deg(np.eye(3)[None]), 0, atol=1e-9)
    np.testing.assert_allclose(dynamo_euler_deg(np.eye(3)[None]), 0, atol=1e-9)


@given(coordinates, voxel_sizes)
def test_dynamo_pixels_invert(positions: NDArray[np.float64], voxel_size: float) -> None:
    pixels = dynamo_pixels(positions, voxel_size)
    np.testing.assert_allclose(positions_from_dynamo_pixels(pixels, voxel_size), positions, atol=1e-8)
    np.testing.assert_array_equal(dynamo_pixels([[0, 0, 0]], voxel_size), 0.5)


def test_what_an_origin_takes_away_a_coordinate_may_have() -> None:
    """RELION: adding S o to a coordinate and o to its origin changes nothing."""
    subtomogram = rotations_from_relion_euler([[30, 50, 70]])
    position, origin = np.array([[100.0, 200, 300]]), np.array([[1.0, 2, 3]])
    moved = position + origin @ subtomogram[0].T
    np.testing.assert_allclose(relion_positions(moved, origin, subtomogram), position)
    np.testing.assert_allclose(relion_positions(position, origin), position - origin)


def test_matrix_turns_the_object_into_the_tomogram() -> None:
    """An asymmetric object put into a volume with a matrix comes back with RELION's definition of its angles."""
    matrix = rotations_from_relion_euler([[30, 50, 70]])[0]
    points = np.array([[6.0, 0, 0], [0, 4, 0], [0, 0, 2]])
    size = 25
    centre = volume_centre_index(size)

    def volume(places: NDArray[np.float64]) -> NDArray[np.float64]:
        grid = np.stack(np.indices((size,) * 3)[::-1], axis=-1) - centre
        return np.exp(-((grid[None] - places[:, None, None, None]) ** 2).sum(-1) / 2.0).sum(0)

    in_tomogram = volume(points @ matrix.T)
    # RELION's matrix A = Rz(psi) Ry(tilt) Rz(rot) (passive) takes tomogram to object; its inverse is ours.
    rot, tilt, psi = relion_euler_deg(matrix[None])[0]
    relion = (
        Rotation.from_euler("z", -psi, degrees=True)
        * Rotation.from_euler("y", -tilt, degrees=True)
        * Rotation.from_euler("z", -rot, degrees=True)
    ).as_matrix()
    np.testing.assert_allclose(relion, matrix, atol=1e-9)
    # Sampling the tomogram at M x gives back the object; in array order the matrix is reversed along both axes.
    reversed_matrix = matrix[::-1, ::-1]
    offset = centre - reversed_matrix @ np.full(3, centre)
    back = affine_transform(in_tomogram, reversed_matrix, offset=offset, order=3)
    assert np.corrcoef(back.ravel(), volume(points).ravel())[0, 1] > 0.99
    wrong = affine_transform(in_tomogram, reversed_matrix.T, offset=centre - reversed_matrix.T @ np.full(3, centre))
    assert np.corrcoef(wrong.ravel(), volume(points).ravel())[0, 1] < 0.9


def test_nothing_in_nothing_out() -> None:
    empty = np.zeros((0, 3))
    for result in (
        positions_from_indices(empty, 10),
        indices_from_positions(empty, 10),
        nearest_voxels(empty, 10),
        relion5_centered_angstrom(empty, (10, 10, 10), 1),
    ):
        assert result.shape == (0, 3)
