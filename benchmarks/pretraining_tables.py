"""What `bench_pretraining.py` compares, the thesis' figures for it, and the tables printed of both."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cryosiam.domain import SEMANTIC_CLASSES
from cryosiam.training.augment.views import ViewRecipe
from cryosiam.training.two_views import SelfSupervision

EMBEDDING = 64
ROWS = (*SEMANTIC_CLASSES, "all")
RANK = "effective rank"
"""Directions in which embeddings of one volume differ (Roy and Vetterli 2007); 1 where they collapsed."""


@dataclass(frozen=True)
class Configuration:
    """A way to pretrain.

    Parameters
    ----------
    plan
        Views and losses; None leaves the weights random.
    embedding_channels
        Size of the voxel embedding.
    """

    plan: SelfSupervision | None
    embedding_channels: int = EMBEDDING


def _views(**changes: object) -> Configuration:
    return Configuration(SelfSupervision(views=ViewRecipe.model_validate(changes)))


def _masked(share: float) -> Configuration:
    return _views(masked_share=(share, share))


_NO_HIGH_PASS = {"high_pass_narrow_sigma_voxels": None, "high_pass_wide_sigma_voxels": None}

CONFIGURATIONS: dict[str, Configuration] = {
    "random": Configuration(None),
    "standard": Configuration(SelfSupervision()),
    "no changes": _views(low_pass_sigma_voxels=None, **_NO_HIGH_PASS, noise_sigma=None, masked_share=None),
    "low-pass": _views(**_NO_HIGH_PASS, noise_sigma=None, masked_share=None),
    "low-pass, high-pass": _views(noise_sigma=None, masked_share=None),
    "low-pass, high-pass, noise": _views(masked_share=None),
    **{f"masked {share:.0%}": _masked(share) for share in (0.10, 0.25, 0.50, 0.75, 0.90)},
    **{f"voxel embedding {size}": Configuration(SelfSupervision(), size) for size in (8, 16, 32)},
    **{f"global embedding {n}": Configuration(SelfSupervision(global_channels=n)) for n in (128, 512, 1024)},
    "dense": Configuration(SelfSupervision(losses=("dense",), levels=())),
    "dense, global": Configuration(SelfSupervision(losses=("dense", "global"), levels=())),
    "dense, global, L2 and L4": Configuration(SelfSupervision(levels=(1, 2))),
    "dense, global, L2, L4 and L8": Configuration(SelfSupervision(levels=(1, 2, 3))),
}
"""Everything that is trained. ``standard`` has all changes, 10 to 50 % masked, 64 and 256 channels, and L2 alone."""

PAYS = {
    "random": "random weights",
    "standard": "pretrained",
    "low-pass, high-pass": "pretrained without noise and masks",
}
"""Configurations, and their titles, that tell whether pretraining pays."""


@dataclass(frozen=True)
class Column:
    """A column of a table of the thesis.

    Parameters
    ----------
    title
        As printed there.
    configuration
        Ours that answers to it.
    thesis
        Dice of background, membrane, particle, microtubule, actin, filament, and over all.
    """

    title: str
    configuration: str
    thesis: tuple[float, ...]


TABLES: dict[str, tuple[Column, ...]] = {
    "Table 1, image transformations (section 4.2.1)": (
        Column("none", "no changes", (0.835, 0.000, 0.525, 0.000, 0.000, 0.003, 0.302)),
        Column("low-pass", "low-pass", (0.614, 0.000, 0.562, 0.000, 0.016, 0.299, 0.286)),
        Column("and high-pass", "low-pass, high-pass", (0.900, 0.000, 0.599, 0.000, 0.000, 0.374, 0.378)),
        Column("and noise", "low-pass, high-pass, noise", (0.873, 0.255, 0.604, 0.000, 0.027, 0.328, 0.416)),
    ),
    "Table 2, masked voxels (section 4.2.2)": (
        Column("0 %", "low-pass, high-pass, noise", (0.860, 0.236, 0.589, 0.166, 0.000, 0.351, 0.431)),
        Column("10 %", "masked 10%", (0.856, 0.000, 0.532, 0.087, 0.000, 0.302, 0.363)),
        Column("25 %", "masked 25%", (0.832, 0.203, 0.542, 0.000, 0.000, 0.252, 0.376)),
        Column("50 %", "masked 50%", (0.870, 0.000, 0.615, 0.000, 0.000, 0.384, 0.379)),
        Column("75 %", "masked 75%", (0.531, 0.161, 0.484, 0.235, 0.030, 0.132, 0.286)),
        Column("90 %", "masked 90%", (0.147, 0.017, 0.406, 0.013, 0.013, 0.306, 0.153)),
    ),
    "Table 3, voxel embedding (section 4.2.3)": (
        Column("8", "voxel embedding 8", (0.841, 0.000, 0.567, 0.000, 0.000, 0.254, 0.349)),
        Column("16", "voxel embedding 16", (0.808, 0.000, 0.556, 0.240, 0.033, 0.202, 0.367)),
        Column("32", "voxel embedding 32", (0.000, 0.137, 0.526, 0.010, 0.000, 0.301, 0.175)),
        Column("64", "standard", (0.887, 0.252, 0.620, 0.210, 0.056, 0.411, 0.466)),
    ),
    "Table 4, global embedding (section 4.2.4)": (
        Column("128", "global embedding 128", (0.000, 0.184, 0.603, 0.007, 0.044, 0.298, 0.205)),
        Column("256", "standard", (0.904, 0.000, 0.674, 0.000, 0.000, 0.537, 0.416)),
        Column("512", "global embedding 512", (0.859, 0.000, 0.594, 0.000, 0.000, 0.288, 0.364)),
        Column("1024", "global embedding 1024", (0.888, 0.000, 0.635, 0.000, 0.000, 0.393, 0.389)),
    ),
    "Table 5, losses (section 4.2.5)": (
        Column("dense", "dense", (0.000, 0.020, 0.422, 0.095, 0.015, 0.212, 0.132)),
        Column("and global", "dense, global", (0.701, 0.270, 0.613, 0.202, 0.039, 0.313, 0.402)),
        Column("and L2", "standard", (0.891, 0.000, 0.616, 0.342, 0.113, 0.428, 0.452)),
        Column("and L4", "dense, global, L2 and L4", (0.879, 0.000, 0.619, 0.000, 0.000, 0.308, 0.375)),
        Column("and L8", "dense, global, L2, L4 and L8", (0.000, 0.000, 0.413, 0.256, 0.000, 0.292, 0.159)),
    ),
}
"""The thesis' ablations; it lists microtubules before particles, here classes stand in the order of `ROWS`."""

