"""Reading and writing weights: a safetensors file and its card, checked against each other."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from cryosiam.errors import StorageError, WeightsError
from cryosiam.weights.card import Task, WeightsCard
from cryosiam.weights.folders import read_card, read_cards, weights_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from cryosiam.networks.dense import DenseNetwork
    from cryosiam.networks.simsiam import DenseSimSiam
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
    """A subtomogram network in evaluation mode, its card and the arrays of its classifier, if it has one."""

    network: SubtomogramNetwork
    card: WeightsCard
    classifier: dict[str, np.ndarray]


@dataclass(frozen=True)
class PretrainedWeights:
    """A self-supervised model in evaluation mode, and its card; training starts from its trunk."""

    model: DenseSimSiam
    card: WeightsCard


def load_dense(spec: str | Path = "light", part: str | None = None) -> DenseWeights:
    """Load a dense network by name or folder, after checking file, card and shapes.

    Parameters
    ----------
    spec
        Name or folder.
    part
        Which, where the folder holds several.

    Raises
    ------
    WeightsError
        If the file is damaged, or does not fit the card.
    """
    folder = weights_folder(spec)
    card = read_card(folder, Task.DENSE, part)
    network: DenseNetwork = build_network(card)  # type: ignore[assignment]
    if card.halo != network.halo:
        raise WeightsError(
            f"{folder / card.stem}.json states a halo of {card.halo} voxels; its network needs {network.halo}"
        )
    fill(network, read_tensors(folder, card), folder)
    return DenseWeights(network.eval(), card)


def load_dense_parts(spec: str | Path = "light") -> tuple[DenseWeights, ...]:
    """Load every dense network in a folder, those that read the tomogram before those that read the denoised one."""
    cards = sorted(read_cards(spec, Task.DENSE), key=lambda card: card.input != "tomogram")
    return tuple(load_dense(spec, card.part) for card in cards)


def load_subtomogram(spec: str | Path = "light", part: str | None = None) -> SubtomogramWeights:
    """Load a subtomogram network and its classifier by name or folder, after the same checks."""
    folder = weights_folder(spec)
    card = read_card(folder, Task.SUBTOMOGRAM, part)
    tensors = read_tensors(folder, card)
    classifier = {
        name.removeprefix(CLASSIFIER_PREFIX): tensors.pop(name).float().numpy()
        for name in list(tensors)
        if name.startswith(CLASSIFIER_PREFIX)
    }
    network: SubtomogramNetwork = build_network(card)  # type: ignore[assignment]
    fill(network, tensors, folder)
    return SubtomogramWeights(network.eval(), card, classifier)


def load_pretrained(spec: str | Path) -> PretrainedWeights:
    """Load a self-supervised model of the dense network by name or folder, after the same checks."""
    folder = weights_folder(spec)
    card = read_card(folder, Task.PRETRAINING)
    model: DenseSimSiam = build_network(card)  # type: ignore[assignment]
    fill(model, read_tensors(folder, card), folder)
    return PretrainedWeights(model.eval(), card)


def build_network(card: WeightsCard) -> nn.Module:
    """Return the network that ``card`` describes, with fresh weights."""
    from cryosiam.networks.config import DenseConfig, PretrainingConfig, SubtomogramConfig
    from cryosiam.networks.dense import DenseNetwork
    from cryosiam.networks.simsiam import DenseSimSiam
    from cryosiam.networks.subtomogram import SubtomogramNetwork

    match card.network:
        case DenseConfig() as config:
            return DenseNetwork(config, card.heads)
        case SubtomogramConfig() as config:
            return SubtomogramNetwork(config)
        case PretrainingConfig() as config:
            return DenseSimSiam(config.dense, config.global_channels, config.levels)


def save_weights(
    folder: str | Path,
    network: nn.Module,
    card: Mapping[str, object],
    classifier: Mapping[str, np.ndarray] | None = None,
    *,
    half: bool = True,
) -> WeightsCard:
    """Write a network with its card: both whole, or what was there before.

    Parameters
    ----------
    folder
        Where ``<task>.safetensors`` and ``<task>.json`` go; with a part ``<task>-<part>`` each.
    network
        The network.
    card
        Fields of the card but ``sha256``.
    classifier
        Arrays of the species classifier.
    half
        In half precision, else in single precision.

    Returns
    -------
    WeightsCard
        The card as written.
    """
    import torch

    tensors = expected_tensors(network)
    for name, array in (classifier or {}).items():
        tensors[CLASSIFIER_PREFIX + name] = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
    payload = tensors_file(tensors, half=half)
    full = WeightsCard.model_validate({**card, "sha256": digest(payload)})
    write_together(Path(folder), {f"{full.stem}.safetensors": payload, f"{full.stem}.json": card_text(full)})
    return full


def tensors_file(tensors: Mapping[str, Tensor], *, half: bool) -> bytes:
    """Return a safetensors file of ``tensors``; those of a classifier stay in single precision."""
    from safetensors.torch import save

    return save(
        {name: _stored(value, half and not name.startswith(CLASSIFIER_PREFIX)) for name, value in tensors.items()}
    )


def digest(payload: bytes) -> str:
    """Return the SHA-256 that a card states for its weights file."""
    return hashlib.sha256(payload).hexdigest()


def _stored(value: Tensor, half: bool) -> Tensor:
    single = value.detach().cpu().float().contiguous()
    halved = single.half()
    # The variance of a norm may be too large for half precision.
    return halved if half and bool(halved.isfinite().all()) else single


def card_text(card: WeightsCard) -> bytes:
    """Return the card as it is written."""
    return (card.model_dump_json(indent=2) + "\n").encode()


def write_together(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write files that belong together; where one cannot be written, those that were there come back.

    Parameters
    ----------
    folder
        Made where it is missing.
    contents
        Bytes by file name.

    Raises
    ------
    StorageError
        If ``folder`` is a file, or inside one.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise StorageError(f"{folder} is a file or inside one; give a folder for the weights") from None
    mark = os.getpid()
    new = {folder / name: folder / f".{name}.{mark}.part" for name in contents}
    old = {path: path.with_name(f".{path.name}.{mark}.old") for path in new if path.is_file()}
    try:
        # Everything is on disk before the first file is replaced, so that a full disk changes nothing.
        for path, temporary in new.items():
            _write_through(temporary, contents[path.name])
        for path, backup in old.items():
            os.replace(path, backup)
        for path, temporary in new.items():
            os.replace(temporary, path)
    except BaseException:
        for path, backup in old.items():
            if backup.exists():
                os.replace(backup, path)
        for path in new.keys() - old.keys():
            if path.is_file():
                path.unlink()
        raise
    finally:
        for leftover in (*new.values(), *old.values()):
            leftover.unlink(missing_ok=True)


def _write_through(path: Path, payload: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(payload)
        stream.flush()
        os.fsync(stream.fileno())


def read_tensors(folder: Path, card: WeightsCard) -> dict[str, Tensor]:
    """Read the tensors that ``card`` describes.

    Raises
    ------
    WeightsError
        If the file is missing, damaged, or not the one the card was written for.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    path = folder / f"{card.stem}.safetensors"
    try:
        payload = path.read_bytes()
    except FileNotFoundError:
        raise WeightsError(f"{path} is missing: the card is there, the weights are not") from None
    if digest(payload) != card.sha256:
        raise WeightsError(f"{path} is truncated or was changed: its digest is not the one on its card; copy it again")
    try:
        return load(payload)
    except SafetensorError as error:
        raise WeightsError(f"{path} is not a safetensors file: {error}") from None


def expected_tensors(network: nn.Module) -> dict[str, Tensor]:
    """Return the tensors that a weights file of ``network`` holds; counters of training steps are left out."""
    return {k: v for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}


def fill(network: nn.Module, tensors: Mapping[str, Tensor], folder: Path) -> None:
    """Put ``tensors`` into ``network``; raises `WeightsError` if they are not exactly those that it has."""
    expected = expected_tensors(network)
    missing, extra = expected.keys() - tensors.keys(), tensors.keys() - expected.keys()
    clash = [k for k in expected.keys() & tensors.keys() if expected[k].shape != tensors[k].shape]
    if missing or extra or clash:
        raise WeightsError(
            f"the weights in {folder} do not fit their card: {len(missing)} tensors missing, "
            f"{len(extra)} unknown, {len(clash)} of another shape"
        )
    network.load_state_dict({k: v.float() for k, v in tensors.items()}, strict=False)
