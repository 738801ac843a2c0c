"""An asymmetric object in known orientations, averaged by other programs with our angles, comes out as it is.

The bar: correlation over 0.95 and every blob within 0.1 voxel. A wrong convention must miss it, or the proof proves
nothing. Measured figures stand in benchmarks/hand-off.md.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from .orientation import MISTAKES, OBJECTS, READERS, framed

dialects = [
    pytest.param("relion5", marks=pytest.mark.slow),
    pytest.param("relion31", marks=pytest.mark.slow),
    "warp",
]


@pytest.mark.parametrize("dialect", dialects)
def test_the_average_is_the_object(tmp_path: Path, dialect: str) -> None:
    found = READERS[dialect].likeness(tmp_path, dialect, [framed(name) for name in OBJECTS])
    assert found.passes, found


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("dialect", dialects)
def test_a_wrong_convention_misses_the_bar(tmp_path: Path, dialect: str, mistake: str) -> None:
    found = READERS[dialect].likeness(tmp_path, dialect, [MISTAKES[mistake](framed(name)) for name in OBJECTS])
    assert not found.passes
    assert found.correlation < 0.9, found
