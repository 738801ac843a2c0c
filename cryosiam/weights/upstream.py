"""The authors' networks: how their tensors are named, and which of ours each is (docs/weights.md).

The authors published Lightning checkpoints, trained with MONAI's 3D ResNet-10 without max-pooling, a feature pyramid of
1x1x1 lateral convolutions, and SimSiam's projectors and predictors. Our networks compute the same; what differs is
names, and that convolutions here have no bias where a batch norm follows, which cancels it: the bias goes into the
norm's mean instead. Where the layout of the published files leaves something open, it is named in `assumptions`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from cryosiam.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import Tensor

VOXEL_SIZE_ANGSTROM: Final = 6.8
"""Voxel size of the authors' simulated tomograms (preprint, supplement); no checkpoint states it."""

CLASS_ORDER: Final = ("background", "membrane", "particle", "filament", "microtubule", "actin")
"""Order in which the authors list their six classes; that label 1 is membrane their tutorial implies."""


class UpstreamTask(StrEnum):
    """What a checkpoint of the authors is for."""

    PRETRAINING = "pretraining"
    DENOISE = "denoise"
    LAMELLA = "lamella"
    SEMANTIC = "semantic"
    INSTANCE = "instance"
    SIMSIAM = "simsiam"
    CONTRASTIVE = "contrastive"

    @property
    def is_subtomogram(self) -> bool:
        """Whether it embeds single particles."""
        return self in (UpstreamTask.SIMSIAM, UpstreamTask.CONTRASTIVE)


HEADS: Final[dict[UpstreamTask, dict[str, str]]] = {
    UpstreamTask.PRETRAINING: {},
    UpstreamTask.DENOISE: {"cnn_head": "denoise"},
    UpstreamTask.LAMELLA: {"semantic_head": "sample"},
    UpstreamTask.SEMANTIC: {"semantic_head": "semantic", "distance_head": "class_distance"},
    UpstreamTask.INSTANCE: {"foreground_head": "foreground", "distance_head": "distance", "boundary_head": "boundary"},
}
"""Their name of each head of a dense task, and ours."""

_STAGE = re.compile(r".*encoder\.layer(\d+)\.")
_STEM = {"conv1": "stem.0", "bn1": "stem.1"}
_BLOCK = re.compile(r"layer(\d+)\.0\.(?:downsample\.(\d)|(conv1|bn1|conv2|bn2))\.(\w+)")
_LATERAL = re.compile(r"layer(\d+)\.(weight|bias)")
_LEVEL = re.compile(r"level_(projector|predictor)_(\d+)\.(.+)")
_SELF_SUPERVISED = re.compile(r"encoder\.fc\.|predictor\.|global_(projector|predictor)\.|level_(projector|predictor)_")
"""Parts of a task's backbone that only its pretraining used."""


