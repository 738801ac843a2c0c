"""Simulated tomograms in a copick project, read back with copick and with our own readers."""

from __future__ import annotations

import csv
import errno
import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from cryosiam.domain import MissingWedge, Picks
from cryosiam.errors import InputError, StorageError
from cryosiam.integrations.copick import simulated_project as writer
from cryosiam.integrations.copick.library import logging_kept
from cryosiam.integrations.copick.simulated_project import RunState, WriteOptions, run_state, write_tomogram
from cryosiam.integrations.copick.simulated_volumes import signed_distance
from cryosiam.integrations.copick.source import CopickSource
from cryosiam.integrations.imod.simulated_series import true_alignment
from cryosiam.integrations.tilt_series import TiltSeriesFiles, load_tilt_series
from cryosiam.simulation.microscope.series import SimulatedTiltSeries
from cryosiam.simulation.spec import SimulationSpec, parse_spec
from cryosiam.simulation.tomogram import SimulatedTomogram, Specimen
from cryosiam.tomography.alignment import align_image

SHAPE = (20, 24, 31)
VOXEL = 7.5
RECIPE = {
    "name": "toy",
    "shape_zyx": list(SHAPE),
    "voxel_size_angstrom": VOXEL,
    "specimen": {"slab": {"thickness_nm": 10}, "occupancy": [0.1, 0.2]},
}
SPEC = SimulationSpec.model_validate(RECIPE)


def make_specimen() -> Specimen:
    rng = np.random.default_rng(1)
    instances = np.zeros(SHAPE, np.int32)
    instances[5:9, 5:9, 5:9] = 1
    instances[5:9, 5:9, 9:13] = 2
    instances[10:15, 15:20, 20:27] = 3
    scaffold = np.zeros(SHAPE, np.uint16)
    scaffold[2, :, 2:4] = 1
    scaffold[17, 12, :] = 2
    semantic = np.where(instances > 0, 2, 0).astype(np.uint8)
    semantic[scaffold == 1] = 1
    semantic[scaffold == 2] = 4
    picks = Picks(
        "",
        positions_angstrom=np.array([[48.75, 48.75, 48.75], [78.75, 48.75, 48.75], [172.5, 127.5, 90.0]]),
        scores=np.array([1.0, 1.0, 0.875]),
        class_names=("ribosome", "ribosome", "proteasome"),
        instance_ids=np.arange(1, 4),
        rotations=Rotation.random(3, rng=np.random.default_rng(2)).as_matrix(),
    )
    return Specimen(
        voxel_size_angstrom=VOXEL,
        density=rng.normal(size=SHAPE).astype(np.float32),
        unlabelled=np.zeros(SHAPE, np.float32),
        semantic=semantic,
        instances=instances,
        scaffold=scaffold,
        scaffold_kinds=("sheet", "actin"),
        sample_mask=np.indices(SHAPE)[0] > 3,
        picks=picks,
        radii_angstrom={"ribosome": 120.0, "proteasome": 60.0, "absent": 30.0},
    )


def make_series(whole: bool = True) -> SimulatedTiltSeries:
    rng = np.random.default_rng(3)
    tilts = np.arange(-60.0, 61.0, 30.0)
    halves = tuple(rng.poisson(60, (5, 24, 36)).astype(np.float32) + (0.0 if whole else 0.25) for _ in range(2))
    return SimulatedTiltSeries(
        images=halves[0] + halves[1],
        pixel_size_angstrom=VOXEL,
        tilt_angles_deg=tilts,
        exposure_index=np.array([4, 2, 0, 1, 3]),
        dose_per_tilt=3.0,
        prior_dose=3.0 * np.array([4.0, 2.0, 0.0, 1.0, 3.0]),
        defocus_um=rng.normal(3.0, 0.1, 5),
        astigmatism_um=0.05,
        astigmatism_deg=30.0,
        phase_shift_deg=np.zeros(5),
        shifts_angstrom=rng.normal(0, 10, (5, 2)),
        rotations_deg=rng.normal(0, 2, 5),
        magnifications=1 + rng.normal(0, 0.01, 5),
        halves=(halves[0], halves[1]),
    )


def make_tomogram(seed: int = 7) -> SimulatedTomogram:
    rng = np.random.default_rng(seed)

    def volume() -> NDArray[np.float32]:
        return rng.normal(size=SHAPE).astype(np.float32)

    return SimulatedTomogram(
        spec=SPEC.for_seed(seed),
        seed=seed,
        specimen=make_specimen(),
        noisy=volume(),
        wedge=MissingWedge(-60.0, 60.0),
        corrected=volume(),
        halves=(volume(), volume()),
        series=make_series(),
    )


