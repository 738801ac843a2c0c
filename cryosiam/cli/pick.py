"""``cryosiam pick`` and the commands for single stages: the same options, less or more of the pipeline."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, get_type_hints

from cryosiam.cli import options as opt
from cryosiam.scores import LEAST_SCORE

TABLE_OPTIONS = frozenset({"tomograms_star", "tilt_series_pixel_size", "tomogram_size", "binned_by_averaging"})
CLASS_OPTIONS = frozenset({"objects", "nothing_else", "threshold"})
"""Options without meaning for commands that end before particles have classes."""


@dataclass(frozen=True)
class PickOptions:
    """What the user asked for; the annotations describe the options on the command line."""

    copick: opt.Copick = None
    mrc: opt.Mrc = None
    relion: opt.Relion = None
    voxel_size: opt.VoxelSize = None
    tomogram: opt.TomogramType = None
    runs: opt.Runs = None
    contrast: opt.Contrast = opt.ContrastChoice.AUTO
    low_pass: opt.LowPass = None
    user_id: opt.UserId = "cryosiam"
    session_id: opt.SessionId = "1"
    objects: opt.Objects = None
    nothing_else: opt.NothingElse = False
    out: opt.Out = None
    overwrite: opt.Overwrite = False
    dry_run: opt.DryRun = False
    no_add_objects: opt.NoAddObjects = False
    tomograms_star: opt.TomogramsStar = None
    tilt_series_pixel_size: opt.TiltSeriesPixelSize = None
    tomogram_size: opt.TomogramSize = None
    binned_by_averaging: opt.BinnedByAveraging = 1
    weights: opt.Weights = "light"
    device: opt.Device = "auto"
    memory: opt.Memory = None
    threads: opt.Threads = None
    threshold: opt.Threshold = LEAST_SCORE
    seed: opt.Seed = 0
    quiet: opt.Quiet = False


def _command(target: str, leave_out: frozenset[str] = frozenset()) -> Callable[..., None]:
    """Return a command with the options of `PickOptions` that runs the pipeline up to ``target``."""

    def command(**chosen: Any) -> None:
        from cryosiam.cli.compose import bring_up_to_date

        bring_up_to_date(PickOptions(**chosen), target)

    hints = get_type_hints(PickOptions, include_extras=True)
    parameters = [
        inspect.Parameter(item.name, inspect.Parameter.KEYWORD_ONLY, default=item.default, annotation=hints[item.name])
        for item in fields(PickOptions)
        if item.name not in leave_out
    ]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    command.__name__ = target
    return command


def _epilog(name: str) -> str:
    return (
        "[b]Examples[/]\n\n"
        f"cryosiam {name} --copick project.json\n\n"
        f"cryosiam {name} --copick project.json -t wbp@10.0 -r TS_01 -r TS_02 --session-id 2\n\n"
        f"cryosiam {name} --mrc 'tomos/*.mrc' --voxel-size 10 --out results/\n\n"
        f"cryosiam {name} --relion Tomograms/job006/tomograms.star --out results/"
    )


_HELP = {
    "pick": "Find particles: denoise, segment, separate, score, embed, classify, and write everything.",
    "denoise": "Write denoised tomograms only.",
    "segment": "Write the segmentation into background, membrane, particle, microtubule, actin and filament only.",
    "instances": "Write particle instances and one set of picks, without classes.",
    "embed": "Write one vector per particle (embeddings.parquet), without classes.",
    "classify": "Write picks per class, embeddings and STAR files, without volumes.",
}

COMMANDS: dict[str, tuple[Callable[..., None], str, str]] = {
    name: (
        _command(name, frozenset() if name in ("pick", "classify") else TABLE_OPTIONS | CLASS_OPTIONS),
        text,
        _epilog(name),
    )
    for name, text in _HELP.items()
}
"""Function, help and examples of each command."""
