"""Which networks of a weights folder a command uses, and whether they are enough for it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryosiam.domain import SEMANTIC_CLASSES
from cryosiam.errors import WeightsError
from cryosiam.stages.stage import WeightsUsed

if TYPE_CHECKING:
    from cryosiam.weights import WeightsCard

_INSTANCES = ("foreground", "distance", "boundary")
HEADS_NEEDED: Final[dict[str, tuple[str, ...]]] = {
    "denoise": ("denoise",),
    "segment": ("semantic",),
    "instances": _INSTANCES,
    "embed": ("denoise", *_INSTANCES),
    "classify": ("denoise", *_INSTANCES),
    "pick": ("denoise", "semantic", *_INSTANCES),
}
"""Heads that each command cannot do without."""

NEEDS_EMBEDDING: Final = frozenset({"embed", "classify", "pick"})


@dataclass(frozen=True)
class NetworksUsed:
    """The networks of a weights folder.

    Parameters
    ----------
    spec
        Name or folder of the weights.
    dense
        Cards of its dense networks, at least one.
    subtomogram
        Card of its subtomogram network, if there is one.
    """

    spec: str
    dense: tuple[WeightsCard, ...]
    subtomogram: WeightsCard | None

    @property
    def first(self) -> WeightsCard:
        """Card of a dense network that reads the tomogram."""
        return min(self.dense, key=lambda card: card.input != "tomogram")

    @property
    def heads(self) -> tuple[str, ...]:
        """Heads of all dense networks."""
        return tuple(head for card in self.dense for head in card.heads)

    @property
    def species(self) -> tuple[str, ...]:
        """Names that the subtomogram network's classifier knows."""
        return self.subtomogram.species if self.subtomogram else ()

    @property
    def score(self) -> dict[str, object] | None:
        """Calibration of scores, of the network that finds particles."""
        return next((card.score for card in self.dense if "foreground" in card.heads), None)

    def dense_used(self) -> WeightsUsed:
        """Return what identifies the dense networks together."""
        if len(self.dense) == 1:
            return WeightsUsed(self.dense[0].name, self.dense[0].sha256)
        digests = "".join(card.sha256 for card in self.dense)
        return WeightsUsed(" + ".join(card.name for card in self.dense), hashlib.sha256(digests.encode()).hexdigest())


def networks_used(spec: str, target: str) -> NetworksUsed:
    """Return the networks of ``spec`` if command ``target`` can work with them.

    Raises
    ------
    WeightsError
        If a card cannot be used, networks do not belong together, or ``target`` needs what they do not have.
    """
    from cryosiam.weights import Task, read_card, read_cards

    dense = tuple(sorted(read_cards(spec, Task.DENSE), key=lambda card: (card.input != "tomogram", card.part)))
    if not dense:
        # Says what is missing.
        read_card(spec, Task.DENSE)
    embedders = read_cards(spec, Task.SUBTOMOGRAM)
    networks = NetworksUsed(spec, dense, embedders[0] if embedders else None)
    _check_enough(networks, target)
    if len(embedders) != 1 and (embedders or target in NEEDS_EMBEDDING):
        # Says which is missing, or that there are several.
        read_card(spec, Task.SUBTOMOGRAM)
    _check_together((*dense, *embedders), spec)
    return networks


def _check_together(cards: Sequence[WeightsCard], spec: str) -> None:
    first = cards[0]
    for card in cards[1:]:
        if card.voxel_size_angstrom != first.voxel_size_angstrom:
            raise WeightsError(
                f"the weights in {spec} are for voxels of {first.voxel_size_angstrom:g} Å ({first.stem}) and "
                f"{card.voxel_size_angstrom:g} Å ({card.stem}); use weights that belong together"
            )
        if card.task == first.task and (card.contrast, card.normalisation) != (first.contrast, first.normalisation):
            raise WeightsError(
                f"the weights {first.stem} and {card.stem} in {spec} learnt from grey values of another contrast or "
                "scale; use weights that belong together"
            )


def _check_enough(networks: NetworksUsed, target: str) -> None:
    twice = [head for head, count in Counter(networks.heads).items() if count > 1]
    if twice:
        raise WeightsError(f"two networks in {networks.spec} have a head '{twice[0]}'; keep one of them there")
    missing = [head for head in HEADS_NEEDED[target] if head not in networks.heads]
    if missing:
        able = [name for name in HEADS_NEEDED if name != target and _is_enough(networks, name)]
        instead = f"'cryosiam {able[-1]}' works with them, or" if able else "to go on,"
        raise WeightsError(
            f"'cryosiam {target}' needs a network with {_heads(missing)}, and the weights in {networks.spec} have "
            f"{_heads(networks.heads)}; {instead} import what is missing into the same folder"
        )
    for card in networks.dense:
        if (
            "semantic" in card.heads
            and "semantic" in HEADS_NEEDED[target]
            and card.semantic_classes != SEMANTIC_CLASSES
        ):
            raise WeightsError(
                f"'cryosiam {target}' writes the classes {', '.join(SEMANTIC_CLASSES)}, and the weights in "
                f"{networks.spec} know {', '.join(card.semantic_classes)}; import them again with --classes if "
                "these are others' names for the same, or use other weights"
            )


def _is_enough(networks: NetworksUsed, target: str) -> bool:
    return set(HEADS_NEEDED[target]) <= set(networks.heads) and (
        target not in NEEDS_EMBEDDING or networks.subtomogram is not None
    )


def _heads(names: Sequence[str]) -> str:
    return f"the head{'s' if len(names) > 1 else ''} {', '.join(names)}"
