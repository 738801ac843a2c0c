"""One call of ``cryosiam train``: its data, its time, and the stages it finishes."""

from __future__ import annotations

import os
import shutil
import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from cryosiam.cli.train_record import START, START_PARTIAL, StageRecord
from cryosiam.cli.train_stages import STAGES
from cryosiam.errors import InputError, WeightsError
from cryosiam.pipeline.storage import storage_errors
from cryosiam.training.limits import Limits
from cryosiam.training.recipe import OptimiserRecipe
from cryosiam.weights import Task, read_cards, weights_folder
from cryosiam.weights.store import write_together

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cryosiam.cli.train_options import TrainOptions
    from cryosiam.training.data import SimulatedSource
    from cryosiam.training.labelled import LabelledSource
    from cryosiam.training.labelled_scenes import LabelledScene
    from cryosiam.training.particles import Particles
    from cryosiam.training.recipe import Recipe
    from cryosiam.training.scenes import Scene
    from cryosiam.training.task import PatchSource
    from cryosiam.weights import DenseWeights, WeightsCard


def first_process() -> bool:
    """Tell whether this is the process that writes and speaks, where several devices or machines train together."""
    return all(os.environ.get(name, "0") == "0" for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"))


class Session:
    """Runs stages, one after the other, as long as there is time.

    Parameters
    ----------
    recipe
        What to train.
    options
        What the user asked for.
    budget_s
        Time for all stages together, in seconds; None: no limit.
    """

    def __init__(self, recipe: Recipe, options: TrainOptions, budget_s: float | None) -> None:
        self.recipe, self.options = recipe, options
        self._end = None if budget_s is None else time.monotonic() + budget_s

    @property
    def out(self) -> Path:
        """Folder of everything that is made."""
        return self.options.out

    @property
    def weights(self) -> Path:
        """Folder of the weights that stages make."""
        return self.out / "weights"

    @property
    def limits(self) -> Limits:
        """What is left of the time, and the devices."""
        left = None if self._end is None else max(0.0, self._end - time.monotonic())
        return Limits(left, self.options.patience, self.options.devices, self.options.nodes)

    def report(self, text: str) -> None:
        """Tell the user how it goes."""
        if not self.options.quiet and first_process():
            typer.echo(text)

    @cached_property
    def source(self) -> PatchSource:
        """Patches to learn from."""
        return self.simulated if self.options.copick is None else self._project[0]

    @cached_property
    def validation(self) -> Sequence[Scene]:
        """Tomograms held out; simulated ones that are missing are made."""
        from cryosiam.training.data import validation_scenes

        if self.options.copick is not None:
            return self._project[1]
        return validation_scenes(self.out / "validation", self._structures, self.recipe)

    @cached_property
    def simulated(self) -> SimulatedSource:
        """Specimens of the recipe."""
        return self.specimens(self.recipe)

    def specimens(self, recipe: Recipe) -> SimulatedSource:
        """Return the specimens of a recipe, to be imaged anew all the time; those that are missing are built."""
        from cryosiam.training.data import check_structures, simulated_source

        check_structures(self.out / "specimens", self.out / "validation", self._structures, recipe)
        return simulated_source(self.out / "specimens", self._structures, recipe, self.report)

    @cached_property
    def _project(self) -> tuple[LabelledSource, list[LabelledScene]]:
        """Annotated tomograms of a project, and those of them that are held out."""
        from cryosiam.integrations.copick.training_data import ProjectLabels, project_data

        options = self.options
        assert options.copick is not None
        wanted = ProjectLabels(
            options.copick,
            options.labels,
            options.tomogram,
            tuple(options.runs) if options.runs else None,
            background_known=not options.background_unknown,
        )
        return project_data(self.out / "tomograms", wanted, self.recipe, self.report)

    @cached_property
    def particles(self) -> Particles:
        """Particles to learn from, found in images of the specimens; those found before are kept."""
        from cryosiam.training.particles import recipe_particles

        dense = self._finder
        return recipe_particles(self.recipe, self.simulated, dense, self._particles_of(dense), self.report)

    @cached_property
    def strangers(self) -> Particles:
        """Particles of the tomograms held out."""
        from cryosiam.networks.config import SUBTOMOGRAM_PRESETS
        from cryosiam.training.particles import scene_particles

        dense = self._finder
        config = SUBTOMOGRAM_PRESETS[self.recipe.name]
        return scene_particles(self.validation, dense, self._particles_of(dense), config)

    @cached_property
    def _finder(self) -> DenseWeights:
        from cryosiam.weights import load_dense

        start = self.options.start if self.options.start is not None else self.weights
        if not self._holds(start, Task.DENSE):
            raise WeightsError(
                f"particles are found by dense weights, and {start} holds none; run 'cryosiam train dense' first, or "
                "name some with --from"
            )
        return load_dense(start)

    def _particles_of(self, dense: DenseWeights) -> Path:
        """Return the folder of what these weights find: others find other particles."""
        return self.out / "particles" / dense.card.sha256[:12]

    @property
    def _structures(self) -> Path:
        return self.options.structures or Path()

    def start(self, stage: str) -> Path | None:
        """Return where the weights are that a stage begins with: those asked for, else those made before it."""
        if self.options.start is not None:
            return Path(self.options.start)
        return self.weights if self._holds(self.weights, *STAGES[stage].reads) else None

    def kept(self, stage: str, find: Callable[[], Path]) -> Path:
        """Return where the weights that a stage begins with are out of reach of what the stage writes.

        A stage may replace the weights it begins with. Killed when they are replaced and before that is recorded, it
        would else begin with its own. So it works from a copy, made anew as long as nothing has been learnt.

        Parameters
        ----------
        stage
            Name of the stage.
        find
            Gives the folder of the weights to copy; not called where the stage has begun.
        """
        record = StageRecord(self.out / stage, {})
        kept, partial = record.folder / START, record.folder / START_PARTIAL
        if record.has_begun and kept.is_dir():
            return kept
        found = find()
        if not first_process():
            return found
        with storage_errors():
            for old in (partial, kept):
                shutil.rmtree(old, ignore_errors=True)
            files = [path for path in found.iterdir() if path.suffix in {".json", ".safetensors"}]
            write_together(partial, {path.name: path.read_bytes() for path in files})
            os.replace(partial, kept)
        return kept

    def with_subtomogram(self) -> Path:
        """Return the folder of the subtomogram network to go on with: that of this folder, else that of ``--from``.

        Raises
        ------
        WeightsError
            If there is none.
        """
        for folder in (self.weights, self.options.start):
            if folder is not None and self._holds(folder, Task.SUBTOMOGRAM):
                return weights_folder(folder)
        raise WeightsError(
            f"{self.weights} holds no subtomogram weights to go on with; run 'cryosiam train pretrain-subtomogram' "
            "first, or name some with --from"
        )

    def _holds(self, folder: str | Path, *kinds: Task) -> bool:
        """Tell whether there are weights of one of the kinds in a folder; one asked for by name must be there."""
        if folder == self.weights and not any(self.weights.glob("*.json")):
            return False
        return any(card.task in kinds for card in read_cards(folder))

    def run(self, stage: str) -> bool:
        """Run a stage, unless it is finished; return whether it is now.

        Raises
        ------
        CryoSiamError
            If it was begun with other settings, its data cannot be used, or training fails.
        """
        record = StageRecord(self.out / stage, self._settings(stage))
        if record.check() is not None and self._holds(self.weights, STAGES[stage].makes):
            self.report(f"{stage}: done already; its weights are in {self.weights}")
            return True
        if stage == "dense" and self.options.start is None and not record.has_begun:
            self._refuse_unknown_weights(stage)
        with record.begun():
            card = STAGES[stage].run(self)
            if card is None:
                done = self._steps_done(stage)
                self.report(f"{stage}: the time is up after {done} steps; run the same command again to go on")
                return False
            record.finish(card.sha256)
        self._say(stage, card)
        return True

    def _refuse_unknown_weights(self, stage: str) -> None:
        """Keep dense weights that came from elsewhere from being replaced, or silently started from."""
        if self._holds(self.weights, Task.DENSE):
            raise InputError(
                f"{self.weights} holds dense weights already, which {self.out / stage} did not make; give another "
                f"--out, or start from them with --from {self.weights}"
            )

    def _settings(self, stage: str) -> dict[str, Any]:
        """Return what decides what a stage learns; what other stages learn by does not."""
        own = STAGES[stage].optimiser
        others = {
            name
            for name in type(self.recipe).model_fields
            if isinstance(getattr(self.recipe, name), OptimiserRecipe) and name != own
        }
        project = None if self.options.copick is None else str(self.options.copick.resolve())
        return {
            "recipe": self.recipe.model_dump(mode="json", exclude=others, exclude_defaults=True),
            "weights": self._digests(stage),
            "project": project,
            "labels": self.options.labels,
            "tomogram": self.options.tomogram,
            "runs": self.options.runs,
            "background_unknown": self.options.background_unknown,
            "freeze_trunk": self.options.freeze_trunk,
            "on_denoised": self.options.on_denoised,
        }

    def _digests(self, stage: str) -> dict[str, str]:
        """Return the digests of the weights that a stage begins with, but for those that it changes itself."""
        start = self.start(stage)
        if start is None:
            return {}
        kinds = set(STAGES[stage].reads)
        if start.resolve() == self.weights.resolve():
            kinds.discard(STAGES[stage].makes)
        return {card.stem: card.sha256 for card in read_cards(start) if card.task in kinds}

    def _steps_done(self, stage: str) -> int:
        """Return how far a stage is, by its log."""
        log = self.out / stage / "log.csv"
        last = log.read_text(encoding="utf-8").splitlines()[-1].partition(",")[0] if log.is_file() else "0"
        return int(last) if last.isdigit() else 0

    def _say(self, stage: str, card: WeightsCard) -> None:
        for name, value in card.accuracy.items():
            self.report(f"{name.replace('_', ' ')}: {value:.3f}")
        self.report(f"{stage}: done; weights written to {self.weights}")
