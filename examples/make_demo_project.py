"""Make a small copick project with ground truth, from simulated particles of simple shapes; needs no download.

    python examples/make_demo_project.py --out demo

writes ``demo/project.json`` and, for every run, a tomogram ``wbp`` at 10 Å and what is known of it under user
``truth``, session ``1``. It is `cryosiam simulate demo --runs 2 --seed 9101`, through the library: a pattern for
making data of your own from a program.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from cryosiam.integrations.simulation import PlannedRun, SimulationTarget, WriteOptions, simulate_runs
from cryosiam.simulation.spec import SimulationSpec, read_spec


class Lines:
    """Shows what is done, a line for each run."""

    def stage(self, run: str, what: str) -> None:
        """Say nothing of steps."""

    def note(self, text: str) -> None:
        """Print a line."""
        print(text, flush=True)

    def warn(self, text: str) -> None:
        """Print what fell short of the recipe."""
        print(f"warning: {text}", file=sys.stderr, flush=True)


def demo_recipe(shape_zyx: tuple[int, int, int]) -> SimulationSpec:
    """Return the demo's recipe for a volume of another size, with a slab that fits it."""
    preset = read_spec("demo")
    depth_nm = shape_zyx[0] * preset.voxel_size_angstrom / 10
    content = preset.model_dump()
    content["shape_zyx"] = shape_zyx
    content["specimen"]["slab"]["thickness_nm"] = min(preset.specimen.slab.thickness_nm, 0.73 * depth_nm)
    return SimulationSpec.model_validate(content)


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
    recipe = demo_recipe(tuple(options.shape))
    runs = [PlannedRun(f"demo-{seed}", seed, recipe) for seed in range(options.seed, options.seed + options.runs)]
    target = SimulationTarget(
        options.out, {"recipe": recipe.model_dump(mode="json")}, options=WriteOptions(tilt_series=False)
    )
    made = simulate_runs(runs, target, Lines())
    print(f"{options.out / 'project.json'}: {made} made, {len(runs) - made} there already")
    return 0


if __name__ == "__main__":
    sys.exit(main())