@dataclass(frozen=True)
class Renamed:
    """Tensors of a checkpoint under our names.

    Parameters
    ----------
    tensors
        Tensors by our name.
    names
        Their name by ours, for messages.
    left_out
        Their names of what has no use here.
    """

    tensors: dict[str, Tensor]
    names: dict[str, str]
    left_out: list[str] = field(default_factory=list)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of our tensor ``name``; an empty one where there is none, which is reported later."""
        return tuple(self.tensors[name].shape) if name in self.tensors else ()


def task_of(names: Iterable[str]) -> str | None:
    """Return what the names of a checkpoint's tensors show it to be for, in words; None if it is not the authors'."""
    known = list(names)

    def has(*prefixes: str) -> bool:
        return all(any(name.startswith(prefix) for name in known) for prefix in prefixes)

    if has("_model.cnn_head."):
        return "denoise"
    if has("_model.foreground_head."):
        return "instance"
    if has("_model.semantic_head."):
        return "semantic or lamella"
    if has("_model.decoder."):
        return "pretraining"
    if has("_model.encoder.fc.7."):
        return "simsiam or contrastive"
    return None


def rename(tensors: Mapping[str, Tensor], task: UpstreamTask) -> Renamed:
    """Give the tensors of a checkpoint our names.

    Raises
    ------
    WeightsError
        If it is a checkpoint of another task, or holds tensors that the layout does not have.
    """
    found = task_of(tensors)
    if found is None:
        first = ", ".join(list(tensors)[:3])
        raise WeightsError(f"this is not a checkpoint of the authors' CryoSiam: its tensors are named {first} ...")
    if task not in found.split(" or "):
        raise WeightsError(f"the checkpoint is for {found}, not for {task}; give --task {found}")
    stages = max((int(match[1]) for match in map(_STAGE.match, tensors) if match), default=0)
    result = Renamed({}, {})
    unknown = []
    for theirs, tensor in tensors.items():
        if theirs.endswith("num_batches_tracked"):
            continue
        ours = _subtomogram_name(theirs) if task.is_subtomogram else _dense_name(theirs, task, stages)
        if ours is None:
            unknown.append(theirs)
        elif ours:
            result.tensors[ours] = tensor
            result.names[ours] = theirs
        else:
            result.left_out.append(theirs)
    if unknown:
        raise WeightsError(f"the checkpoint holds tensors that a {task} network does not have: {listed(unknown)}")
    _check_shared(tensors)
    return result


def listed(names: list[str]) -> str:
    """Return the first few names, and how many more there are."""
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return ", ".join(names[:4]) + more


def _check_shared(tensors: Mapping[str, Tensor]) -> None:
    """Refuse an encoder's last layer that is not the projector's, whose second name it is."""
    for kind in ("weight", "bias"):
        one = tensors.get(f"_model.encoder.fc.{kind}")
        other = tensors.get(f"_model.global_projector.6.{kind}")
        if one is not None and other is not None and not bool((one == other).all()):
            raise WeightsError(
                f"_model.encoder.fc.{kind} and _model.global_projector.6.{kind} should be the same and are not; "
                "get the file again"
            )


def _dense_name(theirs: str, task: UpstreamTask, stages: int) -> str | None:
    """Return our name; an empty one for what is left out, None for what is not in the layout."""
    if task is UpstreamTask.PRETRAINING:
        return _trunk_name(theirs.removeprefix("_model."), stages, "") if theirs.startswith("_model.") else None
    if theirs.startswith("_model_backbone."):
        inner = theirs.removeprefix("_model_backbone.")
        if _SELF_SUPERVISED.match(inner):
            return ""
        return _trunk_name(inner, stages, None)
    head, _, rest = theirs.removeprefix("_model.").partition(".")
    if not theirs.startswith("_model."):
        return None
    if head in HEADS[task]:
        return f"task_heads.{HEADS[task][head]}.layers.{rest}"
    # The lamella's network has the second head of semantic ones, whose answer nothing here reads.
    return "" if task is UpstreamTask.LAMELLA and head == "distance_head" else None


def _trunk_name(inner: str, stages: int, shared: str | None) -> str | None:
    part, _, rest = inner.partition(".")
    level = _LEVEL.fullmatch(inner)
    if part == "encoder":
        if rest.startswith("fc."):
            return shared
        name = _encoder_name(rest)
        return f"trunk.encoder.{name}" if name else None
    if part == "decoder":
        lateral = _LATERAL.fullmatch(rest)
        # Theirs count from the coarsest level, ours from the finest.
        return f"trunk.pyramid.laterals.{stages - int(lateral[1])}.{lateral[2]}" if lateral else None
    if part == "projector":
        return f"trunk.projector.{rest}"
    if part == "predictor":
        return f"dense_predictor.{rest}"
    if part in ("global_projector", "global_predictor"):
        return inner
    if level:
        return f"level_{level[1]}s.{int(level[2]).bit_length() - 2}.{level[3]}"
    return None


def _subtomogram_name(theirs: str) -> str | None:
    part, _, rest = theirs.removeprefix("_model.").partition(".")
    if not theirs.startswith("_model."):
        return None
    if part == "predictor":
        return f"predictor.{rest}"
    if part == "encoder" and rest.startswith("fc."):
        return f"projector.{rest.removeprefix('fc.')}"
    name = _encoder_name(rest) if part == "encoder" else None
    return f"encoder.{name}" if name else None


def _encoder_name(inner: str) -> str | None:
    layer, _, kind = inner.partition(".")
    if layer in _STEM:
        return f"{_STEM[layer]}.{kind}"
    block = _BLOCK.fullmatch(inner)
    if block is None:
        return None
    within = f"shortcut.{block[2]}" if block[2] is not None else block[3]
    return f"stages.{int(block[1]) - 1}.{within}.{block[4]}"


def fold_biases(tensors: dict[str, Tensor], expected: Iterable[str]) -> dict[str, Tensor]:
    """Move each bias that the network has no place for into the mean of the batch norm after it.

    ``norm(x + b)`` with mean ``m`` is ``norm(x)`` with mean ``m - b``, whatever its scale.
    """
    wanted = set(expected)
    folded = dict(tensors)
    for name in [name for name in tensors if name.endswith(".bias") and name not in wanted]:
        parent, _, index = name.removesuffix(".bias").rpartition(".")
        mean = f"{parent}.{int(index) + 1}.running_mean" if index.isdigit() else ""
        if mean in folded and folded[mean].shape == tensors[name].shape:
            folded[mean] = (folded[mean].double() - folded.pop(name).double()).float()
    return folded
