"""Particles of one program as files of another: the places stay where they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cryosiam.errors import InputError, ProductExistsError
from cryosiam.integrations.handoff.converting import ConvertRequest, convert_particles
from cryosiam.integrations.handoff.frames import FrameFacts
from cryosiam.integrations.star.dialect import load_dialect
from cryosiam.integrations.star.star_file import read_star

LABELS = ("rlnTomoName", "rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast", "rlnTomoTiltSeriesPixelSize")
LABELS += ("rlnTomoTomogramBinning", "rlnTomoSizeX", "rlnTomoSizeY", "rlnTomoSizeZ")
CENTRED = np.array([[10.5, 20.25, -30.0], [-100.0, 0.0, 55.5]])
SIZE = np.array([400, 420, 200])


@pytest.fixture
def star(tmp_path: Path) -> Path:
    names = [f"rlnCenteredCoordinate{axis}Angst" for axis in "XYZ"]
    labels = "".join(f"_{name} #{number}\n" for number, name in enumerate(["rlnTomoName", *names], start=1))
    rows = "".join(f"TS_1 {x} {y} {z}\n" for x, y, z in CENTRED)
    path = tmp_path / "particles.star"
    path.write_text(f"\ndata_particles\n\nloop_\n{labels}{rows}")
    labels = "".join(f"_{name} #{number}\n" for number, name in enumerate(LABELS, start=1))
    x, y, z = SIZE
    (tmp_path / "tomograms.star").write_text(f"\ndata_global\n\nloop_\n{labels}TS_1 300 2.7 0.1 2.5 4 {x} {y} {z}\n")
    return path


def converted(star: Path, target: str, source: Path | None = None, overwrite: bool = False) -> Path:
    facts = FrameFacts(tomograms_star=star.with_name("tomograms.star"))
    out = star.parent / target
    request = ConvertRequest(source or star, None, load_dialect(target), facts, "ribosome", out, overwrite)
    return convert_particles(request).written.paths[0]


def places(path: Path, pattern: str) -> np.ndarray:
    block = next(block for block in read_star(path).blocks if pattern.format("X") in block)
    return np.column_stack([block.numbers(pattern.format(axis)) for axis in "XYZ"])


def test_places_in_voxels_and_pixels(star: Path) -> None:
    pixels = CENTRED / 2.5 + SIZE / 2
    warp = converted(star, "warp")
    np.testing.assert_allclose(places(warp, "rlnCoordinate{}"), pixels / 4, atol=1e-5)
    np.testing.assert_allclose(places(converted(star, "relion4"), "rlnCoordinate{}"), pixels, atol=1e-5)
    assert set(read_star(warp).blocks[0].text("rlnMicrographName")) == {"TS_1.tomostar"}


def test_there_and_back(star: Path) -> None:
    back = converted(star, "relion5", source=converted(star, "warp"))
    np.testing.assert_allclose(places(back, "rlnCenteredCoordinate{}Angst"), CENTRED, atol=1e-3)
    assert read_star(back).block("particles").text("rlnTomoName") == ["TS_1", "TS_1"]  # type: ignore[union-attr]


def test_files_that_are_there_are_kept(star: Path) -> None:
    converted(star, "warp")
    with pytest.raises(ProductExistsError):
        converted(star, "warp")
    converted(star, "warp", overwrite=True)


def test_unknown_tomogram_is_refused(star: Path) -> None:
    star.write_text(star.read_text().replace("TS_1", "TS_9"))
    with pytest.raises(InputError, match="TS_9"):
        converted(star, "warp")
    assert not (star.parent / "warp").exists()
