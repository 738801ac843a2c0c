"""The fixed benchmark CB-1: the thesis' geometry (section 3.3), seeds and test set that never change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryosiam.errors import InputError
from cryosiam.simulation.spec import SimulationSpec, read_spec

if TYPE_CHECKING:
    from collections.abc import Sequence

_TESTS: Final = (
    *(
        (f"G{number}", "general", 9000 + number, thickness, defocus)
        for number, (thickness, defocus) in enumerate(
            ((60, 2), (60, 5), (75, 3), (75, 4), (90, 2), (90, 5), (100, 3), (100, 4)), start=1
        )
    ),
    ("X1", "transcription-translation", 9011, 75, 3),
    ("X2", "transcription-translation", 9012, 90, 4),
    ("C1", "chromatin", 9021, 75, 3),
    ("C2", "chromatin", 9022, 90, 4),
    ("Z1", "czii", 9031, 60, 3),
    ("Z2", "czii", 9032, 75, 3),
    ("Z3", "czii", 9033, 75, 4),
    ("Z4", "czii", 9034, 90, 4),
)
"""Name, preset, seed, thickness in nm and defocus in µm of each test tomogram."""

_TRAINING: Final = (
    ("train-general", "general", range(1, 201)),
    ("train-txtl", "transcription-translation", range(301, 341)),
    ("train-chromatin", "chromatin", range(351, 391)),
)
_OCCUPANCY: Final = {0: 0.65, 1: 0.5}
"""Of the general sample: even numbers, odd numbers."""


@dataclass(frozen=True)
class BenchmarkTomogram:
    """One tomogram of the benchmark.

    Parameters
    ----------
    name
        Also the name of its run.
    group
        ``test``, ``train-general``, ``train-txtl`` or ``train-chromatin``.
    seed
        Of everything random.
    spec
        Its recipe.
    """

    name: str
    group: str
    seed: int
    spec: SimulationSpec


def tomograms() -> list[BenchmarkTomogram]:
    """Return all tomograms of CB-1: the 16 of the test set, then the 280 for training."""
    presets = {name: read_spec(name) for name in ("general", "transcription-translation", "chromatin", "czii")}
    found = [
        BenchmarkTomogram(name, "test", seed, _with(presets[sample], sample, seed, thickness, defocus))
        for name, sample, seed, thickness, defocus in _TESTS
    ]
    for group, sample, seeds in _TRAINING:
        found += [
            BenchmarkTomogram(f"{group}-{seed:04d}", group, seed, _with(presets[sample], sample, seed))
            for seed in seeds
        ]
    return found


def choose(words: Sequence[str]) -> list[BenchmarkTomogram]:
    """Return part of the benchmark.

    Parameters
    ----------
    words
        Names (``G1``), groups (``test``, ``train-general``) or parts of a group by seed (``train-general:1-20``).

    Raises
    ------
    InputError
        If a word names nothing.
    """
    everything = tomograms()
    chosen: dict[str, BenchmarkTomogram] = {}
    for word in words:
        group, _, span = word.partition(":")
        first, _, last = span.partition("-")
        if span and not (first.isdigit() and (last or first).isdigit()):
            raise InputError(f"'{word}' is no part of the benchmark; give seeds as train-general:1-20")
        found = [
            one
            for one in everything
            if group in (one.name, one.group) and (not span or int(first) <= one.seed <= int(last or first))
        ]
        if not found:
            names = ", ".join(sorted({one.group for one in everything}))
            raise InputError(f"the benchmark has no tomogram '{word}'; give a name such as G1, or a group: {names}")
        chosen.update({one.name: one for one in found})
    return list(chosen.values())


def _with(
    preset: SimulationSpec, sample: str, seed: int, thickness_nm: float | None = None, defocus_um: float | None = None
) -> SimulationSpec:
    """Return a preset with the slab, the defocus and the occupancy of one tomogram."""
    specimen, microscope = preset.specimen, preset.microscope
    if sample == "general":
        specimen = specimen.model_copy(update={"occupancy": _OCCUPANCY[seed % 2]})
    if thickness_nm is not None:
        slab = specimen.slab.model_copy(update={"thickness_nm": float(thickness_nm)})
        specimen = specimen.model_copy(update={"slab": slab})
    if defocus_um is not None:
        optics = microscope.optics.model_copy(update={"defocus_um": float(defocus_um)})
        microscope = microscope.model_copy(update={"optics": optics})
    return preset.model_copy(update={"specimen": specimen, "microscope": microscope})
