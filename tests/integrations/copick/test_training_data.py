"""What is read from a copick project to learn from, and one sentence for each project that cannot be learnt from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cryosiam.domain import Contrast
from cryosiam.errors import InputError
from cryosiam.integrations.copick.library import logging_kept
from cryosiam.integrations.copick.project import CopickProject
from cryosiam.integrations.copick.training_data import LabelledProject, ProjectLabels, project_data
from cryosiam.training.labelled_scenes import LabelledTomogram, store_labelled
from cryosiam.training.recipe import read_recipe

SHAPE = (12, 20, 24)
VOXEL = 10.0
OBJECTS = (
    {"name": "membrane", "is_particle": False, "label": 1},
    {"name": "ribosome", "is_particle": True, "label": 2, "radius": 30.0},
    {"name": "proteasome", "is_particle": True, "label": 3},
    {"name": "actin", "is_particle": False, "label": 4},
    {"name": "wall", "is_particle": False, "label": 5},
    {"name": "sample", "is_particle": False, "label": 6},
    {"name": "complete", "is_particle": False, "label": 7},
)


def silent(_: str) -> None:
    """Report nothing."""


class Project:
    """A project of unmodified copick, filled as a test wants it."""

    def __init__(self, folder: Path, runs: tuple[str, ...] = ("TS_1", "TS_2")) -> None:
        self.path = folder / "project.json"
        overlay = folder / "overlay"
        overlay.mkdir(parents=True)
        content = {
            "config_type": "filesystem",
            "name": "p",
            "description": "made for a test",
            "version": "1.0.0",
            "pickable_objects": list(OBJECTS),
            "overlay_root": f"local://{overlay}",
            "overlay_fs_args": {"auto_mkdir": True},
        }
        self.path.write_text(json.dumps(content))
        with logging_kept():
            import copick

            self.root: Any = copick.from_file(str(self.path))
            for number, run in enumerate(runs):
                voxels = np.random.default_rng(number).normal(size=SHAPE).astype(np.float32)
                spacing = self.root.new_run(run).new_voxel_spacing(VOXEL)
                spacing.new_tomogram("wbp").from_numpy(voxels, levels=1)

    def segment(self, run: str, name: str, labels: np.ndarray, voxel: float = VOXEL, **kind: Any) -> None:
        kind = {"user_id": "me", "session_id": "1", "is_multilabel": False, **kind}
        with logging_kept():
            segmentation = self.root.get_run(run).new_segmentation(voxel, name, **kind)
            segmentation.from_numpy(labels.astype(np.uint8), levels=1)

    def pick(self, run: str, name: str, positions: np.ndarray, **by: str) -> None:
        by = {"user_id": "me", "session_id": "1", **by}
        with logging_kept():
            self.root.get_run(run).new_picks(name, exist_ok=True, **by).from_numpy(positions, None)

    def labelled(self, **wanted: Any) -> dict[str, LabelledTomogram]:
        training, validation = LabelledProject(ProjectLabels(self.path, **wanted), silent).split()
        return {one.tomogram.run: one for one in (*training, *validation)}

    def refused(self, **wanted: Any) -> str:
        with pytest.raises(InputError) as error:
            self.labelled(**wanted)
        assert "\n" not in str(error.value)
        return str(error.value)


def block(*box: slice) -> np.ndarray:
    labels = np.zeros(SHAPE, np.uint8)
    labels[box] = 1
    return labels


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with a membrane and two picked ribosomes in each of two runs."""
    made = Project(tmp_path / "made")
    for run in ("TS_1", "TS_2"):
        made.segment(run, "membrane", block(slice(0, 2)))
        made.pick(run, "ribosome", np.array([[60.0, 100.0, 70.0], [180.0, 100.0, 70.0]]))
    return made


def test_masks_and_picks_by_the_names_of_their_objects(project: Project, tmp_path: Path) -> None:
    found = project.labelled()
    assert sorted(found) == ["TS_1", "TS_2"]
    scene = store_labelled(tmp_path, found["TS_1"], VOXEL)
    semantic = np.asarray(scene.array("semantic"))
    assert (semantic[:2] == 1).all()
    # A pick at (180, 100, 70) Å is centred on voxel z 7, y 10, x 18.
    np.testing.assert_array_equal(semantic[7, 10, [2, 3, 6, 9, 10, 15, 18, 21, 22]], [0, 2, 2, 2, 0, 2, 2, 2, 0])
    assert scene.picks().class_names == ("ribosome", "ribosome")
    assert scene.facts["hidden"] == ["microtubule", "actin", "filament"]


def test_named_labels_mean_what_they_are_said_to(project: Project, tmp_path: Path) -> None:
    for run in ("TS_1", "TS_2"):
        project.segment(run, "wall", block(slice(4, 6)), user_id="you", session_id="7")
        project.segment(run, "everything", 4 * block(slice(8, 10)), is_multilabel=True, user_id="you", session_id="7")
    found = project.labelled(labels="microtubule=wall:you/7, actin=actin:you/7, particle=ribosome")
    scene = store_labelled(tmp_path, found["TS_2"], VOXEL)
    semantic = np.asarray(scene.array("semantic"))
    assert (semantic[:2] == 0).all()
    assert (semantic[4:6] == 3).all()
    assert (semantic[8:10] == 4).all()
    assert (semantic == 2).any()


