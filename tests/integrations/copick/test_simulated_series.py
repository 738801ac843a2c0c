"""Simulated tilt series on disk, read back by independent rules and by our own readers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import mrcfile
import numpy as np

from cryosiam.integrations.copick.simulated_ownership import run_folder
from cryosiam.integrations.copick.simulated_project import write_tomogram
from cryosiam.integrations.imod.simulated_series import true_alignment
from cryosiam.integrations.tilt_series import TiltSeriesFiles, load_tilt_series
from cryosiam.tomography.alignment import align_image

from .toy_tomogram import VOXEL, make_series, make_tomogram, rows


def test_tilt_series_is_what_was_recorded(project: Path) -> None:
    folder = run_folder(project, "toy-0007") / "TiltSeries"
    series = make_series()
    assert series.halves is not None
    for name, images in (("", series.images), ("_even", series.halves[0]), ("_odd", series.halves[1])):
        with mrcfile.open(folder / f"toy-0007{name}.mrc") as file:
            assert file.header.mode == 1
            assert file.is_image_stack()
            assert float(file.voxel_size.x) == VOXEL
            np.testing.assert_array_equal(file.data, images)
        assert mrcfile.validate(folder / f"toy-0007{name}.mrc")
    assert np.loadtxt(folder / "toy-0007.rawtlt").tolist() == series.tilt_angles_deg.tolist()
    truth = rows(folder / "toy-0007_tilts.csv")
    assert [float(row["defocus_um"]) for row in truth] == series.defocus_um.tolist()


def test_images_with_fractions_stay_real_numbers(tmp_path: Path) -> None:
    series = make_series(whole=False)
    write_tomogram(tmp_path, replace(make_tomogram(), series=series), "run-1")
    with mrcfile.open(run_folder(tmp_path, "run-1") / "TiltSeries" / "run-1.mrc") as file:
        assert file.header.mode == 2
        np.testing.assert_array_equal(file.data, series.images)


def read_mdoc(path: Path) -> tuple[dict[str, str], list[dict[str, str]]]:
    """Read SerialEM's format by its rules: ``key = value``, sections in brackets."""
    head: dict[str, str] = {}
    sections: list[dict[str, str]] = []
    for line in path.read_text().splitlines():
        if line.startswith("[ZValue"):
            sections.append({"ZValue": line.strip("[]").split(" = ")[1]})
        elif " = " in line and not line.startswith("[T"):
            key, value = line.split(" = ")
            (sections[-1] if sections else head)[key] = value
    return head, sections


def test_mdoc_has_what_importers_look_for(project: Path) -> None:
    head, sections = read_mdoc(run_folder(project, "toy-0007") / "TiltSeries" / "toy-0007.mdoc")
    series = make_series()
    assert head["ImageFile"] == "toy-0007.mrc"
    assert head["ImageSize"] == "36 24"
    assert float(head["Voltage"]) == 300
    assert [int(section["ZValue"]) for section in sections] == [0, 1, 2, 3, 4]
    assert [float(section["TiltAngle"]) for section in sections] == series.tilt_angles_deg.tolist()
    assert [float(section["PriorRecordDose"]) for section in sections] == series.prior_dose.tolist()
    assert {float(section["ExposureDose"]) for section in sections} == {3.0}
    assert {float(section["PixelSpacing"]) for section in sections} == {VOXEL}
    # Importers put exposures in order by their time.
    assert np.argsort([section["DateTime"] for section in sections]).tolist() == [2, 3, 1, 4, 0]
    assert len({section["SubFramePath"] for section in sections}) == 5


def test_alignment_undoes_what_was_done_to_the_images(project: Path) -> None:
    """A bead drawn where the series' rule puts it comes back to where it belongs, through the files."""
    folder = run_folder(project, "toy-0007") / "TiltSeries"
    loaded, notes = load_tilt_series(
        "toy-0007",
        TiltSeriesFiles(folder / "toy-0007.mrc", folder / "toy-0007.rawtlt", folder / "toy-0007.xf"),
    )
    assert notes == []
    series = make_series()
    truth = true_alignment(series)
    np.testing.assert_allclose(loaded.alignment.matrices, truth.matrices, atol=1e-6)
    np.testing.assert_allclose(loaded.alignment.shifts_angstrom, truth.shifts_angstrom, atol=1e-5)
    y, x = np.indices((64, 65))
    for tilt in range(5):
        angle = np.radians(series.rotations_deg[tilt])
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        p = np.array([9.0, -7.0])
        drawn = series.magnifications[tilt] * turn @ p + series.shifts_angstrom[tilt] / VOXEL
        image = np.exp(-((x - 32 - drawn[0]) ** 2 + (y - 32 - drawn[1]) ** 2) / 8)
        shift = loaded.alignment.shifts_angstrom[tilt] / VOXEL
        aligned = align_image(image, loaded.alignment.matrices[tilt], shift, (64, 65))
        found = np.array([(aligned * (x - 32)).sum(), (aligned * (y - 32)).sum()]) / aligned.sum()
        np.testing.assert_allclose(found, p, atol=0.02)
