"""What ``cryosiam weights`` prints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.table import Table

from cryosiam.cli.tables import console
from cryosiam.errors import WeightsError
from cryosiam.weights import named_folders, read_cards, weights_folder
from cryosiam.weights.card import UNIT_RANGE
from cryosiam.weights.folders import card_files, card_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cryosiam.weights import WeightsCard

CROPS = {
    "soft": "a soft mask a little larger than the particle",
    "strict": "the particle's own voxels",
    "hull": "the particle's convex hull",
    "none": "nothing: neighbours stay",
    "surroundings": "a soft mask a little larger than the particle; what lies around it is shown beside",
}


def print_list(folders: Sequence[Path]) -> None:
    """Print a table of the weights that have a name, and of those in ``folders``."""
    table = Table("name", "for", "what it does", box=None, pad_edge=False)
    table.add_column("voxel size", justify="right")
    table.add_column("classes")
    table.add_column("size", justify="right")
    table.add_column("where")
    for folder in (*named_folders(), *(weights_folder(folder) for folder in folders)):
        for path in card_files(folder):
            try:
                card = card_of(path)
            except WeightsError as error:
                table.add_row(path.stem, "-", str(error), "-", "-", "-", str(folder))
                continue
            table.add_row(
                card.name,
                card.stem,
                ", ".join(card.heads) or "embedding",
                f"{card.voxel_size_angstrom:g} Å",
                _count(card),
                _size(path.with_suffix(".safetensors")),
                str(folder),
            )
    console().print(table)


def _count(card: WeightsCard) -> str:
    names = card.semantic_classes or card.species
    return str(len(names)) if names else "none"


def _size(path: Path) -> str:
    return f"{path.stat().st_size / 2**20:.1f} MiB" if path.is_file() else "missing"


def print_cards(spec: str) -> None:
    """Print every card of a name or folder in words.

    Raises
    ------
    WeightsError
        If there are no such weights, or a card cannot be used.
    """
    folder = weights_folder(spec)
    for number, card in enumerate(read_cards(folder)):
        typer.echo(("\n" if number else "") + f"{card.name} ({card.stem}), in {folder}")
        for what, value in facts(card):
            typer.echo(f"{what:<11} {value}")


def facts(card: WeightsCard) -> Iterator[tuple[str, str]]:
    """Yield what is worth knowing of weights, in words; nothing for what does not apply."""
    scaling = "clipped at the 0.1 and 99.9 percentiles, then "
    scaling += "from 0 to 1" if card.normalisation == UNIT_RANGE else "to mean 0 and spread 1"
    if card.input == "denoised" and card.normalisation == UNIT_RANGE:
        scaling = "from the least to the greatest, 0 to 1"
    kind = "the denoised tomogram" if card.input == "denoised" or card.task == "subtomogram" else "the tomogram"
    yield "reads", f"particles of {kind}" if card.task == "subtomogram" else kind
    yield "voxel size", f"{card.voxel_size_angstrom:g} Å; tomograms of other voxel sizes are resampled"
    yield "contrast", f"protein {card.contrast.value}; the other is inverted"
    yield "grey values", scaling
    if card.heads:
        yield "heads", ", ".join(card.heads)
    if card.semantic_classes:
        yield "classes", ", ".join(card.semantic_classes)
    if card.task == "subtomogram":
        yield "cut out by", CROPS[card.crops]
        yield "classes", ", ".join(card.species) or "none: particles get vectors, but no names"
    if card.halo:
        yield "context", f"{card.halo} voxels make a tile exact"
    yield "made by", card.training.recipe
    yield "learnt from", card.training.data
    if card.training.hours:
        yield "training", f"{card.training.hours:.2f} hours on {card.training.machine}"
    yield "measured", ", ".join(f"{k.replace('_', ' ')} {v:.3f}" for k, v in card.accuracy.items()) or "nothing yet"
    if card.score is not None:
        yield "scores", "calibrated"
    for assumption in card.assumptions:
        yield "assumed", assumption
    yield "SHA-256", card.sha256
