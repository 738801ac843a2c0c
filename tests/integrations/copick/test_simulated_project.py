"""Simulated tomograms in a copick project, read back with copick and with our own readers."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from cryosiam.domain import MissingWedge
from cryosiam.errors import InputError
from cryosiam.integrations.copick.simulated_ownership import files_in, run_folder
from cryosiam.integrations.copick.simulated_project import WriteOptions, write_tomogram
from cryosiam.integrations.copick.source import CopickSource
from cryosiam.simulation.spec import parse_spec

from .toy_tomogram import SHAPE, VOXEL, contents, make_tomogram, open_with_copick, rows


def test_copick_reads_every_tomogram(project: Path) -> None:
    truth = make_tomogram()
    assert truth.corrected is not None
    assert truth.halves is not None
    run = open_with_copick(project).get_run("toy-0007")
    tomograms = {t.tomo_type: t for t in run.get_voxel_spacing(VOXEL).tomograms}
    expected = {
        "wbp": truth.noisy,
        "wbp-ctfcorr": truth.corrected,
        "wbp-even": truth.halves[0],
        "wbp-odd": truth.halves[1],
        "clean": truth.clean,
    }
    assert set(tomograms) == set(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(tomograms[name].numpy(), array)
    features = {f.feature_type: f for f in tomograms["wbp"].features}
    assert set(features) == {"signed-distance", "boundary"}


def test_copick_reads_every_segmentation(project: Path) -> None:
    truth = make_tomogram().specimen
    run = open_with_copick(project).get_run("toy-0007")

    def one(**which: Any) -> NDArray[Any]:
        (found,) = run.get_segmentations(user_id="truth", session_id="1", voxel_size=VOXEL, **which)
        result: NDArray[Any] = found.numpy()
        return result

    np.testing.assert_array_equal(one(name="semantic", is_multilabel=True), truth.semantic)
    np.testing.assert_array_equal(one(name="sample"), truth.sample_mask)
    np.testing.assert_array_equal(one(name="particle", is_instance=True), truth.instances)
    labels, ids = one(name="panoptic", is_panoptic=True)
    np.testing.assert_array_equal(labels, truth.semantic)
    np.testing.assert_array_equal(ids, truth.panoptic())
    assert set(np.unique(ids[labels == 1])) == {4}
    assert set(np.unique(ids[labels == 4])) == {5}


def test_copick_reads_oriented_picks(project: Path) -> None:
    truth = make_tomogram().specimen.picks
    assert truth.rotations is not None
    run = open_with_copick(project).get_run("toy-0007")
    assert {p.pickable_object_name for p in run.picks} == {"ribosome", "proteasome"}
    for name in ("ribosome", "proteasome"):
        (picks,) = run.get_picks(name, user_id="truth", session_id="1")
        mine = truth.of_class(name)
        positions, transforms = picks.numpy()
        np.testing.assert_array_equal(positions, mine.positions_angstrom)
        np.testing.assert_array_equal(transforms[:, :3, :3], mine.rotations)
        np.testing.assert_array_equal(picks.instance_ids(), mine.instance_ids)
        np.testing.assert_array_equal(picks.scores(), mine.scores)
        assert picks.trust_orientation
        # A pick lies in the instance whose id it has.
        for position, number in zip(positions, picks.instance_ids(), strict=True):
            x, y, z = np.rint(position / VOXEL).astype(int)
            assert make_tomogram().specimen.instances[z, y, x] == number


def test_objects_have_their_own_labels_and_colours(project: Path) -> None:
    objects = open_with_copick(project).pickable_objects
    by_name = {o.name: o for o in objects}
    assert [by_name[n].label for n in ("membrane", "particle", "microtubule", "actin", "filament")] == [1, 2, 3, 4, 5]
    assert by_name["ribosome"].radius == 120.0
    assert by_name["absent"].is_particle
    assert not by_name["sample"].is_particle
    assert len({o.label for o in objects}) == len({tuple(o.color) for o in objects}) == len(objects)


def test_many_species_have_distinct_colours(tmp_path: Path) -> None:
    tomogram = make_tomogram()
    radii = {f"species-{i}": 10.0 + i for i in range(80)}
    write_tomogram(tmp_path, replace(tomogram, specimen=replace(tomogram.specimen, radii_angstrom=radii)), "run-1")
    objects = json.loads((tmp_path / "project.json").read_text())["pickable_objects"]
    assert len({tuple(o["color"]) for o in objects}) == len(objects) == 86


def test_our_source_knows_the_acquisition(project: Path) -> None:
    source = CopickSource(project / "project.json", "wbp@7.5")
    tomogram = source.tomogram("toy-0007")
    assert tomogram.contrast.value == "dark"
    assert tomogram.hand is not None
    assert tomogram.wedge == MissingWedge(-60.0, 60.0)
    assert tomogram.defocus_um == 3.5
    reference = source.reference_picks("toy-0007")
    assert reference is not None
    assert len(reference) == 3
    assert CopickSource(project / "project.json", "clean").tomogram("toy-0007").wedge is None


def test_the_noisy_tomogram_is_what_is_meant_where_none_is_named(project: Path) -> None:
    assert CopickSource(project / "project.json").tomogram("toy-0007").tomogram_type == "wbp"
    assert CopickSource(project / "project.json", "wbp*").tomogram("toy-0007").tomogram_type == "wbp"
    assert CopickSource(project / "project.json", "wbp-even").tomogram("toy-0007").tomogram_type == "wbp-even"


def test_tables_and_recipe_tell_all(project: Path) -> None:
    folder = run_folder(project, "toy-0007") / "Simulation"
    tomogram = make_tomogram()
    specimen = tomogram.specimen
    assert specimen.picks.rotations is not None
    particles = rows(folder / "particles.csv")
    assert [row["species"] for row in particles] == list(specimen.picks.class_names)
    assert [int(row["voxels"]) for row in particles] == [64, 64, 175]
    assert [float(row["occupancy"]) for row in particles] == [1.0, 1.0, 0.875]
    matrix = [[float(row[f"r{i}{j}"]) for i in (1, 2, 3) for j in (1, 2, 3)] for row in particles]
    np.testing.assert_array_equal(np.reshape(matrix, (3, 3, 3)), specimen.picks.rotations)
    assert rows(folder / "objects.csv") == [
        {"panoptic_id": "4", "kind": "sheet", "class": "membrane", "voxels": "48"},
        {"panoptic_id": "5", "kind": "actin", "class": "actin", "voxels": "31"},
    ]
    drawn = parse_spec((folder / "recipe.yaml").read_text(), "recipe.yaml")
    assert drawn == tomogram.spec
    assert isinstance(drawn.specimen.occupancy, float)
    facts = json.loads((folder / "simulation.json").read_text())
    assert facts["seed"] == 7
    assert facts["cryosiam"]
    assert facts["occupancy"] == specimen.occupancy == 0.25
    assert facts["shortfall"] == "no more fit"
    assert set(facts["files"]) == set(files_in(folder.parent))


def test_same_tomogram_same_bytes(project: Path, tmp_path: Path) -> None:
    again = tmp_path / "elsewhere" / "project"
    write_tomogram(again, make_tomogram(), "toy-0007", options=WriteOptions(maps=True))
    first, second = contents(project), contents(again)
    # The project file has to name its folder in full.
    mine, other = (json.loads(c.pop("project.json") or b"") for c in (first, second))
    assert {**mine, "overlay_root": ""} == {**other, "overlay_root": ""}
    assert first == second


def test_without_tilt_series_or_halves_nothing_is_made_up(tmp_path: Path) -> None:
    tomogram = replace(make_tomogram(), corrected=None, halves=None, series=None)
    run = write_tomogram(tmp_path, tomogram, "run-1")
    assert sorted(path.name for path in (run / "VoxelSpacing7.500").iterdir()) == [".meta", "clean.zarr", "wbp.zarr"]
    assert not (run / "TiltSeries").exists()
    kept = write_tomogram(tmp_path, make_tomogram(), "run-2", options=WriteOptions(tilt_series=False))
    assert not (kept / "TiltSeries").exists()


@pytest.mark.parametrize("name", ["particle", "sample", "a<b"])
def test_names_that_copick_cannot_tell_apart_are_refused(tmp_path: Path, name: str) -> None:
    tomogram = make_tomogram()
    specimen = replace(tomogram.specimen, radii_angstrom={name: 10.0})
    with pytest.raises(InputError, match=name):
        write_tomogram(tmp_path / "project", replace(tomogram, specimen=specimen), "run-1")
    assert not (tmp_path / "project").exists()


def test_recipe_is_plain_yaml(project: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text = (run_folder(project, "toy-0007") / "Simulation" / "recipe.yaml").read_text()
    assert yaml.safe_load(text)["shape_zyx"] == list(SHAPE)
