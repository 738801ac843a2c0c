"""Make a small copick project with ground truth, from simulated particles of simple shapes; needs no download.

    python examples/make_demo_project.py --out demo

writes ``demo/project.json`` and, for every run, a tomogram ``wbp`` at 10 Å and what is known of it under user
``truth``, session ``1``: picks per species, the multilabel segmentation and the instances.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from cryosiam.domain import SEMANTIC_CLASSES
from cryosiam.simulation import SimulatedTomogram, SimulationConfig, Species, builtin_species, simulate

VOXEL_SIZE_ANGSTROM = 10.0
USER, SESSION = "truth", "1"
FIRST_SPECIES_LABEL = 11


def project_config(folder: Path, species: list[Species]) -> dict[str, Any]:
    """Return the project file: our semantic classes under their own labels, then the species."""
    classes = [
        {"name": name, "is_particle": name == "particle", "label": label}
        for label, name in enumerate(SEMANTIC_CLASSES)
        if label > 0
    ]
    particles = [
        {"name": s.name, "is_particle": True, "label": FIRST_SPECIES_LABEL + i, "radius": s.radius_angstrom}
        for i, s in enumerate(species)
    ]
    return {
        "config_type": "filesystem",
        "name": "CryoSiam demo",
        "description": "Simulated tomograms with ground truth (user 'truth')",
        "version": "1.0.0",
        "pickable_objects": classes + particles,
        "overlay_root": f"local://{folder.resolve() / 'overlay'}",
        "overlay_fs_args": {"auto_mkdir": True},
    }


def write_run(project: Any, name: str, tomogram: SimulatedTomogram) -> None:
    """Write one run through copick."""
    run = project.new_run(name)
    spacing = run.new_voxel_spacing(VOXEL_SIZE_ANGSTROM)
    spacing.new_tomogram("wbp").from_numpy(tomogram.noisy, levels=1)
    run.new_segmentation(VOXEL_SIZE_ANGSTROM, "semantic", SESSION, is_multilabel=True, user_id=USER).from_numpy(
        tomogram.semantic
    )
    run.new_segmentation(VOXEL_SIZE_ANGSTROM, "particle", SESSION, user_id=USER, is_instance=True).from_numpy(
        tomogram.instances
    )
    for species in sorted(set(tomogram.picks.class_names)):
        picks = tomogram.picks.of_class(species)
        transforms = np.tile(np.eye(4), (len(picks), 1, 1))
        if picks.rotations is not None:
            transforms[:, :3, :3] = picks.rotations
        run.new_picks(species, session_id=SESSION, user_id=USER).from_numpy(
            picks.positions_angstrom, transforms, instance_ids=picks.instance_ids
        )


def main() -> int:
    """Make the project that the options describe."""
    parser = argparse.ArgumentParser(description="Make a small copick project with ground truth.")
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder to write into (default: demo)")
    parser.add_argument("--runs", type=int, default=2, help="number of tomograms (default: 2)")
    parser.add_argument("--seed", type=int, default=9101, help="seed of the first tomogram (default: 9101)")
    parser.add_argument(
        "--shape", type=int, nargs=3, default=(96, 256, 256), metavar=("Z", "Y", "X"), help="size in voxels"
    )
    options = parser.parse_args()
    project_file = options.out / "project.json"
    if project_file.exists():
        print(f"{project_file} is there already; remove {options.out} to make it anew")
        return 0

    import copick

    start = time.perf_counter()
    options.out.mkdir(parents=True, exist_ok=True)
    species = builtin_species(VOXEL_SIZE_ANGSTROM)
    unfinished = options.out / "project.unfinished.json"
    if unfinished.exists():
        # Only an interrupted run of this script leaves that file; what it wrote is incomplete.
        shutil.rmtree(options.out / "overlay", ignore_errors=True)
    unfinished.write_text(json.dumps(project_config(options.out, species), indent=2) + "\n")
    project = copick.from_file(str(unfinished))
    config = SimulationConfig(shape_zyx=tuple(options.shape), voxel_size_angstrom=VOXEL_SIZE_ANGSTROM)
    for number in range(options.runs):
        name = f"demo-{number + 1:02d}"
        tomogram = simulate(config, species, options.seed + number)
        write_run(project, name, tomogram)
        print(f"{name}: {'x'.join(map(str, options.shape))} voxels, {len(tomogram.picks)} particles", flush=True)
    unfinished.rename(project_file)
    print(f"{project_file}: {options.runs} runs in {time.perf_counter() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
