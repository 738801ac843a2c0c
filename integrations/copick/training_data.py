"""Labelled tomograms of a copick project, to learn from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cryosiam.domain import Contrast, Picks
from cryosiam.errors import InputError
from cryosiam.evaluation.project import Annotator, GridVolume
from cryosiam.inference.contrast import guess_contrast
from cryosiam.integrations.copick.label_choice import COMPLETE, LabelChoice, by_name, parse_labels
from cryosiam.integrations.copick.library import logging_kept
from cryosiam.integrations.copick.ome import open_group, read_acquisition, read_volume
from cryosiam.integrations.copick.project import SPACING_TOLERANCE
from cryosiam.integrations.copick.simulated_objects import SAMPLE_OBJECT
from cryosiam.integrations.copick.source import CopickSource, pick_columns
from cryosiam.training.labelled_scenes import PARTICLE, LabelledTomogram, LabelVolume

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cryosiam.domain import Tomogram
    from cryosiam.training.labelled import LabelledSource
    from cryosiam.training.labelled_scenes import LabelledScene
    from cryosiam.training.recipe import Recipe

CLEAN: Final = "clean"
"""Type of the tomogram that the denoiser learns from, where a run has it."""

_TRAINING: Final = ("train", "training")
_VALIDATION: Final = ("val", "valid", "validation")


@dataclass(frozen=True)
class ProjectLabels:
    """What to read from a project.

    Parameters
    ----------
    config_path
        The project's JSON file.
    labels
        As `cryosiam.integrations.copick.label_choice.parse_labels` reads it; None where only one annotator is there.
    tomogram, runs
        Tomogram, in copick's manner, and runs; None for the only one, and for all.
    clean
        Type of the clean tomogram; none is needed.
    background_known
        Whether what has no label is background. Otherwise only labelled voxels are learnt from, and what lies outside
        the sample or inside a mask ``complete``.
    validation_share, seed
        Share of the runs that is held out, and the seed by which, where the project does not say.
    """

    config_path: Path
    labels: str | None = None
    tomogram: str | None = None
    runs: tuple[str, ...] | None = None
    clean: str = CLEAN
    background_known: bool = True
    validation_share: float = 0.2
    seed: int = 1


def project_data(
    folder: Path, wanted: ProjectLabels, recipe: Recipe, report: Callable[[str], None]
) -> tuple[LabelledSource, list[LabelledScene]]:
    """Return what a project gives to learn from, and the tomograms held out.

    Parameters
    ----------
    folder
        Where the tomograms are kept at the recipe's voxel size.
    wanted
        What to read.
    recipe
        States the voxel size.
    report
        Told what is read and what is left out.

    Raises
    ------
    InputError
        If the project cannot be used, nobody annotated it, a split is empty, labels are on another grid than the
        tomogram, or a class is named that no tomogram to learn from shows.
    """
    from cryosiam.training.labelled import labelled_data

    project = LabelledProject(wanted, report)
    training, validation = project.split()
    runs = ", ".join(one.tomogram.run for one in training)
    return labelled_data(
        folder, training, validation, recipe, report, f"runs {runs} of {wanted.config_path}", project.named_classes
    )


class LabelledProject:
    """The labelled runs of a project.

    Parameters
    ----------
    wanted
        What to read.
    report
        Told what is left out.

    Raises
    ------
    InputError
        If the project cannot be used, or there are no annotations as wanted.
    """

    def __init__(self, wanted: ProjectLabels, report: Callable[[str], None]) -> None:
        self._wanted, self._report = wanted, report
        self._source = CopickSource(wanted.config_path, wanted.tomogram, wanted.runs)
        self._project = self._source.project
        self._choices = self._find_choices()
        self._names = sorted({name for choice in self._choices for name in choice.names})

    @property
    def named_classes(self) -> tuple[str, ...]:
        """Classes that ``labels`` names one by one."""
        named = self._wanted.labels is not None and "=" in self._wanted.labels
        return tuple(choice.meaning for choice in self._choices) if named else ()

    def split(self) -> tuple[list[LabelledTomogram], list[LabelledTomogram]]:
        """Return the labelled tomograms to learn from and those held out: as the project says, else by the seed."""
        runs = [run for run in self._source.runs() if self._is_labelled(run)]
        bare = [run for run in self._source.runs() if run not in runs]
        if not runs:
            raise InputError(
                f"no run of {self._wanted.config_path} has annotations {self._described()}; "
                "there is nothing to learn from, annotate some or name others with --labels"
            )
        if bare:
            self._report(f"left out, as they have no annotations {self._described()}: {', '.join(bare)}")
        training, validation = self._split_names(runs)
        return [self._labelled(run) for run in training], [self._labelled(run) for run in validation]

    def _split_names(self, runs: list[str]) -> tuple[list[str], list[str]]:
        stated = {run: str(getattr(self._project.root.get_run(run), "split", None) or "").lower() for run in runs}
        if any(stated.values()):
            training = [run for run in runs if stated[run] in ("", *_TRAINING)]
            validation = [run for run in runs if stated[run] in _VALIDATION]
        else:
            if len(runs) < 2:
                raise InputError(
                    f"only run '{runs[0]}' of {self._wanted.config_path} is annotated; one run is learnt from and "
                    "another held out, so annotate at least one more"
                )
            order = np.random.default_rng(self._wanted.seed).permutation(len(runs))
            held_out = min(len(runs) - 1, max(1, round(self._wanted.validation_share * len(runs))))
            validation = [runs[i] for i in sorted(order[:held_out].tolist())]
            training = [run for run in runs if run not in validation]
        for name, found in (("training", training), ("validation", validation)):
            if not found:
                raise InputError(
                    f"the splits stated in {self._wanted.config_path} leave no annotated run for {name}; "
                    "change them, or choose other runs with -r"
                )
        return training, validation

    def _find_choices(self) -> tuple[LabelChoice, ...]:
        objects = self._source.objects
        if self._wanted.labels is not None:
            return parse_labels(self._wanted.labels, objects)
        found = {
            (str(item.user_id), str(item.session_id))
            for run in self._source.runs()
            for item in (*self._project.pick_sets(run), *self._segmentations(run))
        }
        if len(found) != 1:
            there = ", ".join(f"{user}/{session}" for user, session in sorted(found))
            what = f"is annotated by {there}; say whose to learn from" if found else "has no annotations; name some"
            raise InputError(f"{self._wanted.config_path} {what} with --labels USER/SESSION")
        return by_name(objects, Annotator(*found.pop()))

    def _described(self) -> str:
        by = sorted({str(choice.by) for choice in self._choices if choice.by is not None})
        names = f"of {', '.join(self._names)} " if self.named_classes else ""
        return f"{names}by {', '.join(by)}" if by else f"{names}by anybody"

    def _is_labelled(self, run: str) -> bool:
        return any(True for choice in self._choices for _ in self._items(run, choice))

    def _items(self, run: str, choice: LabelChoice) -> Iterator[Any]:
        """Yield the pick sets and segmentations of a run that a choice means."""
        for item in self._project.pick_sets(run):
            if choice.meaning == PARTICLE and choice.is_by(item) and item.pickable_object_name in choice.names:
                yield item
        labels = self._labels_of(choice)
        for item in self._segmentations(run):
            if choice.is_by(item) and (item.name in choice.names or (item.is_multilabel and labels)):
                yield item

    def _labels_of(self, choice: LabelChoice) -> tuple[int, ...]:
        return tuple(item.label for item in self._source.objects if item.name in choice.names)

    def _segmentations(self, run: str) -> list[Any]:
        with logging_kept():
            found = [item for item in self._project.root.get_run(run).segmentations if not item.is_panoptic]
        # Objects told apart say more than masks, and masks of one object more than a volume of all.
        return sorted(found, key=lambda item: (not item.is_instance, item.is_multilabel, item.filename))

    def _labelled(self, run: str) -> LabelledTomogram:
        tomogram = self._source.tomogram(run)
        volumes, masks, used = self._volumes(run, tomogram)
        picks, pick_sets = self._picks(
            run, has_volumes=any(one.class_name == PARTICLE and one.values is None for one in volumes)
        )
        clean = self._clean(run, tomogram)
        return LabelledTomogram(
            tomogram=tomogram,
            contrast=self._contrast(tomogram),
            volumes=tuple(volumes),
            picks=picks,
            sample=masks.get(SAMPLE_OBJECT),
            clean=clean,
            complete=masks.get(COMPLETE),
            background_known=self._wanted.background_known,
            signature=self._signature(run, [*used, *pick_sets], clean),
        )

    def _volumes(self, run: str, tomogram: Tomogram) -> tuple[list[LabelVolume], dict[str, GridVolume], list[Any]]:
        """Return the labelled volumes, the masks ``sample`` and ``complete``, and all of copick's objects read."""
        volumes: list[LabelVolume] = []
        masks: dict[str, GridVolume] = {}
        used = []
        for item in self._segmentations(run):
            for choice in self._choices:
                if not choice.is_by(item):
                    continue
                named = item.name in choice.names
                values = self._labels_of(choice) if item.is_multilabel else None
                if not named and not values:
                    continue
                grid = self._grid(item, run, tomogram)
                used.append(item)
                if choice.meaning in (SAMPLE_OBJECT, COMPLETE):
                    if named:
                        masks.setdefault(choice.meaning, grid)
                else:
                    volumes.append(LabelVolume(choice.meaning, grid, values or None, bool(item.is_instance)))
        return volumes, masks, used

    def _grid(self, item: Any, run: str, tomogram: Tomogram) -> GridVolume:
        spacing = float(item.voxel_size)
        where = str(item.path)
        if abs(spacing / tomogram.voxel_size_angstrom - 1) > 2 * SPACING_TOLERANCE:
            raise InputError(
                f"run '{run}': {where} has voxels of {spacing:g} Å and the tomogram {tomogram.source} of "
                f"{tomogram.voxel_size_angstrom:g} Å; labels must be on the tomogram's grid, choose another with -t"
            )
        return _opened(item, where)

    def _picks(self, run: str, has_volumes: bool) -> tuple[Picks | None, list[Any]]:
        """Return the picked particles with the radii of their objects, None where nobody picked."""
        radii = {item.name: item.radius_angstrom for item in self._source.objects}
        sets = {
            str(item.path): item
            for choice in self._choices
            if choice.meaning == PARTICLE
            for item in self._project.pick_sets(run)
            if choice.is_by(item) and item.pickable_object_name in choice.names
        }
        if not sets:
            return None, []
        for item in sets.values():
            if not radii.get(item.pickable_object_name) and not has_volumes:
                raise InputError(
                    f"object '{item.pickable_object_name}' in {self._wanted.config_path} has no radius, so its picks "
                    "cannot be drawn as spheres; state its 'radius' in Å there"
                )
        columns = [pick_columns(item) for item in sets.values()]
        names = [str(name) for column in columns for name in column["names"]]
        return (
            Picks(
                run=run,
                positions_angstrom=np.concatenate([column["positions"] for column in columns]),
                scores=np.concatenate([column["scores"] for column in columns]),
                class_names=tuple(names),
                radii_angstrom=np.array([radii.get(name) or 0.0 for name in names], np.float64),
            ),
            list(sets.values()),
        )

    def _clean(self, run: str, tomogram: Tomogram) -> GridVolume | None:
        for entry in self._project.tomograms(run):
            same = abs(entry.spacing_angstrom / tomogram.voxel_size_angstrom - 1) <= 2 * SPACING_TOLERANCE
            if entry.tomogram_type == self._wanted.clean and same:
                return _opened(entry.handle, entry.path)
        return None

    def _contrast(self, tomogram: Tomogram) -> Contrast:
        if tomogram.contrast is not Contrast.UNKNOWN:
            return tomogram.contrast
        found = guess_contrast(tomogram.volume, tomogram.voxel_size_angstrom).contrast
        if found is not Contrast.UNKNOWN:
            return found
        self._report(f"{tomogram.run}: contrast cannot be told from the voxels; protein is taken to be dark")
        return Contrast.DARK

    def _signature(self, run: str, items: Sequence[Any], clean: GridVolume | None) -> str:
        """Return a text that changes when anything read of a run changes."""
        content: list[Any] = [self._source.signature(run), repr(self._choices), self._wanted.background_known]
        content += [repr(self._source.objects), clean.where if clean else None]
        for item in items:
            found = item.fs.find(str(item.path), detail=True)
            content.append(sorted((name, info.get("size"), str(info.get("mtime"))) for name, info in found.items()))
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]


def _opened(handle: Any, where: str) -> GridVolume:
    with logging_kept():
        group = open_group(handle.zarr(), where)
        volume, voxel_size = read_volume(group, where)
        facts = read_acquisition(group, where)
    return GridVolume(volume, voxel_size, where, facts.contrast)
