"""``cryosiam structures``: the local library of structures that simulations draw on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cryosiam.simulation.structure_store import StructureCard

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Keep structures for simulations: [b]add[/], [b]list[/], [b]show[/], [b]remove[/].",
    epilog=(
        "[b]Examples[/]\n\n"
        "cryosiam structures add 1bxn --name rubisco\n\n"
        "cryosiam structures add map.mrc --map-voxel-size 5.2\n\n"
        "A recipe then names them as library:rubisco. They are kept in $CRYOSIAM_STRUCTURES, or "
        "~/.local/share/cryosiam/structures."
    ),
)


@app.command("add")
def add(
    source: Annotated[str, typer.Argument(metavar="FILE|PDBID", help="PDB, mmCIF or MRC file, or a PDB id.")],
    name: Annotated[str | None, typer.Option(help="Name to keep it by; the file's or the id if left out.")] = None,
    assembly: Annotated[str, typer.Option(help="Assembly to describe: a name, first, or none.")] = "first",
    map_voxel_size: Annotated[
        float | None, typer.Option(min=0.1, help="Of a map, in Å, where its header is wrong.")
    ] = None,
    inverted: Annotated[bool, typer.Option("--inverted", help="Protein is low in the map.")] = False,
    bulk_density: Annotated[float, typer.Option(min=0.01, help="Of a map's dense part; protein is 1.")] = 1.0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a structure of that name.")] = False,
    url: Annotated[str | None, typer.Option(help="Server to download from, instead of the RCSB's.")] = None,
) -> None:
    """Add a structure to the library, from a file or by its PDB id."""
    from cryosiam.simulation.library_entry import add_structure
    from cryosiam.simulation.structure_store import ReadingHints

    hints = ReadingHints(assembly, map_voxel_size, inverted, bulk_density)
    card = add_structure(source, name=name, hints=hints, overwrite=overwrite, base_url=url)
    typer.echo(
        f"added {card.name}: {card.mass_kda:.0f} kDa ({card.size_class}), radius {card.radius_angstrom:.0f} Å, "
        f"symmetry {card.symmetry}; use it as library:{card.name}"
    )


@app.command("list")
def list_structures() -> None:
    """List what is in the library."""
    from cryosiam.simulation.structure_store import StructureStore

    store = StructureStore.of_user()
    cards = store.cards()
    if not cards:
        typer.echo(f"no structures in {store.folder}; add one with 'cryosiam structures add'")
        return
    _print(cards)


@app.command("show")
def show(name: Annotated[str, typer.Argument(help="Name in the library.")]) -> None:
    """Show what is known of one structure."""
    from cryosiam.simulation.structure_store import StructureStore

    store = StructureStore.of_user()
    card = store.card(name)
    for label, value in (
        ("name", card.name),
        ("file", str(store.file(name))),
        ("from", card.origin),
        ("mass", f"{card.mass_kda:.1f} kDa"),
        ("radius", f"{card.radius_angstrom:.1f} Å"),
        ("symmetry", card.symmetry),
        ("size class", card.size_class),
    ):
        typer.echo(f"{label:<11} {value}")


@app.command("remove")
def remove(name: Annotated[str, typer.Argument(help="Name in the library.")]) -> None:
    """Remove a structure from the library."""
    from cryosiam.simulation.structure_store import StructureStore

    store = StructureStore.of_user()
    store.remove(name)
    typer.echo(f"removed {name} from {store.folder}")


def _print(cards: list[StructureCard]) -> None:
    from rich.table import Table

    from cryosiam.cli.tables import console

    table = Table("name", "file", box=None, pad_edge=False)
    table.add_column("mass (kDa)", justify="right")
    table.add_column("radius (Å)", justify="right")
    table.add_column("symmetry")
    table.add_column("size class")
    for card in cards:
        table.add_row(
            card.name,
            card.file,
            f"{card.mass_kda:.0f}",
            f"{card.radius_angstrom:.0f}",
            card.symmetry,
            card.size_class,
        )
    console().print(table)
