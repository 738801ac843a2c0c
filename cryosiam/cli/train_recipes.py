"""What ``cryosiam train recipes`` prints."""

from __future__ import annotations

from importlib.resources import files

import typer

from cryosiam.errors import InputError


def recipe_texts() -> dict[str, str]:
    """Return the recipes that ship, as they are written, by name."""
    folder = files("cryosiam.training.recipes")
    found = {
        entry.name.removesuffix(".yaml"): entry.read_text(encoding="utf-8")
        for entry in folder.iterdir()
        if entry.name.endswith(".yaml")
    }
    return dict(sorted(found.items()))


def list_recipes() -> None:
    """Print a table of the recipes that ship."""
    from rich.table import Table

    from cryosiam.cli.tables import console

    table = Table("recipe", "about", box=None, pad_edge=False)
    for name, text in recipe_texts().items():
        table.add_row(name, text.partition("\n")[0].lstrip("# ") if text.startswith("#") else "")
    console().print(table)


def print_recipe(name: str) -> None:
    """Print a recipe as it is written.

    Raises
    ------
    InputError
        If none of this name ships.
    """
    texts = recipe_texts()
    if name not in texts:
        raise InputError(f"no recipe '{name}' ships; there is {', '.join(texts)}")
    typer.echo(texts[name], nl=False)
