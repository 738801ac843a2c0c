"""Borrowed spectra: amplitudes of the reference, phases of the patch, frequencies in 1/Å."""

from pathlib import Path

import numpy as np
import pytest
import torch

from cryosiam.errors import InputError
from cryosiam.training.augment.blur import gaussian_blur
from cryosiam.training.augment.spectrum import (
    AmplitudeSpectrum,
    SpectrumRecipe,
    borrow,
    radial_power,
    shell_frequencies,
)


def noise(seed: int, size: int = 48) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((size,) * 3).astype(np.float32))


def reference(voxel_size: float = 10.0) -> AmplitudeSpectrum:
    coloured = gaussian_blur(noise(1, 64), 0.7) + 0.2 * noise(2, 64)
    return AmplitudeSpectrum.measure(coloured.numpy(), voxel_size, "coloured noise")


def amplitudes(volume: torch.Tensor, voxel_size: float) -> tuple[np.ndarray, np.ndarray]:
    frequency = shell_frequencies(min(volume.shape))
    amplitude = np.sqrt(radial_power(volume.numpy()) * voxel_size**3)
    return frequency[frequency <= 0.5] / voxel_size, amplitude[frequency <= 0.5]


def test_white_noise_has_a_flat_spectrum_in_its_unit() -> None:
    measured = AmplitudeSpectrum.measure(7 + 3 * noise(0, 64).numpy(), 4.0, "noise")
    np.testing.assert_allclose(measured.amplitudes[5:], 4.0**1.5, rtol=0.15)
    assert measured.frequencies_per_angstrom[-1] == pytest.approx(1 / 8)


@pytest.mark.parametrize("voxel_size", [10.0, 14.0])
def test_at_full_strength_the_amplitudes_are_those_of_the_reference(voxel_size: float) -> None:
    patch = gaussian_blur(noise(5), 0.4)
    borrowed = borrow(patch, voxel_size, reference(), 1.0)
    frequency, found = amplitudes(borrowed, voxel_size)
    _, before = amplitudes(patch, voxel_size)
    wanted = reference().at(frequency)
    assert np.abs(before / wanted - 1).max() > 0.3
    np.testing.assert_allclose(found[1:], wanted[1:], rtol=0.08)


def test_beyond_the_reference_the_factor_is_held() -> None:
    patch = noise(6)
    borrowed = borrow(patch, 5.0, reference(), 1.0)
    frequency, found = amplitudes(borrowed, 5.0)
    _, before = amplitudes(patch, 5.0)
    beyond = frequency > 0.055
    factor = (found / before)[beyond]
    assert np.ptp(factor) < 0.05 * factor.mean()


def test_phases_stay() -> None:
    # Empty towards the faces, so that nothing is cut off when the patch is.
    patch = torch.zeros(48, 48, 48)
    patch[16:32, 16:32, 16:32] = noise(7, 16)
    borrowed = borrow(patch, 10.0, reference(), 1.0)
    ratio = torch.fft.rfftn(borrowed - borrowed.mean()) * torch.fft.rfftn(patch - patch.mean()).conj()
    turned = ratio.imag.abs().sum() / ratio.abs().sum()
    assert float(turned) < 0.01
    assert float((ratio.real < 0).float().mean()) < 0.01


def test_strength_goes_from_nothing_to_all() -> None:
    patch = noise(8)
    assert torch.equal(borrow(patch, 10.0, reference(), 0.0), patch)
    frequency, before = amplitudes(patch, 10.0)
    wanted = reference().at(frequency)
    _, half = amplitudes(borrow(patch, 10.0, reference(), 0.5), 10.0)
    np.testing.assert_allclose(half[1:], np.sqrt(before * wanted)[1:], rtol=0.08)


def test_a_spectrum_is_kept_in_a_file_and_a_recipe_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "spectrum.json"
    reference().save(path)
    assert AmplitudeSpectrum.load(path) == reference()
    recipe = SpectrumRecipe.model_validate({"spectra": [str(path)]})
    assert recipe.spectra == (reference(),)
    # A recipe that is written down holds the spectrum itself.
    assert SpectrumRecipe.model_validate_json(recipe.model_dump_json()) == recipe


def test_bad_files_and_volumes_get_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no amplitude spectrum can be read"):
        AmplitudeSpectrum.load(tmp_path / "none.json")
    path = tmp_path / "bad.json"
    path.write_text('{"source": "a", "frequencies_per_angstrom": [0.1, 0.05], "amplitudes": [1, 2]}')
    with pytest.raises(InputError, match="must ascend"):
        AmplitudeSpectrum.load(path)
    with pytest.raises(InputError, match="too thin"):
        AmplitudeSpectrum.measure(np.zeros((4, 40, 40)), 10.0, "slice")
    for value in (1.0, np.nan):
        with pytest.raises(InputError, match="flat"):
            AmplitudeSpectrum.measure(np.full((20, 20, 20), value), 10.0, "nothing")


def test_a_flat_patch_stays() -> None:
    flat = torch.full((16, 16, 16), 2.0)
    assert torch.equal(borrow(flat, 10.0, reference()), flat)
