"""The products of one run: stages' maps brought back to the input's grid and given to the sinks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cryosiam.domain import SEMANTIC_CLASSES, Picks
from cryosiam.pipeline.plan import Product, ProductWork
from cryosiam.stages.instances.run import foreground_threshold, load_particles

if TYPE_CHECKING:
    from cryosiam.domain import Tomogram, Volume
    from cryosiam.inference.label_resampling import Margins
    from cryosiam.ports import ProductKey, Sink
    from cryosiam.stages.scratch import Scratch

PARTICLE = "particle"
"""Class of picks that have not been classified."""
_NOT_IN_NAMES = re.compile(r'[<>:"/\\|?*\s_]')


@dataclass(frozen=True)
class PickSelection:
    """Which picks are written.

    Parameters
    ----------
    threshold
        Least score.
    classes
        Names of the classes; all for None.
    """

    threshold: float = 0.0
    classes: tuple[str, ...] | None = None

    def of(self, picks: Picks) -> Picks:
        """Return the picks that are to be written."""
        mask = picks.scores >= self.threshold
        if self.classes is not None:
            mask &= np.isin(np.array(picks.class_names, dtype=str), self.classes)
        return picks.select(mask)

    def facts(self) -> dict[str, object]:
        """Return what the selection depends on."""
        return {"threshold": self.threshold, "classes": list(self.classes) if self.classes else None}


@dataclass(frozen=True)
class ProductFactory:
    """Makes the products of a session.

    Parameters
    ----------
    sinks
        Where they go.
    key
        Session they are written under.
    out
        Results folder, for the picture.
    selection
        Which picks are written.
    sink_facts
        Options of the sinks that change what is written.
    """

    sinks: tuple[Sink, ...]
    key: ProductKey
    out: Path
    selection: PickSelection = field(default_factory=PickSelection)
    sink_facts: Mapping[str, object] = field(default_factory=dict)

    def denoised(self) -> Product:
        """Return the denoised tomogram, on the input's grid and in its contrast."""

        def write(work: ProductWork) -> list[str]:
            volume = _on_input_grid(work, "denoised")
            tomogram = replace(work.tomogram, volume=volume, tomogram_type=self._denoised_type(work.tomogram))
            return [sink.write_tomogram(tomogram, self.key) for sink in self._accepting("tomograms")]

        return Product("denoised", ("dense", "checked"), write, self._facts())

    def segmentation(self) -> Product:
        """Return the multilabel segmentation, on the input's grid."""

        def write(work: ProductWork) -> list[str]:
            labels = _classes_on_input_grid(work)
            names = dict(enumerate(SEMANTIC_CLASSES))
            return [
                sink.write_segmentation(work.tomogram, labels, names, self.key)
                for sink in self._accepting("segmentations")
            ]

        return Product("segmentation", ("dense", "checked"), write, self._facts())

    def instances(self) -> Product:
        """Return the instance segmentation of particles, on the input's grid."""

        def write(work: ProductWork) -> list[str]:
            labels = _instances_on_input_grid(work)
            return [
                sink.write_instances(work.tomogram, labels, PARTICLE, self.key) for sink in self._accepting("instances")
            ]

        return Product("instances", ("instances", "particles", "dense", "checked"), write, self._facts())

    def picks(self) -> Product:
        """Return the picks, one set per class."""

        def write(work: ProductWork) -> list[str]:
            picks = self.selection.of(load_picks(work.tomogram.run, work.scratch))
            picks = replace(picks, radii_angstrom=pick_radii_angstrom(work.scratch, picks))
            return [
                place for sink in self._accepting("picks") for place in sink.write_picks(work.tomogram, picks, self.key)
            ]

        return Product("picks", ("picks",), write, {**self._facts(), **self.selection.facts()})

    def unclassified_picks(self) -> Product:
        """Return the picks as one set of particles, for a session that has no picks per class."""

        def write(work: ProductWork) -> list[str]:
            table, voxel_size_angstrom = load_particles(work.scratch)
            found = table.to_picks(work.tomogram.run, voxel_size_angstrom, PARTICLE)
            picks = PickSelection(self.selection.threshold).of(found)
            return [
                place for sink in self._accepting("picks") for place in sink.write_picks(work.tomogram, picks, self.key)
            ]

        session = f"{self.key.user_id}/{self.key.session_id}"
        return Product(
            "picks",
            ("particles",),
            write,
            {**self._facts(), "threshold": self.selection.threshold},
            lambda record: "classes" in record.written.get(session, {}),
        )

    def tables(self, name: str, *names: str) -> Product:
        """Return the promise that the tables ``names`` stay, for the files that hold all runs together."""

        def write(work: ProductWork) -> list[str]:
            return [str(work.scratch.table_path(name).absolute()) for name in names]

        return Product(name, names, write, {"session": [self.key.user_id, self.key.session_id]})

    def overlay(self) -> Product:
        """Return the picture of central slices with segmentation and picks."""

        def write(work: ProductWork) -> list[str]:
            from cryosiam.report.overlay import write_overlay
            from cryosiam.stages.preview.run import load_slices

            path = self.out / f"{work.tomogram.run}.png"
            picks = self.selection.of(load_picks(work.tomogram.run, work.scratch))
            write_overlay(path, load_slices(work.scratch), picks, pick_radii_angstrom(work.scratch, picks))
            return [str(path.absolute())]

        return Product("overlay", ("slices", "particles", "picks"), write, self.selection.facts())

    def _facts(self) -> dict[str, object]:
        return {"session": [self.key.user_id, self.key.session_id], "sinks": dict(self.sink_facts)}

    def _accepting(self, kind: str) -> list[Sink]:
        return [sink for sink in self.sinks if kind in sink.capabilities.accepts]

    def _denoised_type(self, tomogram: Tomogram) -> str:
        # copick keeps underscores and the like for its own use, but reads tomograms of other programs that have them.
        kind = _NOT_IN_NAMES.sub("-", tomogram.tomogram_type)
        return f"{kind}-denoised-{self.key.user_id}-{self.key.session_id}"


