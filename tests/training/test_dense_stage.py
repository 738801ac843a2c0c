"""The joint stage: its losses, its figures on held-out scenes, the weights it writes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from cryosiam.networks.config import DENSE_HEADS
from cryosiam.networks.losses import denoising_loss, instance_loss, mean_dice_loss, semantic_loss
from cryosiam.training.augment.augmentation import AugmentationRecipe
from cryosiam.training.dense import dense_task, train_dense
from cryosiam.training.dense_accuracy import calibrate, measure_dense, true_radii_angstrom
from cryosiam.training.head_losses import CLASS_WEIGHTS, HIDDEN, HeadTask
from cryosiam.training.labelled import LabelledSource
from cryosiam.training.labelled_scenes import LabelledScene, store_labelled
from cryosiam.training.limits import Limits
from cryosiam.training.task import Batch
from cryosiam.weights import load_dense, load_dense_parts, load_subtomogram
from cryosiam.weights.verify import verify_weights

from .toy_labels import OPTIMISER, RADIUS, RECIPE, VOXEL, labelled, silent


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> list[LabelledScene]:
    folder = tmp_path_factory.mktemp("scenes")
    return [store_labelled(folder, labelled(f"toy-{seed}", seed), VOXEL) for seed in range(3)]


@pytest.fixture
def source(scenes: list[LabelledScene]) -> LabelledSource:
    return LabelledSource(tuple(scenes[:1]), VOXEL, AugmentationRecipe(orient=False, grey=False))


def unmasked(batch: Batch) -> Batch:
    """Return a batch as simulated specimens give it: everything is known."""
    return {name: value for name, value in batch.items() if not name.startswith("known") and name != HIDDEN}


def test_the_joint_loss_is_the_weighted_sum_of_the_heads(source: LabelledSource) -> None:
    task = dense_task(RECIPE, source, [])
    batch = unmasked(task.batches(0))
    task.model.eval()
    with torch.no_grad():
        losses = task.losses(task.model, batch)
        out = task.model(batch["noisy"])
        semantic = semantic_loss(out["semantic"], batch["semantic"], CLASS_WEIGHTS, mean_dice_loss)
        expected = (
            5 * denoising_loss(out["denoise"], batch["clean"])
            + semantic
            + instance_loss(out, batch)
            + F.binary_cross_entropy_with_logits(out["sample"], batch["sample"])
        )
    torch.testing.assert_close(losses["total"], expected)
    torch.testing.assert_close(losses["semantic"], semantic)
    assert task.validate is None


def test_the_recipe_chooses_the_dice_loss(source: LabelledSource) -> None:
    values = {}
    for name in ("mean", "generalized"):
        task = dense_task(RECIPE.model_copy(update={"dice": name}), source, [])
        values[name] = task.losses(task.model.eval(), unmasked(task.batches(0)))["semantic"].item()
    assert values["mean"] != pytest.approx(values["generalized"], rel=1e-3)


def test_figures_of_held_out_scenes_are_the_same_twice_and_leave_the_data_alone(
    source: LabelledSource, scenes: list[LabelledScene]
) -> None:
    task = dense_task(RECIPE.model_copy(update={"patch_zyx": (24, 40, 48)}), source, scenes[1:])
    assert task.validate is not None
    first = task.validate(task.model)
    assert first == task.validate(task.model)
    assert set(first) == {
        "score",
        "denoise_correlation",
        "dice_sample",
        "dice_membrane",
        "dice_particle",
        "dice",
        "dice_foreground",
    }
    main = [first[name] for name in ("denoise_correlation", "dice_sample", "dice", "dice_foreground")]
    assert first["score"] == pytest.approx(np.mean(main))


def test_radii_are_those_of_the_true_particles(scenes: list[LabelledScene]) -> None:
    radii = true_radii_angstrom(scenes[0], VOXEL)
    assert set(radii) == {"ribosome", "proteasome"}
    assert all(RADIUS <= radius <= RADIUS + VOXEL for radius in radii.values())


def test_weights_from_nothing_load_and_tell_how_they_came_about(
    tmp_path: Path, source: LabelledSource, scenes: list[LabelledScene]
) -> None:
    said: list[str] = []
    card = train_dense(RECIPE, source, scenes[1:], tmp_path, Limits(), said.append)
    assert card is not None
    assert card == load_dense(tmp_path / "weights").card
    assert card.heads == tuple(DENSE_HEADS)
    assert card.training.data == "labelled tomograms"
    assert card.training.parameters["dense"]["steps"] == 2
    assert card.accuracy["noisy_correlation"] > 0.3
    assert [verdict.fault for verdict in verify_weights(str(tmp_path / "weights"))] == [None]
    # Two steps find no particle: there is nothing to calibrate scores on.
    assert any("scores of instances are not calibrated" in line for line in said)
    assert card.score is None


@pytest.mark.slow
def test_the_weights_that_ship_learn_a_users_labels(
    tmp_path: Path, source: LabelledSource, scenes: list[LabelledScene]
) -> None:
    steps = OPTIMISER.model_copy(update={"steps": 12, "learning_rate": 0.001, "average_decay": 0.5})
    recipe = RECIPE.model_copy(update={"dense": steps})
    before = measure_dense(load_dense_parts("light"), scenes[2:])
    card = train_dense(recipe, source, scenes[1:], tmp_path, Limits(), silent, start=Path("light"))
    assert card is not None
    assert card.accuracy["dice_particle"] > before["dice_particle"]
    assert card.training.parameters["dense"]["started_from"] == "light"
    assert load_subtomogram(tmp_path / "weights").card == load_subtomogram("light").card


def test_scores_are_not_calibrated_where_particles_may_be_missing(tmp_path: Path) -> None:
    scene = store_labelled(tmp_path, labelled(background_known=False), VOXEL)
    said: list[str] = []
    assert calibrate(load_dense_parts("light"), [scene], said.append) is None
    assert said == ["scores of instances are not calibrated: no scene is left for it"]
    assert HeadTask.SEMANTIC in LabelledSource((scene,), VOXEL).tasks
