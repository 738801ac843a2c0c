from pathlib import Path

import numpy as np
import pytest
import starfile

from cryosiam.domain import Hand
from cryosiam.errors import InputError
from cryosiam.integrations.imod.transforms import alignment_from_imod, read_tilt_angles, read_transforms
from cryosiam.integrations.tilt_series import TiltSeriesFiles, load_tilt_series
from cryosiam.integrations.warp.tilt_series_xml import read_warp_xml
from cryosiam.integrations.warp.tomostar import read_tomostar
from cryosiam.tomography.reconstruct import ReconstructionOptions, weight_tilt_series

from .tilt_phantom import ANGLES_DEG, BEADS_XYZ, bead_errors, warp_images, write_stack, write_tomostar, write_warp

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "tilt_series"
needs_data = pytest.mark.skipif(not DATA.exists(), reason=f"no shared data at {DATA}")
SHAPE = (630, 652)


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize(("size", "binning"), [((56, 60), 1), ((57, 61), 1), ((56, 60), 2), ((57, 61), 4)])
def test_beads_land_where_warp_means_them(tmp_path, size, binning, inverted):
    """The hand is that of Warp's own tomogram, whatever AreAnglesInverted says of the defocus."""
    shape = (size[0] * binning, size[1] * binning)
    pixel_size = 10.0 / binning
    stack = write_stack(tmp_path / "S.mrc", warp_images(shape, binning, pixel_size), pixel_size)
    xml = write_warp(tmp_path / "S.xml", pixel_size, inverted)
    series, notes = load_tilt_series("TS-01", TiltSeriesFiles(stack, warp_xml=xml))
    tomogram = weight_tilt_series(series, ReconstructionOptions(10.0, 44)).tomogram()
    volume = tomogram.volume.read(tuple(slice(0, n) for n in tomogram.shape))
    assert tomogram.hand is Hand.INVERTED
    assert bead_errors(volume).max() < 0.1
    assert bead_errors(volume, BEADS_XYZ * [1, 1, -1]).max() > 1
    assert any("other hand" in note for note in notes) is inverted


@needs_data
def test_positions_that_warp_computed_have_our_sign():
    """27 points and 41 tilts by Warp itself; its level angles and local grids, not applied here, leave 44 Å."""
    warp = read_warp_xml(DATA / "warp_TS_1" / "TS_1.xml")
    tables = starfile.read(DATA / "warp_TS_1" / "TS_1.star")
    x, y, z = tables["points"].to_numpy(float)[:, -3:].T
    expected = tables["mappings"].sort_values(["tiltID", "pointID"]).iloc[:, 2:4].to_numpy(float).reshape(41, 27, 2)
    alignment = warp.alignment((4, 4), 1.0)
    errors = {}
    for sign in (-1, 1):
        t = sign * np.radians(alignment.tilt_angles_deg)[:, None]
        aligned = np.stack([x * np.cos(t) + z * np.sin(t), np.broadcast_to(y, (41, 27))], axis=-1)
        raw = np.linalg.solve(alignment.matrices[:, None], (aligned - alignment.shifts_angstrom[:, None])[..., None])[
            ..., 0
        ]
        errors[sign] = np.sqrt(np.mean(np.sum((raw - expected) ** 2, axis=-1)))
    assert alignment.angles_inverted
    assert not warp.defocus_slope_inverted
    assert errors[-1] < 50
    assert errors[1] > 300


def test_a_tomostar_and_the_xml_made_of_it_say_the_same(tmp_path):
    xml = read_warp_xml(write_warp(tmp_path / "S.xml", 2.5))
    read = read_tomostar(write_tomostar(tmp_path / "S.tomostar", 2.5))
    assert read.movies[:2] == ("../frames/tilt_00.mrc", "../frames/tilt_01.mrc")
    for name in ("tilt_angles_deg", "axis_angles_deg", "axis_offsets_angstrom", "exposures_e_per_a2", "used"):
        np.testing.assert_allclose(getattr(read.tilt_series, name), getattr(xml, name), atol=1e-6)


