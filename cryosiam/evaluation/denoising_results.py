"""Denoised tomograms against clean ones over the runs of a project."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from cryosiam.domain import Contrast
from cryosiam.errors import InputError
from cryosiam.evaluation.fidelity import match_grey_values, psnr_db, structural_similarity
from cryosiam.evaluation.fourier_shells import GOLD_STANDARD, HALF, FourierShells, fourier_shell_correlation
from cryosiam.evaluation.project import AnnotatedProject, GridVolume, Request, pairs_of_runs
from cryosiam.evaluation.results import DenoisingResult, FidelityResult, spread
from cryosiam.evaluation.spool import spooled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cryosiam.domain.tomogram import Volume


@dataclass(frozen=True)
class _Fidelity:
    """Figures of one tomogram."""

    psnr_db: float
    ssim: float
    correlation: float
    shells: FourierShells


def denoising_result(project: AnnotatedProject, request: Request, note: Callable[[str], None]) -> DenoisingResult:
    """Compare the denoised tomograms of all runs, and those they were made of, with the clean ones.

    Raises
    ------
    LeftOutError
        If no run has a clean or a denoised tomogram.
    InputError
        If some runs lack one, grids differ, or a tomogram cannot be compared.
    """
    runs = project.runs()
    clean = {run: project.tomograms(run, request.clean) for run in runs}
    found = {run: project.tomograms(run, request.denoised) for run in runs}
    denoised = pairs_of_runs(found, clean, _tomogram(request.denoised), _tomogram(request.clean))
    result = _fidelity_result(request.denoised, denoised, request.scratch, note)
    source = None
    if request.source is not None:
        found = {run: project.tomograms(run, request.source) for run in runs}
        if all(found.values()):
            pairs = pairs_of_runs(found, clean, _tomogram(request.source), _tomogram(request.clean))
            source = _fidelity_result(request.source, pairs, request.scratch, note)
    return DenoisingResult(clean=request.clean, denoised=result, source=source)


def _tomogram(name: str) -> str:
    return f"tomogram '{name}'"


def _fidelity_result(
    name: str, pairs: Mapping[str, tuple[GridVolume, GridVolume]], scratch: Path, note: Callable[[str], None]
) -> FidelityResult:
    figures = {}
    for run, (mine, real) in pairs.items():
        note(f"{run}: {name} against the clean tomogram")
        figures[run] = _fidelity(mine, real, scratch)
    shells = {run: one.shells for run, one in figures.items()}
    fewest = min(len(one.correlation) for one in shells.values())
    # Of volumes of different size the shells differ; curves are brought to those of the one with the fewest.
    frequency = next(one.frequency_per_angstrom for one in shells.values() if len(one.correlation) == fewest)
    curves = [np.interp(frequency, one.frequency_per_angstrom, one.correlation) for one in shells.values()]
    return FidelityResult(
        tomogram=name,
        psnr_db=spread({run: one.psnr_db for run, one in figures.items()}),
        ssim=spread({run: one.ssim for run, one in figures.items()}),
        correlation=spread({run: one.correlation for run, one in figures.items()}),
        resolution_05_angstrom=spread({run: one.resolution_angstrom(HALF) for run, one in shells.items()}),
        resolution_0143_angstrom=spread({run: one.resolution_angstrom(GOLD_STANDARD) for run, one in shells.items()}),
        frequency_per_angstrom=frequency.tolist(),
        shell_correlation=np.mean(curves, axis=0).tolist(),
    )


def _fidelity(mine: GridVolume, real: GridVolume, scratch: Path) -> _Fidelity:
    sign = -1.0 if {mine.contrast, real.contrast} == {Contrast.DARK, Contrast.BRIGHT} else 1.0
    with ExitStack() as opened:
        folder = opened.enter_context(TemporaryDirectory(prefix=".evaluation-", dir=scratch))
        volume: Volume = opened.enter_context(spooled(mine.volume, Path(folder) / "volume", sign))
        clean: Volume = opened.enter_context(spooled(real.volume, Path(folder) / "clean"))
        try:
            match = match_grey_values(volume, clean)
            similarity = structural_similarity(volume, clean, match)
        except ValueError as error:
            raise InputError(f"{mine.where} cannot be compared with {real.where}: {error}; write it again") from error
        return _Fidelity(
            psnr_db(volume, clean, match),
            similarity,
            match.correlation,
            fourier_shell_correlation(volume, clean, real.voxel_size_angstrom),
        )