def open_with_copick(folder: Path) -> Any:
    with logging_kept():
        import copick

        return copick.from_file(str(folder / "project.json"))


def contents(folder: Path) -> dict[str, bytes | None]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated") / "project"
    write_tomogram(folder, make_tomogram(), "toy-0007", options=WriteOptions(maps=True))
    return folder


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
    folder = writer.run_folder(project, "toy-0007") / "Simulation"
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
    inside = specimen.sample_mask & (specimen.scaffold == 0)
    assert facts["occupancy_reached"] == pytest.approx((64 + 64 + 175) / inside.sum(), abs=1e-6)


def test_same_tomogram_same_bytes(project: Path, tmp_path: Path) -> None:
    again = tmp_path / "elsewhere" / "project"
    write_tomogram(again, make_tomogram(), "toy-0007", options=WriteOptions(maps=True))
    first, second = contents(project), contents(again)
    # The project file has to name its folder in full.
    mine, other = (json.loads(c.pop("project.json") or b"") for c in (first, second))
    assert {**mine, "overlay_root": ""} == {**other, "overlay_root": ""}
    assert first == second


def test_signed_distance_is_that_to_the_faces() -> None:
    instances = np.zeros((9, 9, 60), np.int32)
    instances[:, :, 10:20] = 1
    instances[:, :, 20:25] = 2
    line = signed_distance(instances, 2.0, limit_voxels=6)[4, 4] / 2.0
    assert list(line[7:25]) == [
        -2.5,
        -1.5,
        -0.5,
        0.5,
        1.5,
        2.5,
        3.5,
        4.5,
        4.5,
        3.5,
        2.5,
        1.5,
        0.5,
        0.5,
        1.5,
        2.5,
        1.5,
        0.5,
    ]
    assert line[30] == -5.5
    assert line[40] == line[59] == -6.0
    assert (signed_distance(np.zeros((3, 3, 3), np.int32), 2.0, 4) == -8).all()


@pytest.mark.parametrize("shape", [(13, 16, 300), (140, 20, 131)])
def test_signed_distance_does_not_depend_on_blocks(shape: tuple[int, int, int]) -> None:
    instances = np.zeros(shape, np.int32)
    rng = np.random.default_rng(1)
    for number, (z, y, x) in enumerate(rng.integers(0, np.array(shape) - 3, (40, 3)), start=1):
        instances[z : z + 9, y : y + 9, x : x + 9] = number
    whole = signed_distance(instances, 1.0, limit_voxels=300).clip(-4, 4)
    np.testing.assert_allclose(signed_distance(instances, 1.0, limit_voxels=4), whole)
    moved = np.roll(instances, (5, 0, 0), (2, 1, 0))[:, :, 5:]
    middle = (slice(None), slice(None), slice(10, -10))
    np.testing.assert_allclose(
        signed_distance(moved, 1.0, 4)[middle], signed_distance(instances[:, :, :-5], 1.0, 4)[middle]
    )


def test_tilt_series_is_what_was_recorded(project: Path) -> None:
    folder = writer.run_folder(project, "toy-0007") / "TiltSeries"
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
    with mrcfile.open(writer.run_folder(tmp_path, "run-1") / "TiltSeries" / "run-1.mrc") as file:
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
    head, sections = read_mdoc(writer.run_folder(project, "toy-0007") / "TiltSeries" / "toy-0007.mdoc")
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
    folder = writer.run_folder(project, "toy-0007") / "TiltSeries"
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


def test_without_tilt_series_or_halves_nothing_is_made_up(tmp_path: Path) -> None:
    tomogram = replace(make_tomogram(), corrected=None, halves=None, series=None)
    run = write_tomogram(tmp_path, tomogram, "run-1")
    assert sorted(path.name for path in (run / "VoxelSpacing7.500").iterdir()) == [".meta", "clean.zarr", "wbp.zarr"]
    assert not (run / "TiltSeries").exists()
    kept = write_tomogram(tmp_path, make_tomogram(), "run-2", options=WriteOptions(tilt_series=False))
    assert not (kept / "TiltSeries").exists()


