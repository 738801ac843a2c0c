"""``cryosiam train``: the stages that make weights. The work is in `train_calls`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Annotated, Any, get_type_hints

import typer

from cryosiam.cli.train_options import HEAD_OPTIONS, PROJECT_OPTIONS, TrainOptions

app = typer.Typer(
    help="Train weights by a recipe: on simulated tomograms, or on your own annotations.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    epilog=(
        "[b]Examples[/]\n\n"
        "cryosiam train all --structures data/ --out runs/light\n\n"
        "cryosiam train semantic --copick project.json --labels curator/1 --from light --out runs/mine\n\n"
        "cryosiam train dense --structures data/ --out runs/light --time-budget 1h30m"
    ),
)

SIMULATED = "--structures data/ --out runs/light"
OWN = "--copick project.json --labels curator/1 --from light --out runs/mine"

_STAGES: dict[str, tuple[str, frozenset[str], tuple[str, ...]]] = {
    "pretrain-dense": (
        "Pretrain the dense network without labels, by DenseSimSiam (thesis 3.1, equations 1 to 7).",
        PROJECT_OPTIONS | HEAD_OPTIONS | {"start"},
        (SIMULATED,),
    ),
    "dense": (
        "Train all heads of the dense network at once: denoise, sample, classes, instances.",
        HEAD_OPTIONS,
        (SIMULATED, OWN),
    ),
    "refine": (
        "Train the dense network on, as it is used: on noisy, noiseless and denoised tomograms, its statistics fixed.",
        PROJECT_OPTIONS | HEAD_OPTIONS,
        (SIMULATED, "--structures data/ --from light --out runs/mine"),
    ),
    "rebalance": (
        "The same once more, by another entry of the recipe: on more sparse samples, where noise passes for particles.",
        PROJECT_OPTIONS | HEAD_OPTIONS,
        (SIMULATED, "--structures data/ --from light --out runs/mine"),
    ),
    "broaden": (
        "And a third time, by a third entry: on larger crowded samples, for large capsids, and on sparse ones still.",
        PROJECT_OPTIONS | HEAD_OPTIONS,
        (SIMULATED, "--structures data/ --from light --out runs/mine"),
    ),
    "denoise": ("Train the denoising head (thesis 3.2.2, equation 8).", frozenset(), (SIMULATED,)),
    "lamella": ("Train the head that finds the sample.", frozenset(), (SIMULATED, OWN)),
    "semantic": (
        "Train the head that tells classes apart (thesis 3.2.2, equations 9 and 10).",
        frozenset(),
        (SIMULATED, OWN),
    ),
    "instance": (
        "Train the heads that separate particles (thesis 3.2.2, equations 13 to 16).",
        frozenset(),
        (SIMULATED, OWN),
    ),
    "pretrain-subtomogram": (
        "Pretrain the subtomogram network without labels, by SimSiam (thesis 3.1).",
        PROJECT_OPTIONS | HEAD_OPTIONS,
        (SIMULATED,),
    ),
    "contrastive": (
        "Teach the subtomogram network to tell species apart (thesis 3.2.3, equations 17 and 18).",
        PROJECT_OPTIONS | HEAD_OPTIONS,
        (SIMULATED,),
    ),
    "classifier": (
        "Fit the classifiers that name particles by their embeddings (thesis 4.3.4).",
        PROJECT_OPTIONS | HEAD_OPTIONS,
        (SIMULATED,),
    ),
    "all": (
        "Run the stages that made the weights that ship: dense, refine, rebalance, broaden, pretrain-subtomogram, "
        "contrastive, classifier. Called again, it goes on where it was.",
        PROJECT_OPTIONS | HEAD_OPTIONS | {"start"},
        (SIMULATED, SIMULATED + " --time-budget 8h"),
    ),
}
"""Help, options left out, and examples of each stage."""


def _command(stage: str, leave_out: frozenset[str]) -> Callable[..., None]:
    """Return a command with the options of `TrainOptions` that runs ``stage``."""

    def command(**chosen: Any) -> None:
        from cryosiam.cli.train_calls import train

        train(stage, TrainOptions(**chosen))

    hints = get_type_hints(TrainOptions, include_extras=True)
    parameters = [
        inspect.Parameter(
            item.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if item.default is MISSING else item.default,
            annotation=hints[item.name],
        )
        for item in fields(TrainOptions)
        if item.name not in leave_out
    ]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    command.__name__ = stage
    return command


for _stage, (_help, _leave_out, _examples) in _STAGES.items():
    _lines = [f"cryosiam train {_stage} {example}" for example in _examples]
    app.command(_stage, help=_help, epilog="\n\n".join(["[b]Examples[/]", *_lines]))(_command(_stage, _leave_out))


@app.command(epilog="[b]Examples[/]\n\ncryosiam train recipes\n\ncryosiam train recipes light > mine.yaml")
def recipes(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Recipe to print.")] = None,
) -> None:
    """List the recipes that ship, or print one, to change and use by `--recipe`."""
    from cryosiam.cli.train_recipes import list_recipes, print_recipe

    if name is None:
        list_recipes()
    else:
        print_recipe(name)
