"""Another microscope: bounded change of each frequency, and noise of the kind that is there."""

import numpy as np
import pytest
import torch

from cryosiam.simulation.microscope.ctf import CTF
from cryosiam.training.augment.blur import gaussian_blur
from cryosiam.training.augment.optics import ContrastTransferRecipe, with_contrast_transfer, with_less_dose
from cryosiam.training.augment.spectrum import radial_power, shell_frequencies


def noise(seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((40, 40, 40)).astype(np.float32))


def gains(before: torch.Tensor, after: torch.Tensor) -> np.ndarray:
    return np.sqrt(radial_power(after.numpy()) / radial_power(before.numpy()))


def test_the_same_microscope_changes_nothing() -> None:
    torch.testing.assert_close(with_contrast_transfer(noise(), 10.0, CTF(3), CTF(3)), noise(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("after", [CTF(5.0), CTF(1.5), CTF(3.0, phase_shift_deg=90)])
def test_frequencies_change_by_the_ratio_of_the_transfer_functions_within_bounds(after: CTF) -> None:
    found = gains(noise(), with_contrast_transfer(noise(), 10.0, CTF(3.0), after, most=2.0))
    frequency = shell_frequencies(40) / 10
    ratio = (np.abs(after.at(frequency)) + 0.5) / (np.abs(CTF(3.0).at(frequency)) + 0.5)
    inner = slice(2, 20)
    assert np.abs(found[inner] - 1).max() > 0.2
    assert found[inner].max() < 2.1
    assert found[inner].min() > 0.45
    # The window of the measurement fills narrow zeros up, so not every shell agrees.
    assert np.median(np.abs(found / ratio.clip(0.5, 2) - 1)[inner]) < 0.05


def test_a_phase_plate_brings_back_low_frequencies() -> None:
    blurred = gaussian_blur(noise(), 4.0)
    changed = with_contrast_transfer(blurred, 10.0, CTF(3.0), CTF(3.0, phase_shift_deg=90), most=3.0)
    assert float(changed.std() / blurred.std()) > 1.5


def test_less_dose_adds_noise_of_the_same_colour_and_keeps_the_contrast() -> None:
    volume = 2 + 3 * gaussian_blur(noise(), 1.2)
    buried = with_less_dose(volume, 0.7, np.random.default_rng(1))
    assert float(buried.mean()) == pytest.approx(float(volume.mean()), abs=0.05)
    assert float(buried.std() / volume.std()) == pytest.approx(1, abs=0.05)
    correlation = np.corrcoef(volume.ravel(), buried.ravel())[0, 1]
    assert correlation == pytest.approx(1 / np.hypot(1, 0.7), abs=0.05)
    np.testing.assert_allclose(gains(volume, buried)[3:15], 1, atol=0.2)
    assert torch.equal(with_less_dose(volume, 0.7, np.random.default_rng(1)), buried)
    torch.testing.assert_close(with_less_dose(volume, 0.0, np.random.default_rng(1)), volume)


def test_drawn_microscopes_lie_in_range() -> None:
    recipe = ContrastTransferRecipe(defocus_um=(2, 4), plate_chance=0.5, phase_shift_deg=(60, 90))
    drawn = [recipe.draw(np.random.default_rng(seed)) for seed in range(40)]
    assert all(2 <= ctf.defocus_um <= 4 for pair in drawn for ctf in pair)
    shifts = [after.phase_shift_deg for _, after in drawn]
    assert 5 < sum(shift == 0 for shift in shifts) < 35
    assert all(shift == 0 or 60 <= shift <= 90 for shift in shifts)
