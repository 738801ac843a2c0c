"""Accuracy of dense networks on held-out scenes, and calibration of the scores of instances."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cryosiam.domain import SEMANTIC_CLASSES
from cryosiam.evaluation.calibration import reliability
from cryosiam.evaluation.picks import DetectionScore, average_precision, hits
from cryosiam.evaluation.volumes import instance_average_precision, instance_overlap
from cryosiam.geometry import indices_from_positions
from cryosiam.inference.outputs import SAMPLE_BLOCK
from cryosiam.scores import LEAST_SCORE
from cryosiam.segmentation import ScoreCalibration, fit_score_calibration
from cryosiam.training.head_losses import HeadTask
from cryosiam.training.scene_patches import KNOWN, KNOWN_BITS, has_known, hidden_classes, scene_facts
from cryosiam.training.scenes_run import scene_products

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cryosiam.training.scene_looks import Look
    from cryosiam.training.scenes import Scene
    from cryosiam.training.scenes_run import SceneProducts
    from cryosiam.weights import DenseWeights

ACCURACY_OF: Final[dict[HeadTask, tuple[str, ...]]] = {
    HeadTask.DENOISE: ("denoise_", "noisy_"),
    HeadTask.LAMELLA: ("sample_",),
    HeadTask.SEMANTIC: ("dice_",),
    HeadTask.INSTANCE: ("instance_", "pick_"),
}
"""What the names of each task's figures begin with."""


def calibrate(
    parts: Sequence[DenseWeights],
    scenes: Sequence[Scene],
    report: Callable[[str], None],
    looks: Sequence[Look] = ("noisy",),
) -> dict[str, Any] | None:
    """Return the calibration of scores, fitted on the scenes in which every particle is labelled.

    A crowded tomogram holds a hundred times the particles of a sparse one and would decide alone, so tomograms count by
    the square root of what is found in them. None where there is no scene to go by, or what is found is all true or all
    false; ``report`` is told.
    """
    features, truth, scene_of = [], [], []
    for number, scene in enumerate(scenes):
        if not scene_facts(scene)["complete"]:
            continue
        radii = true_radii_angstrom(scene, parts[0].card.voxel_size_angstrom)
        for look in looks:
            with scene_products(scene, parts, look=look) as found:
                if found.table is None:
                    report("scores of instances are not calibrated: the weights do not tell instances apart yet")
                    return None
                picks = found.table.to_picks(scene.folder.name, parts[0].card.voxel_size_angstrom)
                features.append(found.table.features)
                truth.append(hits(picks, scene.picks(), radii))
                scene_of.append(number)
    right = np.concatenate(truth) if truth else np.zeros(0, bool)
    if right.all() or not right.any():
        why = "what was found is all true or all false" if truth else "no scene is left for it"
        report(f"scores of instances are not calibrated: {why}")
        return None
    sizes = [len(one) for one in truth]
    groups = np.repeat(scene_of, sizes) if len(set(scene_of)) > 1 else None
    weights = np.repeat(np.maximum(sizes, 1) ** -0.5, sizes)
    return fit_score_calibration(np.concatenate(features), right, groups=groups, weights=weights).to_json()


def true_radii_angstrom(scene: Scene, voxel_size_angstrom: float) -> dict[str, float]:
    """Return the radius of every class of particle in a scene: of its largest, from the position to the far edge."""
    truth = scene.picks()
    ids = np.asarray(scene.array("instances"))
    centres = np.zeros((int(max(ids.max(initial=0), truth.instance_ids.max(initial=0))) + 1, 3))
    centres[truth.instance_ids] = indices_from_positions(truth.positions_angstrom, voxel_size_angstrom)
    reach = np.zeros(len(centres))
    voxels = np.argwhere(ids > 0)
    own = ids[ids > 0].astype(np.int64)
    np.maximum.at(reach, own, np.linalg.norm(voxels - centres[own], axis=1) + 0.5)
    radii: dict[str, float] = {}
    for name, number in zip(truth.class_names, truth.instance_ids.tolist(), strict=True):
        radii[name] = max(radii.get(name, 0.0), float(reach[number]) * voxel_size_angstrom)
    return radii


