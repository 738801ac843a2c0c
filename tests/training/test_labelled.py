"""Labelled tomograms: what is drawn, what is known, what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryosiam.domain import SEMANTIC_CLASSES, ArrayVolume, Contrast, Tomogram
from cryosiam.errors import InputError
from cryosiam.training.augment.augmentation import AugmentationRecipe
from cryosiam.training.head_losses import HIDDEN, HeadTask, known_name
from cryosiam.training.labelled import LabelledSource, labelled_data
from cryosiam.training.labelled_scenes import LabelledScene, LabelVolume, store_labelled
from cryosiam.training.scene_patches import KNOWN, KNOWN_BITS

from .toy_labels import CENTRES, RECIPE, SHAPE, VOXEL, balls, clean, grid_of, labelled, picks, sheet, silent

PLAIN = AugmentationRecipe(orient=False, grey=False)


def known(scene: LabelledScene, task: HeadTask) -> np.ndarray:
    return (np.asarray(scene.array(KNOWN)) & KNOWN_BITS[task]) > 0


def source_of(folder: Path, **changes: Any) -> LabelledSource:
    return LabelledSource((store_labelled(folder, labelled(**changes), VOXEL),), VOXEL, PLAIN)


def test_labels_come_out_as_they_went_in(tmp_path: Path) -> None:
    scene = store_labelled(tmp_path, labelled(), VOXEL)
    np.testing.assert_array_equal(scene.array("instances"), balls())
    np.testing.assert_array_equal(scene.array("semantic"), np.where(balls() > 0, 2, sheet()))
    np.testing.assert_allclose(scene.array("clean"), clean())
    assert all(known(scene, task).all() for task in HeadTask)
    noisy = np.asarray(scene.array("noisy"), np.float32)
    assert abs(noisy.mean()) < 0.05
    assert noisy.std() == pytest.approx(1, abs=0.05)
    assert noisy[balls() > 0].mean() < -1
    truth = scene.picks()
    assert truth.class_names == ("ribosome", "ribosome", "proteasome")
    np.testing.assert_allclose(truth.positions_angstrom, CENTRES[:, ::-1] * VOXEL)
    assert scene.facts["hidden"] == ["microtubule", "actin", "filament"]
    assert scene.facts["complete"]


def test_picks_become_spheres_where_no_volume_labels_particles(tmp_path: Path) -> None:
    volumes = (LabelVolume("membrane", grid_of(sheet())),)
    scene = store_labelled(tmp_path, labelled(volumes=volumes), VOXEL)
    np.testing.assert_array_equal(scene.array("instances"), balls())
    assert scene.picks().class_names == picks().class_names


def test_a_mask_of_particles_is_taken_apart(tmp_path: Path) -> None:
    volumes = (LabelVolume("particle", grid_of((balls() > 0).astype(np.uint8))),)
    scene = store_labelled(tmp_path, labelled(volumes=volumes), VOXEL)
    assert len(np.unique(scene.array("instances"))) == 1 + len(CENTRES)


def test_bright_protein_is_turned_dark(tmp_path: Path) -> None:
    dark, bright = labelled("dark"), labelled("bright")
    inverted = -bright.tomogram.volume.array  # type: ignore[attr-defined]
    bright = labelled(
        "bright",
        tomogram=Tomogram("bright", ArrayVolume(inverted), VOXEL, "wbp", "x"),
        contrast=Contrast.BRIGHT,
        clean=grid_of(-clean()),
    )
    a, b = store_labelled(tmp_path, dark, VOXEL), store_labelled(tmp_path, bright, VOXEL)
    for name in ("noisy", "clean"):
        np.testing.assert_allclose(np.asarray(a.array(name), float), np.asarray(b.array(name), float), atol=2e-3)


def test_another_voxel_size_interpolates_grey_values_and_never_labels(tmp_path: Path) -> None:
    scene = store_labelled(tmp_path, labelled(), 15.0)
    assert scene.shape == (16, 27, 32)
    assert set(np.unique(scene.array("semantic"))) == {0, 1, 2}
    ids, counts = np.unique(scene.array("instances"), return_counts=True)
    assert ids.tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(counts[1:], (balls() == 1).sum() / 1.5**3, rtol=0.15)
    np.testing.assert_allclose(scene.picks().positions_angstrom, CENTRES[:, ::-1] * VOXEL, atol=8)


def test_what_has_no_label_may_be_unknown(tmp_path: Path) -> None:
    scene = store_labelled(tmp_path, labelled(background_known=False, sample=None, clean=None), VOXEL)
    there = (balls() > 0) | (sheet() > 0)
    np.testing.assert_array_equal(known(scene, HeadTask.SEMANTIC), there)
    np.testing.assert_array_equal(known(scene, HeadTask.INSTANCE), there)
    assert not known(scene, HeadTask.LAMELLA).any()
    assert not known(scene, HeadTask.DENOISE).any()
    assert not scene.facts["complete"]
    assert scene.facts["tasks"] == ["semantic", "instance"]


def test_background_is_known_beyond_the_sample_and_where_labels_are_complete(tmp_path: Path) -> None:
    region = np.zeros(SHAPE, np.uint8)
    region[:, :20] = 1
    background = np.zeros(SHAPE, np.uint8)
    background[5, 30, 40] = 1
    given = labelled()
    scene = store_labelled(
        tmp_path,
        labelled(complete=grid_of(region), volumes=(*given.volumes, LabelVolume("background", grid_of(background)))),
        VOXEL,
    )
    expected = (balls() > 0) | (sheet() > 0) | (region > 0) | (background > 0)
    expected[:3] = expected[-3:] = True
    np.testing.assert_array_equal(known(scene, HeadTask.SEMANTIC), expected)


def test_the_first_label_of_a_voxel_counts(tmp_path: Path) -> None:
    everywhere = LabelVolume("actin", grid_of(np.full(SHAPE, 7, np.uint8)), values=(7,))
    scene = store_labelled(tmp_path, labelled(volumes=(*labelled().volumes, everywhere)), VOXEL)
    semantic = np.asarray(scene.array("semantic"))
    np.testing.assert_array_equal(semantic[balls() > 0], 2)
    np.testing.assert_array_equal(semantic[(balls() == 0) & (sheet() == 0)], SEMANTIC_CLASSES.index("actin"))


def test_labels_of_another_grid_are_refused(tmp_path: Path) -> None:
    for grid in (grid_of(balls()[:-1]), grid_of(balls(), 12.0)):
        with pytest.raises(InputError, match="labels must be on the tomogram's grid"):
            store_labelled(tmp_path, labelled(volumes=(LabelVolume("particle", grid),)), VOXEL)
    assert not list(tmp_path.iterdir())


def test_what_is_prepared_is_kept_until_something_changes(tmp_path: Path) -> None:
    store_labelled(tmp_path, labelled(signature="a"), VOXEL)
    other = labelled(signature="a", volumes=(), picks=None)
    assert np.asarray(store_labelled(tmp_path, other, VOXEL).array("semantic")).any()
    changed = labelled(signature="b", volumes=(), picks=None)
    assert not np.asarray(store_labelled(tmp_path, changed, VOXEL).array("semantic")).any()


def test_batches_depend_on_seed_and_number_alone(tmp_path: Path) -> None:
    source = LabelledSource((store_labelled(tmp_path, labelled(), VOXEL),), VOXEL)
    first, again = (source.batches((16, 24, 24), 2, seed=5) for _ in range(2))
    first(0)
    a, b, other = first(3), again(3), first(4)
    assert all(bool((a[name] == b[name]).all()) for name in a)
    assert not bool((a["noisy"] == other["noisy"]).all())
    assert a["noisy"].shape == (2, 1, 16, 24, 24)
    assert a[HIDDEN].tolist() == [[False, False, False, True, True, True]] * 2


def test_patches_show_labels_even_where_few_are_known(tmp_path: Path) -> None:
    corner = np.zeros(SHAPE, np.uint8)
    corner[20:, 36:, 44:] = 1
    source = source_of(
        tmp_path,
        volumes=(LabelVolume("actin", grid_of(corner)),),
        picks=None,
        background_known=False,
        sample=None,
        clean=None,
    )
    batch = source.batches((16, 16, 16), 8, seed=1)(0)
    assert batch[known_name(HeadTask.SEMANTIC)].flatten(1).any(dim=1).all()
    assert not batch[known_name(HeadTask.INSTANCE)].any()
    assert source.tasks == {HeadTask.SEMANTIC}


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000))
def test_a_patch_larger_than_the_tomogram_is_unknown_beyond_it(
    tmp_path_factory: pytest.TempPathFactory, n: int
) -> None:
    folder = tmp_path_factory.getbasetemp() / "large"
    folder.mkdir(exist_ok=True)
    batch = source_of(folder, signature="x").batches((32, 32, 32), 1, seed=1)(n)
    for task in HeadTask:
        assert batch[known_name(task)][0, 0, : SHAPE[0]].all()
        assert not batch[known_name(task)][0, 0, SHAPE[0] :].any()
    assert not batch["noisy"][0, 0, SHAPE[0] :].any()


def test_one_sentence_for_what_cannot_be_learnt_from(tmp_path: Path) -> None:
    tomogram = labelled()
    with pytest.raises(InputError, match="no labelled tomogram is left for validation"):
        labelled_data(tmp_path, [tomogram], [], RECIPE, silent)
    with pytest.raises(InputError, match="class 'actin' has no voxel in the tomograms to learn from"):
        labelled_data(tmp_path, [tomogram], [labelled("other")], RECIPE, silent, wanted=("particle", "actin"))
    bare = labelled("bare", volumes=(), picks=None, sample=None, clean=None)
    with pytest.raises(InputError, match="nothing is labelled in bare"):
        labelled_data(tmp_path, [bare], [tomogram], RECIPE, silent)


def test_a_class_that_no_tomogram_shows_is_not_learnt_as_absent(tmp_path: Path) -> None:
    empty = LabelVolume("filament", grid_of(np.zeros(SHAPE, np.uint8)))
    source = source_of(tmp_path, volumes=(*labelled().volumes, empty))
    assert source.batches((16, 16, 16), 1, 0)(0)[HIDDEN][0].tolist() == [False, False, False, True, True, True]
