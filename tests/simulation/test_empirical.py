"""Real backgrounds in simulated tomograms."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

import mrcfile
import numpy as np
import pytest
from scipy import fft, ndimage

from cryosiam.domain import MissingWedge, Picks
from cryosiam.errors import InputError
from cryosiam.simulation.background import Background
from cryosiam.simulation.empirical import add_background, check_backgrounds, reduce_noise
from cryosiam.simulation.fast.imaging import FastMicroscope
from cryosiam.simulation.fast.transfer import TiltState
from cryosiam.simulation.run import image_specimen, simulate
from cryosiam.simulation.spec import SimulationSpec
from cryosiam.simulation.tomogram import SimulatedTomogram, Specimen

if TYPE_CHECKING:
    from numpy.typing import NDArray

REAL = Path(__file__).parents[3] / "shared/data/tomograms/empiar10499_00254_derived"
SHAPE = (40, 48, 56)
INSIDE = np.s_[12:28, 16:30, 20:34]


def write(path: Path, volume: NDArray[np.generic], voxel_size: float = 10.0) -> Path:
    with mrcfile.new(path, data=volume, overwrite=True) as file:
        file.voxel_size = voxel_size
    return path


@pytest.fixture
def coloured(tmp_path: Path) -> Path:
    """Return noise whose spectrum falls along x only, at 10 Å."""
    white = np.random.default_rng(0).standard_normal((64, 80, 96))
    return write(tmp_path / "real.mrc", ndimage.gaussian_filter1d(white, 1.5, axis=2).astype(np.float32))


def profile(volume: NDArray[np.float32], axis: int) -> NDArray[np.float64]:
    """Return the power along one axis, per unit of variance, in 8 bands up to Nyquist."""
    power = np.abs(fft.rfft(volume, axis=axis)) ** 2
    means = np.moveaxis(power, axis, 0).reshape(power.shape[axis], -1).mean(1)[1:]
    return np.array([band.mean() for band in np.array_split(means, 8)]) / (volume.shape[axis] * volume.var())


def recipe(
    share: float,
    *names: str,
    mode: str = "phase-randomised",
    halves: bool = True,
    shape: tuple[int, int, int] = SHAPE,
    **microscope: object,
) -> SimulationSpec:
    return SimulationSpec.model_validate(
        {
            "shape_zyx": shape,
            "voxel_size_angstrom": 10.0,
            "path": "fast",
            "specimen": {"slab": {"thickness_nm": 30}},
            "microscope": {"reconstruction": {"halves": halves, "corrected_volume": halves}, **microscope},
            "noise": {"tomograms": names, "mode": mode, "share": share},
        }
    )


def box(shape: tuple[int, int, int] = SHAPE) -> Specimen:
    """Return a specimen that holds a block of protein."""
    density = np.zeros(shape, np.float32)
    density[INSIDE] = 1
    empty = np.zeros(shape, np.int32)
    return Specimen(
        10.0,
        density,
        np.zeros(shape, np.float32),
        empty.astype(np.uint8),
        empty,
        empty.astype(np.uint16),
        (),
        np.ones(shape, np.bool_),
        Picks("run", np.zeros((0, 3)), np.zeros(0), ()),
        {},
    )


def simulated(spec: SimulationSpec) -> SimulatedTomogram:
    """Return a tomogram without a background, imaged in the nominal state."""
    specimen = box(spec.shape_zyx)
    volumes = FastMicroscope(spec).image(specimen.density, np.random.default_rng(1), TiltState.nominal(spec))
    return SimulatedTomogram(spec, 1, specimen, volumes.noisy, MissingWedge(-60, 60), volumes.corrected, volumes.halves)


def with_background(spec: SimulationSpec, folder: Path, seed: int = 0) -> SimulatedTomogram:
    tomogram = simulated(spec)
    add_background(tomogram, folder, np.random.default_rng(seed), TiltState.nominal(spec))
    return tomogram


def correlation(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


def test_phase_randomised_keeps_the_spectrum_and_not_the_picture(coloured: Path) -> None:
    background = Background.read(coloured)
    made = background.phase_randomised((64, 80, 96), 10.0, np.random.default_rng(0))
    assert made.mean() == pytest.approx(0, abs=1e-5)
    assert made.std() == pytest.approx(1, rel=1e-5)
    for axis in range(3):
        np.testing.assert_allclose(profile(made, axis), profile(background.voxels, axis), rtol=0.15, atol=0.02)
    assert abs(np.corrcoef(made.ravel(), background.voxels.ravel())[0, 1]) < 0.05


def test_spectrum_is_taken_over_by_spatial_frequency(coloured: Path) -> None:
    """At voxels half as wide, features are twice as many voxels wide."""
    background = Background.read(coloured)
    rng = np.random.default_rng(0)
    coarse, fine = (background.phase_randomised((32, 48, 128), voxel, rng) for voxel in (10.0, 7.0))

    def neighbours(volume: NDArray[np.float32], step: int) -> float:
        return float(np.mean(volume[:, :, step:] * volume[:, :, :-step]))

    assert neighbours(coarse, 2) == pytest.approx(np.exp(-(20**2) / (4 * 15**2)), abs=0.05)
    assert neighbours(fine, 3) == pytest.approx(np.exp(-(21**2) / (4 * 15**2)), abs=0.05)


@pytest.mark.parametrize("shape", [(32, 40, 48), (70, 100, 120)])
def test_crop_is_a_piece_of_the_tomogram(coloured: Path, shape: tuple[int, int, int]) -> None:
    background = Background.read(coloured)
    made = background.crop(shape, 10.0, np.random.default_rng(0))
    assert made.shape == shape
    assert made.std() == pytest.approx(1, rel=1e-5)
    values = np.sort(background.voxels.ravel())
    raw = np.sort(np.unique(made))
    # Every value is one of the tomogram's, shifted and scaled.
    slope, offset = np.polyfit(np.quantile(raw, [0.1, 0.9]), np.quantile(values, [0.1, 0.9]), 1)
    assert slope == pytest.approx(values.std(), rel=0.2)
    assert abs(offset) < 0.2


def test_crop_is_resampled_to_the_voxel_size(tmp_path: Path) -> None:
    x = np.arange(96)
    wave = np.broadcast_to(np.cos(2 * np.pi * x / 12), (40, 40, 96)).astype(np.float32)
    background = Background.read(write(tmp_path / "wave.mrc", wave))
    made = background.crop((32, 32, 48), 20.0, np.random.default_rng(0))
    power = np.abs(fft.rfft(made.mean((0, 1)))) ** 2
    assert power.argmax() == 8


@pytest.mark.parametrize("size", [(40, 48, 56), (44, 50, 60), (80, 48, 56), (40, 48, 130), (36, 40, 40), (33, 33, 33)])
def test_opposite_pieces_are_uncorrelated_whatever_the_size(tmp_path: Path, size: tuple[int, int, int]) -> None:
    """Smaller than the volume, as large, larger, and twice as long along one axis."""
    smooth = ndimage.gaussian_filter(np.random.default_rng(3).standard_normal(size), 0.5).astype(np.float32)
    background = Background.read(write(tmp_path / "real.mrc", smooth))
    for seed in range(4):
        pieces = [background.crop(SHAPE, 10.0, np.random.default_rng(seed), opposite=one) for one in (False, True)]
        assert abs(correlation(*pieces)) < 0.03


def test_opposite_pieces_share_nothing_where_two_fit(tmp_path: Path) -> None:
    """One half of this tomogram is noise, the other nothing."""
    for axis in range(3):
        volume = np.random.default_rng(0).standard_normal([2 * n if i == axis else n for i, n in enumerate(SHAPE)])
        np.swapaxes(volume, 0, axis)[: SHAPE[axis]] = 0
        background = Background.read(write(tmp_path / "real.mrc", volume.astype(np.float32)))
        for seed in range(3):
            pieces = [background.crop(SHAPE, 10.0, np.random.default_rng(seed), opposite=one) for one in (False, True)]
            assert sorted(bool(piece.any()) for piece in pieces) == [False, True]


def test_opposite_piece_keeps_tilt_axis_and_wedge(coloured: Path) -> None:
    background = Background.read(coloured)
    shape = background.voxels.shape
    pieces = [
        background.crop((shape[0], shape[1], shape[2]), 10.0, np.random.default_rng(0), opposite=one)
        for one in (False, True)
    ]
    first, second = (np.abs(fft.rfftn(piece)) for piece in pieces)
    np.testing.assert_allclose(first, second, rtol=1e-2, atol=1)


@pytest.mark.parametrize("mode", ["crop", "phase-randomised"])
@pytest.mark.parametrize("size", [SHAPE, (44, 52, 60), (40, 100, 56), (32, 40, 48)])
def test_halves_get_independent_backgrounds(tmp_path: Path, mode: str, size: tuple[int, int, int]) -> None:
    smooth = ndimage.gaussian_filter(np.random.default_rng(4).standard_normal(size), 0.5).astype(np.float32)
    write(tmp_path / "real.mrc", smooth)
    spec = recipe(1.0, "real.mrc", mode=mode)
    after = with_background(spec, tmp_path)
    signal = FastMicroscope(spec).signal(after.specimen.density, TiltState.nominal(spec))
    assert after.halves is not None
    scale = np.vdot(after.noisy, signal) / np.vdot(signal, signal)
    # All noise is background now.
    left = [half - scale * signal for half in after.halves]
    assert abs(correlation(*left)) < 0.03


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_mixing_keeps_signal_and_noise_variance(share: float) -> None:
    rng = np.random.default_rng(2)
    signal, noise, real = rng.standard_normal((3, *SHAPE)).astype(np.float32)
    noisy = 0.5 * signal + 2 * noise
    result = noisy.copy()
    result += reduce_noise(result, signal, share) * real
    fitted = float(np.vdot(noisy, signal) / np.vdot(signal, signal))
    left = result - fitted * signal
    assert left.var() == pytest.approx((noisy - fitted * signal).var(), rel=0.02)
    assert correlation(left, real) == pytest.approx(np.sqrt(share), abs=0.02)


def test_background_enters_the_main_volume_and_the_halves(coloured: Path) -> None:
    spec = recipe(0.6, coloured.name)
    before, after = simulated(spec), with_background(spec, coloured.parent)
    assert before.halves is not None
    assert after.halves is not None
    assert before.corrected is not None
    assert after.corrected is not None
    assert after.noisy.mean() == pytest.approx(0, abs=1e-5)
    assert after.noisy.std() == pytest.approx(1, rel=1e-4)
    np.testing.assert_allclose((after.halves[0] + after.halves[1]) / 2, after.noisy, atol=1e-4)
    # The tomogram's spectrum falls along x only; simulated noise does not rise towards low frequencies like that.
    rise = [profile(one.noisy, 2)[1] / profile(one.noisy, 2)[6] for one in (before, after)]
    assert rise[1] > 1.5 * rise[0]
    noise = [(one.halves[0] - one.halves[1]).std() / 2 for one in (before, after) if one.halves is not None]
    assert noise[1] == pytest.approx(noise[0], rel=0.05)
    assert after.noisy[INSIDE].mean() == pytest.approx(before.noisy[INSIDE].mean(), abs=0.15)
    # Both volumes are mean 0 and variance 1, and what was added to one was added to the other.
    added = after.noisy - before.noisy, after.corrected - before.corrected
    assert after.corrected.std() == pytest.approx(1, rel=1e-4)
    assert correlation(*added) > 0.5


def test_same_seed_same_background(coloured: Path) -> None:
    spec = recipe(0.5, coloured.name, halves=False, mode="crop")
    first, again, other = (with_background(spec, coloured.parent, seed).noisy for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_nothing_is_added_where_nothing_is_asked_for(coloured: Path) -> None:
    for spec in (recipe(0.5, halves=False), recipe(0.0, coloured.name, halves=False)):
        np.testing.assert_array_equal(simulated(spec).noisy, with_background(spec, coloured.parent).noisy)


def test_a_background_takes_little_memory(tmp_path: Path) -> None:
    """Beside the volumes: the signal with its spectra, or one background."""
    shape = (48, 144, 144)
    write(tmp_path / "real.mrc", np.random.default_rng(0).standard_normal((60, 160, 150)).astype(np.float32), 9.0)
    for mode in ("crop", "phase-randomised"):
        spec = recipe(0.5, "real.mrc", mode=mode, shape=shape)
        tomogram = simulated(spec)
        tracemalloc.start()
        add_background(tomogram, tmp_path, np.random.default_rng(0), TiltState.nominal(spec))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 3 * tomogram.noisy.nbytes


def test_true_state_of_the_microscope_is_what_signal_is_computed_in(coloured: Path) -> None:
    """Without counting noise there is nothing that a background could replace."""
    scope = {
        "optics": {"defocus_um": 3.0, "defocus_spread_um": 0.6},
        "alignment": {"shift_angstrom": 12.0},
        "detector": {"counting_noise": False},
    }
    plain, mixed = (
        image_specimen(box(), recipe(share, coloured.name, halves=False, **scope), 5, recipe_dir=coloured.parent).noisy
        for share in (0.0, 1.0)
    )
    np.testing.assert_allclose(mixed, plain, atol=0.01)


def test_recipes_without_background_keep_their_bytes() -> None:
    """The state comes from the same stream as the noise, before it."""
    spec = recipe(0.5, halves=False).for_seed(5)
    drawn = FastMicroscope(spec).image(box().density, np.random.default_rng([5, 0x1A6E])).noisy
    np.testing.assert_array_equal(image_specimen(box(), spec, 5).noisy, drawn)


def test_fast_tomograms_need_the_state_they_were_imaged_in(coloured: Path) -> None:
    tomogram = simulated(recipe(0.5, coloured.name, halves=False))
    with pytest.raises(ValueError, match="state"):
        add_background(tomogram, coloured.parent, np.random.default_rng(0))


BAD = {
    "too small": (np.ones((16, 40, 40), np.float32), 10.0),
    "same value": (np.ones((40, 40, 40), np.float32), 10.0),
    "NaN": (np.full((40, 40, 40), np.nan, np.float32), 10.0),
    "voxel size": (np.random.default_rng(0).standard_normal((40, 40, 40)).astype(np.float32), 0.0),
    "too coarse": (np.random.default_rng(0).standard_normal((40, 40, 40)).astype(np.float32), 25.0),
    "not one volume": (np.ones((40, 40), np.float32), 10.0),
}


@pytest.mark.filterwarnings("ignore:Data array contains NaN")
@pytest.mark.parametrize("problem", BAD)
def test_unusable_tomograms_are_refused_in_a_sentence(tmp_path: Path, problem: str) -> None:
    volume, voxel_size = BAD[problem]
    path = write(tmp_path / "bad.mrc", volume, voxel_size)
    with pytest.raises(InputError, match=problem) as refusal:
        check_backgrounds(recipe(0.5, path.name), tmp_path)
    assert "bad.mrc" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_bad_tomograms_are_found_before_anything_is_built(coloured: Path) -> None:
    told: list[str] = []
    spec = recipe(0.5, coloured.name, "missing.mrc")
    with pytest.raises(InputError, match=r"missing\.mrc"):
        simulate(spec, {}, 1, recipe_dir=coloured.parent, progress=told.append)
    assert told == []
    check_backgrounds(recipe(0.5, coloured.name), coloured.parent)
    check_backgrounds(recipe(0.0, "missing.mrc"), coloured.parent)


@pytest.mark.parametrize("content", [None, b"", b"no tomogram at all" * 100])
def test_unreadable_files_are_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "real.mrc"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"real\.mrc cannot be read"):
        Background.read(path)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real tomograms of ../shared/data are not here")
@pytest.mark.parametrize("name", ["crop_10A_full", "crop_10A_even_tilts"])
def test_real_spectrum_is_kept(name: str) -> None:
    background = Background.read(REAL / f"{name}.mrc")
    assert background.voxel_size_angstrom == pytest.approx(10.0)
    made = background.phase_randomised((64, 128, 128), 10.0, np.random.default_rng(0))
    real = background.voxels[78:142, 64:192, 64:192].astype(np.float32)
    for axis in range(3):
        np.testing.assert_allclose(profile(made, axis)[1:], profile(real, axis)[1:], rtol=0.25, atol=0.02)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real tomograms of ../shared/data are not here")
@pytest.mark.parametrize("length", [128, 200])
def test_opposite_pieces_of_a_real_tomogram_are_uncorrelated(length: int) -> None:
    background = Background.read(REAL / "crop_10A_full.mrc")
    shape = (background.voxels.shape[0], length, length)
    pieces = [background.crop(shape, 10.0, np.random.default_rng(0), opposite=one) for one in (False, True)]
    assert abs(correlation(*pieces)) < 0.05