def test_a_run_is_known_by_recipe_seed_and_products(tmp_path: Path) -> None:
    def state(spec: SimulationSpec = SPEC, seed: int = 7, options: WriteOptions | None = None) -> RunState:
        return run_state(tmp_path, "toy-0007", spec, seed, options or WriteOptions())

    assert state() is RunState.ABSENT
    write_tomogram(tmp_path, make_tomogram(), "toy-0007")
    assert state() is RunState.COMPLETE
    assert state(seed=8) is RunState.OTHER
    assert state(options=WriteOptions(maps=True)) is RunState.OTHER
    assert state(SimulationSpec.model_validate({**RECIPE, "voxel_size_angstrom": 8.0})) is RunState.OTHER
    (writer.run_folder(tmp_path, "toy-0007") / "Simulation" / "simulation.json").write_text("{")
    assert state() is RunState.OTHER


@pytest.mark.parametrize("function", ["write_tilt_series", "write_truth", "write_volumes"])
@pytest.mark.parametrize("problem", [OSError(errno.ENOSPC, "No space left on device", "x"), KeyboardInterrupt()])
def test_stopped_or_full_disk_leaves_no_part_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, problem: BaseException
) -> None:
    write_tomogram(tmp_path, make_tomogram(), "run-1")
    before = contents(tmp_path)
    real: Callable[..., None] = getattr(writer, function)

    def fail(*arguments: Any) -> None:
        real(*arguments)
        raise problem

    monkeypatch.setattr(writer, function, fail)
    with pytest.raises(StorageError if isinstance(problem, OSError) else KeyboardInterrupt):
        write_tomogram(tmp_path, make_tomogram(8), "run-2")
    assert contents(tmp_path) == before
    monkeypatch.undo()
    write_tomogram(tmp_path, make_tomogram(8), "run-2")
    assert [run.name for run in open_with_copick(tmp_path).runs] == ["run-1", "run-2"]


def test_what_a_killed_process_left_is_invisible_and_cleared(tmp_path: Path) -> None:
    write_tomogram(tmp_path, make_tomogram(), "run-1")
    part = tmp_path / "overlay" / "ExperimentRuns" / ".run-2.123.part"
    (part / "VoxelSpacing7.500" / "wbp.zarr").mkdir(parents=True)
    assert [run.name for run in open_with_copick(tmp_path).runs] == ["run-1"]
    write_tomogram(tmp_path, make_tomogram(8), "run-2")
    assert not part.exists()


@pytest.mark.parametrize("name", ["particle", "sample", "a<b"])
def test_names_that_copick_cannot_tell_apart_are_refused(tmp_path: Path, name: str) -> None:
    tomogram = make_tomogram()
    specimen = replace(tomogram.specimen, radii_angstrom={name: 10.0})
    with pytest.raises(InputError, match=name):
        write_tomogram(tmp_path / "project", replace(tomogram, specimen=specimen), "run-1")
    assert not (tmp_path / "project").exists()


def test_a_folder_belongs_to_one_recipe(tmp_path: Path) -> None:
    mine, other = {"recipe": RECIPE}, {"recipe": {**RECIPE, "name": "other"}}
    folder = tmp_path / "project"
    writer.check_folder(folder, mine)
    writer.claim_folder(folder, mine)
    write_tomogram(folder, make_tomogram(), "toy-0007")
    writer.check_folder(folder, mine)
    with pytest.raises(InputError, match="another recipe"):
        writer.check_folder(folder, other)
    writer.check_folder(folder, other, overwrite=True)
    writer.claim_folder(folder, other)
    assert not writer.run_folder(folder, "toy-0007").exists()
    with pytest.raises(InputError, match="no simulated project"):
        writer.check_folder(tmp_path, mine)


def test_giving_up_leaves_what_is_not_ours(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    writer.claim_folder(folder, {"recipe": 1})
    writer.give_up_folder(folder, keep_folder=True)
    assert list(folder.iterdir()) == []
    writer.claim_folder(folder, {"recipe": 1})
    writer.give_up_folder(folder, keep_folder=False)
    assert not folder.exists()
    writer.claim_folder(folder, {"recipe": 1})
    (folder / "notes.txt").write_text("mine")
    writer.give_up_folder(folder, keep_folder=False)
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]
    write_tomogram(folder, make_tomogram(), "run-1")
    writer.give_up_folder(folder, keep_folder=False)
    assert (folder / "project.json").exists()


def test_recipe_is_plain_yaml(project: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text = (writer.run_folder(project, "toy-0007") / "Simulation" / "recipe.yaml").read_text()
    assert yaml.safe_load(text)["shape_zyx"] == list(SHAPE)
