"""Simulated runs are whole or not there, and nothing that others made in the project is lost."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cryosiam.domain import ArrayVolume, Picks, Tomogram
from cryosiam.errors import InputError, ProductExistsError, ProjectLockedError, StorageError
from cryosiam.integrations.copick import simulated_project as writer
from cryosiam.integrations.copick import simulated_volumes, zarr_writer
from cryosiam.integrations.copick.simulated_folder import check_folder, claim_folder, give_up_folder
from cryosiam.integrations.copick.simulated_ownership import files_in, foreign_file, run_folder
from cryosiam.integrations.copick.simulated_project import RunState, WriteOptions, run_state, write_tomogram
from cryosiam.integrations.copick.sink import CopickSink
from cryosiam.ports import ProductKey
from cryosiam.simulation.spec import SimulationSpec

from .toy_tomogram import RECIPE, SPEC, contents, make_tomogram, open_with_copick

MINE, OTHER = {"recipe": RECIPE}, {"recipe": {**RECIPE, "name": "other"}}


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Store small volumes in small chunks: what is tested here does not depend on them, and it is much quicker."""
    for module in (simulated_volumes, zarr_writer):
        monkeypatch.setattr(module, "BLOCK", 32)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A project of one recipe with two runs."""
    folder = tmp_path / "project"
    claim_folder(folder, MINE)
    for run in ("toy-0007", "toy-0008"):
        write_tomogram(folder, make_tomogram(int(run[-1])), run, options=WriteOptions(maps=True))
    return folder


def test_a_run_is_known_by_recipe_seed_and_products(tmp_path: Path) -> None:
    def state(spec: SimulationSpec = SPEC, seed: int = 7, options: WriteOptions | None = None) -> RunState:
        return run_state(tmp_path, "toy-0007", spec, seed, options or WriteOptions())

    assert state() is RunState.ABSENT
    write_tomogram(tmp_path, make_tomogram(), "toy-0007")
    assert state() is RunState.COMPLETE
    assert state(seed=8) is RunState.OTHER
    assert state(options=WriteOptions(maps=True)) is RunState.OTHER
    assert state(SimulationSpec.model_validate({**RECIPE, "voxel_size_angstrom": 8.0})) is RunState.OTHER
    (run_folder(tmp_path, "toy-0007") / "Simulation" / "simulation.json").write_text("{")
    assert state() is RunState.OTHER


FULL_DISK = OSError(errno.ENOSPC, "No space left on device", "x")


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        ("write_volumes", FULL_DISK),
        ("write_tilt_series", FULL_DISK),
        ("write_truth", FULL_DISK),
        ("write_truth", KeyboardInterrupt()),
    ],
)
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


def test_a_folder_belongs_to_one_recipe(made: Path, tmp_path: Path) -> None:
    check_folder(made, MINE)
    with pytest.raises(InputError, match="another recipe"):
        check_folder(made, OTHER)
    with pytest.raises(InputError, match="no simulated project"):
        check_folder(tmp_path, MINE)


def test_beginning_anew_leaves_nothing_of_the_other_recipe(made: Path, tmp_path: Path) -> None:
    check_folder(made, OTHER, overwrite=True)
    claim_folder(made, OTHER)
    write_tomogram(made, make_tomogram(), "other-0007")
    fresh = tmp_path / "elsewhere" / "project"
    claim_folder(fresh, OTHER)
    write_tomogram(fresh, make_tomogram(), "other-0007")

    def all_but_locks(folder: Path) -> set[str]:
        return {name for name in files_in(folder) if ".cryosiam" not in name}

    assert all_but_locks(made) == all_but_locks(fresh)
    assert (made / "project.json").read_text() == (fresh / "project.json").read_text().replace(str(fresh), str(made))


def cryosiam_picks(folder: Path) -> None:
    """Write picks as ``cryosiam pick`` does."""
    tomogram = make_tomogram()
    picks = Picks("toy-0007", np.array([[60.0, 60.0, 60.0]]), np.ones(1), ("mine",))
    source = Tomogram("toy-0007", ArrayVolume(tomogram.noisy), 7.5, "wbp", "simulation")
    CopickSink(folder / "project.json").write_picks(source, picks, ProductKey("cryosiam", "1"))


def users_picks(folder: Path) -> None:
    """Write picks as copick's other tools do, under the user of the truth."""
    picks = open_with_copick(folder).get_run("toy-0007").new_picks("proteasome", user_id="truth", session_id="2")
    picks.from_numpy(np.array([[60.0, 60.0, 60.0]]))
    picks.store()


