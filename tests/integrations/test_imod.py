from pathlib import Path

import numpy as np
import pytest

from cryosiam.domain import Hand
from cryosiam.errors import InputError
from cryosiam.integrations.imod.stack import open_stack
from cryosiam.integrations.imod.transforms import read_tilt_angles, read_transforms
from cryosiam.integrations.tilt_series import TiltSeriesFiles, load_tilt_series
from cryosiam.tomography.reconstruct import ReconstructionOptions, weight_tilt_series

from .tilt_phantom import ANGLES_DEG, BEADS_XYZ, bead_errors, imod_images, write_imod, write_stack

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "tilt_series"
MIRROR = np.array([1, 1, -1])


def volume_of(series, voxel_size, thickness=44, **options):
    chosen = ReconstructionOptions(voxel_size, thickness, **options)
    tomogram = weight_tilt_series(series, chosen).tomogram()
    return tomogram, tomogram.volume.read(tuple(slice(0, n) for n in tomogram.shape))


@pytest.mark.parametrize("binning", [1, 2, 4])
@pytest.mark.parametrize("size", [(56, 60), (57, 61)])
def test_beads_land_where_imod_means_them(tmp_path, size, binning):
    """Through files, odd and even sizes, rotation, shifts, binning; and with the hand of the helix."""
    shape = (size[0] * binning, size[1] * binning)
    stack = write_stack(tmp_path / "S.mrc", imod_images(shape, binning), 10.0 / binning)
    tlt, xf = write_imod(tmp_path)
    series, notes = load_tilt_series("TS-01", TiltSeriesFiles(stack, tlt, xf))
    tomogram, volume = volume_of(series, 10.0)
    assert notes == []
    assert tomogram.hand is Hand.AS_GIVEN
    assert bead_errors(volume).max() < 0.1
    assert bead_errors(volume, BEADS_XYZ * MIRROR).max() > 1


def test_inverting_the_angles_gives_the_mirror_image(tmp_path):
    stack = write_stack(tmp_path / "S.mrc", imod_images((56, 60), 1), 10.0)
    series, _ = load_tilt_series("TS-01", TiltSeriesFiles(stack, *write_imod(tmp_path)))
    tomogram, volume = volume_of(series, 10.0, invert_angles=True)
    assert tomogram.hand is Hand.INVERTED
    assert bead_errors(volume, BEADS_XYZ * MIRROR).max() < 0.1


def test_transforms_made_for_an_unbinned_stack_serve_a_binned_one(tmp_path):
    fine = imod_images((112, 120), 2)
    binned = fine.reshape(len(fine), 56, 2, 60, 2).mean(axis=(2, 4))
    stack = write_stack(tmp_path / "S.mrc", binned, 10.0)
    tlt, xf = write_imod(tmp_path)
    series, _ = load_tilt_series("TS-01", TiltSeriesFiles(stack, tlt, xf, xf_pixel_size_angstrom=5.0))
    assert bead_errors(volume_of(series, 10.0)[1]).max() < 0.1


def test_without_transforms_the_stack_counts_as_aligned(tmp_path):
    stack = write_stack(tmp_path / "S.mrc", imod_images((56, 60), 1), 10.0)
    series, notes = load_tilt_series("TS-01", TiltSeriesFiles(stack, write_imod(tmp_path)[0]))
    assert not series.alignment.shifts_angstrom.any()
    assert "count as aligned" in notes[0]


