"""Which tomograms of a RELION project are read, and how."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cryosiam.domain import ArrayVolume, Volume
from cryosiam.errors import InputError
from cryosiam.integrations.handoff.known import KnownTomogram
from cryosiam.integrations.relion.source import RelionSource
from cryosiam.integrations.relion.volumes import MeanVolume, beside, files_of, project_root

DATA = Path(__file__).parents[4] / "shared" / "data" / "metadata"
WHERE = Path("tomograms.star")


def test_mean_of_two_halves_is_read_piece_by_piece() -> None:
    first, second = np.random.default_rng(0).normal(size=(2, 6, 7, 8)).astype(np.float32)
    volume = MeanVolume(ArrayVolume(first), ArrayVolume(second))
    assert isinstance(volume, Volume)
    assert volume.shape == (6, 7, 8)
    box = (slice(1, 4), slice(2, 7), slice(0, 3))
    np.testing.assert_allclose(volume.read(box), (first[box] + second[box]) / 2, atol=1e-6)
    assert volume.read(box).dtype == np.float32


def test_the_whole_comes_before_the_halves_and_the_denoised_only_when_asked() -> None:
    everything = KnownTomogram("T", tomogram_path="w.mrc", half_paths=("a.mrc", "b.mrc"), denoised_path="d.mrc")
    assert files_of(everything, None, WHERE) == ("w.mrc",)
    assert files_of(everything, "halves", WHERE) == ("a.mrc", "b.mrc")
    assert files_of(everything, "denoised", WHERE) == ("d.mrc",)
    assert files_of(KnownTomogram("T", half_paths=("a.mrc", "b.mrc"), denoised_path="d.mrc"), None, WHERE)[0] == "a.mrc"
    assert files_of(KnownTomogram("T"), None, WHERE) == ()
    with pytest.raises(InputError, match="--tomogram denoised"):
        files_of(KnownTomogram("T", denoised_path="d.mrc"), None, WHERE)


def test_the_nearest_folder_that_sees_a_tomogram_is_the_root(tmp_path: Path) -> None:
    star = tmp_path / "project" / "Tomograms" / "job006" / "tomograms.star"
    seen = tmp_path / "project" / "Tomograms" / "job006" / "tomograms" / "rec.mrc"
    seen.parent.mkdir(parents=True)
    seen.touch()
    named = str(seen.relative_to(tmp_path / "project"))
    assert project_root(star, ["lost.mrc", named]) == tmp_path / "project"
    with pytest.raises(InputError, match=r"names lost\.mrc, which is in no folder above it"):
        project_root(star, ["lost.mrc"])


@pytest.mark.parametrize("file", ["tomograms/TS_17.mrc", "rec_TS_17.rec", "tomograms/TS_17.tomostar.mrc"])
def test_tomograms_of_relion4_lie_beside(tmp_path: Path, file: str) -> None:
    (tmp_path / "tomograms").mkdir()
    (tmp_path / file).touch()
    assert beside(tmp_path / "tomograms.star", "TS_17.tomostar") == tmp_path / file


def test_two_tomograms_of_one_name(tmp_path: Path) -> None:
    (tmp_path / "TS_17.mrc").touch()
    (tmp_path / "rec_TS_17.mrc").touch()
    with pytest.raises(InputError, match=r"may be .* or .*; keep one of them"):
        beside(tmp_path / "tomograms.star", "TS_17")


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("relion5_project/tilt_series.star", "names ReconstructTomograms/job007/tomograms/rec_220728_TS_01.mrc"),
        ("warp2_matching_tomograms.star", "does not say where tomogram 'TS_17.tomostar' is"),
        ("relion5_TS_01_tilt.star", "no block data_global"),
    ],
)
def test_real_files_without_their_tomograms(file: str, said: str) -> None:
    if not (DATA / file).exists():
        pytest.skip(f"{DATA / file} is not here: data beside the project")
    with pytest.raises(InputError, match=said) as error:
        RelionSource(DATA / file)
    assert "\n" not in str(error.value)