def measure_dense(parts: Sequence[DenseWeights], scenes: Sequence[Scene]) -> dict[str, float]:
    """Measure dense networks on scenes: Dice per class, denoising, sample, instances, picks; means over the scenes.

    Only voxels whose label is known count. Instances and picks are those that `cryosiam pick` writes unless told
    otherwise, and are measured where every particle is labelled. How far scores are from the share of picks that are
    right stands beside what it were without the weights' own calibration.
    """
    rows: list[dict[str, float]] = []
    total = DetectionScore(0, 0, 0)
    right, scores, plain = [np.zeros(0, bool)], [np.zeros(0)], [np.zeros(0)]
    for scene in scenes:
        with scene_products(scene, parts, LEAST_SCORE) as found:
            row = _voxel_figures(scene, found)
            if found.table is not None and found.labels is not None and scene_facts(scene)["complete"]:
                truth = scene.picks()
                voxel = parts[0].card.voxel_size_angstrom
                picks = found.table.to_picks(scene.folder.name, voxel)
                matched = hits(picks, truth, true_radii_angstrom(scene, voxel))
                total += DetectionScore(len(truth), len(picks), int(matched.sum()))
                ids: Any = scene.array("instances")
                row["instance_ap50"] = instance_average_precision(instance_overlap(found.labels, ids))
                row["pick_average_precision"] = average_precision(picks.scores, matched, len(truth))
                right.append(matched)
                scores.append(picks.scores)
                plain.append(ScoreCalibration().scores(found.table.features))
            rows.append(row)
    names = dict.fromkeys(name for row in rows for name in row)
    means = {name: _mean([row[name] for row in rows if name in row]) for name in names}
    means |= {"pick_precision": total.precision, "pick_recall": total.recall, "pick_f1": total.f1}
    for name, values in (("pick_calibration_error", scores), ("pick_calibration_error_before", plain)):
        said = reliability(np.concatenate(values), np.concatenate(right))
        means[name] = said.expected_calibration_error
    return {name: round(value, 4) for name, value in means.items() if np.isfinite(value)}


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")


def _voxel_figures(scene: Scene, found: SceneProducts) -> dict[str, float]:
    figures: dict[str, float] = {}
    names = found.products.names
    known = np.asarray(scene.array(KNOWN)) if has_known(scene) else None

    def chosen(array: NDArray[Any], task: HeadTask) -> NDArray[Any]:
        return np.asarray(array).ravel() if known is None else np.asarray(array)[(known & KNOWN_BITS[task]) > 0]

    if "denoised" in names:
        clean = chosen(scene.array("clean"), HeadTask.DENOISE)
        denoised = chosen(found.products.array("denoised"), HeadTask.DENOISE)
        figures["denoise_correlation"] = _correlation(denoised, clean)
        figures["noisy_correlation"] = _correlation(chosen(scene.array("noisy"), HeadTask.DENOISE), clean)
    if "sample" in names:
        truth = chosen(scene.array("sample"), HeadTask.LAMELLA) > 0
        predicted = chosen(_whole(found.products.array("sample"), scene.shape), HeadTask.LAMELLA) > 0.5
        if truth.any() or predicted.any():
            figures["sample_dice"] = float(2 * (truth & predicted).sum() / (truth.sum() + predicted.sum()))
    if "semantic" in names:
        truth = chosen(scene.array("semantic"), HeadTask.SEMANTIC)
        predicted = chosen(found.products.array("semantic"), HeadTask.SEMANTIC)
        figures |= _dice(predicted, truth, hidden_classes(scene))
    return figures


def _whole(blocks: NDArray[Any], shape: tuple[int, int, int]) -> NDArray[Any]:
    """Return block means at every voxel."""
    for axis in range(3):
        blocks = np.repeat(blocks, SAMPLE_BLOCK, axis=axis)
    return blocks[: shape[0], : shape[1], : shape[2]]


def _dice(predicted: NDArray[Any], truth: NDArray[Any], hidden: NDArray[np.bool_]) -> Mapping[str, float]:
    """Return the Dice of every class that the truth holds; those that nobody annotated count as background."""
    count = len(SEMANTIC_CLASSES)
    table = np.bincount(truth.astype(np.int64) * count + predicted, minlength=count**2).reshape(count, count)
    table[:, 0] += table[:, hidden].sum(axis=1)
    table[:, hidden] = 0
    there = table.sum(axis=1)
    sums = table.sum(axis=0) + there
    return {
        f"dice_{name}": float(2 * table[index, index] / sums[index])
        for index, name in enumerate(SEMANTIC_CLASSES)
        if there[index]
    }


def _correlation(a: NDArray[Any], b: NDArray[Any]) -> float:
    if len(a) < 2:
        return float("nan")
    a, b = a.astype(np.float64), b.astype(np.float64)
    spread = a.std() * b.std()
    return float(((a - a.mean()) * (b - b.mean())).mean() / spread) if spread > 0 else float("nan")
