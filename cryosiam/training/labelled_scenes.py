"""Labelled tomograms as scenes on disk: at the recipe's voxel size, with what is known of every voxel."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import cc3d
import numpy as np

from cryosiam.domain import SEMANTIC_CLASSES, Contrast, Picks
from cryosiam.errors import InputError
from cryosiam.geometry import indices_from_positions, nearest_voxels, positions_from_indices
from cryosiam.inference.label_resampling import NearestVolume
from cryosiam.inference.normalisation import measure_normalisation, z_slabs
from cryosiam.inference.resampling import ResampledVolume, on_grid
from cryosiam.pipeline.storage import storage_errors
from cryosiam.simulation.fast.targets import boundary_and_distance
from cryosiam.training.head_losses import HeadTask
from cryosiam.training.scene_patches import FACTS, KNOWN, KNOWN_BITS
from cryosiam.training.scenes import Scene

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from cryosiam.domain import Tomogram, Volume
    from cryosiam.domain.tomogram import Box
    from cryosiam.evaluation.project import GridVolume

PARTICLE: Final = "particle"
_PLACES: Final = 4000
_MANY: Final = 2


@dataclass(frozen=True)
class LabelVolume:
    """Objects of one semantic class.

    Parameters
    ----------
    class_name
        The class, of `cryosiam.domain.SEMANTIC_CLASSES`; ``background`` for voxels known to be of none.
    grid
        Labels, on the tomogram's grid.
    values
        Labels that mean the class; None for all but 0.
    instances
        True where every object has a label of its own.
    """

    class_name: str
    grid: GridVolume
    values: tuple[int, ...] | None = None
    instances: bool = False


@dataclass(frozen=True)
class LabelledTomogram:
    """A tomogram and what somebody annotated in it.

    Parameters
    ----------
    tomogram
        The tomogram.
    contrast
        Grey value of protein in it.
    volumes
        Labelled voxels; where they overlap, the first counts.
    picks
        Particles with their radii, or None where nobody picked. Where no volume shows particles, they are spheres.
    sample, clean
        Mask of the sample, and a clean volume in which solvent is 0 and protein about 1 away, where there are any.
    complete
        Mask of where every object is labelled; None for everywhere.
    background_known
        Whether a voxel without a label, there, is background. Otherwise nothing is learnt from it.
    signature
        Text that changes when any of this changes.
    """

    tomogram: Tomogram
    contrast: Contrast = Contrast.DARK
    volumes: tuple[LabelVolume, ...] = ()
    picks: Picks | None = None
    sample: GridVolume | None = None
    clean: GridVolume | None = None
    complete: GridVolume | None = None
    background_known: bool = True
    signature: str = ""

    @property
    def annotated(self) -> tuple[str, ...]:
        """Names of the semantic classes that were annotated, without the background."""
        found = {volume.class_name for volume in self.volumes} | ({PARTICLE} if self.picks is not None else set())
        return tuple(name for name in SEMANTIC_CLASSES[1:] if name in found)


@dataclass(frozen=True)
class LabelledScene(Scene):
    """A labelled tomogram on disk; arrays as in `Scene`, and :data:`cryosiam.training.scene_patches.KNOWN`."""

    @cached_property
    def places(self) -> tuple[NDArray[np.int64], ...]:
        """Voxels (z, y, x) of each labelled class that occurs, at most some thousands of each."""
        stored = np.load(self.folder / "places.npz")
        return tuple(stored[name] for name in stored.files if name != KNOWN)

    @cached_property
    def known_places(self) -> NDArray[np.int64]:
        """Voxels (z, y, x) about which anything is known, evenly picked."""
        stored = np.load(self.folder / "places.npz")
        return stored[KNOWN]  # type: ignore[no-any-return]

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What is known of the labels: ``tasks``, classes ``shown`` and ``hidden``, ``complete``, ``signature``."""
        facts: dict[str, Any] = json.loads((self.folder / FACTS).read_text(encoding="utf-8"))
        return facts