Results = Mapping[str, Sequence[Mapping[str, float]]]
"""Dice by class and effective rank, of every seed, by the name of what was probed."""


def ablation_table(title: str, results: Results) -> list[str]:
    """Return one table as Markdown: ours beside the thesis', ``-`` where there is none."""
    columns = TABLES[title]
    ours = {row: [mean_and_spread(results, column.configuration, row) for column in columns] for row in (*ROWS, RANK)}
    lines = [f"### {title}", "", "| Dice, ours / thesis | " + " | ".join(column.title for column in columns) + " |"]
    lines.append("| --- |" + " --- |" * len(columns))
    for index, row in enumerate(ROWS):
        cells = [f"{mine} / {column.thesis[index]:.3f}" for mine, column in zip(ours[row], columns, strict=True)]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    lines.append(f"| {RANK} | " + " | ".join(f"{mine} / -" for mine in ours[RANK]) + " |")
    return [*lines, _seeds_row(results, [column.configuration for column in columns]), ""]


def pays_table(results: Results, names: Mapping[str, str]) -> list[str]:
    """Return figures of several probes as Markdown, by name and title."""
    lines = ["| Dice | " + " | ".join(names.values()) + " |", "| --- |" + " --- |" * len(names)]
    for row in (*ROWS, RANK):
        lines.append(f"| {row} | " + " | ".join(mean_and_spread(results, name, row) for name in names) + " |")
    return [*lines, _seeds_row(results, names), ""]


def _seeds_row(results: Results, names: Iterable[str]) -> str:
    return "| seeds | " + " | ".join(str(len(results.get(name, ()))) for name in names) + " |"


def mean_and_spread(results: Results, name: str, row: str) -> str:
    """Return mean and standard deviation over the seeds, the mean alone of one seed, ``-`` of none."""
    values = [result[row] for result in results.get(name, ()) if row in result]
    if not values:
        return "-"
    digits = 1 if row == RANK else 3
    mean = f"{statistics.fmean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.{digits}f}"
