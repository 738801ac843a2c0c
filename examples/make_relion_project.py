"""Make a small copick project and the RELION 5 project of the same tilt series, to follow the tutorial with.

    python examples/make_relion_project.py --out tutorial

writes ``tutorial/project.json``, a copick project of simulated tomograms with ground truth under user ``truth``, and
``tutorial/relion``, what RELION 5 leaves after Reconstruct Tomograms: ``Tomograms/job001/tomograms.star``, a table of
every tilt series with its true alignment and defocus, the tilt images and the tomograms.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from pathlib import Path

import numpy as np
from make_demo_project import Lines, demo_recipe

from cryosiam.integrations.copick.simulated_ownership import run_folder
from cryosiam.integrations.copick.simulated_project import SERIES_FOLDER
from cryosiam.integrations.copick.source import CopickSource
from cryosiam.integrations.mrc.writer import write_mrc
from cryosiam.integrations.simulation import PlannedRun, SimulationTarget, simulate_runs
from cryosiam.simulation.spec import SimulationSpec

JOB = Path("Tomograms/job001")
NEXT_JOB = 2
HAND = -1
"""Underfocus falls with height, which RELION calls -1."""


def star_loop(block: str, columns: dict[str, list[str]]) -> str:
    """Return one block of a STAR file."""
    labels = [f"_{name} #{number}" for number, name in enumerate(columns, start=1)]
    rows = [" ".join(cells) for cells in zip(*columns.values(), strict=True)]
    return "\n".join(["", f"data_{block}", "", "loop_", *labels, *rows, ""])


def tilt_table(run: str, stack: str, truth: Path) -> str:
    """Return RELION's table of a tilt series, from what the simulation put into each image."""
    with truth.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))

    def defocus(row: dict[str, str], sign: int) -> str:
        return f"{1e4 * (float(row['defocus_um']) + sign * float(row['astigmatism_um']) / 2):.2f}"

    return star_loop(
        run,
        {
            "rlnMicrographName": [f"{number}@{stack}" for number in range(1, len(rows) + 1)],
            "rlnMicrographPreExposure": [row["prior_dose"] for row in rows],
            "rlnTomoNominalStageTiltAngle": [row["tilt_deg"] for row in rows],
            "rlnTomoXTilt": ["0"] * len(rows),
            "rlnTomoYTilt": [row["tilt_deg"] for row in rows],
            "rlnTomoZRot": [row["rotation_deg"] for row in rows],
            "rlnTomoXShiftAngst": [row["shift_x_angstrom"] for row in rows],
            "rlnTomoYShiftAngst": [row["shift_y_angstrom"] for row in rows],
            "rlnDefocusU": [defocus(row, 1) for row in rows],
            "rlnDefocusV": [defocus(row, -1) for row in rows],
            "rlnDefocusAngle": [row["astigmatism_deg"] for row in rows],
            "rlnCtfScalefactor": ["1"] * len(rows),
        },
    )


def write_relion_project(relion: Path, project: Path, recipe: SimulationSpec) -> None:
    """Write the files of the RELION project."""
    source = CopickSource(project, tomogram="wbp")
    optics = recipe.microscope.optics
    runs = source.runs()
    for folder in ("tilt_series", "tomograms"):
        (relion / JOB / folder).mkdir(parents=True, exist_ok=True)
    sizes = []
    for run in runs:
        series = run_folder(project.parent, run) / SERIES_FOLDER
        stack = relion / JOB / "tilt_series" / f"{run}.mrcs"
        stack.unlink(missing_ok=True)
        stack.symlink_to(os.path.relpath(series / f"{run}.mrc", stack.parent))
        table = tilt_table(run, str(JOB / "tilt_series" / f"{run}.mrcs"), series / f"{run}_tilts.csv")
        (relion / JOB / "tilt_series" / f"{run}.star").write_text(table, encoding="utf-8")
        tomogram = source.tomogram(run)
        path = relion / JOB / "tomograms" / f"rec_{run}.mrc"
        write_mrc(path, tomogram.volume, tomogram.voxel_size_angstrom, np.float32)
        sizes.append(tomogram.shape)
    voxel_size = f"{recipe.voxel_size_angstrom:g}"
    columns = {
        "rlnTomoName": runs,
        "rlnTomoTiltSeriesStarFile": [str(JOB / "tilt_series" / f"{run}.star") for run in runs],
        "rlnVoltage": [f"{optics.voltage_kv:g}"] * len(runs),
        "rlnSphericalAberration": [f"{optics.spherical_aberration_mm:g}"] * len(runs),
        "rlnAmplitudeContrast": [f"{optics.amplitude_contrast:g}"] * len(runs),
        "rlnMicrographOriginalPixelSize": [voxel_size] * len(runs),
        "rlnTomoHand": [str(HAND)] * len(runs),
        "rlnOpticsGroupName": ["simulated"] * len(runs),
        "rlnTomoTiltSeriesPixelSize": [voxel_size] * len(runs),
        "rlnTomoTomogramBinning": ["1"] * len(runs),
        **{f"rlnTomoSize{axis}": [str(size[2 - n]) for size in sizes] for n, axis in enumerate("XYZ")},
        "rlnTomoReconstructedTomogram": [str(JOB / "tomograms" / f"rec_{run}.mrc") for run in runs],
    }
    (relion / JOB / "tomograms.star").write_text(star_loop("global", columns), encoding="utf-8")
    pipeline = relion / "default_pipeline.star"
    if not pipeline.exists():
        pipeline.write_text(f"\ndata_pipeline_general\n\n_rlnPipeLineJobCounter {NEXT_JOB}\n\n", encoding="utf-8")


def main() -> int:
    """Make the projects that the options describe."""
    parser = argparse.ArgumentParser(description="Make a copick project and the RELION 5 project of the same data.")
    parser.add_argument("--out", type=Path, default=Path("tutorial"), help="folder to write into (default: tutorial)")
    parser.add_argument("--runs", type=int, default=2, help="number of tomograms (default: 2)")
    parser.add_argument(
        "--shape", type=int, nargs=3, default=(96, 256, 256), metavar=("Z", "Y", "X"), help="size in voxels"
    )
    options = parser.parse_args()
    recipe = demo_recipe(tuple(options.shape))
    runs = [PlannedRun(f"TS_{number:02d}", 9100 + number, recipe) for number in range(1, options.runs + 1)]
    simulate_runs(runs, SimulationTarget(options.out, {"recipe": recipe.model_dump(mode="json")}), Lines())
    write_relion_project(options.out / "relion", options.out / "project.json", recipe)
    print(f"{options.out / 'project.json'} and {options.out / 'relion' / JOB / 'tomograms.star'} are there")
    return 0


if __name__ == "__main__":
    sys.exit(main())