def store_labelled(folder: Path, labelled: LabelledTomogram, voxel_size_angstrom: float) -> LabelledScene:
    """Bring a labelled tomogram to a voxel size, normalise it as inference does, and store it.

    Grey values are interpolated, labels taken from the nearest voxel. What is there already under the same signature
    is kept.

    Raises
    ------
    InputError
        If labels are on another grid than the tomogram, or the tomogram cannot be normalised.
    StorageError
        If the disk is full or ``folder`` cannot be written.
    """
    target = folder / labelled.tomogram.run
    signature = f"{voxel_size_angstrom:g} {labelled.signature}"
    if (target / FACTS).is_file() and labelled.signature and LabelledScene(target).facts["signature"] == signature:
        return LabelledScene(target)
    rasters = _Rasters(labelled, voxel_size_angstrom)
    arrays = rasters.arrays()
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        with storage_errors("cannot write labelled tomograms"):
            partial.mkdir(parents=True)
            for name, array in arrays.items():
                np.save(partial / f"{name}.npy", array)
            np.savez(partial / "places.npz", allow_pickle=False, **_places(arrays))
            (partial / "picks.json").write_text(json.dumps(rasters.true_picks(arrays["instances"])))
            (partial / FACTS).write_text(json.dumps({**rasters.facts(arrays), "signature": signature}))
            shutil.rmtree(target, ignore_errors=True)
            os.replace(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return LabelledScene(target)


@dataclass
class _Rasters:
    """The arrays of a labelled tomogram on the wanted grid."""

    labelled: LabelledTomogram
    wanted_angstrom: float
    volume: Volume = field(init=False)
    voxel_angstrom: float = field(init=False)

    def __post_init__(self) -> None:
        tomogram = self.labelled.tomogram
        self.volume, self.voxel_angstrom = on_grid(tomogram.volume, tomogram.voxel_size_angstrom, self.wanted_angstrom)

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.volume.shape

    def arrays(self) -> dict[str, NDArray[Any]]:
        semantic, labelled, instances = self._objects()
        boundary, distance = boundary_and_distance(instances)
        sample = self._mask(self.labelled.sample)
        arrays: dict[str, NDArray[Any]] = {
            "noisy": self._noisy(),
            "clean": self._clean(),
            "semantic": semantic,
            "sample": np.zeros(self.shape, np.uint8) if sample is None else sample.astype(np.uint8),
            "boundary": boundary.astype(np.uint8),
            "distance": (2 * distance).astype(np.uint8),
            "instances": instances.astype(np.min_scalar_type(max(int(instances.max(initial=0)), 256))),
        }
        arrays["foreground"] = (instances > 0).astype(np.uint8)
        arrays[KNOWN] = self._known(labelled, sample)
        return arrays

    def facts(self, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
        given = self.labelled
        whole = given.background_known and given.complete is None
        return {
            "tasks": [str(task) for task in HeadTask if (arrays[KNOWN] & KNOWN_BITS[task]).any()],
            "shown": [SEMANTIC_CLASSES[label] for label in np.unique(arrays["semantic"]) if label],
            "hidden": [name for name in SEMANTIC_CLASSES[1:] if name not in given.annotated],
            "complete": PARTICLE in given.annotated and whole,
        }

    def true_picks(self, instances: NDArray[Any]) -> dict[str, Any]:
        """Return position, name and id of every instance as `Scene.picks` reads them."""
        voxels = np.argwhere(instances > 0)
        own = instances[instances > 0].astype(np.int64)
        ids, index, counts = np.unique(own, return_inverse=True, return_counts=True)
        sums = np.stack([np.bincount(index, voxels[:, axis], len(ids)) for axis in range(3)], axis=1)
        positions = positions_from_indices(sums / counts[:, None] if len(ids) else sums, self.voxel_angstrom)
        names = dict.fromkeys(ids.tolist(), PARTICLE) | self._names_by_id(instances)
        return {
            "positions_angstrom": positions.tolist(),
            "class_names": [names[number] for number in ids.tolist()],
            "instance_ids": ids.tolist(),
        }

    def _names_by_id(self, instances: NDArray[Any]) -> dict[int, str]:
        picks = self.labelled.picks
        if picks is None or not len(picks):
            return {}
        voxels = nearest_voxels(picks.positions_angstrom, self.voxel_angstrom)
        inside = np.asarray((voxels >= 0) & (voxels < self.shape)).all(axis=1)
        ids: list[int] = instances[tuple(voxels[inside].T)].tolist()
        names = [picks.class_names[row] for row in np.flatnonzero(inside)]
        return {number: name for number, name in zip(ids, names, strict=True) if number}

    def _noisy(self) -> NDArray[np.float16]:
        tomogram = self.labelled.tomogram
        normalisation = measure_normalisation(self.volume, run=tomogram.run, source=tomogram.source)
        sign = np.float32(-1 if self.labelled.contrast is Contrast.BRIGHT else 1)
        noisy = np.empty(self.shape, np.float16)
        for box in z_slabs(self.shape):
            noisy[box] = sign * normalisation.apply(self.volume.read(box))
        return noisy

    def _clean(self) -> NDArray[np.float16]:
        clean = np.zeros(self.shape, np.float16)
        grid = self.labelled.clean
        if grid is None:
            return clean
        self._check(grid)
        contrast = self.labelled.contrast if grid.contrast in (None, Contrast.UNKNOWN) else grid.contrast
        sign = np.float32(-1 if contrast is Contrast.BRIGHT else 1)
        volume = grid.volume
        if self.volume is not self.labelled.tomogram.volume:
            volume = ResampledVolume(volume, grid.voxel_size_angstrom, self.voxel_angstrom, self.shape)
        for box in z_slabs(self.shape):
            clean[box] = sign * volume.read(box)
        return clean

    def _objects(self) -> tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.int32]]:
        """Return the semantic class, whether a voxel has a label, and the instances."""
        semantic = np.zeros(self.shape, np.uint8)
        labelled = np.zeros(self.shape, np.bool_)
        instances = np.zeros(self.shape, np.int32)
        for entry in self.labelled.volumes:
            fresh = np.zeros(self.shape, np.int32)
            for box, values in self._read(entry.grid):
                chosen = values != 0 if entry.values is None else np.isin(values, entry.values)
                chosen &= ~labelled[box]
                semantic[box][chosen] = SEMANTIC_CLASSES.index(entry.class_name)
                labelled[box] |= chosen
                fresh[box] = np.where(chosen, values.astype(np.int32), 0)
            if entry.class_name == PARTICLE:
                _add_instances(instances, fresh if entry.instances else cc3d.connected_components(fresh > 0))
        if not instances.any():
            # A volume of many classes may hold none of the particles that were picked.
            self._paint_spheres(semantic, labelled, instances)
        return semantic, labelled, instances

    def _paint_spheres(
        self, semantic: NDArray[np.uint8], labelled: NDArray[np.bool_], instances: NDArray[np.int32]
    ) -> None:
        """Paint picks as spheres into what has no label; a voxel in two of them belongs to the nearer."""
        picks = self.labelled.picks
        if picks is None or picks.radii_angstrom is None:
            return
        nearest = np.full(self.shape, np.inf, np.float32)
        centres = indices_from_positions(picks.positions_angstrom, self.voxel_angstrom)
        radii: NDArray[np.float64] = picks.radii_angstrom / self.voxel_angstrom
        for number, (centre, radius) in enumerate(zip(centres, radii, strict=True), start=1):
            low = np.maximum(np.ceil(centre - radius), 0).astype(int)
            high = np.minimum(np.floor(centre + radius) + 1, self.shape).astype(int)
            if (low >= high).any():
                continue
            box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
            axes = np.ogrid[box]
            squared = sum((axis - middle) ** 2 for axis, middle in zip(axes, centre, strict=True)).astype(np.float32)
            own = (squared <= radius**2) & (squared < nearest[box]) & ~labelled[box]
            nearest[box][own] = squared[own]
            instances[box][own] = number
        found = instances > 0
        semantic[found] = SEMANTIC_CLASSES.index(PARTICLE)
        labelled |= found

    def _known(self, labelled: NDArray[np.bool_], sample: NDArray[np.bool_] | None) -> NDArray[np.uint8]:
        """Return a bit for every task whose label of a voxel is known."""
        given = self.labelled
        background = np.full(self.shape, given.background_known)
        complete = self._mask(given.complete)
        if complete is not None:
            background &= complete
        if sample is not None:
            # Nothing lies beyond the sample.
            background |= ~sample
        known = np.zeros(self.shape, np.uint8)
        anything = given.volumes or given.picks is not None
        where = labelled | background
        known[where] |= np.uint8(KNOWN_BITS[HeadTask.SEMANTIC] if anything else 0)
        known[where] |= np.uint8(KNOWN_BITS[HeadTask.INSTANCE] if PARTICLE in given.annotated else 0)
        known |= np.uint8(KNOWN_BITS[HeadTask.LAMELLA] if sample is not None else 0)
        known |= np.uint8(KNOWN_BITS[HeadTask.DENOISE] if given.clean is not None else 0)
        return known

    def _mask(self, grid: GridVolume | None) -> NDArray[np.bool_] | None:
        if grid is None:
            return None
        mask = np.zeros(self.shape, np.bool_)
        for box, values in self._read(grid):
            mask[box] = values != 0
        return mask

    def _read(self, grid: GridVolume) -> Iterator[tuple[Box, NDArray[np.float32]]]:
        self._check(grid)
        volume = grid.volume
        if self.volume is not self.labelled.tomogram.volume:
            volume = NearestVolume(volume, grid.voxel_size_angstrom, self.voxel_angstrom, self.shape)
        for box in z_slabs(self.shape):
            yield box, volume.read(box)

    def _check(self, grid: GridVolume) -> None:
        tomogram = self.labelled.tomogram
        same_size = abs(grid.voxel_size_angstrom / tomogram.voxel_size_angstrom - 1) < 1e-2
        if grid.volume.shape != tomogram.shape or not same_size:
            raise InputError(
                f"run '{tomogram.run}': {grid.where} has {_size(grid.volume.shape)} voxels of "
                f"{grid.voxel_size_angstrom:g} Å and the tomogram {tomogram.source} {_size(tomogram.shape)} of "
                f"{tomogram.voxel_size_angstrom:g} Å; labels must be on the tomogram's grid"
            )