def load_picks(run: str, scratch: Scratch) -> Picks:
    """Return all picks of a run; before classification they are all particles."""
    if not scratch.has("picks"):
        table, voxel_size_angstrom = load_particles(scratch)
        return table.to_picks(run, voxel_size_angstrom, PARTICLE)
    stored = scratch.table("picks")
    return Picks(
        run=run,
        positions_angstrom=stored["positions_angstrom"].astype(np.float64),
        scores=stored["scores"].astype(np.float64),
        class_names=tuple(str(name) for name in stored["class_names"]),
        instance_ids=stored["instance_ids"].astype(np.int64),
    )


def pick_radii_angstrom(scratch: Scratch, picks: Picks) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the radius of a ball as large as each pick's instance, ``(n,)`` in Å."""
    table, voxel_size_angstrom = load_particles(scratch)
    voxels = table.voxels[picks.instance_ids - 1]
    return np.cbrt(voxels * 3 / (4 * np.pi)) * voxel_size_angstrom


def _dense_map(scratch: Scratch, name: str) -> Volume:
    from cryosiam.stages.dense.products import dense_products

    return dense_products(scratch).volume(name)


def _on_input_grid(work: ProductWork, name: str) -> Volume:
    from cryosiam.inference.resampling import ResampledVolume
    from cryosiam.stages.dense.products import grid_voxel_size

    volume, grid, wanted = _dense_map(work.scratch, name), grid_voxel_size(work.scratch), work.tomogram
    if volume.shape == wanted.shape and grid == wanted.voxel_size_angstrom:
        return volume
    return ResampledVolume(volume, grid, wanted.voxel_size_angstrom, wanted.shape)


def _classes_on_input_grid(work: ProductWork) -> Volume:
    from cryosiam.inference.label_resampling import class_margins

    labels, probability = (_dense_map(work.scratch, name) for name in ("semantic", "semantic_probability"))
    return _labels_on_input_grid(work, labels, probability, class_margins)


def _instances_on_input_grid(work: ProductWork) -> Volume:
    from cryosiam.inference.label_resampling import instance_margins

    labels, foreground = work.scratch.map("instances"), _dense_map(work.scratch, "foreground")
    return _labels_on_input_grid(work, labels, foreground, instance_margins(foreground_threshold(work.scratch)))


def _labels_on_input_grid(work: ProductWork, labels: Volume, probability: Volume, margins: Margins) -> Volume:
    from cryosiam.inference.label_resampling import SurfaceVolume
    from cryosiam.stages.dense.products import grid_voxel_size

    grid, wanted = grid_voxel_size(work.scratch), work.tomogram
    if labels.shape == wanted.shape and grid == wanted.voxel_size_angstrom:
        return labels
    return SurfaceVolume(labels, probability, margins, grid, wanted.voxel_size_angstrom, wanted.shape)
