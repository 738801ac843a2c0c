"""Measure weights on the test tomograms of CB-1, beside the thesis' tables.

    cryosiam simulate benchmark --structures data/ --out cb1/ --only test
    python benchmarks/bench_cb1.py cb1/project.json

prints the tables and writes them to ``benchmarks/cb1.md``. Every tomogram is worked on three times: the noiseless
tomogram (column clean), the one the microscope gives (noisy), and what the network's own denoising makes of that
(denoised). Of CZII-like tomograms names are scored, so `cryosiam pick` does all the work; of the others nothing that is
compared depends on names, so the stages up to the instances do it, in one pass. `cryosiam.evaluation` compares the
results with the truth. The project is only read; results go to a project of their own that lies over it, and are
removed once they are measured. Figures of each tomogram and column stay as JSON, so that a stopped benchmark goes on
where it was.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from cb1_tables import COLUMNS, CZII_PREFIX, report

import cryosiam
from cryosiam.cli.compose import compose, conclude
from cryosiam.cli.networks_used import networks_used
from cryosiam.cli.pick import PickOptions
from cryosiam.evaluation.czii import CZII_WEIGHTS
from cryosiam.evaluation.evaluate import evaluate
from cryosiam.evaluation.project import Annotator, Request
from cryosiam.files import write_text_whole
from cryosiam.integrations.copick.annotations import CopickAnnotations
from cryosiam.pipeline.plan import Pipeline
from cryosiam.pipeline.progress import reporter

BIN = Path(sys.executable).parent
TRUTH = Annotator("truth", "1")
USER = "cryosiam"
NOISY_TYPE, CLEAN_TYPE = "wbp", "clean"
DENOISED_TYPE = f"{NOISY_TYPE}-denoised-{USER}-noisy"
TOMOGRAM_TYPES = {"clean": CLEAN_TYPE, "noisy": NOISY_TYPE, "denoised": DENOISED_TYPE}
"""What is read for each column; the last is what was written for the second."""

HIT_FRACTION = 0.5
MEMORY = "3G"


@dataclass(frozen=True)
class Benchmark:
    """What is measured.

    Parameters
    ----------
    project
        Project file with the test tomograms, made by `cryosiam simulate benchmark`.
    weights
        Name or folder.
    results
        Folder of the JSON files; those of other weights are in other folders of it.
    """

    project: Path
    weights: str
    results: Path

    @cached_property
    def digests(self) -> tuple[str, str]:
        """Digests of the dense networks, and of all that `cryosiam pick` uses."""
        networks = networks_used(self.weights, "pick")
        dense = "".join(card.model_dump_json() for card in networks.dense)
        whole = dense + (networks.subtomogram.model_dump_json() if networks.subtomogram else "")
        return hashlib.sha256(dense.encode()).hexdigest(), hashlib.sha256(whole.encode()).hexdigest()

    def digest(self, run: str) -> str:
        """Return what identifies the weights that the figures of a tomogram depend on.

        Names are scored in CZII-like tomograms alone; elsewhere the dense networks make all that is compared.
        """
        return self.digests[run.startswith(CZII_PREFIX)]

    def record_path(self, run: str, column: str) -> Path:
        """Return the JSON file of a tomogram and column."""
        return self.results / self.digest(run)[:12] / f"{run}-{column}.json"

    def measure(self, run: str, columns: list[str]) -> None:
        """Measure what is missing of one tomogram."""
        missing = [column for column in columns if not self.record_path(run, column).exists()]
        if not missing:
            return
        if "denoised" in missing and "noisy" not in missing:
            missing.insert(0, "noisy")
        folder = self.results / "work" / self.digest(run)[:12] / run
        self.record_path(run, columns[0]).parent.mkdir(parents=True, exist_ok=True)
        project = _project_over(self.project, folder)
        for column in sorted(missing, key=list(TOMOGRAM_TYPES).index):
            print(f"{run}, {column}", flush=True)
            cost = _work_on(project, run, column, self.weights)
            started = time.perf_counter()
            figures = _evaluate(project, run, column)
            record = {
                "run": run,
                "column": column,
                "weights": self.digest(run),
                "cryosiam": cryosiam.__version__,
                "pick": cost,
                "evaluation_seconds": round(time.perf_counter() - started, 1),
                "evaluation": figures,
            }
            write_text_whole(self.record_path(run, column), json.dumps(record, indent=1) + "\n")
        shutil.rmtree(folder)

    def records(self, runs: list[str], columns: list[str]) -> list[dict[str, Any]]:
        """Return what has been measured of some tomograms."""
        paths = [self.record_path(run, column) for run in runs for column in columns]
        return [json.loads(path.read_text()) for path in paths if path.exists()]


def _project_over(project: Path, folder: Path) -> Path:
    """Return a project that shows the runs of another one and keeps to itself what is added."""
    folder.mkdir(parents=True, exist_ok=True)
    content = json.loads(project.read_text())
    content["static_root"] = content["overlay_root"]
    content["static_fs_args"] = content.get("overlay_fs_args", {})
    content["overlay_root"] = f"local://{(folder / 'overlay').absolute()}"
    over = folder / "project.json"
    write_text_whole(over, json.dumps(content, indent=1))
    (folder / "overlay" / "ExperimentRuns").mkdir(parents=True, exist_ok=True)
    return over


def _work_on(project: Path, run: str, column: str, weights: str) -> dict[str, Any] | None:
    """Make what is compared; return the cost of `cryosiam pick`, None where its first stages were enough.

    Raises
    ------
    SystemExit
        If a command fails; its output is shown.
    """
    out = project.parent / column
    options = ["--copick", str(project), "--run", run, "--out", str(out), "--quiet"]
    options += ["--tomogram", TOMOGRAM_TYPES[column], "--user-id", USER, "--session-id", column]
    options += ["--weights", weights, "--memory", MEMORY]
    if run.startswith(CZII_PREFIX):
        # The challenge names its species, so the user knows them, and that the sample holds no others.
        species = ",".join(sorted(_czii_species(project, run)))
        return _pick([*options, "--objects", species, "--nothing-else"], run, out)
    _separate(project, run, column, weights, out)
    return None


def _separate(project: Path, run: str, column: str, weights: str, out: Path) -> None:
    """Do what `cryosiam denoise`, `segment` and `instances` do, with one pass of the dense network for all of them."""
    options = PickOptions(
        copick=project,
        tomogram=TOMOGRAM_TYPES[column],
        runs=[run],
        user_id=USER,
        session_id=column,
        out=out,
        weights=weights,
        memory=MEMORY,
        quiet=True,
    )
    targets = [*(["denoise"] if column == "noisy" else []), "segment", "instances"]
    composed = [compose(options, target) for target in targets]
    products = tuple(product for each in composed for product in each.pipeline.products)
    whole = replace(composed[-1], pipeline=Pipeline(composed[-1].pipeline.stages, products))
    with reporter(quiet=True) as reporting:
        runner = whole.runner(reporting)
        conclude(runner.run(overwrite=False), runner, reporting)


def _call(words: list[str]) -> None:
    done = subprocess.run([str(BIN / "cryosiam"), *words], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"cryosiam {' '.join(words)} failed:\n{done.stdout}{done.stderr}")


def _pick(options: list[str], run: str, out: Path) -> dict[str, Any]:
    """Run `cryosiam pick`; return its wall time in seconds and the peak memory of its stages in GiB."""
    started = time.perf_counter()
    _call(["pick", *options])
    record = json.loads((out / "manifest.json").read_text())["runs"][run]
    peak = max(stage["peak_memory_mib"] for part in ("stages", "products") for stage in record[part].values())
    return {"seconds": round(time.perf_counter() - started, 1), "peak_memory_gib": round(peak / 1024, 2)}


def _czii_species(project: Path, run: str) -> set[str]:
    return set(CopickAnnotations(project, [run]).picks(run, TRUTH).class_names) & set(CZII_WEIGHTS)


def _evaluate(project: Path, run: str, column: str) -> dict[str, Any]:
    """Compare the results of one column with the truth."""
    with tempfile.TemporaryDirectory(dir=project.parent) as scratch:
        request = Request(
            truth=TRUTH,
            predicted=Annotator(USER, column),
            hit_fraction=HIT_FRACTION,
            clean=CLEAN_TYPE,
            # Only of the noisy tomogram does the denoised one say something.
            denoised=DENOISED_TYPE if column == "noisy" else "none",
            source=NOISY_TYPE if column == "noisy" else None,
            embeddings=None,
            scratch=Path(scratch),
        )
        return evaluate(CopickAnnotations(project, [run]), request).model_dump(mode="json")


def main() -> None:
    """Run the benchmark that the options describe."""
    parser = argparse.ArgumentParser(description="Measure weights on the test tomograms of CB-1.")
    parser.add_argument("project", type=Path, help="project with the test tomograms")
    parser.add_argument("--weights", default="light", help="name or folder")
    parser.add_argument("--only", help="tomograms to measure, such as G1,Z1; by default all there are")
    parser.add_argument("--columns", default=",".join(COLUMNS), help="of clean, noisy, denoised")
    parser.add_argument("--results", type=Path, help="folder of the JSON files; by default beside the project")
    parser.add_argument("--tables", action="store_true", help="measure nothing, print what is there")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("cb1.md"), help="the report")
    options = parser.parse_args()
    benchmark = Benchmark(options.project, options.weights, options.results or options.project.parent / "bench-cb1")
    runs = CopickAnnotations(options.project, options.only.split(",") if options.only else None).runs()
    columns = [column for column in COLUMNS if column in options.columns.split(",")]
    for run in [] if options.tables else runs:
        benchmark.measure(run, columns)
    # Where files lie on this machine says nothing to others.
    command = f"python benchmarks/{' '.join(Path(word).name for word in sys.argv)}"
    weights = f"{Path(options.weights).name} ({', '.join(digest[:12] for digest in benchmark.digests)})"
    text = "\n".join(report(benchmark.records(runs, columns), command, weights))
    options.out.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
