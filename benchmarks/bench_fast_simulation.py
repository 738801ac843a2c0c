"""Time the fast imaging path: a whole tomogram of the benchmark's size, and training patches.

Run ``python benchmarks/bench_fast_simulation.py`` on an otherwise idle machine. The specimen is a slab of random
blobs, as its content does not matter for the time. Measured on one core of an EPYC with other jobs beside, in CPU
seconds: 200 x 600 x 600 voxels and 41 tilts 6.3 s for the main volume alone, 12.8 s with halves and a corrected volume
(1.8 GB in all); a patch of 64^3 with all targets 0.037 to 0.055 s, by the number of tilts and what else runs.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np
from scipy import ndimage

from cryosiam.domain import Picks
from cryosiam.simulation.fast.imaging import FastMicroscope
from cryosiam.simulation.fast.patches import PatchStream
from cryosiam.simulation.spec import SimulationSpec
from cryosiam.simulation.tomogram import Specimen


def recipe(shape_zyx: tuple[int, int, int], *, everything: bool) -> SimulationSpec:
    """Return a recipe with the benchmark's microscope; ``everything``: halves and a corrected volume too."""
    return SimulationSpec.model_validate(
        {
            "shape_zyx": shape_zyx,
            "voxel_size_angstrom": 6.8,
            "specimen": {"slab": {"thickness_nm": shape_zyx[0] * 0.37, "tilt_deg": 0}},
            "microscope": {
                "optics": {"defocus_um": [2, 5]},
                "reconstruction": {"halves": everything, "corrected_volume": everything},
            },
        }
    )


def slab_of_blobs(shape_zyx: tuple[int, int, int]) -> Specimen:
    """Return a specimen of random blobs in the middle half of the volume."""
    rng = np.random.default_rng(0)
    depth = shape_zyx[0]
    density = np.zeros(shape_zyx, np.float32)
    inside = slice(depth // 4, depth - depth // 4)
    blobs = ndimage.gaussian_filter(rng.standard_normal(density[inside].shape, np.float32), 3)
    density[inside] = blobs > 0.02
    sample = np.zeros(shape_zyx, np.bool_)
    sample[inside] = True
    return Specimen(
        6.8,
        density,
        np.zeros(shape_zyx, np.float32),
        2 * (density > 0).astype(np.uint8),
        np.asarray(ndimage.label(density > 0)[0], np.int32),
        np.zeros(shape_zyx, np.uint16),
        (),
        sample,
        Picks("run", np.zeros((0, 3)), np.zeros(0), ()),
        {},
    )


def timed(what: str, wall: float, cpu: float) -> None:
    """Print one measurement."""
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{what:45s} {wall:7.2f} s wall {cpu:7.2f} s CPU   peak so far {memory:.2f} GB")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", type=int, nargs=3, default=(200, 600, 600))
    parser.add_argument("--patches", type=int, default=60)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    shape = tuple(arguments.shape)
    stream = PatchStream(
        [slab_of_blobs((96, 256, 256))], recipe((96, 256, 256), everything=False), batch=4, workers=arguments.workers
    )
    stream.batch(0)
    wall, cpu = time.perf_counter(), time.process_time()
    for number in range(1, 1 + arguments.patches // 4):
        stream.batch(number)
    count = arguments.patches // 4 * 4
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    timed(f"{count} patches of 64^3: {count / wall:.0f} per second", wall, cpu)
    density = slab_of_blobs(shape).density
    for everything in (False, True):
        spec = recipe(shape, everything=everything).for_seed(1)
        wall, cpu = time.perf_counter(), time.process_time()
        FastMicroscope(spec).image(density, np.random.default_rng(0))
        what = "with halves and corrected volume" if everything else "one volume"
        timed(f"{shape}: {what}", time.perf_counter() - wall, time.process_time() - cpu)


if __name__ == "__main__":
    main()
