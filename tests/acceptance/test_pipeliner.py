"""Our job in the CCP-EM pipeliner, run by the real pipeliner in an environment without torch."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from typing import Any

import pytest

import cryosiam
from cryosiam import integrations

from ..clients import client_python, run_client  # noqa: TID252 - tests are no package
from .relion_project import SMALL_SHAPE, RelionProject

PROGRAM = """
import json, sys
from pipeliner.api.manage_project import PipelinerProject
from pipeliner.job_factory import get_job_types

wanted = json.loads(sys.argv[1])
(job,) = get_job_types("cryosiam")
project = PipelinerProject(make_new_project=True)
done = project.run_job({"_rlnJobTypeLabel": job.PROCESS_NAME, **wanted}, run_in_foreground=True)
status = project.wait_for_job_to_finish(done, ping=0.1, timeout=200)
shown = [item.__dict__ for item in done.create_results_display()] if status == "Succeeded" else []
facts = {
    "type": job.PROCESS_NAME,
    "available": job.jobinfo.is_available,
    "torch": "torch" in sys.modules,
    "status": status,
    "shown": [{"kind": item["dobj_type"], "title": item["title"]} for item in shown],
    "table": next((item["table_data"] for item in shown if item["dobj_type"] == "table"), None),
    "metadata": done.gather_metadata() if shown else None,
}
print("FACTS " + json.dumps(facts))
"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with our package and its entry points, as installed, for an environment that lacks both."""
    folder = tmp_path_factory.mktemp("packages")
    (folder / "cryosiam").mkdir()
    for part in Path(cryosiam.__path__[0]).iterdir():
        if part.name not in ("integrations", "__pycache__"):
            (folder / "cryosiam" / part.name).symlink_to(part)
    (folder / "cryosiam" / "integrations").symlink_to(integrations.__path__[0])
    installed = importlib.metadata.distribution("cryosiam")
    about = folder / f"cryosiam-{installed.version}.dist-info"
    about.mkdir()
    for name in ("METADATA", "entry_points.txt"):
        (about / name).write_text(installed.read_text(name) or "")
    return folder


@pytest.fixture
def project(tmp_path: Path, ball_volume: Any) -> RelionProject:
    return RelionProject(tmp_path / "project", ball_volume, ("TS_01", "TS_02"), SMALL_SHAPE)


def run_job(project: RelionProject, packages: Path, **options: str) -> dict[str, Any]:
    """Let the pipeliner find our job, run it, and say what came of it."""
    command = [client_python("pipeliner"), "-c", PROGRAM, json.dumps({"nr_threads": "1", **options})]
    output = run_client(command, project.folder, environment={"PYTHONPATH": str(packages)})
    (line,) = [line for line in output.splitlines() if line.startswith("FACTS ")]
    facts: dict[str, Any] = json.loads(line.removeprefix("FACTS "))
    return facts


@pytest.mark.slow
def test_outputs_are_registered_and_shown(project: RelionProject, packages: Path, weights: Path) -> None:
    tomograms = str(project.star.relative_to(project.folder))
    facts = run_job(project, packages, in_tomoset=tomograms, weights=str(weights))
    assert facts["type"] == "cryosiam.autopick.tomo"
    assert facts["available"]
    assert not facts["torch"]
    assert facts["status"] == "Succeeded"
    counts = {run: len(places) for run, places in project.truth.items()}
    assert facts["metadata"]["particles"] == sum(counts.values())
    found: dict[str, int] = {}
    for run, _, number in facts["table"]:
        found[run] = found.get(run, 0) + int(number)
    assert found == counts
    assert [item["kind"] for item in facts["shown"]] == ["table", "histogram", "image", "image"]
    pipeline = (project.folder / "default_pipeline.star").read_text().splitlines()
    nodes = dict(line.split() for line in pipeline if line.startswith("Picks/job001/") and len(line.split()) == 2)
    kinds = {
        name.removeprefix("Picks/job001/"): kind for name, kind in nodes.items() if "Metadata" in kind or "Set" in kind
    }
    particles, optimisation = (
        f"{kind}.star.relion.tomo.cryosiam" for kind in ("ParticleGroupMetadata", "TomoOptimisationSet")
    )
    assert kinds == {
        **dict.fromkeys(("particles.star", "large.star", "small.star"), particles),
        **dict.fromkeys(
            ("optimisation_set.star", "large_optimisation_set.star", "small_optimisation_set.star"), optimisation
        ),
    }
    assert f"{tomograms} TomogramGroupMetadata.star.relion.tomo" in " \n".join(pipeline)


@pytest.mark.slow
def test_a_failure_is_one(project: RelionProject, packages: Path, weights: Path) -> None:
    tomograms = str(project.star.relative_to(project.folder))
    facts = run_job(project, packages, in_tomoset=tomograms, weights=str(weights), threshold="1.0")
    assert facts["status"] == "Failed"
    assert "no particles were found" in (project.folder / "Picks" / "job001" / "run.err").read_text()
