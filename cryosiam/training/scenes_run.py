"""The networks of a weights folder run on a scene, and its instances separated, as `pick` does with a tomogram."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cryosiam.domain import ArrayVolume
from cryosiam.inference.engine import run_dense
from cryosiam.inference.normalisation import whole_range
from cryosiam.inference.outputs import join_products
from cryosiam.networks.config import DENSE_HEADS
from cryosiam.segmentation import InstanceConfig, InstanceMaps, ScoreCalibration, find_sample, separate_instances
from cryosiam.stages.dense.run import in_order
from cryosiam.training.pipeline import AS_STORED
from cryosiam.training.scene_looks import Look, scene_look

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from cryosiam.domain import Volume
    from cryosiam.inference.normalisation import Normalisation
    from cryosiam.inference.outputs import DenseProducts
    from cryosiam.segmentation import InstanceTable
    from cryosiam.training.scenes import Scene
    from cryosiam.weights import DenseWeights

INSTANCE_MAPS = ("foreground", "boundary", "distance")
"""Products that instances cannot be separated without."""


@dataclass(frozen=True)
class SceneProducts:
    """What the networks make of a scene.

    Parameters
    ----------
    products
        Products of all networks.
    labels, table
        ``(z, y, x)`` int32 instances, and a row for each; None where the networks do not tell instances apart.
    """

    products: DenseProducts
    labels: NDArray[np.int32] | None
    table: InstanceTable | None


@contextmanager
def scene_products(
    scene: Scene, parts: Sequence[DenseWeights], least_score: float = 0.0, look: Look = "noisy"
) -> Iterator[SceneProducts]:
    """Run the networks and separate instances; what they wrote is removed on leaving.

    Parameters
    ----------
    scene
        What is looked at.
    parts
        The networks.
    least_score
        Instances that score less are left out.
    look
        As what the scene is shown.
    """
    with tempfile.TemporaryDirectory() as scratch:
        products = _run(scene_look(scene, look, parts), parts, Path(scratch))
        if not set(INSTANCE_MAPS) <= set(products.names):
            yield SceneProducts(products, None, None)
            return
        labels = np.zeros(products.shape, np.int32)
        score = next((part.card.score for part in parts if "foreground" in part.card.heads), None)
        table = separate_instances(
            _maps(products, parts[0].card.voxel_size_angstrom),
            labels,
            InstanceConfig(min_score=least_score),
            ScoreCalibration.from_json(score) if score else None,
        )
        yield SceneProducts(products, labels, table)


def _run(shown: NDArray[np.generic], parts: Sequence[DenseWeights], scratch: Path) -> DenseProducts:
    first, after = in_order(parts)
    made = [_infer(part, ArrayVolume(shown), AS_STORED, scratch) for part in first]
    if after:
        denoised = next(one for one in made if "denoised" in one.names).volume("denoised")
        scale = whole_range(denoised).to_unit_range()
        made += [_infer(part, denoised, scale, scratch) for part in after]
    return join_products(scratch / "all", made)


def _infer(part: DenseWeights, volume: Volume, scale: Normalisation, scratch: Path) -> DenseProducts:
    heads = [head for head in part.network.heads if head in DENSE_HEADS]
    return run_dense(part.network, volume, scale, scratch / part.card.stem, heads=heads, precision="auto")


def _maps(products: DenseProducts, voxel_size_angstrom: float) -> InstanceMaps:
    arrays: dict[str, Any] = {name: products.array(name) for name in INSTANCE_MAPS}
    if "semantic" in products.names:
        arrays["semantic"] = products.array("semantic")
    if "sample" in products.names:
        arrays["sample"] = find_sample(products.array("sample"), products.shape, voxel_size_angstrom)
    return InstanceMaps(**arrays)
