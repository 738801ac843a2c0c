"""The installed ``cryosiam simulate``: a recipe becomes a project, the same each time, or one sentence and nothing."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import mrcfile
import numpy as np
import pytest
import yaml
import zarr
from numpy.typing import NDArray

from cryosiam.cli.main import INTERRUPTED

COMMAND = Path(sys.executable).parent / "cryosiam"
SHAPE = (40, 64, 72)
RECIPE: dict[str, Any] = {
    "name": "tiny",
    "shape_zyx": list(SHAPE),
    "specimen": {
        "slab": {"thickness_nm": 30, "tilt_deg": 0},
        "membranes": {"vesicles": 1, "vesicle_diameter_nm": [20, 24]},
        "species": [
            {"name": "barrel", "source": "builtin:barrel"},
            {"name": "ring-stack", "source": "builtin:ring-stack"},
        ],
        "occupancy": [0.1, 0.2],
    },
    "microscope": {"tilts": {"step_deg": 6.0}, "optics": {"defocus_um": [3.0, 4.0]}},
}
PDB_ATOM = "ATOM  {number:5d}  CA  ALA A{number:4d}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00 20.00          {element:>2s}\n"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's cache out of the tests."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def merged(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in change.items():
        result[key] = merged(base[key], value) if isinstance(value, dict) and isinstance(base.get(key), dict) else value
    return result


def write_recipe(folder: Path, change: dict[str, Any] | None = None) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(merged(RECIPE, change or {})))
    return path


def contents(folder: Path) -> dict[str, bytes | None]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


def volume(project: Path, run: str, place: str) -> NDArray[Any]:
    path = project / "overlay" / "ExperimentRuns" / run / place / "0"
    values: NDArray[Any] = zarr.open(str(path), mode="r")[:]
    return values


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of two runs, with its recipe beside it."""
    folder = tmp_path_factory.mktemp("simulate")
    recipe = write_recipe(folder)
    words = [COMMAND, "simulate", recipe, "--out", folder / "project", "--runs", "2", "--seed", "5", "--maps"]
    made = subprocess.run(words, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    # So small a volume may not hold every species.
    assert all(line.startswith("warning: tiny-000") and "not placed" in line for line in made.stderr.splitlines())
    assert "2 made, 0 there already" in made.stdout
    return folder / "project"


def test_truth_and_picture_belong_together(project: Path) -> None:
    for run in ("tiny-0005", "tiny-0006"):
        clean = volume(project, run, "VoxelSpacing10.000/clean.zarr")
        noisy = volume(project, run, "VoxelSpacing10.000/wbp.zarr")
        semantic = volume(project, run, "Segmentations/10.000_truth_1_semantic-multilabel.zarr")
        labels, ids = volume(project, run, "PanopticSegmentations/10.000_truth_1_panoptic.zarr")
        particles = volume(project, run, "InstanceSegmentations/10.000_truth_1_particle.zarr")
        sample = volume(project, run, "Segmentations/10.000_truth_1_sample.zarr")
        distance = volume(project, run, "VoxelSpacing10.000/wbp_signed-distance_features.zarr")
        assert clean.shape == noisy.shape == SHAPE
        assert clean[semantic == 2].mean() < -0.5
        assert np.abs(clean[semantic == 0]).mean() < 0.05
        # Protein is dark in what is seen, too.
        assert noisy[semantic == 2].mean() < noisy[(semantic == 0) & (sample == 1)].mean()
        np.testing.assert_array_equal(labels, semantic)
        np.testing.assert_array_equal((ids > 0), (semantic > 0))
        np.testing.assert_array_equal(ids[particles > 0], particles[particles > 0])
        np.testing.assert_array_equal(distance > 0, particles > 0)
        assert (
            len(np.unique(particles)) - 1
            == json.loads(
                (project / "overlay" / "ExperimentRuns" / run / "Simulation" / "simulation.json").read_text()
            )["particles"]
        )


def copied(project: Path, folder: Path) -> Path:
    """Return a copy of a project in which a user called ``me`` made picks: those of the truth."""
    shutil.copytree(project, folder)
    config = json.loads((folder / "project.json").read_text())
    config["overlay_root"] = f"local://{folder / 'overlay'}"
    (folder / "project.json").write_text(json.dumps(config))
    for truth in folder.glob("overlay/ExperimentRuns/*/Picks/truth_1_*.json"):
        content = json.loads(truth.read_text())
        content["user_id"] = "me"
        truth.with_name(truth.name.replace("truth", "me")).write_text(json.dumps(content))
    return folder


def test_the_project_states_the_masses_of_its_species(project: Path) -> None:
    objects = {one["name"]: one for one in json.loads((project / "project.json").read_text())["pickable_objects"]}
    masses = [objects[name]["metadata"]["mass_kda"] for name in ("ring-stack", "barrel")]
    assert 300 < masses[0] < masses[1] < 3000


def test_evaluation_finds_picks_at_the_true_places_perfect(project: Path, tmp_path: Path, call: Any) -> None:
    mine = copied(project, tmp_path / "copy")
    evaluated = call("evaluate", "--copick", mine / "project.json", "--picks", "me/1", "--out", tmp_path / "out")
    assert evaluated.returncode == 0, evaluated.stderr
    picks = json.loads((tmp_path / "out" / "evaluation.json").read_text())["picks"]
    assert picks["named"]["f1"] == 1.0


def test_work_of_others_is_never_overwritten(project: Path, tmp_path: Path, call: Any) -> None:
    mine = copied(project, tmp_path / "copy")
    before = contents(mine)
    other = write_recipe(tmp_path, {"name": "other"})
    for recipe, seed in ((other, "1"), (project.parent / "recipe.yaml", "5")):
        refused = call("simulate", recipe, "--out", mine, "--seed", seed, "--maps", "--overwrite")
        assert_refused(refused, "Picks/me_1_barrel.json, which simulate did not write")
    assert contents(mine) == before


def test_what_falls_short_is_said_and_written(tmp_path: Path, call: Any) -> None:
    species = [{"name": "capsid", "source": "builtin:capsid"}]
    recipe = write_recipe(tmp_path, {"specimen": {"species": species, "occupancy": 0.7}})
    made = call("simulate", recipe, "--out", tmp_path / "out", "--fast", "--quiet")
    assert made.returncode == 0, made.stderr
    facts = json.loads((tmp_path / "out/overlay/ExperimentRuns/tiny-0001/Simulation/simulation.json").read_text())
    assert facts["occupancy"] < 0.6
    assert "instead of 0.70" in facts["shortfall"]
    assert made.stdout == ""
    assert made.stderr == f"warning: tiny-0001: {facts['shortfall']}\n"


def test_info_and_pick_take_the_noisy_tomogram(project: Path, call: Any) -> None:
    shown = call("info", project / "project.json")
    assert shown.returncode == 0, shown.stderr
    assert "tiny-0006: wbp, 40 x 64 x 72 voxels" in shown.stdout
    assert "barrel" in shown.stdout


def test_the_tilt_series_reconstructs_to_the_tomogram(project: Path, tmp_path: Path, call: Any) -> None:
    stem = project / "overlay" / "ExperimentRuns" / "tiny-0005" / "TiltSeries" / "tiny-0005"
    made = call(
        *("reconstruct", "--stack", f"{stem}.mrc", "--tilt", f"{stem}.rawtlt", "--xf", f"{stem}.xf"),
        *("--voxel-size", "10", "--thickness", SHAPE[0], "--out", tmp_path / "again.mrc"),
    )
    assert made.returncode == 0, made.stderr
    again = mrcfile.read(tmp_path / "again.mrc")
    noisy = volume(project, "tiny-0005", "VoxelSpacing10.000/wbp.zarr")
    # Images may be wider than the volume; both have their centre at size // 2.
    first = again.shape[2] // 2 - SHAPE[2] // 2
    here = again[:, :, first : first + SHAPE[2]]

    def likeness(shift: int, axis: int) -> float:
        return float(np.corrcoef(np.roll(here, shift, axis).ravel(), noisy.ravel())[0, 1])

    assert likeness(0, 0) > 0.9
    for axis in range(3):
        assert max(likeness(1, axis), likeness(-1, axis)) < likeness(0, 0) - 0.1


def test_called_again_it_makes_what_is_missing_byte_for_byte(project: Path, tmp_path: Path, cryosiam: Any) -> None:
    before = contents(project)
    recipe = project.parent / "recipe.yaml"
    words = ("simulate", recipe, "--out", project, "--seed", "5", "--maps")
    again = cryosiam(*words, "--runs", "2")
    assert again.returncode == 0
    assert "tiny-0006: there already" in again.stdout
    assert contents(project) == before
    elsewhere = cryosiam("simulate", recipe, "--out", tmp_path / "p", "--seed", "6", "--maps", NUMBA_NUM_THREADS="1")
    assert elsewhere.returncode == 0, elsewhere.stderr
    run = Path("overlay") / "ExperimentRuns" / "tiny-0006"
    assert contents(tmp_path / "p" / run) == contents(project / run)


@pytest.mark.slow
def test_the_recipe_in_a_run_makes_the_run_again(project: Path, tmp_path: Path, call: Any) -> None:
    run = project / "overlay" / "ExperimentRuns" / "tiny-0005"
    drawn = run / "Simulation" / "recipe.yaml"
    again = call("simulate", drawn, "--out", tmp_path / "p", "--seed", "5", "--maps")
    assert again.returncode == 0, again.stderr
    assert contents(tmp_path / "p" / "overlay" / "ExperimentRuns" / "tiny-0005") == contents(run)


def test_another_recipe_in_the_same_folder_is_refused(project: Path, tmp_path: Path, call: Any) -> None:
    before = contents(project)
    other = write_recipe(tmp_path, {"specimen": {"occupancy": 0.3}})
    for words in ((other, "--maps"), (project.parent / "recipe.yaml",)):
        refused = call("simulate", *words, "--out", project, "--seed", "5")
        assert_refused(refused, "another recipe")
    assert contents(project) == before


def assert_refused(result: subprocess.CompletedProcess[str], word: str) -> None:
    assert result.returncode == 1, result.stdout
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert result.stderr.startswith("error: ")
    assert word in result.stderr


SPECIES_OF_FILE: dict[str, Any] = {"species": [{"name": "thing", "source": "thing.pdb"}]}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"specimen": {"occupancy": 0.95}}, "occupancy"),
        ({"specimen": {"slab": {"thickness_nm": 12}}}, "does not fit"),
        ({"specimen": {"slab": {"thickness_nm": 50}}}, "does not fit"),
        ({"specimen": {"species": [{"name": "particle", "source": "builtin:barrel"}]}}, "name of a class"),
        ({"specimen": {"species": [{"name": "x", "source": "nowhere.pdb"}]}}, "nowhere.pdb"),
        ({"microscope": {"tilts": {"step_deg": 0}}}, "step_deg"),
        ({"microscope": {"exposure": {"total_dose": -3}}}, "total_dose"),
        ({"specimen": {"colour": "red"}}, "specimen.colour"),
    ],
)
def test_impossible_recipes_get_a_sentence(tmp_path: Path, call: Any, change: dict[str, Any], word: str) -> None:
    refused = call("simulate", write_recipe(tmp_path, change), "--out", tmp_path / "out")
    assert_refused(refused, word)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("REMARK nothing here\nEND\n", "atom"),
        (PDB_ATOM.format(number=1, x=1.0, y=2.0, z=3.0, element="Qq") + "END\n", "element"),
        ("\x00\x01 no structure", "thing.pdb"),
    ],
)
def test_structures_that_cannot_be_used_get_a_sentence(tmp_path: Path, call: Any, text: str, word: str) -> None:
    structures = tmp_path / "structures"
    structures.mkdir()
    (structures / "thing.pdb").write_text(text)
    recipe = write_recipe(tmp_path, {"specimen": SPECIES_OF_FILE})
    refused = call("simulate", recipe, "--out", tmp_path / "out", "--structures", structures)
    assert_refused(refused, word)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "word"), [("name: [unclosed", "YAML"), ("just words", "not a simulation recipe"), ("", "not a simulation")]
)
def test_unreadable_recipes_get_a_sentence(tmp_path: Path, call: Any, text: str, word: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    assert_refused(call("simulate", path, "--out", tmp_path / "out"), word)
    assert not (tmp_path / "out").exists()


def test_what_is_not_there_or_not_free_gets_a_sentence(tmp_path: Path, call: Any) -> None:
    recipe = write_recipe(tmp_path)
    out = ("--out", tmp_path / "out")
    assert_refused(call("simulate", "no-such-preset", *out), "presets")
    assert_refused(call("simulate", recipe, *out, "--structures", tmp_path / "none"), "--structures")
    assert_refused(call("simulate", recipe, *out, "--shape", "10", "64", "64"), "shape_zyx")
    assert_refused(call("simulate", recipe, "--out", tmp_path), "no simulated project")
    assert_refused(call("simulate", recipe, "--out", recipe), "no simulated project")
    assert not (tmp_path / "out").exists()
    assert [path.name for path in tmp_path.iterdir() if path.name != "cache"] == ["recipe.yaml"]


def test_overwrite_begins_anew(tmp_path: Path, call: Any) -> None:
    recipe = write_recipe(tmp_path)
    assert call("simulate", recipe, "--out", tmp_path / "out", "--fast").returncode == 0
    other = write_recipe(tmp_path, {"name": "other", "microscope": {"tilts": {"step_deg": 10.0}}})
    made = call("simulate", other, "--out", tmp_path / "out", "--overwrite")
    assert made.returncode == 0, made.stderr
    runs = tmp_path / "out" / "overlay" / "ExperimentRuns"
    assert [run.name for run in runs.iterdir()] == ["other-0001"]
    assert (runs / "other-0001" / "TiltSeries").is_dir()


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_stopped_it_keeps_whole_runs_and_goes_on(tmp_path: Path, cryosiam: Any, how: signal.Signals) -> None:
    recipe = write_recipe(tmp_path)
    words = ["simulate", recipe, "--out", tmp_path / "out", "--runs", "4"]
    process = subprocess.Popen([COMMAND, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("tiny-0002"):
            break
    process.send_signal(how)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == (INTERRUPTED if how is signal.SIGINT else -signal.SIGKILL), errors
    runs = tmp_path / "out" / "overlay" / "ExperimentRuns"
    visible = {run.name: contents(run) for run in runs.iterdir() if not run.name.startswith(".")}
    assert {"tiny-0001", "tiny-0002"} <= set(visible)
    went_on = cryosiam(*words)
    assert went_on.returncode == 0, went_on.stderr
    assert f"{4 - len(visible)} made, {len(visible)} there already" in went_on.stdout
    assert sorted(run.name for run in runs.iterdir()) == [f"tiny-000{i}" for i in (1, 2, 3, 4)]
    assert {name: contents(runs / name) for name in visible} == visible
    assert not list((tmp_path / "out").glob(".*"))


def test_interrupted_in_the_first_run_nothing_is_left(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, {"shape_zyx": [64, 160, 160]})
    words = [COMMAND, "simulate", recipe, "--out", tmp_path / "out"]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    with pytest.raises(subprocess.TimeoutExpired):
        process.communicate(timeout=2)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    assert process.returncode == INTERRUPTED
    assert not (tmp_path / "out").exists()


def test_preview_draws_a_picture(tmp_path: Path, call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = write_recipe(tmp_path)
    monkeypatch.chdir(tmp_path)
    drawn = call("simulate", "preview", recipe)
    assert drawn.returncode == 0, drawn.stderr
    assert (tmp_path / "tiny-preview.png").read_bytes()[:4] == b"\x89PNG"
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "cache") == [
        "recipe.yaml",
        "tiny-preview.png",
    ]


@pytest.mark.parametrize("place", ["nowhere/picture.png", "picture.xyz"])
def test_a_preview_that_cannot_be_written_is_refused_at_once(tmp_path: Path, call: Any, place: str) -> None:
    assert_refused(call("simulate", "preview", write_recipe(tmp_path), "--out", tmp_path / place), "give another --out")


def test_the_schema_that_is_printed_is_committed_and_fits_the_presets(call: Any) -> None:
    from cryosiam.simulation.presets import preset_names, preset_text

    printed = call("simulate", "schema").stdout
    committed = (files("cryosiam.schemas") / "simulation.schema.json").read_text(encoding="utf-8")
    assert printed == committed, "write it anew: cryosiam simulate schema > schemas/simulation.schema.json"
    schema = json.loads(committed)
    for name in preset_names():
        jsonschema.validate(yaml.safe_load(preset_text(name)), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"specimen": {"colour": "red"}}, schema)


def test_presets_are_listed(call: Any) -> None:
    from cryosiam.simulation.presets import preset_names

    listed = call("simulate", "presets")
    assert listed.returncode == 0, listed.stderr
    assert [line.split()[0] for line in listed.stdout.splitlines()[1:]] == list(preset_names())


def test_parts_of_the_benchmark_that_do_not_exist_get_a_sentence(tmp_path: Path, call: Any) -> None:
    for words, word in (("G99", "G99"), ("train-general:x", "train-general"), (",", "names no part")):
        refused = call("simulate", "benchmark", "--out", tmp_path / "out", "--only", words)
        assert_refused(refused, word)
    assert not (tmp_path / "out").exists()
