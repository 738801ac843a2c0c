"""Particles to learn from: found as `pick` finds them, cut out as `pick` cuts them, named by the truth."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Final

import numpy as np

from cryosiam.networks.config import SUBTOMOGRAM_PRESETS
from cryosiam.training.cubes import StoredCubes
from cryosiam.training.imaged import NOISY, Looks
from cryosiam.training.pipeline import find_in_volume

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from cryosiam.domain import Picks
    from cryosiam.networks.config import SubtomogramConfig
    from cryosiam.training.data import SimulatedSource
    from cryosiam.training.pipeline import FoundInstances
    from cryosiam.training.recipe import Recipe
    from cryosiam.training.scenes import Scene
    from cryosiam.training.specimens import StoredSpecimen
    from cryosiam.weights import DenseWeights

MIN_OVERLAP: Final = 0.25
"""An instance is named after the true particle that it overlaps with at least this intersection over union."""

MOST_PER_SPECIES: Final = 24
"""Particles of one species kept of one image, so that no image stands for a species (thesis: 10)."""

MOST_UNNAMED: Final = 12
"""Instances kept of one image that are no particle; SimSiam learns from them, too."""

IMAGES: Final = (NOISY, NOISY, Looks(clear=1.0))
"""How a specimen is shown, one after the other: by two microscopes, and as a good denoiser would show it."""

HELD_OUT_ONE_IN: Final = 6
"""One specimen in so many is not learnt from: names and thresholds are fitted on its particles."""

_DENSITY_MAP: Final = "-map"


@dataclass(frozen=True)
class Particles:
    """Masked cubes of the denoised volume around found instances, and what they are.

    Parameters
    ----------
    stored
        ``n`` cubes; solvent 0, protein negative.
    names
        ``n`` species, empty where the instance is no particle.
    sources
        ``n`` specimens they are from; sets are split by them.
    objects
        ``(n,)`` int64 label of the true particle in its specimen, 0 where there is none.
    voxels
        ``(n,)`` int64 size of the found instance.
    masses_kda
        Mass of each species.
    """

    stored: StoredCubes
    names: tuple[str, ...]
    sources: tuple[str, ...]
    objects: NDArray[np.int64]
    voxels: NDArray[np.int64]
    masses_kda: Mapping[str, float]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def named(self) -> Particles:
        """Those that have a name."""
        return self.select(np.array([bool(name) for name in self.names], bool))

    @property
    def species(self) -> tuple[str, ...]:
        """Names that occur, sorted."""
        return tuple(sorted(set(self.names) - {""}))

    def select(self, mask: NDArray[np.bool_]) -> Particles:
        """Return the particles where ``mask`` (``(n,)`` bool) is true."""
        return Particles(
            self.stored.select(mask),
            tuple(name for name, keep in zip(self.names, mask, strict=True) if keep),
            tuple(source for source, keep in zip(self.sources, mask, strict=True) if keep),
            self.objects[mask],
            self.voxels[mask],
            self.masses_kda,
        )

    def split(self, one_in: int) -> tuple[Particles, Particles]:
        """Return the particles of most specimens, and those of one specimen in ``one_in``, or of one at least."""
        sources = sorted(set(self.sources))
        held_out = set(sources[one_in - 1 :: one_in] or sources[1:][-1:])
        mask = np.array([source in held_out for source in self.sources], bool)
        return self.select(~mask), self.select(mask)

    @cached_property
    def seen_again(self) -> list[NDArray[np.int64]]:
        """For each particle, the indices of all that show the same object, itself among them."""
        members: dict[tuple[str, int], list[int]] = {}
        keys = [
            (source, int(one) or -1 - index)
            for index, (source, one) in enumerate(zip(self.sources, self.objects, strict=True))
        ]
        for index, key in enumerate(keys):
            members.setdefault(key, []).append(index)
        return [np.array(members[key], np.int64) for key in keys]

    def cubes(self, index: NDArray[np.int64]) -> Tensor:
        """Return ``(len(index), channels, box, box, box)`` float32 cubes."""
        import torch

        return torch.from_numpy(self.stored.read(index))


def species_of(name: str) -> str:
    """Return the species of a simulated particle: one that comes from a density map is no other than from atoms."""
    return name.removesuffix(_DENSITY_MAP)


def join_particles(parts: Sequence[Particles]) -> Particles:
    """Return all particles of several sets; no cubes are read."""
    masses: dict[str, float] = {}
    for part in parts:
        masses |= part.masses_kda
    return Particles(
        StoredCubes.joined([part.stored for part in parts]),
        tuple(name for part in parts for name in part.names),
        tuple(source for part in parts for source in part.sources),
        np.concatenate([part.objects for part in parts]),
        np.concatenate([part.voxels for part in parts]),
        masses,
    )


def collect_particles(
    specimens: Sequence[StoredSpecimen],
    chances: NDArray[np.float64],
    dense: DenseWeights,
    folder: Path,
    number: int,
    config: SubtomogramConfig,
    seed: int,
    report: Callable[[str], None],
) -> Particles:
    """Image specimens on the fast path until enough particles are found of every species that was met.

    Where there are too many of the common species, some of them are left out, so that rare ones count as much as they
    can: all species are kept up to the same number.

    Parameters
    ----------
    specimens, chances
        What is imaged, and how early each is drawn; all are shown once before any is shown again, see `IMAGES`.
    dense
        Weights that find the particles.
    folder
        One subfolder per image; those already there are not made again, so give other weights another folder.
    number
        Particles with a name that are wanted, no more; all specimens together may give fewer.
    config
        Shape of the network that the particles are for.
    seed
        Of the order of specimens, of microscopes and of the choice among too many particles.
    report
        Told of every image.
    """
    order = np.random.default_rng([seed, 0]).choice(len(specimens), len(specimens), replace=False, p=chances)
    parts: list[Particles] = []
    found_of: Counter[str] = Counter()
    for (take, looks), index in product(enumerate(IMAGES), order):
        specimen = specimens[int(index)]
        target = folder / f"{specimen.folder.name}.{take}"
        if not target.exists():
            rng = np.random.default_rng([seed, 1, int(index), take])
            with find_in_volume(looks.show(specimen, rng).noisy, dense) as found:
                truth = specimen.array("instances")
                part = _cut(found, truth, specimen.picks, specimen.masses_kda, config, rng)
            _write(target, part)
        parts.append(_read(target))
        found_of.update(filter(None, parts[-1].names))
        report(f"{len(parts)} images of specimens, {found_of.total()} particles of {len(found_of)} species")
        if found_of and min(found_of.values()) * len(found_of) >= number:
            break
    return evened(join_particles(parts), number, np.random.default_rng([seed, 2]))


def evened(particles: Particles, number: int, rng: np.random.Generator) -> Particles:
    """Leave out particles of the commonest species until no more than ``number`` have a name.

    Parameters
    ----------
    particles
        Those to choose from; all without a name stay.
    number
        Particles with a name to keep at most, or one of each species where there are more of these.
    rng
        Chooses those to keep.
    """
    names = np.array(particles.names, dtype=str)
    counts = np.unique(names[names != ""], return_counts=True)[1]
    most = next((cap for cap in range(counts.max(initial=0), 0, -1) if np.minimum(counts, cap).sum() <= number), 1)
    kept = names == ""
    for name in particles.species:
        kept[rng.permutation(np.flatnonzero(names == name))[:most]] = True
    return particles.select(kept)


def scene_particles(scenes: Sequence[Scene], dense: DenseWeights, folder: Path, config: SubtomogramConfig) -> Particles:
    """Find all particles of simulated scenes; parameters as for `collect_particles`."""
    parts = []
    for scene in scenes:
        target = folder / f"scene-{scene.folder.name}"
        if not target.exists():
            with find_in_volume(scene.array("noisy"), dense) as found:
                _write(target, _cut(found, scene.array("instances"), scene.picks(), {}, config, None))
        parts.append(_read(target))
    return join_particles(parts)


def _cut(
    found: FoundInstances,
    truth: NDArray[np.generic],
    picks: Picks,
    masses_kda: Mapping[str, float],
    config: SubtomogramConfig,
    rng: np.random.Generator | None,
) -> Particles:
    """Cut out and name what was found; with a generator, no more of each species than is wanted."""
    from cryosiam.evaluation.volumes import instance_overlap
    from cryosiam.identification.crops import crops_for, cut_crops

    overlap = instance_overlap(found.labels, truth)
    partner = _best_partner(overlap.predicted, overlap.truth, overlap.iou)
    species = dict(zip(picks.instance_ids.tolist(), map(species_of, picks.class_names), strict=True))
    table = found.table
    objects = np.array([partner.get(int(one), 0) for one in table.ids], np.int64)
    names = np.array([species.get(int(one), "") for one in objects], dtype=str)
    kept = np.arange(len(table)) if rng is None else _no_more_than_wanted(names, rng)
    crops = cut_crops(
        found.products.volume("denoised"),
        found.labels,
        table.centroids_zyx[kept],
        table.ids[kept],
        config.box,
        mask=crops_for(config.encoder.input_channels),
    )
    return Particles(
        StoredCubes.of(crops.numpy().astype(np.float16)),
        tuple(str(name) for name in names[kept]),
        (picks.run,) * len(kept),
        objects[kept],
        table.voxels[kept],
        {species_of(name): mass for name, mass in masses_kda.items()},
    )


def _best_partner(predicted: NDArray[np.int64], truth: NDArray[np.int64], iou: NDArray[np.float64]) -> dict[int, int]:
    good = np.flatnonzero(iou >= MIN_OVERLAP)
    order = good[np.argsort(iou[good])]
    return {int(predicted[i]): int(truth[i]) for i in order}


def _no_more_than_wanted(names: NDArray[np.str_], rng: np.random.Generator) -> NDArray[np.int64]:
    kept = []
    for name in np.unique(names):
        members = rng.permutation(np.flatnonzero(names == name))
        kept.append(members[: MOST_PER_SPECIES if name else MOST_UNNAMED])
    return np.sort(np.concatenate(kept)) if kept else np.zeros(0, np.int64)


def _write(target: Path, part: Particles) -> None:
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    values = part.stored.read(np.arange(len(part))).astype(np.float16)
    np.save(partial / "values.npy", values)
    np.save(partial / "objects.npy", part.objects)
    np.save(partial / "voxels.npy", part.voxels)
    facts = {"names": part.names, "sources": part.sources, "masses_kda": dict(part.masses_kda)}
    (partial / "particles.json").write_text(json.dumps(facts))
    os.replace(partial, target)


def _read(folder: Path) -> Particles:
    facts = json.loads((folder / "particles.json").read_text())
    return Particles(
        StoredCubes.of(folder / "values.npy"),
        tuple(facts["names"]),
        tuple(facts["sources"]),
        np.load(folder / "objects.npy"),
        np.load(folder / "voxels.npy"),
        facts["masses_kda"],
    )


def recipe_particles(
    recipe: Recipe, source: SimulatedSource, dense: DenseWeights, folder: Path, report: Callable[[str], None]
) -> Particles:
    """Return as many particles as a recipe wants; see `collect_particles`."""
    config = SUBTOMOGRAM_PRESETS[recipe.name]
    seed = recipe.pretrain_subtomogram.seed
    return collect_particles(source.specimens, source.chances, dense, folder, recipe.particles, config, seed, report)
