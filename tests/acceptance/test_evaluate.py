"""``cryosiam evaluate`` on projects whose every figure is known beforehand."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from numpy.typing import NDArray

from cryosiam.domain import ArrayVolume, Contrast, Picks, Tomogram
from cryosiam.integrations.copick.sink import CopickSink
from cryosiam.pipeline.summary import write_embeddings
from cryosiam.ports import ProductKey

SHAPE = (24, 60, 60)
VOXEL = 10.0
RADIUS = 60.0
TRUTH, OURS = ProductKey("truth", "1"), ProductKey("cryosiam", "1")
NAMES = {0: "background", 1: "membrane", 2: "particle"}


class TruthProject:
    """A project of cubes on a grid: 6 per run, in turn ``apo-ferritin`` and ``ribosome``."""

    def __init__(self, folder: Path, runs: tuple[str, ...] = ("TS_1", "TS_2")) -> None:
        folder.mkdir()
        self.folder, self.config, self.runs = folder, folder / "project.json", runs
        (folder / "overlay").mkdir()
        objects = [
            {"name": "membrane", "is_particle": False, "label": 7},
            {"name": "particle", "is_particle": True, "label": 9},
            {"name": "apo-ferritin", "is_particle": True, "label": 11, "radius": RADIUS},
            {"name": "ribosome", "is_particle": True, "label": 12, "radius": RADIUS},
        ]
        content = {"config_type": "filesystem", "name": "cubes", "pickable_objects": objects, "version": "1"}
        content |= {"description": "cubes", "overlay_root": f"local://{folder / 'overlay'}", "overlay_fs_args": {}}
        self.config.write_text(json.dumps(content))
        for run in runs:
            self.write(run, TRUTH)

    @property
    def out(self) -> Path:
        return self.folder / "evaluation"

    def picks(self, run: str) -> Picks:
        centres = np.array([[x, y, 12] for y in (15, 45) for x in (10, 30, 50)], np.float64) * VOXEL
        names = ("apo-ferritin", "ribosome") * 3
        return Picks(run, centres, np.ones(6), names, np.arange(1, 7))

    def labels(self) -> NDArray[np.uint16]:
        """Return the instances: cubes of 10³ voxels."""
        labels = np.zeros(SHAPE, np.uint16)
        for number, (x, y, z) in enumerate(self.picks("any").positions_angstrom / VOXEL, start=1):
            labels[int(z) - 5 : int(z) + 5, int(y) - 5 : int(y) + 5, int(x) - 5 : int(x) + 5] = number
        return labels

    def semantic(self) -> NDArray[np.uint8]:
        labels = np.where(self.labels() > 0, 2, 0).astype(np.uint8)
        labels[:2] = 1
        return labels

    def write(
        self,
        run: str,
        key: ProductKey,
        picks: Picks | None = None,
        instances: NDArray[Any] | None = None,
        semantic: NDArray[Any] | None = None,
        voxel: float = VOXEL,
    ) -> None:
        """Write all products of a run; those of the truth where no others are given."""
        sink = CopickSink(self.config, overwrite=True)
        instances = self.labels() if instances is None else instances
        semantic = self.semantic() if semantic is None else semantic
        grid = self.tomogram(run, np.zeros(instances.shape, np.float32), "wbp", voxel)
        sink.write_picks(grid, self.picks(run) if picks is None else picks, key)
        sink.write_instances(grid, ArrayVolume(instances), "particle", key)
        sink.write_segmentation(grid, ArrayVolume(semantic), NAMES, key)

    def write_tomogram(self, run: str, values: NDArray[np.float32], kind: str, contrast: Contrast) -> None:
        CopickSink(self.config, overwrite=True).write_tomogram(
            self.tomogram(run, values, kind, VOXEL, contrast), ProductKey("any", "1")
        )

    def tomogram(
        self,
        run: str,
        values: NDArray[np.float32],
        kind: str,
        voxel: float,
        contrast: Contrast = Contrast.DARK,
    ) -> Tomogram:
        return Tomogram(run, ArrayVolume(values), voxel, kind, "test", contrast)

    def result(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.out / "evaluation.json").read_text())
        schema = json.loads((files("cryosiam.schemas") / "evaluation.schema.json").read_text())
        jsonschema.validate(content, schema)
        return content


@pytest.fixture
def project(tmp_path: Path) -> TruthProject:
    return TruthProject(tmp_path / "project")


@pytest.fixture
def picked(project: TruthProject) -> TruthProject:
    for run in project.runs:
        project.write(run, OURS)
    return project


def failure(result: Any) -> str:
    """Return the one sentence of a command that failed."""
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if not line.startswith("warning: ")]
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    return str(lines[0])


def test_the_truth_itself_is_perfect(picked: TruthProject, cryosiam: Any) -> None:
    result = cryosiam("evaluate", "--copick", picked.config)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    figures = picked.result()
    assert figures["runs"] == ["TS_1", "TS_2"]
    assert figures["dice"]["pooled"] == {"background": 1.0, "membrane": 1.0, "particle": 1.0}
    assert figures["dice"]["all_classes"] == {"mean": 1.0, "std": 0.0, "n": 2, "by_run": {"TS_1": 1.0, "TS_2": 1.0}}
    # Cubes of 1000 voxels of 10 Å are 3180 voxels of 6.8 Å: big.
    sizes = figures["instances"]["sizes"]
    assert [sizes[size]["truth"] for size in ("all", "medium", "big", "very big")] == [12, 0, 12, 0]
    assert sizes["big"]["at"]["AP-80"]["mean"] == sizes["all"]["average_precision"]["mean"] == 1.0
    assert sizes["small"]["average_precision"]["mean"] is None
    assert figures["picks"]["together"]["f1"] == figures["picks"]["mean_f1"] == 1.0
    assert figures["czii"]["public"]["score"] == figures["czii"]["one_to_one"]["score"] == 1.0
    assert set(figures["left_out"]) == {"calibration", "identification", "denoising"}
    assert "not measured: denoising: there is no tomogram 'clean'" in result.stdout
    assert str(picked.out / "evaluation.json") in result.stdout
    assert (picked.out / "precision_recall.png").read_bytes()[:4] == b"\x89PNG"
    assert sorted(path.name for path in picked.out.iterdir()) == ["evaluation.json", "precision_recall.png"]


def test_figures_by_hand(project: TruthProject, call: Any) -> None:
    truth = project.picks("TS_1")
    # TS_1: apo-ferritin 0 and ribosome 1 found, apo-ferritin 2 taken for a ribosome, ribosome 3 found twice,
    # the rest missed; one pick of nothing.
    found = truth.positions_angstrom[[0, 1, 2, 3, 3]] + np.array(
        [[29, 0, 0], [0, 0, 0], [0, 0, 0], [0, 1, 0], [0, 5, 0]]
    )
    positions = np.concatenate([found, [[5, 5, 5]]])
    names = ("apo-ferritin", "ribosome", "ribosome", "ribosome", "ribosome", "apo-ferritin")
    scores = np.array([0.9, 0.8, 0.6, 0.7, 0.2, 0.1])
    instances = project.labels()
    instances[instances == 6] = 0
    instances[:8][instances[:8] == 5] = 0  # 9 of 10 layers left
    semantic = project.semantic()
    semantic[:1] = 0
    project.write("TS_1", OURS, Picks("TS_1", positions, scores, names), instances, semantic)
    project.write("TS_2", OURS)
    assert call("evaluate", "--copick", project.config, "-r", "TS_1").returncode == 0
    figures = project.result()
    # Half of the membrane: 2 * 3600 / (3600 + 7200).
    assert figures["dice"]["pooled"]["membrane"] == pytest.approx(2 / 3)
    assert figures["dice"]["pooled"]["particle"] == 1.0
    assert figures["dice"]["foreground"]["mean"] == pytest.approx(5 / 6)
    # Five of six instances, the fifth with an IoU of 0.9.
    assert figures["instances"]["sizes"]["all"]["at"]["AP-80"]["mean"] == pytest.approx(5 / 6)
    together = figures["picks"]["together"]
    assert (together["truth"], together["picked"], together["matched"]) == (6, 6, 4)
    named = figures["picks"]["named"]
    assert (named["truth"], named["picked"], named["matched"]) == (6, 6, 3)
    ribosome = figures["picks"]["species"]["ribosome"]
    assert (ribosome["precision"], ribosome["recall"]) == pytest.approx((2 / 4, 2 / 3))
    # From the highest score down: hit (0.8), hit (0.7), then two that are none.
    assert ribosome["average_precision"] == pytest.approx(2 / 3)
    assert (ribosome["best_f1"], ribosome["best_f1_score"]) == pytest.approx((4 / 5, 0.7))
    apo = 17 * (1 / 2) * (1 / 3) / (16 / 2 + 1 / 3)
    ribo = 17 * (2 / 4) * (2 / 3) / (16 * 2 / 4 + 2 / 3)
    assert figures["czii"]["public"]["by_class"] == pytest.approx({"apo-ferritin": apo, "ribosome": ribo})
    assert figures["czii"]["public"]["score"] == pytest.approx((apo + ribo) / 2)
    calibration = figures["calibration"]
    gaps = [0.1, 0.2, 0.4, 0.3, 0.2, 0.1]
    assert calibration["expected_calibration_error"] == pytest.approx(np.mean(gaps))
    assert (project.out / "reliability.png").is_file()

    # Both runs: pooled counts add up, spreads are over tomograms.
    assert call("evaluate", "--copick", project.config).returncode == 0
    both = project.result()
    assert both["picks"]["together"]["matched"] == 10
    spread = both["dice"]["classes"]["membrane"]
    assert spread["by_run"] == pytest.approx({"TS_1": 2 / 3, "TS_2": 1.0})
    assert (spread["mean"], spread["std"], spread["n"]) == pytest.approx((5 / 6, np.std([2 / 3, 1], ddof=1), 2))
    assert both["dice"]["pooled"]["membrane"] == pytest.approx(2 * 3 / 7)


def test_denoised_tomograms_are_compared_with_the_clean_one(picked: TruthProject, call: Any) -> None:
    rng = np.random.default_rng(0)
    for run in picked.runs:
        clean = -(picked.labels() > 0).astype(np.float32)
        noise = rng.normal(0, 1, SHAPE).astype(np.float32)
        picked.write_tomogram(run, clean, "clean", Contrast.DARK)
        picked.write_tomogram(run, clean + 2 * noise, "wbp", Contrast.DARK)
        # In another unit, and the other contrast, as it states.
        denoised = 5 - 100 * (clean + noise / 4)
        picked.write_tomogram(run, denoised, "wbp-denoised-cryosiam-1", Contrast.BRIGHT)
    result = call("evaluate", "--copick", picked.config)
    assert result.returncode == 0, result.stderr
    part = picked.result()["denoising"]
    denoised, source = part["denoised"], part["source"]
    assert (denoised["tomogram"], source["tomogram"]) == ("wbp-denoised-cryosiam-1", "wbp")
    # Least squares shrinks noise of variance 1/16 on a signal of variance v to an error of v/16 / (v + 1/16).
    variance = float((picked.labels() > 0).var())
    expected = -10 * np.log10(variance / 16 / (variance + 1 / 16))
    assert denoised["psnr_db"]["mean"] == pytest.approx(expected, abs=0.1)
    assert denoised["psnr_db"]["mean"] > source["psnr_db"]["mean"] + 3
    assert denoised["ssim"]["mean"] > source["ssim"]["mean"]
    assert denoised["resolution_05_angstrom"]["mean"] < source["resolution_05_angstrom"]["mean"]
    assert denoised["correlation"]["n"] == 2
    assert (picked.out / "fourier_shells.png").is_file()
    assert not list(picked.out.glob(".*"))


def test_embeddings_are_named_by_the_particle_that_their_pick_hits(picked: TruthProject, call: Any) -> None:
    rng = np.random.default_rng(0)

    def rows(run: str) -> tuple[Picks, NDArray[np.float32], str]:
        truth = picked.picks(run)
        vectors = np.where(np.array(truth.class_names)[:, None] == "ribosome", [1.0, 0, 0, 0], [0, 0, 1.0, 0])
        return truth, (vectors + rng.normal(0, 0.01, vectors.shape)).astype(np.float32), "sha"

    (picked.folder / "cryosiam").mkdir()
    write_embeddings(picked.folder / "cryosiam" / "embeddings.parquet", iter([rows("TS_1"), rows("TS_2")]))
    assert call("evaluate", "--copick", picked.config).returncode == 0
    part = picked.result()["identification"]
    assert part["particles"] == 12
    assert part["mean_knn_f1"] == part["mean_mlp_f1"] == 1.0
    # A million Å³ at 1.23 Å³ per dalton.
    assert part["species"]["ribosome"]["mass_kda"] == pytest.approx(1e6 / 1.23 / 1e3)
    assert (picked.out / "identification.png").is_file()


def test_a_project_of_picks_alone_is_evaluated_as_far_as_it_goes(project: TruthProject, call: Any) -> None:
    for run in project.runs:
        sink = CopickSink(project.config)
        sink.write_picks(
            project.tomogram(run, np.zeros(SHAPE, np.float32), "wbp", VOXEL), project.picks(run), ProductKey("me", "a")
        )
    result = call("evaluate", "--copick", project.config, "--picks", "me")
    assert result.returncode == 0, result.stderr
    figures = project.result()
    assert figures["predicted"] == "me/a"
    assert figures["picks"]["together"]["f1"] == 1.0
    assert figures["dice"] is None
    assert figures["left_out"]["dice"] == "there is no semantic segmentation by me/a"


def test_a_run_in_which_nothing_was_picked_counts(picked: TruthProject, call: Any) -> None:
    for path in (picked.folder / "overlay" / "ExperimentRuns" / "TS_2" / "Picks").glob("cryosiam_*.json"):
        path.unlink()
    assert call("evaluate", "--copick", picked.config).returncode == 0
    together = picked.result()["picks"]["together"]
    assert (together["truth"], together["recall"]) == (12, 0.5)


def test_runs_without_truth_are_left_out_aloud(picked: TruthProject, call: Any) -> None:
    picked.write("TS_3", OURS)
    result = call("evaluate", "--copick", picked.config)
    assert result.returncode == 0
    assert "TS_3" in result.stderr
    assert picked.result()["runs"] == ["TS_1", "TS_2"]
    assert "'TS_3'" in failure(call("evaluate", "--copick", picked.config, "-r", "TS_3", "-r", "TS_1"))


def test_quiet_says_nothing(picked: TruthProject, call: Any) -> None:
    result = call("evaluate", "--copick", picked.config, "--quiet")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


Spoil = Callable[[TruthProject], None]


def without_truth(project: TruthProject) -> None:
    for path in (project.folder / "overlay").rglob("*truth_1*"):
        path.rename(path.with_name(path.name.replace("truth_1", "curator_1")))


def nothing_predicted(project: TruthProject) -> None:
    for path in (project.folder / "overlay").rglob("*cryosiam_1_*"):
        path.rename(path.with_name(path.name.replace("cryosiam_1", "other_1")))


def other_shape(project: TruthProject) -> None:
    project.write("TS_1", OURS, instances=project.labels()[:-1], semantic=project.semantic()[:-1])


def other_voxel_size(project: TruthProject) -> None:
    for path in (project.folder / "overlay" / "ExperimentRuns" / "TS_1").glob("*Segmentations/*cryosiam*/.zattrs"):
        path.write_text(path.read_text().replace("10.0", "13.5"))


def no_segmentation_in_one_run(project: TruthProject) -> None:
    folder = project.folder / "overlay" / "ExperimentRuns" / "TS_2" / "Segmentations"
    folder.rename(folder.with_name("elsewhere"))


def no_radius(project: TruthProject) -> None:
    content = json.loads(project.config.read_text())
    del content["pickable_objects"][-1]["radius"]
    project.config.write_text(json.dumps(content))


def unknown_label(project: TruthProject) -> None:
    content = json.loads(project.config.read_text())
    content["pickable_objects"][0]["label"] = 8
    project.config.write_text(json.dumps(content))


def damaged_picks(project: TruthProject) -> None:
    path = project.folder / "overlay" / "ExperimentRuns" / "TS_1" / "Picks" / "cryosiam_1_ribosome.json"
    path.write_text(path.read_text()[:-20])


def run_not_picked(project: TruthProject) -> None:
    project.write("TS_3", TRUTH)


@pytest.mark.parametrize(
    ("spoil", "arguments", "words"),
    [
        (without_truth, (), ["holds nothing by truth/1", "curator/1", "--truth"]),
        (nothing_predicted, (), ["holds nothing by cryosiam/1", "cryosiam pick", "--picks"]),
        (other_shape, (), ["TS_1", "23 x 60 x 60", "24 x 60 x 60"]),
        (other_voxel_size, (), ["TS_1", "13.5 Å", "10 Å"]),
        (no_segmentation_in_one_run, (), ["TS_2", "no semantic segmentation"]),
        (no_radius, (), ["no radius of 'ribosome'"]),
        (unknown_label, (), ["label 7"]),
        (damaged_picks, (), ["cryosiam_1_ribosome.json", "cannot be read"]),
        (run_not_picked, (), ["'TS_3'", "nothing by cryosiam/1", "-r"]),
        (None, ("-r", "TS_9"), ["no run 'TS_9'"]),
        (None, ("--picks", "nobody/4"), ["nothing by nobody/4", "cryosiam/1", "truth/1"]),
        (None, ("--picks", "truth/1"), ["both truth/1"]),
        (None, ("--hit-fraction", "0"), ["--hit-fraction 0"]),
        (None, ("--hit-fraction", "nan"), ["--hit-fraction nan"]),
        (None, ("--embeddings", "nowhere.parquet"), ["no file nowhere.parquet"]),
        (None, ("--embeddings", __file__), ["holds no embeddings"]),
        (None, ("--out", __file__), ["is a file"]),
        (None, ("--out", "/proc/evaluation"), ["/proc"]),
    ],
)
def test_what_cannot_be_evaluated_is_one_sentence_and_leaves_nothing_behind(
    picked: TruthProject, call: Any, spoil: Spoil | None, arguments: tuple[str, ...], words: list[str]
) -> None:
    if spoil is not None:
        spoil(picked)
    sentence = failure(call("evaluate", "--copick", picked.config, *arguments))
    assert all(word in sentence for word in words), sentence
    assert not picked.out.exists()


def test_an_evaluation_that_fails_leaves_the_last_one_whole(picked: TruthProject, call: Any) -> None:
    assert call("evaluate", "--copick", picked.config).returncode == 0
    before = (picked.out / "evaluation.json").read_bytes()
    other_shape(picked)
    failure(call("evaluate", "--copick", picked.config))
    assert (picked.out / "evaluation.json").read_bytes() == before


def test_committed_schema_is_the_one_of_this_version() -> None:
    from cryosiam.evaluation.results import evaluation_schema

    committed = json.loads((files("cryosiam.schemas") / "evaluation.schema.json").read_text(encoding="utf-8"))
    assert committed == evaluation_schema()
