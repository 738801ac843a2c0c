"""What ``cryosiam train`` does: checks first, then the stages asked for, each once."""

from __future__ import annotations

from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from cryosiam.cli.durations import duration_s
from cryosiam.cli.train_session import Session, first_process
from cryosiam.cli.train_stages import ALL, STAGES
from cryosiam.errors import InputError, TrainingError
from cryosiam.integrations.simulation import check_structures_dir
from cryosiam.integrations.writable import refuse_read_only
from cryosiam.networks.config import DENSE_PRESETS
from cryosiam.pipeline.storage import folder_lock, storage_errors
from cryosiam.training.recipe import Recipe, read_recipe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cryosiam.cli.train_options import TrainOptions

LOCK = ".lock"


def train(stage: str, options: TrainOptions) -> None:
    """Run one stage, or all of them; a stage that is finished is left as it is.

    Raises
    ------
    CryoSiamError
        If options, recipe or data cannot be used, the folder cannot be written, or training fails.
    """
    budget = None if options.time_budget is None else duration_s(options.time_budget, "--time-budget")
    recipe = _recipe(options.recipe)
    _check(options)
    with _folder(options.out):
        session = Session(recipe, options, budget)
        for name in _all_stages(recipe) if stage == "all" else (stage,):
            if not session.run(name):
                return


def _all_stages(recipe: Recipe) -> tuple[str, ...]:
    """Return the stages that made the weights that ship, but for those that the recipe does not have."""

    def wanted(stage: str) -> bool:
        optimiser = STAGES[stage].optimiser
        return optimiser is None or getattr(recipe, optimiser) is not None

    return tuple(filter(wanted, ALL))


def _recipe(spec: str) -> Recipe:
    recipe = read_recipe(spec)
    if recipe.name not in DENSE_PRESETS:
        raise InputError(
            f"the recipe {spec} is for networks named '{recipe.name}', which there are none of; "
            f"its name must be one of {', '.join(DENSE_PRESETS)}"
        )
    return recipe


def _check(options: TrainOptions) -> None:
    if find_spec("lightning") is None:
        raise TrainingError("training needs Lightning, which is not installed; pip install 'cryosiam[train]'")
    if options.copick is not None and options.structures is not None:
        raise InputError("give either --structures, to learn from simulated specimens, or --copick, not both")
    if options.copick is None and (options.labels, options.tomogram, options.runs) != (None, None, None):
        raise InputError("--labels, --tomogram and --run choose from a project; give the project with --copick")
    check_structures_dir(options.structures)


@contextmanager
def _folder(path: Path) -> Iterator[None]:
    """Hold the folder for this process; one that was made and stayed empty is removed."""
    if path.exists() and not path.is_dir():
        raise InputError(f"--out {path} is a file; give a folder")
    refuse_read_only(path, "give another --out")
    if not first_process():
        yield
        return
    with storage_errors("cannot write"):
        path.mkdir(parents=True, exist_ok=True)
        try:
            with folder_lock(path, path / LOCK):
                yield
        finally:
            if [entry.name for entry in path.iterdir()] == [LOCK]:
                (path / LOCK).unlink()
                path.rmdir()
