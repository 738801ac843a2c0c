"""Keeping what is not ours to replace: products of somebody else, and products that a user changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryosiam.errors import ProductExistsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from cryosiam.pipeline.manifest import RunRecord
    from cryosiam.pipeline.plan import Product
    from cryosiam.ports import ProductKey, Sink


def refuse_existing(run: str, record: RunRecord | None, sinks: Iterable[Sink], key: ProductKey, session: str) -> None:
    """Refuse products of ``session`` that this results folder knows nothing of.

    Raises
    ------
    ProductExistsError
        If there are any.
    """
    if record is not None and session in record.written:
        return
    for sink in sinks:
        there = sink.existing(run, key)
        if there:
            raise ProductExistsError(
                f"run '{run}' has {there[0]} of session {session} already; "
                "give another --session-id, or --overwrite to replace it"
            )


def refuse_edited(record: RunRecord | None, products: Sequence[Product], session: str, own: Path) -> None:
    """Keep what a user did to our products, such as picks sorted by hand.

    Files in the folder ``own`` are not meant for that: stages change them.

    Raises
    ------
    ProductExistsError
        If a file of one of ``products`` was changed after it was written.
    """
    for product in products:
        edited = record.edited_since(product.name, session, own) if record else None
        if edited is not None:
            raise ProductExistsError(
                f"{edited} was changed after CryoSiam wrote it; "
                "give another --session-id to keep it, or --overwrite to replace it"
            )