def test_masks_of_the_sample_and_of_what_is_complete(project: Project) -> None:
    for run in ("TS_1", "TS_2"):
        project.segment(run, "sample", block(slice(1, 11)))
        project.segment(run, "complete", block(slice(4, 6)))
    found = project.labelled()["TS_1"]
    assert found.sample is not None
    assert found.complete is not None
    assert [volume.class_name for volume in found.volumes] == ["membrane"]


def test_runs_are_split_by_the_seed_or_as_the_project_says(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def split(seed: int) -> tuple[list[str], list[str]]:
        parts = LabelledProject(ProjectLabels(project.path, seed=seed), silent).split()
        training, validation = ([one.tomogram.run for one in part] for part in parts)
        return training, validation

    assert split(1) == split(1)
    assert {tuple(split(seed)[1]) for seed in range(8)} == {("TS_1",), ("TS_2",)}
    # Only copick's Croissant backend stores splits, and it cannot be opened here: its runs are stood in for.
    stated = {"TS_1": "val", "TS_2": "train"}
    run_type = type(project.root.get_run("TS_1"))
    monkeypatch.setattr(run_type, "split", property(lambda self: stated[self.name]))
    assert split(1) == split(2) == (["TS_2"], ["TS_1"])
    stated["TS_1"] = "test"
    assert "leave no annotated run for validation" in project.refused()


def test_what_is_not_annotated_is_left_out_and_said(tmp_path: Path) -> None:
    project = Project(tmp_path / "three", ("TS_1", "TS_2", "TS_3"))
    for run in ("TS_1", "TS_3"):
        project.segment(run, "membrane", block(slice(0, 2)))
    said: list[str] = []
    training, validation = LabelledProject(ProjectLabels(project.path), said.append).split()
    assert {one.tomogram.run for one in (*training, *validation)} == {"TS_1", "TS_3"}
    assert said[0] == "left out, as they have no annotations by me/1: TS_2"


def test_a_changed_annotation_changes_the_signature(project: Project) -> None:
    before = project.labelled()["TS_1"].signature
    assert project.labelled()["TS_1"].signature == before
    assert project.labelled(background_known=False)["TS_1"].signature != before
    project.pick("TS_1", "ribosome", np.array([[10.0, 20.0, 30.0]]))
    assert project.labelled()["TS_1"].signature != before


def test_one_sentence_for_what_cannot_be_learnt_from(project: Project, tmp_path: Path) -> None:
    assert "has no annotations; name some with --labels" in Project(tmp_path / "bare").refused()
    assert "annotations by you/2; there is nothing to learn from" in project.refused(labels="you/2")
    assert "only run 'TS_1'" in project.refused(runs=("TS_1",))
    assert "which is no class; there are background, membrane" in project.refused(labels="wall=membrane:me/1")
    assert "which is no annotator" in project.refused(labels="me")
    assert "which names no annotation" in project.refused(labels="membrane=")
    with pytest.raises(InputError, match="class 'actin' has no voxel in the tomograms to learn from"):
        wanted = ProjectLabels(project.path, "membrane=membrane:me/1, actin=actin:me/1")
        project_data(tmp_path / "scenes", wanted, read_recipe("light"), silent)
    project.pick("TS_1", "proteasome", np.array([[10.0, 20.0, 30.0]]))
    assert "object 'proteasome' in" in project.refused()
    project.pick("TS_2", "ribosome", np.array([[10.0, 20.0, 30.0]]), user_id="you")
    assert "is annotated by me/1, you/1; say whose to learn from" in project.refused()


def test_labels_of_another_grid_are_refused(project: Project, tmp_path: Path) -> None:
    project.segment("TS_1", "actin", block(slice(0, 2)), voxel=13.0)
    assert "labels must be on the tomogram's grid" in project.refused()
    other = Project(tmp_path / "shape")
    for run in ("TS_1", "TS_2"):
        other.segment(run, "membrane", block(slice(0, 2))[:-1])
    with pytest.raises(InputError, match="11 x 20 x 24 voxels of 10 Å and the tomogram"):
        project_data(tmp_path / "scenes", ProjectLabels(other.path), read_recipe("light"), silent)


def test_contrast_is_that_of_the_tomogram(project: Project) -> None:
    where = CopickProject(project.path).tomograms("TS_1")[0].path
    attributes = Path(where) / ".zattrs"
    stored = json.loads(attributes.read_text())
    attributes.write_text(json.dumps({**stored, "cryosiam": {"contrast": "bright"}}))
    assert project.labelled()["TS_1"].contrast is Contrast.BRIGHT
