import json
import subprocess
import sys

import mrcfile
import numpy as np
import pytest
from typer.testing import CliRunner

from cryosiam.cli.main import app
from cryosiam.integrations.copick.source import CopickSource

from .tilt_phantom import BEADS_XYZ, bead_errors, imod_images, warp_images, write_imod, write_stack, write_warp

SIZE = (56, 60)


@pytest.fixture(scope="module")
def imod_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("imod")
    tlt, xf = write_imod(folder)
    stack = write_stack(folder / "S.mrc", imod_images(SIZE, 1), 10.0)
    return ["--stack", str(stack), "--tilt", str(tlt), "--xf", str(xf), "--thickness", "44"]


def run(*arguments):
    return CliRunner().invoke(app, ["reconstruct", *map(str, arguments)])


def refused(result, *words):
    """The command ended with one sentence."""
    assert result.exit_code != 0
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert all(word in result.stderr for word in words), result.stderr
    return True


def test_into_a_new_copick_project_and_back(tmp_path, imod_files):
    project = tmp_path / "project.json"
    made = run(*imod_files, "--voxel-size", 10, "--copick", project, "--create", "--run", "TS-01", "--halves")
    assert made.exit_code == 0, made.stderr
    source = CopickSource(project, tomogram="wbp@10.0")
    assert list(source.runs()) == ["TS-01"]
    assert sorted(source.choices("TS-01")) == ["wbp-even@10.0", "wbp-odd@10.0", "wbp@10.0"]
    tomogram = source.tomogram("TS-01")
    volume = tomogram.volume.read(tuple(slice(0, n) for n in tomogram.shape))
    assert tomogram.shape == (44, *SIZE)
    assert bead_errors(volume).max() < 0.1
    assert (tomogram.contrast.value, tomogram.hand.value) == ("dark", "as-given")
    assert (tomogram.wedge.tilt_min_deg, tomogram.wedge.tilt_max_deg) == (-60, 60)


def test_the_warp_route_records_its_hand_in_the_project(tmp_path):
    stack = write_stack(tmp_path / "S.mrc", warp_images(SIZE, 1, 10.0), 10.0)
    xml = write_warp(tmp_path / "S.xml", 10.0, inverted=True)
    project = tmp_path / "project.json"
    made = run(
        "--stack", stack, "--warp-xml", xml, "--voxel-size", 10, "--copick", project, "--create", "--thickness", "440A"
    )  # fmt: skip
    assert made.exit_code == 0, made.stderr
    tomogram = CopickSource(project).tomogram("S")
    assert tomogram.hand.value == "inverted"
    assert bead_errors(tomogram.volume.read(tuple(slice(0, n) for n in tomogram.shape))).max() < 0.1


def test_into_mrc_files(tmp_path, imod_files):
    out = tmp_path / "new" / "S-10A.mrc"
    made = run(*imod_files, "--voxel-size", 10, "--out", out, "--halves", "--invert-angles")
    assert made.exit_code == 0, made.stderr
    assert sorted(path.name for path in out.parent.iterdir()) == ["S-10A-even.mrc", "S-10A-odd.mrc", "S-10A.mrc"]
    with mrcfile.open(out) as file:
        assert file.voxel_size.x == pytest.approx(10.0)
        assert bead_errors(file.data, BEADS_XYZ * [1, 1, -1]).max() < 0.1


def test_what_is_there_is_replaced_only_on_request(tmp_path, imod_files):
    project, out = tmp_path / "project.json", tmp_path / "S.mrc"
    for target in (("--copick", project, "--create", "--run", "TS-01"), ("--out", out)):
        arguments = (*imod_files, "--voxel-size", 20, *target)
        assert run(*arguments).exit_code == 0
        assert refused(run(*arguments), "--overwrite")
        assert run(*arguments, "--overwrite").exit_code == 0


