"""Trained networks turned into weights with measured cards."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from cryosiam.domain import SEMANTIC_CLASSES, Contrast
from cryosiam.evaluation.picks import DetectionScore, average_precision, hits
from cryosiam.evaluation.volumes import dice_per_class, instance_average_precision, instance_overlap
from cryosiam.identification.classifier import fit_classifier
from cryosiam.segmentation import fit_score_calibration
from cryosiam.training.pipeline import find_instances
from cryosiam.weights import Task, Training, WeightsCard, load_dense, save_weights

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from cryosiam.networks.dense import DenseNetwork
    from cryosiam.networks.subtomogram import SubtomogramNetwork
    from cryosiam.training.recipe import Recipe
    from cryosiam.training.scenes import Scene
    from cryosiam.training.subtomogram import Crops
    from cryosiam.weights import DenseWeights


def export_dense(
    folder: Path,
    network: DenseNetwork,
    recipe: Recipe,
    validation: Sequence[Scene],
    radii_angstrom: Mapping[str, float],
    hours: float,
) -> WeightsCard:
    """Calibrate scores on the first half of the validation scenes, measure on the second, and write the weights.

    Parameters
    ----------
    folder
        Where weights and card go.
    network
        The trained network.
    recipe
        What it was trained by.
    validation
        Scenes it never saw, at least two.
    radii_angstrom
        Radius of every species, for hits.
    hours
        Training time.
    """
    card: dict[str, Any] = {
        "name": recipe.name,
        "task": Task.DENSE,
        "network": network.config,
        "heads": network.heads,
        "semantic_classes": SEMANTIC_CLASSES,
        "voxel_size_angstrom": recipe.voxel_size_angstrom,
        "contrast": Contrast.DARK,
        "halo": network.halo,
        "training": _training("dense", recipe, recipe.dense.model_dump(), hours),
    }
    save_weights(folder, network, card)
    half = (len(validation) + 1) // 2
    features, truth = [], []
    for scene in validation[:half]:
        with find_instances(scene, load_dense(folder)) as found:
            picks = found.table.to_picks(scene.folder.name, recipe.voxel_size_angstrom)
            features.append(found.table.features)
            truth.append(hits(picks, scene.picks(), radii_angstrom))
    card["score"] = fit_score_calibration(np.concatenate(features), np.concatenate(truth)).to_json()
    save_weights(folder, network, card)
    card["accuracy"] = measure_dense(load_dense(folder), validation[half:], radii_angstrom)
    return save_weights(folder, network, card)


def measure_dense(
    dense: DenseWeights, scenes: Sequence[Scene], radii_angstrom: Mapping[str, float]
) -> dict[str, float]:
    """Measure a dense network on scenes: Dice per class, denoising, instances, picks; means over the scenes."""
    rows: list[dict[str, float]] = []
    total = DetectionScore(0, 0, 0)
    for scene in scenes:
        with find_instances(scene, dense) as found:
            truth = scene.picks()
            picks = found.table.to_picks(scene.folder.name, dense.card.voxel_size_angstrom)
            matched = hits(picks, truth, radii_angstrom)
            total += DetectionScore(len(truth), len(picks), int(matched.sum()))
            dice = dice_per_class(found.products.array("semantic"), _labels(scene, "semantic"), len(SEMANTIC_CLASSES))
            row = {f"dice_{name}": float(value) for name, value in zip(SEMANTIC_CLASSES, dice, strict=True)}
            row["denoise_correlation"] = _correlation(found.products.array("denoised"), scene.array("clean"))
            row["noisy_correlation"] = _correlation(scene.array("noisy"), scene.array("clean"))
            row["instance_ap50"] = instance_average_precision(
                instance_overlap(found.labels, _labels(scene, "instances"))
            )
            row["pick_average_precision"] = average_precision(picks.scores, matched, len(truth))
            rows.append(row)
    means = {name: float(np.nanmean([row[name] for row in rows])) for name in rows[0]}
    means |= {"pick_precision": total.precision, "pick_recall": total.recall, "pick_f1": total.f1}
    return {name: round(value, 4) for name, value in means.items() if np.isfinite(value)}


def export_subtomogram(
    folder: Path, network: SubtomogramNetwork, recipe: Recipe, crops: Crops, held_out: Crops, hours: float
) -> WeightsCard:
    """Fit the classifier on the training crops, measure it on the held-out ones, and write the weights."""
    known = crops.named
    classifier = fit_classifier(embed(network, known.values), known.names)
    test = held_out.named
    result = classifier.classify(embed(network, test.values))
    right = np.array([a == b for a, b in zip(result.names, test.names, strict=True)])
    sure = np.array([name != "particle" for name in result.names])
    best = np.array(classifier.class_names)[result.probabilities.argmax(1)]
    card: dict[str, Any] = {
        "name": recipe.name,
        "task": Task.SUBTOMOGRAM,
        "network": network.config,
        "species": classifier.class_names,
        "voxel_size_angstrom": recipe.voxel_size_angstrom,
        "contrast": Contrast.DARK,
        "training": _training(
            "subtomogram",
            recipe,
            {"pretraining": recipe.pretraining.model_dump(), "names": recipe.subtomogram.model_dump()},
            hours,
        ),
        "accuracy": {
            "top1_accuracy": round(float((best == np.array(test.names)).mean()), 4),
            "share_named": round(float(sure.mean()), 4),
            "accuracy_of_named": round(float(right[sure].mean()), 4) if sure.any() else 0.0,
        },
    }
    return save_weights(folder, network, card, classifier.to_arrays())


@torch.inference_mode()
def embed(network: SubtomogramNetwork, crops: NDArray[np.float16], batch: int = 64) -> NDArray[np.float32]:
    """Return the embeddings ``(n, d)`` of crops ``(n, box, box, box)``."""
    network = network.eval()
    parts = [
        network(torch.from_numpy(crops[i : i + batch].astype(np.float32))[:, None]).numpy()
        for i in range(0, len(crops), batch)
    ]
    return np.concatenate(parts)


def _labels(scene: Scene, name: str) -> NDArray[np.integer]:
    return scene.array(name)  # type: ignore[return-value]


def _correlation(a: NDArray[Any], b: NDArray[Any]) -> float:
    return float(np.corrcoef(a.astype(np.float32).ravel(), b.astype(np.float32).ravel())[0, 1])


def _training(stage: str, recipe: Recipe, parameters: dict[str, Any], hours: float) -> Training:
    first, last = recipe.scenes.train_seeds
    size = " x ".join(str(n) for n in recipe.scenes.shape_zyx)
    return Training(
        recipe=f"cryosiam train {stage} --recipe {recipe.name}",
        data=f"simulated tomograms, seeds {first} to {last}, {size} voxels of {recipe.voxel_size_angstrom:g} Å",
        parameters={**parameters, "patch_zyx": list(recipe.patch_zyx)},
        hours=round(hours, 2),
        machine=f"{platform.machine()}, {torch.get_num_threads()} threads",
    )
