"""Make of a simulated copick project what RELION 5 leaves of the same tilt series after Reconstruct Tomograms.

    cryosiam simulate demo --out tutorial
    python examples/make_relion_project.py tutorial

writes ``tutorial/relion``: ``Tomograms/job001/tomograms.star``, a table of every tilt series with its true alignment
and defocus, the tilt images and the tomograms.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from pathlib import Path

import numpy as np

from cryosiam.integrations.copick.simulated_ownership import run_folder
from cryosiam.integrations.copick.simulated_project import SERIES_FOLDER
from cryosiam.integrations.copick.simulated_truth import RECIPE_FILE, TRUTH_FOLDER
from cryosiam.integrations.copick.source import CopickSource
from cryosiam.integrations.mrc.writer import write_mrc
from cryosiam.simulation.spec import read_spec

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


def write_run(relion: Path, project: Path, source: CopickSource, run: str) -> dict[str, str]:
    """Write tilt images, tilt table and tomogram of a run; return its row of tomograms.star."""
    folder = run_folder(project, run)
    table = JOB / "tilt_series" / f"{run}.star"
    stack = JOB / "tilt_series" / f"{run}.mrcs"
    file = JOB / "tomograms" / f"rec_{run}.mrc"
    for path in (relion / stack, relion / file):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
    series = folder / SERIES_FOLDER
    (relion / stack).symlink_to(os.path.relpath(series / f"{run}.mrc", (relion / stack).parent))
    (relion / table).write_text(tilt_table(run, str(stack), series / f"{run}_tilts.csv"), encoding="utf-8")
    tomogram = source.tomogram(run)
    write_mrc(relion / file, tomogram.volume, tomogram.voxel_size_angstrom, np.float32)
    z, y, x = tomogram.shape
    optics = read_spec(folder / TRUTH_FOLDER / RECIPE_FILE).microscope.optics
    return {
        "rlnTomoName": run,
        "rlnTomoTiltSeriesStarFile": str(table),
        "rlnVoltage": f"{optics.voltage_kv:g}",
        "rlnSphericalAberration": f"{optics.spherical_aberration_mm:g}",
        "rlnAmplitudeContrast": f"{optics.amplitude_contrast:g}",
        "rlnMicrographOriginalPixelSize": f"{tomogram.voxel_size_angstrom:g}",
        "rlnTomoHand": str(HAND),
        "rlnOpticsGroupName": "simulated",
        "rlnTomoTiltSeriesPixelSize": f"{tomogram.voxel_size_angstrom:g}",
        "rlnTomoTomogramBinning": "1",
        "rlnTomoSizeX": str(x),
        "rlnTomoSizeY": str(y),
        "rlnTomoSizeZ": str(z),
        "rlnTomoReconstructedTomogram": str(file),
    }


def main() -> int:
    """Make the RELION project of the copick project that the option names."""
    parser = argparse.ArgumentParser(description="Make the RELION 5 project of a simulated copick project.")
    parser.add_argument("project", type=Path, help="folder that 'cryosiam simulate' wrote")
    project: Path = parser.parse_args().project
    relion = project / "relion"
    source = CopickSource(project / "project.json", tomogram="wbp")
    for run in source.runs():
        if not (run_folder(project, run) / SERIES_FOLDER / f"{run}_tilts.csv").is_file():
            parser.error(f"run '{run}' of {project} has no tilt series; simulate the project again")
    rows = [write_run(relion, project, source, run) for run in source.runs()]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    (relion / JOB / "tomograms.star").write_text(star_loop("global", columns), encoding="utf-8")
    pipeline = relion / "default_pipeline.star"
    if not pipeline.exists():
        pipeline.write_text(f"\ndata_pipeline_general\n\n_rlnPipeLineJobCounter {NEXT_JOB}\n\n", encoding="utf-8")
    print(f"{relion / JOB / 'tomograms.star'} is there")
    return 0


if __name__ == "__main__":
    sys.exit(main())
