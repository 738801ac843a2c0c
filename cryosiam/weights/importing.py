"""Import of the authors' published checkpoints into our networks, with the same numbers out for the same numbers in."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryosiam.domain import SEMANTIC_CLASSES, Contrast
from cryosiam.errors import WeightsError
from cryosiam.weights.card import UNIT_RANGE, Task, WeightsCard
from cryosiam.weights.checkpoint import Checkpoint, read_checkpoint
from cryosiam.weights.store import build_network, expected_tensors, save_weights
from cryosiam.weights.upstream import (
    CLASS_ORDER,
    HEADS,
    VOXEL_SIZE_ANGSTROM,
    Renamed,
    UpstreamTask,
    fold_biases,
    listed,
    rename,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from cryosiam.networks.config import DenseConfig, EncoderConfig, PretrainingConfig

_ZEROS = "0" * 64


@dataclass(frozen=True)
class ImportWishes:
    """What a checkpoint does not say of itself.

    Parameters
    ----------
    name
        Name of the weights; that of the file by default.
    voxel_size_angstrom
        Voxel size it was trained at; 6.8 Å by default.
    classes
        Names of the semantic classes in the order of the network's channels, background first.
    embedding
        For a subtomogram network ``projector`` or ``predictor``; None for what the authors' program of version 1.0
        takes: the predictor after contrastive training, else the projector.
    crops
        For a subtomogram network: how particles are cut out; ``hull`` by default.
    half
        Write half precision.
    """

    name: str | None = None
    voxel_size_angstrom: float | None = None
    classes: tuple[str, ...] | None = None
    embedding: str | None = None
    crops: str | None = None
    half: bool = False


def import_checkpoint(
    path: Path, task: UpstreamTask, folder: Path, wishes: ImportWishes | None = None, *, overwrite: bool = False
) -> WeightsCard:
    """Turn a published checkpoint into weights with a card; optimizer state and all else is left behind.

    Parameters
    ----------
    path
        The Lightning checkpoint.
    task
        What it is for.
    folder
        Where the weights go; one folder takes one network of each dense task, and one subtomogram network.
    wishes
        What the checkpoint does not say.
    overwrite
        Replace weights of the same task that are there.

    Returns
    -------
    WeightsCard
        The card as written.

    Raises
    ------
    WeightsError
        If the file cannot be read safely, is of another task, or does not fit the network; if weights are there.
    """
    wishes = wishes or ImportWishes()
    stem = _stem(task)
    if not overwrite and any((folder / f"{stem}{ending}").exists() for ending in (".json", ".safetensors")):
        raise WeightsError(f"{folder} already holds {stem} weights; give another --out, or --overwrite to replace them")
    checkpoint = read_checkpoint(path)
    try:
        renamed = rename(checkpoint.tensors, task)
        fields = _card_fields(path, task, wishes, checkpoint, renamed)
        tensors = _named_as_here(renamed.tensors, fields)
        card = WeightsCard.model_validate({**fields, "sha256": _ZEROS})
        network = build_network(card).eval()
        expected = expected_tensors(network)
        tensors = fold_biases(tensors, expected)
        _check(tensors, expected, renamed)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from None
    network.load_state_dict({name: value.float() for name, value in tensors.items()}, strict=False)
    return save_weights(folder, network, {**fields, "halo": getattr(network, "halo", 0)}, half=wishes.half)


def _stem(task: UpstreamTask) -> str:
    if task.is_subtomogram:
        return str(Task.SUBTOMOGRAM)
    return str(Task.PRETRAINING) if task is UpstreamTask.PRETRAINING else f"{Task.DENSE}-{task}"


def _check(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], renamed: Renamed) -> None:
    """Compare with what the network needs, and name in the authors' words what does not fit."""
    missing = [name for name in expected if name not in tensors]
    unknown = [renamed.names.get(name, name) for name in tensors if name not in expected]
    clash = [
        f"{renamed.names.get(name, name)} is {_size(tensors[name])} and should be {_size(expected[name])}"
        for name in expected
        if name in tensors and tensors[name].shape != expected[name].shape
    ]
    parts = [
        f"lacks the tensors for {listed(missing)}" if missing else "",
        f"has the unknown tensors {listed(unknown)}" if unknown else "",
        f"has tensors of another shape: {listed(clash)}" if clash else "",
    ]
    if any(parts):
        raise WeightsError(f"the checkpoint does not fit: it {'; it '.join(part for part in parts if part)}")