def test_a_tomostar_of_aligned_images_has_neither_axis_nor_offsets(tmp_path):
    read = read_tomostar(write_tomostar(tmp_path / "S.tomostar", 2.5, leave_out=("wrpAxisAngle", "wrpAxisOffsetY")))
    assert not read.tilt_series.axis_angles_deg.any()
    assert not read.tilt_series.axis_offsets_angstrom.any()


def test_a_tomostar_reconstructs_as_its_xml_does(tmp_path):
    stack = write_stack(tmp_path / "S.mrc", warp_images((24, 28), 1, 10.0), 10.0)
    by_star, _ = load_tilt_series("TS-01", TiltSeriesFiles(stack, warp_xml=write_tomostar(tmp_path / "S.tomostar", 10)))
    by_xml, _ = load_tilt_series("TS-01", TiltSeriesFiles(stack, warp_xml=write_warp(tmp_path / "S.xml", 10.0)))
    np.testing.assert_allclose(by_star.alignment.matrices, by_xml.alignment.matrices, atol=1e-6)
    np.testing.assert_allclose(by_star.alignment.shifts_angstrom, by_xml.alignment.shifts_angstrom, atol=1e-4)
    assert by_star.alignment.hand is by_xml.alignment.hand


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("nothing", "is not a STAR file"),
        ("data_\n\nloop_\n_wrpMovieName\n_wrpDose\na 1\n", "is not a .tomostar: its first table lacks wrpAngleTilt"),
        ("data_\n\nloop_\n_wrpMovieName\n_wrpAngleTilt\n_wrpDose\n", "lists no tilts"),
        ("data_\n\n_wrpMovieName a\n_wrpAngleTilt 1\n_wrpDose 0\n", "is not a .tomostar"),
        ("data_\n\nloop_\n_wrpMovieName\n_wrpAngleTilt\n_wrpDose\na x 1\n", "'x' in row 1 of wrpAngleTilt"),
        ("data_\n\nloop_\n_wrpMovieName\n_wrpAngleTilt\n_wrpDose\na 1 nan\n", "'nan' in row 1 of wrpDose"),
    ],
)
def test_a_damaged_tomostar_is_one_sentence(tmp_path, content, message):
    path = tmp_path / "S.tomostar"
    path.write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        read_tomostar(path)
    assert "\n" not in str(caught.value)


@needs_data
def test_warps_import_of_the_xf_gives_the_same_alignment():
    folder = DATA / "empiar10499_00254"
    warp = read_warp_xml(folder / "xf_import_00254.xml")
    matrices, shifts_px = read_transforms(folder / "xf_import_00254.xf")
    offsets = -np.linalg.solve(matrices, shifts_px[:, :, None])[:, :, 0] * 10.0
    assert warp.axis_offsets_angstrom == pytest.approx(offsets, abs=1e-3)
    assert warp.tilt_angles_deg == pytest.approx(read_tilt_angles(folder / "xf_import_00254.tlt"), abs=1e-6)
    imod = alignment_from_imod(warp.tilt_angles_deg, matrices, shifts_px, 10.0, SHAPE, 10.0)
    ours = warp.alignment(SHAPE, 10.0)
    assert ours.matrices == pytest.approx(imod.matrices, abs=1e-6)
    # IMOD turns about (size - 1) / 2 and Warp about size / 2, and Warp's importer leaves the half pixel out.
    half_pixel = imod.matrices @ np.array([5.0, 5.0])
    assert imod.shifts_angstrom - ours.shifts_angstrom == pytest.approx(half_pixel, abs=2e-3)


@needs_data
def test_a_refined_xml_is_read_whole():
    warp = read_warp_xml(DATA / "empiar10499_00254" / "00254.xml")
    assert len(warp.tilt_angles_deg) == 41
    assert warp.used.all()
    assert warp.defocus_slope_inverted
    assert warp.ignored == ()
    assert warp.axis_offsets_angstrom[0] == pytest.approx([262.72888, -19.614283])
    assert warp.exposures_e_per_a2[[0, 20]].tolist() == [117, 0]
    assert warp.defocus_um[:2] == pytest.approx([1.5701942, 1.7524786])
    assert "LevelAngleX" in read_warp_xml(DATA / "warp_TS_1" / "TS_1.xml").ignored


