"""All augmentations of a patch together."""

import numpy as np
import pytest
from pydantic import ValidationError

from cryosiam.training.augment.augmentation import REAL, SIMULATED, AugmentationRecipe, augment_patch
from cryosiam.training.augment.resampling import VoxelSizeRecipe
from cryosiam.training.augment.spectrum import AmplitudeSpectrum, SpectrumRecipe
from cryosiam.training.augment.wedge import WedgeRecipe

SHAPE = (10, 12, 12)

# Four voxels of "noisy" and a sum of labels, from the code that the networks of the light recipe were trained with.
LIGHT = {
    0: ("grey values as they are", [0.462143, 0.527824, -0.368433, -0.0176097], 190),
    1: ("noise", [0.278678, -0.0685999, -2.68889, -0.225537], 207),
    3: ("low-pass", [0.331327, 0.121850, -0.252105, 0.125943], 213),
    17: ("high-pass", [0.168417, 1.820054, 0.326152, 1.285192], 207),
}

EVERYTHING = REAL.model_copy(
    update={
        "voxel_size": VoxelSizeRecipe(chance=1),
        "wedge": WedgeRecipe(chance=1),
        "spectrum": SpectrumRecipe(
            chance=1,
            spectra=(AmplitudeSpectrum(source="a", frequencies_per_angstrom=(0.002, 0.05), amplitudes=(90.0, 10.0)),),
        ),
    }
)


def arrays(shape: tuple[int, int, int] = SHAPE) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "noisy": rng.standard_normal(shape).astype(np.float32),
        "clean": rng.random(shape).astype(np.float16),
        "semantic": rng.integers(0, 5, shape).astype(np.uint8),
    }


@pytest.mark.parametrize("seed", LIGHT)
def test_the_default_is_what_the_light_networks_were_trained_with(seed: int) -> None:
    _, voxels, labels = LIGHT[seed]
    made = augment_patch(arrays(), np.random.default_rng(seed))
    np.testing.assert_allclose(made["noisy"].reshape(-1)[[0, 500, 1000, -1]], voxels, rtol=1e-4)
    assert int(made["semantic"].reshape(-1)[:100].sum()) == labels


def test_all_together_keep_shapes_types_and_labels_and_repeat() -> None:
    size = (16, 18, 18)
    given_arrays = arrays(EVERYTHING.cut_zyx(size))
    before = {name: array.copy() for name, array in given_arrays.items()}

    def made(seed: int) -> dict[str, np.ndarray]:
        return augment_patch(
            given_arrays, np.random.default_rng(seed), EVERYTHING, voxel_size_angstrom=10.0, size_zyx=size
        )

    for seed in range(6):
        patch = made(seed)
        assert {name: (a.shape, a.dtype) for name, a in patch.items()} == {
            name: (size, a.dtype) for name, a in before.items()
        }
        assert set(np.unique(patch["semantic"])) <= set(range(5))
        assert np.isfinite(patch["noisy"]).all()
        assert 0.5 < patch["noisy"].std() < 2
        assert all(np.array_equal(patch[name], again) for name, again in made(seed).items())
    assert all(np.array_equal(given_arrays[name], before[name]) for name in before)


def test_only_noisy_is_imaged_otherwise() -> None:
    recipe = EVERYTHING.model_copy(update={"voxel_size": None, "orient": False})
    made = augment_patch(arrays(), np.random.default_rng(2), recipe, voxel_size_angstrom=10.0)
    assert not np.allclose(made["noisy"], arrays()["noisy"])
    assert np.array_equal(made["clean"], arrays()["clean"])
    assert np.array_equal(made["semantic"], arrays()["semantic"])


def test_with_all_switched_off_a_patch_is_the_middle_of_the_arrays() -> None:
    off = AugmentationRecipe(orient=False, grey=False)
    made = augment_patch(arrays(), np.random.default_rng(0), off, size_zyx=(4, 6, 7))
    assert all(np.array_equal(made[name], array[3:7, 3:9, 3:10]) for name, array in arrays().items())


def test_arrays_that_are_too_small_go_on_as_their_mirror_image() -> None:
    off = AugmentationRecipe(orient=False, grey=False)
    made = augment_patch(arrays(), np.random.default_rng(0), off, size_zyx=(12, 12, 12))
    assert all(np.array_equal(made[name][1:11], array) for name, array in arrays().items())
    assert all(np.array_equal(made[name][0], array[0]) for name, array in arrays().items())


def test_spectra_and_optics_need_the_voxel_size() -> None:
    with pytest.raises(ValueError, match="voxel size"):
        augment_patch(arrays(), np.random.default_rng(0), REAL)


def test_recipes_refuse_unknown_names_and_survive_writing() -> None:
    with pytest.raises(ValidationError):
        AugmentationRecipe.model_validate({"wegde": {}})
    for recipe in (SIMULATED, REAL, EVERYTHING):
        assert AugmentationRecipe.model_validate_json(recipe.model_dump_json()) == recipe
