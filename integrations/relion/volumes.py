"""The files of a RELION project's tomograms: which of them to read, where they are, how they are read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from cryosiam.domain import ArrayVolume
from cryosiam.errors import InputError
from cryosiam.integrations.mrc.header import ISOTROPY_TOLERANCE, MrcLayout, read_layout
from cryosiam.integrations.star.core_names import core_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from cryosiam.domain.tomogram import Box, Volume
    from cryosiam.integrations.handoff.known import KnownTomogram

RECONSTRUCTED: Final = "reconstructed"
HALVES: Final = "halves"
DENOISED: Final = "denoised"
KINDS: Final = (RECONSTRUCTED, HALVES, DENOISED)
"""Tomograms that a tomograms.star can name, as ``--tomogram`` takes them."""

VOXEL_SIZE_TOLERANCE: Final = 0.01
SIZE_TOLERANCE_VOXELS: Final = 2.0
"""Binned sizes are rounded, by some programs to even numbers."""


@dataclass(frozen=True)
class MeanVolume:
    """The mean of two volumes, such as reconstructions from half of the data each.

    Parameters
    ----------
    first, second
        Volumes of one size; only the region that is asked for is read.
    """

    first: Volume
    second: Volume

    @property
    def shape(self) -> tuple[int, int, int]:
        """Size in voxels along z, y, x."""
        return self.first.shape

    def read(self, box: Box) -> NDArray[np.float32]:
        """Return the voxels of ``box`` as a new float32 array in C order."""
        voxels = self.first.read(box)
        voxels += self.second.read(box)
        voxels *= np.float32(0.5)
        return voxels


def files_of(tomogram: KnownTomogram, kind: str | None, where: Path) -> tuple[str, ...]:
    """Return the file of a tomogram, or both halves, as ``tomograms.star`` writes them; none where it names none.

    Parameters
    ----------
    tomogram
        A tomogram of ``tomograms.star``.
    kind
        One of `KINDS`; by default the reconstruction from all data, or else its halves.
    where
        The ``tomograms.star``, for messages.

    Raises
    ------
    InputError
        If there is no tomogram of that kind, or only a denoised one and it was not asked for.
    """
    named: dict[str, tuple[str, ...]] = {
        RECONSTRUCTED: (tomogram.tomogram_path,) if tomogram.tomogram_path else (),
        HALVES: tomogram.half_paths or (),
        DENOISED: (tomogram.denoised_path,) if tomogram.denoised_path else (),
    }
    there = [name for name, files in named.items() if files]
    if kind is not None:
        if kind not in KINDS:
            raise InputError(f"--tomogram '{kind}' is none of {', '.join(KINDS)}, which a tomograms.star can name")
        if not named[kind]:
            what = f"it names {' and '.join(there)}" if there else "it names no tomograms"
            raise InputError(f"{where} names no {kind} tomogram of '{tomogram.name}' ({what}); choose with --tomogram")
        return named[kind]
    if there == [DENOISED]:
        raise InputError(f"{where} names only a denoised tomogram of '{tomogram.name}'; take it by --tomogram denoised")
    return named[RECONSTRUCTED] or named[HALVES]


def project_root(tomograms_star: Path, files: Sequence[str]) -> Path:
    """Return the folder that RELION runs in: paths in its files are relative to it.

    It is the nearest folder above ``tomograms_star`` from which one of ``files`` is seen.

    Raises
    ------
    InputError
        If none is seen from any of them.
    """
    for folder in tomograms_star.absolute().parents:
        if any((folder / name).is_file() for name in files):
            return folder
    raise InputError(
        f"{tomograms_star} names {files[0]}, which is in no folder above it; "
        "keep tomograms.star in its RELION project, with the tomograms"
    )


def beside(tomograms_star: Path, name: str) -> Path:
    """Return the tomogram ``name`` that lies with a ``tomograms.star`` that names none, as RELION 4's.

    Raises
    ------
    InputError
        If there is none, or more than one.
    """
    found = sorted(set(_candidates(tomograms_star.absolute().parent, name)))
    if len(found) > 1:
        raise InputError(f"tomogram '{name}' may be {found[0]} or {found[1]}; keep one of them there")
    if not found:
        raise InputError(
            f"{tomograms_star} does not say where tomogram '{name}' is, and beside it is no "
            f"tomograms/{core_name(name)}.mrc; put the tomograms there, or give them by --mrc, with --tomograms-star"
        )
    return found[0]


def _candidates(folder: Path, name: str) -> Iterator[Path]:
    bare = core_name(name)
    for place in (folder / "tomograms", folder):
        for stem in dict.fromkeys((name, bare, f"rec_{bare}")):
            yield from (path for path in (place / f"{stem}.mrc", place / f"{stem}.rec") if path.is_file())


def open_mrc(path: Path) -> tuple[ArrayVolume, MrcLayout]:
    """Return a volume whose voxels stay on disk until they are read, and its layout.

    Raises
    ------
    InputError
        As `cryosiam.integrations.mrc.header.read_layout`, and if there is no such file.
    """
    if not path.is_file():
        raise InputError(
            f"there is no tomogram {path}; reconstruct it, or leave it out by naming the others with --run"
        )
    layout = read_layout(path)
    voxels = np.memmap(path, dtype=layout.dtype, mode="r", offset=layout.offset, shape=layout.shape)
    return ArrayVolume(voxels), layout


def checked_voxel_size(path: Path, layout: MrcLayout, tomogram: KnownTomogram, where: Path) -> float:
    """Return the voxel size in Å of a tomogram, after comparing what its header and ``tomograms.star`` say.

    Parameters
    ----------
    path, layout
        The tomogram and its header.
    tomogram
        What ``tomograms.star`` says of it.
    where
        The ``tomograms.star``, for messages.

    Raises
    ------
    InputError
        If neither states the voxel size, or the two contradict each other in voxel size or size.
    """
    pixel_size, unbinned = tomogram.pixel_size_angstrom, tomogram.unbinned_size_xyz
    # A tomograms.star without them is refused when it is read.
    assert pixel_size is not None
    assert unbinned is not None
    header = np.array(layout.voxel_size_angstrom)
    stated = bool(np.isfinite(header).all() and (header > 0).all())
    if tomogram.binning is not None:
        voxel_size = pixel_size * tomogram.binning
        if stated and np.abs(header / voxel_size - 1).max() > VOXEL_SIZE_TOLERANCE:
            raise InputError(
                f"{path} states voxels of {_text(header)} Å, {where} {voxel_size:g} Å for '{tomogram.name}'; "
                "correct the one that is wrong"
            )
    elif not stated or np.ptp(header) > ISOTROPY_TOLERANCE * header.min():
        raise InputError(f"neither {path} nor {where} states the size of its voxels; write it into the MRC header")
    else:
        voxel_size = float(header.mean())
    size = np.array(layout.shape[::-1]) * voxel_size
    wanted = np.array(unbinned) * pixel_size
    if (np.abs(size - wanted) > SIZE_TOLERANCE_VOXELS * voxel_size).any():
        raise InputError(
            f"{path} is {_text(size)} Å large, tomogram '{tomogram.name}' in {where} {_text(wanted)} Å; "
            "give the tomogram as RELION reconstructed it, not trimmed or turned"
        )
    return round(voxel_size, 6)


def _text(sizes: NDArray[np.float64]) -> str:
    return " x ".join(f"{size:g}" for size in sizes)