def test_a_project_that_is_not_there_is_made_only_on_request(tmp_path, imod_files):
    project = tmp_path / "project.json"
    assert refused(run(*imod_files, "--voxel-size", 10, "--copick", project), str(project), "--create")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--voxel-size", "0"), ("--voxel-size", "positive")),
        (("--voxel-size", "-10"), ("--voxel-size", "positive")),
        (("--voxel-size", "nan"), ("--voxel-size", "positive")),
        (("--voxel-size", "5"), ("smaller than the pixel size",)),
        (("--voxel-size", "10", "--thickness", "thick"), ("thickness 'thick'",)),
        (("--voxel-size", "10", "--thickness", "-3"), ("thickness '-3'",)),
        (("--voxel-size", "10", "--thickness", "infA"), ("thickness 'infA'",)),
        (("--voxel-size", "10", "--roll-off-start", "-1"), ("roll-off",)),
        (("--voxel-size", "10", "--roll-off-start", "inf"), ("roll-off",)),
        (("--voxel-size", "10", "--roll-off-sigma", "inf"), ("roll-off",)),
        (("--voxel-size", "10", "--roll-off-sigma", "nan"), ("roll-off",)),
        (("--voxel-size", "10", "--run", "a/b"), ("a/b", "slash")),
        (("--voxel-size", "10", "--run", "001"), ("001", "number")),
        (("--voxel-size", "10", "--copick", "p.json"), ("--copick project.json, or --out",)),
    ],
)
def test_bad_options_are_one_sentence_and_write_nothing(tmp_path, imod_files, arguments, words):
    assert refused(run(*imod_files, "--out", tmp_path / "S.mrc", *arguments), *words)
    assert not any(tmp_path.iterdir())


def test_a_tomogram_type_that_copick_cannot_store_is_refused(tmp_path, imod_files):
    project = tmp_path / "project.json"
    result = run(*imod_files, "--voxel-size", 10, "--copick", project, "--create", "--tomo-type", "my_wbp")
    assert refused(result, "my_wbp")
    assert not project.exists()


def test_a_tilt_series_that_cannot_be_used_leaves_no_empty_project(tmp_path):
    images = np.random.default_rng(0).normal(size=(5, 16, 16))
    images[2] = 1.0
    folder = tmp_path / "stack"
    folder.mkdir()
    stack = write_stack(folder / "S.mrc", images, 10.0)
    (folder / "S.tlt").write_text("-6\n-3\n0\n3\n6\n")
    target = tmp_path / "new" / "project.json"
    arguments = ("--stack", stack, "--tilt", folder / "S.tlt", "--voxel-size", 10, "--copick", target, "--create")
    assert refused(run(*arguments), "same grey value")
    assert not target.parent.exists()


def test_a_tomogram_of_others_is_refused_before_the_work(tmp_path, imod_files):
    project = tmp_path / "project.json"
    arguments = (*imod_files, "--copick", project, "--run", "TS-01")
    assert run(*arguments, "--voxel-size", 20, "--create").exit_code == 0
    attributes = tmp_path / "project_overlay/ExperimentRuns/TS-01/VoxelSpacing20.000/wbp.zarr/.zattrs"
    content = json.loads(attributes.read_text())
    attributes.write_text(json.dumps({"multiscales": content["multiscales"]}))
    result = run(*arguments, "--voxel-size", 20, "--overwrite")
    assert refused(result, "wbp.zarr", "another --tomo-type")
    assert "align and weight" not in result.output


def test_the_voxel_size_must_be_given(imod_files, tmp_path):
    result = run(*imod_files, "--out", tmp_path / "S.mrc")
    assert result.exit_code == 2
    assert "--voxel-size" in result.stderr


def test_a_full_disk_leaves_nothing(tmp_path, imod_files):
    """The largest file size stands in for the end of the disk."""
    program = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000));"
        "from cryosiam.cli.main import main; sys.argv[0] = 'cryosiam'; main()"
    )
    arguments = ["reconstruct", *imod_files, "--voxel-size", "10", "--out", str(tmp_path / "S.mrc")]
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: cannot write")
    assert done.stderr.count("\n") == 1
    assert not any(tmp_path.iterdir())


def test_half_reconstructions_need_enough_tilts(tmp_path):
    stack = write_stack(tmp_path / "S.mrc", np.random.default_rng(0).normal(size=(3, 16, 16)), 10.0)
    (tmp_path / "S.tlt").write_text("-3\n0\n3\n")
    result = run(
        "--stack", stack, "--tilt", tmp_path / "S.tlt", "--voxel-size", 10, "--out", tmp_path / "o.mrc", "--halves"
    )  # fmt: skip
    assert refused(result, "at least 4")


def test_quiet_says_nothing(tmp_path, imod_files):
    result = run(*imod_files, "--voxel-size", 20, "--out", tmp_path / "S.mrc", "--quiet")
    assert (result.exit_code, result.output) == (0, "")


def test_the_new_project_is_a_plain_copick_project(tmp_path, imod_files):
    project = tmp_path / "deep" / "project.json"
    assert run(*imod_files, "--voxel-size", 20, "--copick", project, "--create", "--run", "TS-01").exit_code == 0
    content = json.loads(project.read_text())
    assert content["config_type"] == "filesystem"
    import copick

    (tomogram,) = copick.from_file(str(project)).get_run("TS-01").get_voxel_spacing(20.0).get_tomograms("wbp")
    assert tomogram.numpy().shape == (44, 28, 30)
