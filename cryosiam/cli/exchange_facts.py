"""What options say of how tomograms lie in another program's frame."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final, Protocol

from cryosiam.errors import InputError
from cryosiam.integrations.handoff.frames import FrameFacts
from cryosiam.integrations.star.frame import Optics

if TYPE_CHECKING:
    from pathlib import Path


class _FrameOptions(Protocol):
    @property
    def tomograms_star(self) -> Path | None: ...

    @property
    def portal(self) -> Path | None: ...

    @property
    def warp_xml(self) -> Path | None: ...

    @property
    def tilt_series_pixel_size(self) -> float | None: ...

    @property
    def tomogram_size(self) -> str | None: ...

    @property
    def binned_by_averaging(self) -> int: ...

    @property
    def names(self) -> list[str] | None: ...

    @property
    def voxel_size(self) -> float | None: ...


def frame_facts(options: _FrameOptions) -> FrameFacts:
    """Return what the options say of how tomograms lie in the other program's frame.

    Raises
    ------
    InputError
        If an option is malformed or impossible.
    """
    return FrameFacts(
        tomograms_star=options.tomograms_star,
        portal=options.portal,
        warp_xml=options.warp_xml,
        tilt_series_pixel_size_angstrom=options.tilt_series_pixel_size,
        tomogram_size_xyz=tomogram_size(options.tomogram_size),
        binned_by_averaging=options.binned_by_averaging,
        names=_names(options.names or []),
        voxel_size_angstrom=options.voxel_size,
    )


def tomogram_size(text: str | None) -> tuple[int, int, int] | None:
    """Read ``--tomogram-size``; None for None.

    Raises
    ------
    InputError
        If it is not three whole numbers.
    """
    if text is None:
        return None
    try:
        x, y, z = (int(part) for part in re.split(r"[,x ]+", text.strip()))
    except ValueError as error:
        raise InputError(f"--tomogram-size '{text}' is not three numbers; write it as X,Y,Z") from error
    return x, y, z


def optics_of(text: str | None) -> Optics | None:
    """Read ``--optics``; None for None.

    Raises
    ------
    InputError
        If it is not a voltage, a spherical aberration and an amplitude contrast.
    """
    if text is None:
        return None
    try:
        voltage, aberration, contrast = (float(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(
            f"--optics '{text}' is not three numbers; write it as KV,CS,Q0, such as 300,2.7,0.1"
        ) from error
    if not (math.isfinite(voltage + aberration + contrast) and voltage > 0 <= contrast <= 1):
        raise InputError(f"--optics '{text}' is no optics; write it as KV,CS,Q0, such as 300,2.7,0.1")
    return Optics(_OPTICS_NAME, voltage, aberration, contrast)


_OPTICS_NAME: Final = "opticsGroup1"
"""What RELION names the first group."""


def _names(pairs: list[str]) -> dict[str, str]:
    names: dict[str, str] = {}
    for pair in pairs:
        run, equals, name = pair.partition("=")
        if not (run and equals and name):
            raise InputError(f"--name '{pair}' is not a pair; write it as RUN=NAME")
        if names.setdefault(run, name) != name:
            raise InputError(f"--name gives run '{run}' two names, {names[run]} and {name}; leave one out")
    return names
