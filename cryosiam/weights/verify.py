"""Checks of weights: does everything that belongs together fit together?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryosiam.errors import WeightsError
from cryosiam.networks.config import SubtomogramConfig
from cryosiam.weights.card import WeightsCard
from cryosiam.weights.folders import card_files, card_of, weights_folder
from cryosiam.weights.store import CLASSIFIER_PREFIX, build_network, expected_tensors, read_tensors

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor, nn


@dataclass(frozen=True)
class Verdict:
    """What was found about one file of weights.

    Parameters
    ----------
    stem
        Name of the file without its ending.
    checks
        What was looked at and is right.
    fault
        One sentence about what is wrong; None where nothing is.
    """

    stem: str
    checks: tuple[str, ...]
    fault: str | None


def verify_weights(spec: str) -> tuple[Verdict, ...]:
    """Check all weights in a folder: cards, digests, tensors against the network, numbers, and an answer.

    Parameters
    ----------
    spec
        Name or folder.

    Returns
    -------
    tuple
        One verdict per card, and one per weights file that has none.

    Raises
    ------
    WeightsError
        If there is no such folder.
    """
    folder = weights_folder(spec)
    cards = card_files(folder)
    stems = {path.stem for path in cards}
    strays = sorted(path for path in folder.glob("*.safetensors") if path.stem not in stems)
    return (
        *(_verdict(path) for path in cards),
        *(Verdict(path.stem, (), f"{path} has no card: {path.stem}.json is missing") for path in strays),
    )


def _verdict(path: Path) -> Verdict:
    done: list[str] = []
    try:
        card = card_of(path)
        done.append("card")
        tensors = read_tensors(path.parent, card)
        done.append("digest")
        network = build_network(card)
        for what, check in _CHECKS.items():
            check(card, network, tensors)
            done.append(what)
    except WeightsError as error:
        return Verdict(path.stem, tuple(done), str(error))
    return Verdict(path.stem, tuple(done), None)


def _check_shapes(card: WeightsCard, network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    expected = expected_tensors(network)
    own = {name: value for name, value in tensors.items() if not name.startswith(CLASSIFIER_PREFIX)}
    for name in expected:
        if name not in own:
            raise WeightsError(f"{card.stem}.safetensors lacks the tensor {name} of the network on its card")
        if own[name].shape != expected[name].shape:
            raise WeightsError(
                f"{card.stem}.safetensors has {name} of shape {tuple(own[name].shape)}; the network on its card has "
                f"{tuple(expected[name].shape)}"
            )
    unknown = sorted(own.keys() - expected.keys())
    if unknown:
        raise WeightsError(f"{card.stem}.safetensors holds {unknown[0]}, which the network on its card does not have")


def _check_numbers(card: WeightsCard, network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    for name, value in tensors.items():
        if not bool(value.isfinite().all()):
            raise WeightsError(f"{card.stem}.safetensors holds NaN or infinite numbers in {name}; export or train anew")
        if name.endswith("running_var") and bool((value < 0).any()):
            raise WeightsError(f"{card.stem}.safetensors holds a negative variance in {name}; export or train anew")


def _check_halo(card: WeightsCard, network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    halo = getattr(network, "halo", 0)
    if card.halo != halo:
        raise WeightsError(f"{card.stem}.json states a halo of {card.halo} voxels; its network needs {halo}")


def _check_classifier(card: WeightsCard, network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    own = {name: value for name, value in tensors.items() if name.startswith(CLASSIFIER_PREFIX)}
    if not own and not card.species:
        return
    if not isinstance(card.network, SubtomogramConfig):
        raise WeightsError(f"{card.stem}.safetensors holds a classifier, which only subtomogram weights have")
    shapes = {name.removeprefix(CLASSIFIER_PREFIX): tuple(value.shape) for name, value in own.items()}
    for name, shape in _classifier_shapes(shapes, len(card.species), card.network.embedding_channels).items():
        if shapes.get(name) != shape:
            raise WeightsError(
                f"the classifier in {card.stem}.safetensors should have a {name} of shape {shape} for its "
                f"{len(card.species)} species and has {shapes.get(name, 'none')}"
            )


def _classifier_shapes(
    shapes: Mapping[str, tuple[int, ...]], species: int, channels: int
) -> dict[str, tuple[int, ...]]:
    """Return what a classifier of this kind must hold: references, or layers each of which reads the one before."""
    if "references" in shapes and "weight" not in shapes:
        count = shapes["references"][0]
        return {"references": (max(count, species), channels), "members": (count,)}
    wanted: dict[str, tuple[int, ...]] = {}
    for number in range(sum(name.startswith("hidden") and name.endswith(".weight") for name in shapes)):
        width = shapes.get(f"hidden{number}.weight", (0,))[0]
        wanted |= {f"hidden{number}.weight": (width, channels), f"hidden{number}.bias": (width,)}
        channels = width
    return {**wanted, "weight": (species, channels), "bias": (species,)}


def _check_answer(card: WeightsCard, network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Run the network on a small cube of noise: its answer must be numbers."""
    import torch

    from cryosiam.networks.simsiam import DenseSimSiam

    network.load_state_dict({name: value.float() for name, value in tensors.items()}, strict=False)
    channels = card.network.encoder.input_channels if isinstance(card.network, SubtomogramConfig) else 1
    cube = torch.rand((1, channels, 16, 16, 16), generator=torch.Generator().manual_seed(0))
    network.eval()
    with torch.inference_mode():
        answer = network.represent(cube)[1] if isinstance(network, DenseSimSiam) else network(cube)
    for value in answer.values() if isinstance(answer, dict) else (answer,):
        if not bool(value.isfinite().all()):
            raise WeightsError(f"the network of {card.stem} answers with NaN or infinite numbers; do not use it")


_CHECKS: dict[str, Callable[[WeightsCard, nn.Module, Mapping[str, Tensor]], None]] = {
    "tensors": _check_shapes,
    "numbers": _check_numbers,
    "halo": _check_halo,
    "classifier": _check_classifier,
    "answer": _check_answer,
}