def _size(shape: tuple[int, int, int]) -> str:
    return " x ".join(str(n) for n in shape)


def _add_instances(instances: NDArray[np.int32], fresh: NDArray[Any]) -> None:
    """Add objects with new, consecutive ids; voxels of earlier ones are not in ``fresh``."""
    there = fresh > 0
    _, index = np.unique(fresh[there], return_inverse=True)
    instances[there] = index.reshape(-1) + 1 + int(instances.max(initial=0))


def _places(arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[np.int64]]:
    """Return voxels of every class, and under ``known`` voxels about which anything is known."""
    semantic, known = arrays["semantic"], arrays[KNOWN]
    bit = np.uint8(KNOWN_BITS[HeadTask.SEMANTIC])
    places = {
        f"class{label}": _evenly((semantic == label) & ((known & bit) > 0))
        for label in np.unique(semantic)[1 if (semantic == 0).any() else 0 :]
    }
    coarse = _evenly(known[::_MANY, ::_MANY, ::_MANY] > 0) * _MANY
    return {**places, KNOWN: coarse if len(coarse) else _evenly(known > 0)}


def _evenly(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    voxels = np.flatnonzero(mask)
    chosen = voxels[np.linspace(0, len(voxels) - 1, min(_PLACES, len(voxels))).astype(np.int64)]
    return np.stack(np.unravel_index(chosen, mask.shape), axis=1).astype(np.int64)
