"""The preview shows what the volumes and labels hold, and its spectra have the theory's zeros."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from numpy.typing import NDArray

from cryosiam.domain import MissingWedge, Picks
from cryosiam.report.simulation_preview import label_picture, radial_power, write_simulation_preview
from cryosiam.simulation.microscope.ctf import CTF
from cryosiam.simulation.microscope.series import SimulatedTiltSeries
from cryosiam.simulation.spec import SimulationSpec
from cryosiam.simulation.tomogram import SimulatedTomogram, Specimen

SHAPE = (20, 40, 48)
VOXEL = 8.0


def image_with_ctf(ctf: CTF, size: int, pixel: float) -> NDArray[np.float64]:
    noise = np.random.default_rng(5).normal(size=(size, size))
    image: NDArray[np.float64] = np.fft.irfft2(np.fft.rfft2(noise) * ctf.image((size, size), pixel), s=(size, size))
    return image


def tomogram() -> SimulatedTomogram:
    rng = np.random.default_rng(1)
    instances = np.zeros(SHAPE, np.int32)
    instances[8:14, 10:16, 10:16] = 1
    instances[8:14, 16:22, 10:16] = 2
    semantic = np.where(instances > 0, 2, 0).astype(np.uint8)
    semantic[:, :, 30] = 1
    specimen = Specimen(
        voxel_size_angstrom=VOXEL,
        density=(semantic > 0).astype(np.float32),
        unlabelled=np.zeros(SHAPE, np.float32),
        semantic=semantic,
        instances=instances,
        scaffold=(semantic == 1).astype(np.uint16),
        scaffold_kinds=("sheet",),
        sample_mask=np.indices(SHAPE)[0] > 4,
        picks=Picks("", np.full((2, 3), 90.0), np.ones(2), ("a", "b"), np.array([1, 2]), np.tile(np.eye(3), (2, 1, 1))),
        radii_angstrom={"a": 20.0, "b": 20.0},
    )
    spec = SimulationSpec.model_validate(
        {"shape_zyx": SHAPE, "voxel_size_angstrom": VOXEL, "specimen": {"slab": {"thickness_nm": 12}}}
    )
    series = SimulatedTiltSeries(
        images=rng.poisson(100, (3, 40, 60)).astype(np.float32),
        pixel_size_angstrom=VOXEL,
        tilt_angles_deg=np.array([-60.0, 0.0, 60.0]),
        exposure_index=np.array([2, 0, 1]),
        dose_per_tilt=3.0,
        prior_dose=np.array([6.0, 0.0, 3.0]),
        defocus_um=np.full(3, 3.5),
        astigmatism_um=0.0,
        astigmatism_deg=0.0,
        phase_shift_deg=np.zeros(3),
        shifts_angstrom=np.zeros((3, 2)),
        rotations_deg=np.zeros(3),
        magnifications=np.ones(3),
    )
    noisy = rng.normal(size=SHAPE).astype(np.float32)
    return SimulatedTomogram(spec, 1, specimen, noisy, MissingWedge(-60, 60), corrected=noisy, series=series)


@pytest.mark.parametrize("phase_shift_deg", [0.0, 90.0])
def test_radial_power_falls_where_the_ctf_is_zero(phase_shift_deg: float) -> None:
    ctf = CTF(3.0, phase_shift_deg=phase_shift_deg)
    frequencies, power = radial_power(image_with_ctf(ctf, 256, 4.0), 4.0)
    expected = ctf.at(frequencies) ** 2
    assert np.corrcoef(power[2:], expected[2:])[0, 1] > 0.95
    for zero in ctf.zeros(0.11):
        near = np.abs(frequencies - zero) < 0.002
        assert power[near].min() < 0.15 * power.max()


@pytest.mark.parametrize("size", [(40, 60), (41, 33)])
def test_radial_power_of_white_noise_is_flat_and_its_variance(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).normal(0, 3, size)
    frequencies, power = radial_power(image, 5.0)
    assert len(frequencies) == min(size) // 2
    assert frequencies[-1] < 0.1
    assert np.mean(power[3:]) == pytest.approx(9.0, rel=0.15)


def test_labels_show_classes_instances_and_sample() -> None:
    picture = label_picture(tomogram().specimen, (10,))
    assert picture.shape == (40, 48, 3)
    assert len({tuple(picture[y, x]) for y, x in ((12, 12), (18, 12), (5, 30), (5, 5))}) == 4
    assert (label_picture(tomogram().specimen, (0,))[5, 5] == 0).all()


@pytest.mark.parametrize("path", ["exact", "fast"])
def test_picture_is_written_whole(tmp_path: Path, path: str) -> None:
    one = tomogram()
    if path == "fast":
        one = replace(one, series=None, corrected=None)
    write_simulation_preview(tmp_path / "preview.png", one)
    assert [file.name for file in tmp_path.iterdir()] == ["preview.png"]
    assert imread(tmp_path / "preview.png").shape[1] == 1650
