"""Real files of RELION 3.0 to 5, Warp, M, Dynamo and pytom-match-pick become picks at the right places."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree

from cryosiam.errors import InputError
from cryosiam.geometry import rotations_from_dynamo_euler, rotations_from_relion_euler
from cryosiam.integrations.star.frame import TomogramFrame
from cryosiam.integrations.star.plain_tables import read_dynamo_table
from cryosiam.integrations.star.reading import read_particles
from cryosiam.integrations.star.star_file import read_star

DATA = Path(__file__).parents[4] / "shared" / "data" / "metadata"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"there are no files of other programs in {DATA}")


@needs_data
def test_dynamo_angles_fit_a_lattice() -> None:
    """An aligned table of a shell's lattice: z axes stand on the shell, neighbours lie in six directions.

    Tells our reading of the angles from the others that are in use: signs changed, order changed, inverse.
    """
    table = read_dynamo_table(DATA / "dynamotable" / "t_complex.tbl.gz")
    places = np.stack([table.numbers(name) + table.numbers(f"d{name}") for name in "xyz"], axis=1)
    angles = np.stack([table.numbers(name) for name in ("tdrot", "tilt", "narot")], axis=1)
    tomograms = table.numbers("tomo")

    def order(rotations: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> tuple[float, float]:
        steps = []
        for number in np.unique(tomograms):
            rows = tomograms == number
            _, near = cKDTree(places[rows]).query(places[rows], k=7)
            offsets = places[rows][near[:, 1:]] - places[rows][:, None]
            steps.append(np.einsum("nji,nkj->nki", rotations[rows], offsets).reshape(-1, 3))
        found = np.concatenate(steps)
        length = np.linalg.norm(found, axis=1)
        found = found[(length > 3) & (length < 1.3 * np.median(length))]
        sixfold = np.abs(np.exp(6j * np.arctan2(found[:, 1], found[:, 0])).mean())
        return float(found[:, 2].std() / np.median(length)), float(sixfold)

    height, sixfold = order(rotations_from_dynamo_euler(angles))
    assert height < 0.1
    assert sixfold > 0.15
    ours = rotations_from_dynamo_euler(angles)
    for others in (
        ours.transpose(0, 2, 1),
        rotations_from_dynamo_euler(angles * [1, 1, -1]),
        rotations_from_dynamo_euler(angles * [1, -1, 1]),
        rotations_from_dynamo_euler(-angles),
        rotations_from_dynamo_euler(angles[:, ::-1]),
    ):
        height, sixfold = order(others)
        assert height > 0.2 or sixfold < 0.03


@needs_data
def test_dynamo_counts_voxel_centres_as_halves() -> None:
    """What Dynamo cropped at stands in its crop.tbl, voxel centres all, the rest in the shifts."""
    table = read_dynamo_table(DATA / "dynamo_crop.tbl")
    for name in "xyz":
        np.testing.assert_array_equal(table.numbers(name) % 1, 0.5)
        assert np.abs(table.numbers(f"d{name}")).max() <= 0.5


@needs_data
@pytest.mark.parametrize(
    ("name", "frame", "expected"),
    [
        # Pixel size 10000 Å µm: 5.364 * 1e4 / 10000.
        ("relion3.0_warp.star", (10.0, None, None), [1028.455 * 5.364, 733.955 * 5.364, 422.955 * 5.364]),
        (
            "relion3.1_optics.star",
            (10.0, None, None),
            [915.549 * 2.446 + 0.25289, 1480.63 * 2.446 + 2.69889, 938.008 * 2.446 - 7.24711],
        ),
        (
            "relion4.0_particles.star.gz",
            (7.884, 1.971, (4000, 4000, 2000)),
            [1700 * 1.971 - 1.260416, 428 * 1.971 - 2.364176, 944 * 1.971 - 3.783296],
        ),
        (
            "pytom_match_pick/picks_pytom_150.star",
            (15.0, 3.75, (2048, 2048, 1024)),
            [2100 + 3840, 1860 + 3840, 645 + 1920],
        ),
        ("pytom/subtomo_format.star", (6.896, None, None), [806 * 6.896, 398 * 6.896, 208 * 6.896]),
        ("warp2_particles_matching.star", (8.0, 0.7894, (4400, 6000, 1000)), [354.242 * 4, 397.132 * 4, 75.828 * 4]),
        (
            "relion4_lamella_TM.star",
            (12.23, None, None),
            [513.333 * 7.338 - 15.321433, 546.667 * 7.338 - 15.321433, None],
        ),
        (
            "dynamotable/t_double.tbl",
            (10.0, None, None),
            [(141.28 + 2.5178 - 0.5) * 10, (114.71 - 3.523 - 0.5) * 10, None],
        ),
        (
            "chlamy/ps2.star.gz",
            (7.84, 1.96, (4096, 4096, 2048)),
            [3726.465173 * 1.96, 3862.465173 * 1.96, 1041.465173 * 1.96],
        ),
    ],
)
def test_real_files(
    name: str,
    frame: tuple[float, float | None, tuple[int, int, int] | None],
    expected: list[float | None],
) -> None:
    voxel, pixel, size = frame

    def frames(names: list[str]) -> list[TomogramFrame]:
        return [TomogramFrame(f"run{n}", name, voxel, None, pixel, size) for n, name in enumerate(names)]

    read = read_particles(DATA / name, frames)
    first = read.sets[0].picks.positions_angstrom[0]
    for found, wanted in zip(first, expected, strict=True):
        assert wanted is None or found == pytest.approx(wanted, abs=1e-3)
    assert all(entry.picks.rotations is not None for entry in read.sets)
    assert not [note for note in read.notes if "outside" in note or "corner" in note]


@needs_data
def test_relion5_refinement() -> None:
    """Subtomogram angles, particle angles, origins and centred coordinates at once."""
    path = DATA / "cylindra" / "relion5_class3d_run_it025_data.star"
    size, pixel = (4000, 4000, 1000), 1.35
    table = read_star(path).block("particles")
    assert table is not None

    def three(*names: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        return np.stack([table.numbers(name) for name in names], axis=1)

    subtomograms = rotations_from_relion_euler(three(*[f"rlnTomoSubtomogram{name}" for name in ("Rot", "Tilt", "Psi")]))
    particles = rotations_from_relion_euler(three(*[f"rlnAngle{name}" for name in ("Rot", "Tilt", "Psi")]))
    origins = three(*[f"rlnOrigin{axis}Angst" for axis in "XYZ"])
    centred = three(*[f"rlnCenteredCoordinate{axis}Angst" for axis in "XYZ"])
    wanted = centred + np.array(size) / 2 * pixel - np.einsum("nij,nj->ni", subtomograms, origins)
    read = read_particles(path, lambda names: [TomogramFrame(name, name, 10.8, None, pixel, size) for name in names])
    names = np.array(table.text("rlnTomoName"))
    for entry in read.sets:
        rows = names == entry.frame.name
        np.testing.assert_allclose(entry.picks.positions_angstrom, wanted[rows], atol=1e-6)
        np.testing.assert_allclose(entry.picks.rotations, (subtomograms @ particles)[rows], atol=1e-9)  # type: ignore[arg-type]
    assert {name for entry in read.sets for name in entry.picks.class_names} == {"1", "2", "3"}


@needs_data
@pytest.mark.parametrize(
    "path",
    sorted(path for path in DATA.rglob("*") if ".star" in path.name or ".tbl" in path.name),
    ids=lambda path: path.relative_to(DATA).as_posix(),
)
def test_every_real_file_is_read_or_refused(path: Path) -> None:
    def frames(names: list[str]) -> list[TomogramFrame]:
        return [TomogramFrame(name, name, 10.0, None, 2.5, (4000, 4000, 2000)) for name in names]

    try:
        found, refused = sum(len(entry.picks) for entry in read_particles(path, frames).sets), ""
    except InputError as error:
        found, refused = 0, str(error)
    assert found > 0 or path.name in refused