def test_image_movement_is_taken_off_the_offset(tmp_path):
    xml = write_warp(tmp_path / "S.xml", 10.0)
    plain = read_warp_xml(xml).axis_offsets_angstrom
    nodes = "".join(f'<Node X="{x}" Y="0" Z="{z}" Value="{z + x}" />' for x in range(2) for z in range(len(ANGLES_DEG)))
    grid = f'<GridMovementX Width="2" Height="1" Depth="{len(ANGLES_DEG)}">{nodes}</GridMovementX></TiltSeries>'
    xml.write_text(xml.read_text(encoding="utf-8-sig").replace("</TiltSeries>", grid), encoding="utf-8")
    moved = read_warp_xml(xml).axis_offsets_angstrom
    assert plain[:, 0] - moved[:, 0] == pytest.approx(np.arange(len(ANGLES_DEG)) + 0.5)
    assert (plain[:, 1] == moved[:, 1]).all()


@pytest.mark.parametrize("images_of_used_only", [False, True])
def test_tilts_left_out_in_warp_are_left_out(tmp_path, images_of_used_only):
    xml = write_warp(tmp_path / "S.xml", 10.0)
    text = xml.read_text(encoding="utf-8-sig").replace("True", "False", 2)
    xml.write_text(text, encoding="utf-8")
    images = warp_images((24, 28), 1, 10.0)
    stack = write_stack(tmp_path / "S.mrc", images[2:] if images_of_used_only else images, 10.0)
    series, notes = load_tilt_series("TS-01", TiltSeriesFiles(stack, warp_xml=xml))
    np.testing.assert_array_equal(series.images, images[2:])
    assert series.alignment.tilt_angles_deg.tolist() == ANGLES_DEG[2:].tolist()
    assert series.exposures_e_per_a2[0] == 6.0
    assert any("2 of 31 tilts are left out" in note for note in notes)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is not a whole XML file"),
        ("<TiltSeries><Angles>1 2", "is not a whole XML file"),
        ("<Movie/>", "is a <Movie>, not a <TiltSeries>"),
        ("<TiltSeries/>", "has no tilts"),
        ("<TiltSeries><Angles>1 2</Angles></TiltSeries>", "has no <AxisAngle>"),
        ("<TiltSeries><Angles>1 x</Angles></TiltSeries>", "no number"),
        (
            "<TiltSeries><Angles>1</Angles><AxisAngle>1</AxisAngle><AxisOffsetX>1</AxisOffsetX>"
            "<AxisOffsetY>1</AxisOffsetY><GridMovementX><Node X='7' Value='1'/></GridMovementX></TiltSeries>",
            "damaged grid",
        ),
        (
            "<TiltSeries><Angles>1 2</Angles><AxisAngle>1</AxisAngle><AxisOffsetX>1 2</AxisOffsetX>"
            "<AxisOffsetY>1 2</AxisOffsetY></TiltSeries>",
            "2 tilt angles but 1 values of <AxisAngle>",
        ),
    ],
)
def test_a_damaged_xml_is_one_sentence(tmp_path, content, message):
    xml = tmp_path / "S.xml"
    xml.write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        read_warp_xml(xml)
    assert "\n" not in str(caught.value)


def test_a_missing_xml_and_two_alignments_are_refused(tmp_path):
    stack = write_stack(tmp_path / "S.mrc", np.zeros((3, 8, 8)), 10.0)
    with pytest.raises(InputError, match="does not exist; give the XML"):
        load_tilt_series("TS-01", TiltSeriesFiles(stack, warp_xml=tmp_path / "no.xml"))
    with pytest.raises(InputError, match="leave out --tilt and --xf"):
        load_tilt_series("TS-01", TiltSeriesFiles(stack, tmp_path / "a.tlt", warp_xml=tmp_path / "no.xml"))
    xml = write_warp(tmp_path / "S.xml", 10.0)
    with pytest.raises(InputError, match=r"3 images but there are 31 tilts in .*S.xml"):
        load_tilt_series("TS-01", TiltSeriesFiles(stack, warp_xml=xml))