def test_real_files_read():
    if not DATA.exists():
        pytest.skip(f"no shared data at {DATA}")
    matrices, shifts = read_transforms(DATA / "empiar10499_00254" / "xf_import_00254.xf")
    assert matrices.shape == (41, 2, 2)
    assert shifts[0] == pytest.approx([-27.094, -2.191])
    assert np.degrees(np.arctan2(matrices[0, 1, 0], matrices[0, 0, 0])) == pytest.approx(4.3, abs=1e-3)
    assert len(read_tilt_angles(DATA / "etomo" / "TS_001.rawtlt")) == 40
    assert len(read_transforms(DATA / "aretomo" / "global_no_local.xf")[0]) == 61
    images, pixel_size = open_stack(DATA / "empiar10499_00254" / "00254.stack_x400_int16.mrc")
    assert (images.shape, pixel_size) == ((41, 630, 652), 10.0)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("S.tlt", "", "is empty"),
        ("S.tlt", "1.0\ntwo\n", "line 2 of .* is not one number"),
        ("S.tlt", "1.0 2.0\n", "line 1 of .* is not one number"),
        ("S.tlt", "nan\n", "line 1 of .* is not one number"),
        ("S.xf", "1 0 0 1 0\n", "line 1 of .* is not 6 numbers"),
        ("S.xf", "1 0 0 0 5 5\n", "without inverse"),
    ],
)
def test_damaged_text_files_are_named_with_the_line(tmp_path, name, text, message):
    stack = write_stack(tmp_path / "S.mrc", np.random.default_rng(0).normal(size=(1, 8, 8)), 10.0)
    (tmp_path / "S.tlt").write_text("0.0\n")
    (tmp_path / "S.xf").write_text("1 0 0 1 0 0\n")
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        load_tilt_series("TS-01", TiltSeriesFiles(stack, tmp_path / "S.tlt", tmp_path / "S.xf"))


def test_numbers_of_tilts_must_agree(tmp_path):
    tlt, xf = write_imod(tmp_path)
    count = len(ANGLES_DEG)
    stack = write_stack(tmp_path / "S.mrc", np.zeros((count - 1, 8, 8)), 10.0)
    with pytest.raises(InputError, match=rf"{count - 1} images but there are {count} angles in .*S.tlt"):
        load_tilt_series("TS-01", TiltSeriesFiles(stack, tlt, xf))
    stack = write_stack(tmp_path / "S.mrc", np.zeros((count, 8, 8)), 10.0)
    xf.write_text("1 0 0 1 0 0\n" * (count + 2))
    with pytest.raises(InputError, match=rf"{count} images but there are {count + 2} transforms in .*S.xf"):
        load_tilt_series("TS-01", TiltSeriesFiles(stack, tlt, xf))


def test_missing_files_and_facts_are_named(tmp_path):
    tlt, xf = write_imod(tmp_path)
    with pytest.raises(InputError, match=r"no\.mrc does not exist"):
        load_tilt_series("TS-01", TiltSeriesFiles(tmp_path / "no.mrc", tlt, xf))
    stack = write_stack(tmp_path / "S.mrc", np.zeros((len(ANGLES_DEG), 8, 8)), None)
    with pytest.raises(InputError, match="no pixel size in its header; give it with --pixel-size"):
        load_tilt_series("TS-01", TiltSeriesFiles(stack, tlt, xf))
    with pytest.raises(InputError, match="--pixel-size must be a positive number"):
        load_tilt_series("TS-01", TiltSeriesFiles(stack, tlt, xf, pixel_size_angstrom=-1.0))
    with pytest.raises(InputError, match=r"no\.tlt does not exist"):
        load_tilt_series("TS-01", TiltSeriesFiles(stack, tmp_path / "no.tlt", xf, pixel_size_angstrom=10.0))
    with pytest.raises(InputError, match="has no tilt angles; give them with --tilt"):
        load_tilt_series("TS-01", TiltSeriesFiles(stack, xf=xf, pixel_size_angstrom=10.0))


@pytest.mark.parametrize("damage", ["truncated", "not-mrc", "folder", "one-image"])
def test_a_damaged_stack_is_one_sentence(tmp_path, damage):
    tlt, xf = write_imod(tmp_path)
    stack = write_stack(tmp_path / "S.mrc", np.zeros((len(ANGLES_DEG), 8, 8)), 10.0)
    if damage == "truncated":
        stack.write_bytes(stack.read_bytes()[:-50])
    elif damage == "not-mrc":
        stack.write_bytes(b"hello")
    elif damage == "folder":
        stack.unlink()
        stack.mkdir()
    else:
        write_stack(stack, np.zeros((8, 8)), 10.0)
    with pytest.raises(InputError) as caught:
        load_tilt_series("TS-01", TiltSeriesFiles(stack, tlt, xf))
    assert "S.mrc" in str(caught.value)
    assert "\n" not in str(caught.value)
