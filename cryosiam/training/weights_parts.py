"""Dense networks of one weights folder put together: one file where networks share their trunk, else one for each."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from cryosiam.networks.config import HEAD_NAMES
from cryosiam.networks.dense import DenseNetwork
from cryosiam.pipeline.storage import storage_errors
from cryosiam.training.head_losses import HEADS
from cryosiam.training.history import after
from cryosiam.weights import DenseWeights, Task, load_dense_parts, read_cards, weights_folder
from cryosiam.weights.folders import card_files
from cryosiam.weights.store import card_text, digest, expected_tensors, tensors_file, write_together

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cryosiam.weights import WeightsCard


def dense_parts_in(folder: Path) -> tuple[DenseWeights, ...]:
    """Return the dense networks in a folder, none where there is no such folder."""
    if not folder.is_dir() or not any(path.stem.split("-")[0] == Task.DENSE for path in card_files(folder)):
        return ()
    return load_dense_parts(folder)


def with_network(parts: Sequence[DenseWeights], new: DenseWeights) -> tuple[DenseWeights, ...]:
    """Return the networks of a folder once ``new`` is among them.

    Heads that ``new`` has are taken away from the others. A network that reads the same and has the same trunk is
    joined with it; one that has no head left is gone.
    """
    joined = new
    others = []
    for part in parts:
        rest = [head for head in part.network.heads if head not in joined.network.heads]
        if not rest:
            continue
        if part.card.input == new.card.input and same_trunk(part.network, new.network):
            joined = _joined(part, rest, joined)
        elif len(rest) < len(part.network.heads):
            others.append(with_heads_only(part, rest))
        else:
            others.append(part)
    return (*others, _named(joined, whole=not others))


def with_heads_only(part: DenseWeights, heads: Sequence[str]) -> DenseWeights:
    """Return a network without its other heads."""
    return _named(replace(part, network=_with_heads([(part.network, heads)])), whole=False)


def same_trunk(a: DenseNetwork, b: DenseNetwork) -> bool:
    """Tell whether two networks have the same trunk once both are stored in half precision."""
    if a.config != b.config:
        return False
    mine, theirs = expected_tensors(a.trunk), expected_tensors(b.trunk)
    return all(torch.equal(mine[name].cpu().half(), theirs[name].cpu().half()) for name in mine)


def _joined(part: DenseWeights, heads: Sequence[str], new: DenseWeights) -> DenseWeights:
    network = _with_heads([(part.network, heads), (new.network, new.network.heads)])
    changes: dict[str, Any] = {
        "training": after(part.card.training, new.card.training),
        "semantic_classes": new.card.semantic_classes or part.card.semantic_classes,
        "score": new.card.score or part.card.score,
        "accuracy": {**part.card.accuracy, **new.card.accuracy},
    }
    return DenseWeights(network, new.card.model_copy(update=changes))


def _with_heads(sources: Sequence[tuple[DenseNetwork, Sequence[str]]]) -> DenseNetwork:
    """Return a network with heads of several that share a trunk, in the usual order of heads."""
    owner = {head: network for network, heads in sources for head in heads}
    first = sources[0][0]
    made = DenseNetwork(first.config, [head for head in HEAD_NAMES if head in owner])
    made.trunk.load_state_dict(first.trunk.state_dict())
    for head in made.heads:
        made.task_heads[head].load_state_dict(owner[head].task_heads[head].state_dict())
    return made.eval()


def _named(part: DenseWeights, whole: bool) -> DenseWeights:
    """Return a network whose card names its heads and, where it is not the ``whole``, its tasks as its part."""
    heads = part.network.heads
    tasks = [task for task, own in HEADS.items() if set(own) & set(heads)]
    classes = part.card.semantic_classes if "semantic" in heads else ()
    changes = {
        "part": "" if whole and len(tasks) == len(HEADS) else "-".join(tasks),
        "heads": heads,
        "semantic_classes": classes,
    }
    return DenseWeights(part.network, part.card.model_copy(update=changes))


def write_parts(folder: Path, parts: Sequence[DenseWeights], beside: Path | str | None = None) -> list[WeightsCard]:
    """Write the dense networks of a folder; those that were there and are not among them are removed.

    Parameters
    ----------
    folder
        The folder.
    parts
        Its dense networks.
    beside
        Name or folder of weights whose subtomogram network is copied where ``folder`` has none.

    Returns
    -------
    list
        The cards as written.

    Raises
    ------
    StorageError
        If the disk is full or ``folder`` cannot be written; what was there stays.
    """
    contents: dict[str, bytes] = {}
    cards = []
    for part in parts:
        payload = tensors_file(expected_tensors(part.network), half=True)
        card = type(part.card).model_validate({**part.card.model_dump(), "sha256": digest(payload)})
        contents |= {f"{card.stem}.safetensors": payload, f"{card.stem}.json": card_text(card)}
        cards.append(card)
    stale = _dense_stems(folder) - {card.stem for card in cards}
    if beside is not None:
        contents |= _subtomogram_of(beside, folder)
    with storage_errors("cannot write weights"):
        write_together(folder, contents)
        for stem in stale:
            (folder / f"{stem}.json").unlink()
            (folder / f"{stem}.safetensors").unlink(missing_ok=True)
    return cards


def _dense_stems(folder: Path) -> set[str]:
    if not folder.is_dir():
        return set()
    return {path.stem for path in card_files(folder) if path.stem.split("-")[0] == Task.DENSE}


def _subtomogram_of(spec: Path | str, folder: Path) -> dict[str, bytes]:
    """Return the files of the subtomogram networks of ``spec``, unless ``folder`` has one."""
    source = weights_folder(spec)
    if folder.is_dir() and any(path.stem.split("-")[0] == Task.SUBTOMOGRAM for path in card_files(folder)):
        return {}
    stems = [card.stem for card in read_cards(source, Task.SUBTOMOGRAM)]
    return {
        f"{stem}{ending}": (source / f"{stem}{ending}").read_bytes()
        for stem in stems
        for ending in (".safetensors", ".json")
    }
