"""Reading and writing weights: a safetensors file and its card, checked against each other."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from pydantic import ValidationError

from cryosiam.errors import WeightsError
from cryosiam.files import whole_file
from cryosiam.weights.card import Task, WeightsCard

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from cryosiam.networks.dense import DenseNetwork
    from cryosiam.networks.subtomogram import SubtomogramNetwork

CLASSIFIER_PREFIX: Final = "classifier."
"""Tensors under this prefix belong to the species classifier, not to the network."""


@dataclass(frozen=True)
class DenseWeights:
    """A dense network in evaluation mode, and its card."""

    network: DenseNetwork
    card: WeightsCard


@dataclass(frozen=True)
class SubtomogramWeights:
    """A subtomogram network in evaluation mode, its card and the arrays of its classifier."""

    network: SubtomogramNetwork
    card: WeightsCard
    classifier: dict[str, np.ndarray]


def weights_folder(spec: str | Path) -> Path:
    """Return the folder of ``spec``: a name of weights that ship with the package, or a folder.

    Raises
    ------
    WeightsError
        If there is no such folder.
    """
    shipped = Path(str(files("cryosiam.weights") / str(spec)))
    for folder in (Path(spec), shipped):
        if folder.is_dir() and any(folder.glob("*.json")):
            return folder
    raise WeightsError(f"no weights at '{spec}': give a folder with weights and their cards, or the name 'light'")


def read_card(folder: str | Path, task: Task) -> WeightsCard:
    """Read and check the card of ``task`` in ``folder``.

    Raises
    ------
    WeightsError
        If it is missing, unreadable, or asks for what this version does not have.
    """
    path = weights_folder(folder) / f"{task}.json"
    try:
        return WeightsCard.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise WeightsError(f"{path.parent} holds no {task} weights: {path.name} is missing") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "card"
        raise WeightsError(f"{path} is not a card this version can use: {where}: {first['msg']}") from None


def load_dense(spec: str | Path = "light") -> DenseWeights:
    """Load a dense network by name or folder, after checking file, card and shapes.

    Raises
    ------
    WeightsError
        If the file is damaged, or does not fit the card.
    """
    from cryosiam.networks.config import DenseConfig
    from cryosiam.networks.dense import DenseNetwork

    folder = weights_folder(spec)
    card = read_card(folder, Task.DENSE)
    assert isinstance(card.network, DenseConfig)
    network = DenseNetwork(card.network, card.heads)
    if card.halo != network.halo:
        raise WeightsError(
            f"{folder / 'dense.json'} states a halo of {card.halo} voxels; its network needs {network.halo}"
        )
    _fill(network, _read_tensors(folder / "dense.safetensors", card.sha256), folder)
    return DenseWeights(network.eval(), card)


def load_subtomogram(spec: str | Path = "light") -> SubtomogramWeights:
    """Load a subtomogram network and its classifier by name or folder, after the same checks."""
    from cryosiam.networks.config import SubtomogramConfig
    from cryosiam.networks.subtomogram import SubtomogramNetwork

    folder = weights_folder(spec)
    card = read_card(folder, Task.SUBTOMOGRAM)
    assert isinstance(card.network, SubtomogramConfig)
    tensors = _read_tensors(folder / "subtomogram.safetensors", card.sha256)
    classifier = {
        name.removeprefix(CLASSIFIER_PREFIX): tensors.pop(name).float().numpy()
        for name in list(tensors)
        if name.startswith(CLASSIFIER_PREFIX)
    }
    network = SubtomogramNetwork(card.network)
    _fill(network, tensors, folder)
    return SubtomogramWeights(network.eval(), card, classifier)


def save_weights(
    folder: str | Path,
    network: nn.Module,
    card: Mapping[str, object],
    classifier: Mapping[str, np.ndarray] | None = None,
) -> WeightsCard:
    """Write a network in half precision with its card; each file whole or not at all.

    Parameters
    ----------
    folder
        Where ``<task>.safetensors`` and ``<task>.json`` go.
    network
        The network.
    card
        Fields of the card but ``sha256``.
    classifier
        Arrays of the species classifier.

    Returns
    -------
    WeightsCard
        The card as written.
    """
    import torch
    from safetensors.torch import save

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: value.to(torch.float16).contiguous()
        for name, value in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    for name, array in (classifier or {}).items():
        tensors[CLASSIFIER_PREFIX + name] = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
    payload = save(tensors)
    full = WeightsCard.model_validate({**card, "sha256": hashlib.sha256(payload).hexdigest()})
    _write(folder / f"{full.task}.safetensors", payload)
    _write(folder / f"{full.task}.json", (full.model_dump_json(indent=2) + "\n").encode())
    return full


def _write(path: Path, payload: bytes) -> None:
    with whole_file(path) as temporary:
        temporary.write_bytes(payload)


def _read_tensors(path: Path, sha256: str) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        payload = path.read_bytes()
    except FileNotFoundError:
        raise WeightsError(f"{path} is missing: the card is there, the weights are not") from None
    if hashlib.sha256(payload).hexdigest() != sha256:
        raise WeightsError(f"{path} is truncated or was changed: its digest is not the one on its card; copy it again")
    try:
        return load(payload)
    except SafetensorError as error:
        raise WeightsError(f"{path} is not a safetensors file: {error}") from None


def _fill(network: nn.Module, tensors: dict[str, Tensor], folder: Path) -> None:
    expected = {k: v for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}
    missing, extra = expected.keys() - tensors.keys(), tensors.keys() - expected.keys()
    clash = [k for k in expected.keys() & tensors.keys() if expected[k].shape != tensors[k].shape]
    if missing or extra or clash:
        raise WeightsError(
            f"the weights in {folder} do not fit their card: {len(missing)} tensors missing, "
            f"{len(extra)} unknown, {len(clash)} of another shape"
        )
    network.load_state_dict({k: v.float() for k, v in tensors.items()}, strict=False)
