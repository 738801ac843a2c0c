"""``cryosiam adapters``: which programs' files can be read and written here."""

from __future__ import annotations


def adapters() -> None:
    """List the installed adapters and what each can do."""
    from rich.table import Table

    from cryosiam.cli.tables import console
    from cryosiam.ports import installed_adapters

    table = Table("adapter", "kind", "can do", "about", "from", box=None, pad_edge=False)
    for adapter in installed_adapters():
        can = adapter.cls.capabilities
        table.add_row(
            adapter.name,
            adapter.kind,
            ", ".join(sorted(can.provides if adapter.kind == "source" else can.accepts)),
            can.summary,
            adapter.distribution,
        )
    console().print(table)