def users_segmentation(folder: Path) -> None:
    run = open_with_copick(folder).get_run("toy-0007")
    made = run.new_segmentation(7.5, "particle", "1", is_multilabel=False, user_id="me")
    made.from_numpy(np.ones((4, 4, 4), np.uint8))


def users_volume(folder: Path) -> None:
    (run_folder(folder, "toy-0007") / "VoxelSpacing7.500" / "denoised.zarr").mkdir()


def users_note(folder: Path) -> None:
    (run_folder(folder, "toy-0007") / "TiltSeries" / "notes.txt").write_text("mine")


def users_link(folder: Path) -> None:
    (run_folder(folder, "toy-0007") / "Picks" / "mine").symlink_to(folder)


WORKS = [cryosiam_picks, users_picks, users_segmentation, users_volume, users_note, users_link]


@pytest.mark.parametrize("work", WORKS)
def test_work_of_others_in_a_run_is_never_lost(made: Path, work: Callable[[Path], None]) -> None:
    assert foreign_file(run_folder(made, "toy-0007")) is None
    work(made)
    theirs = foreign_file(run_folder(made, "toy-0007"))
    assert theirs is not None
    before = contents(made)
    for refused in (
        lambda: check_folder(made, OTHER, overwrite=True),
        lambda: claim_folder(made, OTHER),
        lambda: write_tomogram(made, make_tomogram(), "toy-0007"),
    ):
        with pytest.raises(ProductExistsError, match=f"{theirs.name}, which simulate did not write"):
            refused()
    give_up_folder(made, keep_folder=True)
    assert {name: data for name, data in contents(made).items() if ".cryosiam" not in name} == {
        name: data for name, data in before.items() if ".cryosiam" not in name
    }
    # Another run of the same recipe has nothing of theirs.
    write_tomogram(made, make_tomogram(8), "toy-0008")


@pytest.mark.parametrize("place", ["overlay/Objects/mine.zarr/0", "overlay/ExperimentRuns/TS_01/Picks/me_1_a.json"])
def test_work_of_others_beside_the_runs_is_never_lost(made: Path, place: str) -> None:
    (made / place).parent.mkdir(parents=True)
    (made / place).write_text("mine")
    with pytest.raises(ProductExistsError, match="which simulate did not write"):
        check_folder(made, OTHER, overwrite=True)
    with pytest.raises(ProductExistsError):
        claim_folder(made, OTHER)
    assert (made / place).read_text() == "mine"


def test_what_others_noted_in_the_project_file_stays(made: Path) -> None:
    config = json.loads((made / "project.json").read_text())
    mine = {"name": "mine", "is_particle": True, "label": 99, "color": [1, 2, 3, 255]}
    config["pickable_objects"].append(mine)
    (made / "project.json").write_text(json.dumps(config))
    claim_folder(made, OTHER)
    give_up_folder(made, keep_folder=False)
    write_tomogram(made, make_tomogram(), "other-0007")
    objects = json.loads((made / "project.json").read_text())["pickable_objects"]
    assert mine in objects
    assert len({one["label"] for one in objects}) == len(objects)


def test_a_run_that_another_command_writes_into_is_left_alone(made: Path) -> None:
    with CopickSink(made / "project.json").lock("toy-0007"):
        with pytest.raises(ProjectLockedError, match="toy-0007"):
            write_tomogram(made, make_tomogram(), "toy-0007")
        with pytest.raises(ProjectLockedError, match="toy-0007"):
            claim_folder(made, OTHER)
    assert len(open_with_copick(made).runs) == 2


def test_giving_up_leaves_what_is_not_ours(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    claim_folder(folder, {"recipe": 1})
    give_up_folder(folder, keep_folder=True)
    assert list(folder.iterdir()) == []
    claim_folder(folder, {"recipe": 1})
    give_up_folder(folder, keep_folder=False)
    assert not folder.exists()
    claim_folder(folder, {"recipe": 1})
    (folder / "notes.txt").write_text("mine")
    give_up_folder(folder, keep_folder=False)
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]
    write_tomogram(folder, make_tomogram(), "run-1")
    give_up_folder(folder, keep_folder=False)
    assert (folder / "project.json").exists()
