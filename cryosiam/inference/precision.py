"""Choice of the arithmetic a network runs in."""

from __future__ import annotations

import functools
import platform
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from cryosiam.errors import InputError

if TYPE_CHECKING:
    import torch


class Precision(StrEnum):
    """Type of weights and activations; logits leave the network within 1e-2 of float32 either way."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"

    @property
    def dtype(self) -> torch.dtype:
        """The torch type."""
        import torch

        return torch.bfloat16 if self is Precision.BFLOAT16 else torch.float32


@functools.cache
def cpu_flags() -> frozenset[str]:
    """Return the processor's feature flags as Linux names them; empty on other systems."""
    info = Path("/proc/cpuinfo")
    if not info.is_file():
        return frozenset()
    for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in {"flags", "Features"}:
            return frozenset(value.split())
    return frozenset()


def has_native_bfloat16(device: str) -> bool:
    """Return whether ``device`` (``"cpu"``, ``"cuda"``) multiplies bfloat16 in hardware."""
    if device.startswith("cuda"):
        import torch

        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(cpu_flags() & {"avx512_bf16", "amx_bf16", "bf16"})


def choose_precision(wanted: str | None, device: str) -> Precision:
    """Return the wanted precision, or by default bfloat16 where the hardware has it and float32 elsewhere.

    Raises
    ------
    InputError
        If ``wanted`` is not a precision.
    """
    if wanted is None or wanted == "auto":
        return Precision.BFLOAT16 if has_native_bfloat16(device) else Precision.FLOAT32
    try:
        return Precision(wanted)
    except ValueError:
        names = ", ".join(["auto", *Precision])
        raise InputError(f"there is no precision '{wanted}'; choose one of {names}") from None


def choose_device(wanted: str | None) -> str:
    """Return the torch device to run on: ``wanted``, or a GPU where there is one, or the CPU.

    Raises
    ------
    InputError
        If the device is unknown or not there.
    """
    import torch

    if wanted is None or wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cpu":
        return wanted
    if wanted == "cuda" or wanted.startswith("cuda:"):
        index = wanted.partition(":")[2] or "0"
        if index.isdigit() and torch.cuda.is_available() and int(index) < torch.cuda.device_count():
            return wanted
        raise InputError(f"there is no GPU '{wanted}' on {platform.node() or 'this machine'}; use --device cpu")
    raise InputError(f"there is no device '{wanted}'; choose cpu, cuda or auto")