def _size(tensor: Tensor) -> str:
    return " x ".join(str(size) for size in tensor.shape) or "a number"


def _card_fields(
    path: Path, task: UpstreamTask, wishes: ImportWishes, checkpoint: Checkpoint, renamed: Renamed
) -> dict[str, Any]:
    """Return the card but for the digest and the halo."""
    assumptions = []
    if wishes.voxel_size_angstrom is None:
        assumptions.append(f"voxels of {VOXEL_SIZE_ANGSTROM:g} Å, as in the authors' simulated tomograms")
    fields: dict[str, Any] = {
        "name": wishes.name or path.stem,
        "voxel_size_angstrom": wishes.voxel_size_angstrom or VOXEL_SIZE_ANGSTROM,
        "contrast": Contrast.BRIGHT,
        "normalisation": UNIT_RANGE,
        "training": {
            "recipe": f"imported from {path.name}",
            "data": "trained by the authors of CryoSiam, on their simulated tomograms",
            "parameters": _origin(path, checkpoint),
            "hours": 0.0,
            "machine": "not stated",
        },
    }
    if task.is_subtomogram:
        fields |= _subtomogram_fields(task, wishes, checkpoint, renamed, assumptions)
    elif task is UpstreamTask.PRETRAINING:
        fields |= {"task": Task.PRETRAINING, "network": _pretraining_config(renamed)}
    else:
        fields |= _dense_fields(task, wishes, renamed, assumptions)
    if wishes.classes and "semantic_classes" not in fields:
        raise WeightsError(f"--classes is for semantic checkpoints; a {task} network has no classes")
    if (wishes.embedding or wishes.crops) and not task.is_subtomogram:
        raise WeightsError(f"--embedding and --crops are for simsiam and contrastive checkpoints, not for {task}")
    return {**fields, "assumptions": tuple(assumptions)}


def _dense_fields(task: UpstreamTask, wishes: ImportWishes, renamed: Renamed, assumptions: list[str]) -> dict[str, Any]:
    config = _dense_config(renamed, task)
    fields: dict[str, Any] = {
        "task": Task.DENSE,
        "part": str(task),
        "network": config,
        "heads": tuple(HEADS[task].values()),
        "input": "tomogram" if task is UpstreamTask.DENOISE else "denoised",
    }
    if task is UpstreamTask.LAMELLA:
        channels = renamed.shape("task_heads.sample.layers.6.bias")
        if channels not in ((), (1,)):
            raise WeightsError(f"a lamella network has one output, this one {channels[0]}; give --task semantic")
    if task is UpstreamTask.SEMANTIC:
        fields["semantic_classes"] = _class_names(wishes.classes, config.classes, assumptions)
    return fields


def _class_names(given: tuple[str, ...] | None, count: int, assumptions: list[str]) -> tuple[str, ...]:
    if given is not None:
        if len(given) != count or len(set(given)) != count:
            raise WeightsError(
                f"--classes names {len(given)} classes and the network has {count}, the background counted; "
                "name each once, in the order of its channels"
            )
        return given
    if count == len(CLASS_ORDER):
        assumptions.append(f"classes in the order {', '.join(CLASS_ORDER)}; --classes gives another")
        return CLASS_ORDER
    assumptions.append("classes have numbers for names; --classes gives them names")
    return ("background", *(f"class-{number}" for number in range(1, count)))


