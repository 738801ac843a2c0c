"""Copies of weights, whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cryosiam.errors import WeightsError
from cryosiam.weights.folders import read_cards, weights_folder
from cryosiam.weights.store import card_text, digest, read_tensors, tensors_file, write_together

if TYPE_CHECKING:
    from cryosiam.weights.card import WeightsCard


def export_weights(spec: str, folder: Path, *, half: bool = False, overwrite: bool = False) -> tuple[WeightsCard, ...]:
    """Copy all weights of a name or folder to ``folder``, after checking their digests.

    Parameters
    ----------
    spec
        Name or folder.
    folder
        Where the copies go.
    half
        Turn single precision into half precision on the way.
    overwrite
        Replace weights of the same task that are there.

    Returns
    -------
    tuple
        The cards as written.

    Raises
    ------
    WeightsError
        If there are no such weights, they are damaged, or ``folder`` holds weights of the same task.
    """
    source = weights_folder(spec)
    cards = read_cards(source)
    if folder.resolve() == source.resolve():
        raise WeightsError(f"{folder} is where these weights are; give another folder to copy them to")
    taken = [card.stem for card in cards if (folder / f"{card.stem}.json").exists()]
    if taken and not overwrite:
        raise WeightsError(f"{folder} already holds {', '.join(taken)} weights; give another folder, or --overwrite")
    contents: dict[str, bytes] = {}
    written = []
    for card in cards:
        tensors = read_tensors(source, card)
        path = source / f"{card.stem}.safetensors"
        payload = tensors_file(tensors, half=True) if half else path.read_bytes()
        copied = card.model_copy(update={"sha256": digest(payload)})
        contents |= {f"{card.stem}.safetensors": payload, f"{card.stem}.json": card_text(copied)}
        written.append(copied)
    write_together(folder, contents)
    return tuple(written)
