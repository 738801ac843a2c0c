"""Picks go to other programs' files and come back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cryosiam.domain import Picks
from cryosiam.errors import InputError
from cryosiam.integrations.star.dialect import load_dialect
from cryosiam.integrations.star.exchange import FramedPicks, read_particles, write_particles
from cryosiam.integrations.star.frame import TomogramFrame


def framed(run: str = "TS_01", count: int = 5) -> FramedPicks:
    rng = np.random.default_rng(1)
    picks = Picks(
        run,
        rng.uniform(0, 600, (count, 3)),
        np.linspace(0, 1, count),
        tuple("ab"[row % 2] for row in range(count)),
        np.arange(count),
        Rotation.random(count, random_state=2).as_matrix(),
    )
    return FramedPicks(TomogramFrame(run, run, 10.0, (64, 60, 31), 2.5, (256, 240, 127)), picks)


@pytest.mark.parametrize("name", ["relion5", "warp"])
def test_there_and_back(tmp_path: Path, name: str) -> None:
    ours = framed()
    written = write_particles(tmp_path, load_dialect(name), [ours], one_file=True)
    (path,) = written.paths
    (back,) = read_particles(path, [ours.frame]).sets
    np.testing.assert_allclose(back.picks.positions_angstrom, ours.picks.positions_angstrom, atol=1e-3)
    assert back.picks.rotations is not None
    np.testing.assert_allclose(back.picks.rotations, ours.picks.rotations, atol=1e-4)
    assert back.picks.class_names == ours.picks.class_names


def test_nothing_is_no_success(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no picks"):
        write_particles(tmp_path, load_dialect("relion5"), [framed(count=0)])
    assert not list(tmp_path.iterdir())