def _subtomogram_fields(
    task: UpstreamTask, wishes: ImportWishes, checkpoint: Checkpoint, renamed: Renamed, assumptions: list[str]
) -> dict[str, Any]:
    from cryosiam.networks.config import SubtomogramConfig

    embedding = wishes.embedding
    if embedding is None:
        embedding = "predictor" if task is UpstreamTask.CONTRASTIVE else "projector"
        assumptions.append(f"the {embedding}'s output is the embedding, as in version 1.0 of the authors' program")
    if wishes.crops is None:
        assumptions.append("particles are cut out by their convex hull; --crops gives another way")
    box = checkpoint.setting("config", "parameters", "data", "patch_size")
    if isinstance(box, list | tuple) and box and all(isinstance(size, int) and size == box[0] for size in box):
        edge = int(box[0])
    else:
        edge = SubtomogramConfig().box
        assumptions.append(f"boxes of {edge} voxels")
    network = SubtomogramConfig.model_validate(
        {
            "encoder": _encoder_config(renamed, "encoder"),
            "box": edge,
            "embedding_channels": _first(renamed, "projector.6.weight", SubtomogramConfig().embedding_channels),
            "predictor_channels": _first(renamed, "predictor.0.weight", SubtomogramConfig().embedding_channels // 4),
            "embedding": embedding,
        }
    )
    return {"task": Task.SUBTOMOGRAM, "network": network, "input": "denoised", "crops": wishes.crops or "hull"}


def _first(renamed: Renamed, name: str, otherwise: int) -> int:
    """Return the output channels of a layer; of a missing one what is usual, as its absence is reported later."""
    return (renamed.shape(name) or (otherwise,))[0]


def _encoder_config(renamed: Renamed, where: str) -> EncoderConfig:
    from cryosiam.networks.config import EncoderConfig

    usual = EncoderConfig()
    stem = renamed.shape(f"{where}.stem.0.weight")
    depth = len(usual.planes)
    planes = tuple(_first(renamed, f"{where}.stages.{n}.conv2.weight", usual.planes[n]) for n in range(depth))
    return EncoderConfig(stem_kernel=stem[-1] if stem else usual.stem_kernel, stem_stride=1, planes=planes)


def _dense_config(renamed: Renamed, task: UpstreamTask) -> DenseConfig:
    from cryosiam.networks.config import DenseConfig

    usual = DenseConfig()
    shape: dict[str, Any] = {
        "encoder": _encoder_config(renamed, "trunk.encoder"),
        "fpn_channels": _first(renamed, "trunk.pyramid.laterals.0.weight", usual.fpn_channels),
        "embedding_channels": _first(renamed, "trunk.projector.6.weight", usual.embedding_channels),
    }
    if HEADS[task]:
        head = next(iter(HEADS[task].values()))
        widths = [
            _first(renamed, f"task_heads.{head}.layers.{n}.weight", w) for n, w in zip((0, 3), (32, 64), strict=True)
        ]
        shape["head_channels"] = tuple(widths)
    if task is UpstreamTask.SEMANTIC:
        # A network of one class says how likely it is; against a background that says nothing, that is softmax.
        shape["classes"] = max(2, _first(renamed, "task_heads.semantic.layers.6.weight", usual.classes))
    return DenseConfig.model_validate(shape)


def _pretraining_config(renamed: Renamed) -> PretrainingConfig:
    from cryosiam.networks.config import PretrainingConfig

    levels = {int(name.split(".")[1]) for name in renamed.tensors if name.startswith("level_projectors.")}
    return PretrainingConfig(
        dense=_dense_config(renamed, UpstreamTask.PRETRAINING),
        global_channels=_first(renamed, "global_projector.6.weight", 256),
        levels=tuple(number + 1 for number in sorted(levels)),
    )


def _named_as_here(tensors: dict[str, Tensor], fields: dict[str, Any]) -> dict[str, Tensor]:
    """Bring the channels of semantic heads into our order, and give a single class its background."""
    import torch

    if "semantic_classes" not in fields:
        return tensors
    names: tuple[str, ...] = fields["semantic_classes"]
    order = [names.index(name) for name in SEMANTIC_CLASSES] if set(names) == set(SEMANTIC_CLASSES) else None
    changed = dict(tensors)
    for head in ("semantic", "class_distance"):
        for kind in ("weight", "bias"):
            key = f"task_heads.{head}.layers.6.{kind}"
            if key not in changed:
                continue
            value = changed[key]
            if len(value) == 1:
                value = torch.cat([torch.zeros_like(value), value])
            changed[key] = value[order] if order is not None and len(value) == len(order) else value
    if order is not None:
        fields["semantic_classes"] = SEMANTIC_CLASSES
    return changed


def _origin(path: Path, checkpoint: Checkpoint) -> dict[str, Any]:
    """Return where the weights came from, and the settings they were trained with, as JSON can hold them."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {
        "checkpoint_sha256": digest,
        "epoch": checkpoint.epoch,
        "step": checkpoint.step,
        "settings": _plain(checkpoint.settings),
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(type(value).__name__)
