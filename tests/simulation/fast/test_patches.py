"""Training patches imaged while training."""

from __future__ import annotations

import dataclasses
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage

from cryosiam.domain import Picks
from cryosiam.simulation.fast.imaging import FastMicroscope
from cryosiam.simulation.fast.patches import PatchStream
from cryosiam.simulation.fast.targets import boundary_and_distance
from cryosiam.simulation.fast.transfer import TiltState
from cryosiam.simulation.spec import SimulationSpec
from cryosiam.simulation.tomogram import Specimen

SHAPE = (64, 96, 96)
SPEC = SimulationSpec.model_validate(
    {
        "shape_zyx": SHAPE,
        "specimen": {"slab": {"thickness_nm": 40, "tilt_deg": 0}},
        "microscope": {"optics": {"defocus_um": [2, 5], "phase_shift_deg": [0, 90]}},
    }
)


@pytest.fixture(scope="module")
def specimen() -> Specimen:
    rng = np.random.default_rng(0)
    blobs = ndimage.gaussian_filter(rng.standard_normal(SHAPE), 3)
    blobs[:12] = blobs[52:] = -1
    particles = blobs > 0.03
    instances = np.asarray(ndimage.label(particles)[0], np.int32)
    sample = np.zeros(SHAPE, np.bool_)
    sample[12:52] = True
    return Specimen(
        10.0,
        particles.astype(np.float32),
        0.1 * rng.standard_normal(SHAPE).astype(np.float32),
        2 * particles.astype(np.uint8),
        instances,
        np.zeros(SHAPE, np.uint16),
        (),
        sample,
        Picks("run", np.zeros((0, 3)), np.zeros(0), ()),
        {},
    )


def test_a_batch_depends_on_seed_and_number_alone(specimen: Specimen) -> None:
    size = (24, 32, 32)
    stream = PatchStream([specimen], SPEC, size_zyx=size, batch=3, seed=4, workers=1)
    parallel = PatchStream([specimen], SPEC, size_zyx=size, batch=3, seed=4, workers=3)
    later, first = parallel.batch(1), parallel.batch(0)
    for number, batch in enumerate(islice(stream, 2)):
        for name, values in (first, later)[number].items():
            assert torch.equal(values, batch[name]), name
    other = PatchStream([specimen], SPEC, size_zyx=size, batch=3, seed=5, workers=1).batch(0)
    assert not torch.equal(other["noisy"], first["noisy"])


def test_threads_of_torch_are_left_as_they_were(specimen: Specimen) -> None:
    before = torch.get_num_threads()
    PatchStream([specimen], SPEC, size_zyx=(16, 16, 16), workers=2).batch(0)
    assert torch.get_num_threads() == before


def places(specimen: Specimen, **options: Any) -> list[tuple[slice, ...]]:
    """Return where the patches of batch 0 are cut: there, a specimen whose every voxel is an object of its own."""
    numbered = np.arange(1, 1 + np.prod(SHAPE), dtype=np.int32).reshape(SHAPE)
    batch = PatchStream([dataclasses.replace(specimen, instances=numbered)], **options).batch(0)
    corners = [np.unravel_index(int(one[0, 0, 0]) - 1, SHAPE) for one in batch["instances"]]
    return [
        tuple(slice(int(at), int(at) + length) for at, length in zip(corner, options["size_zyx"], strict=True))
        for corner in corners
    ]


def test_labels_are_those_of_the_place_that_was_imaged(specimen: Specimen) -> None:
    options: dict[str, Any] = {"draw": SPEC, "size_zyx": (24, 32, 32), "batch": 4, "seed": 1}
    batch = PatchStream([specimen], **options).batch(0)
    boundary, distance = boundary_and_distance(specimen.instances)
    for index, box in enumerate(places(specimen, **options)):
        clean = batch["clean"][index, 0].numpy()
        np.testing.assert_array_equal(clean, -specimen.density[box])
        np.testing.assert_array_equal(batch["instances"][index], specimen.instances[box])
        np.testing.assert_array_equal(batch["semantic"][index], specimen.semantic[box])
        np.testing.assert_array_equal(batch["sample"][index, 0], specimen.sample_mask[box])
        np.testing.assert_array_equal(batch["foreground"][index, 0], specimen.instances[box] > 0)
        np.testing.assert_array_equal(batch["boundary"][index, 0], boundary[box])
        np.testing.assert_allclose(batch["distance"][index, 0], distance[box], rtol=1e-3)
        # Protein is dark: with the noise smoothed away, image and clean volume go together.
        noisy = ndimage.gaussian_filter(batch["noisy"][index, 0].numpy(), 1.5)
        assert np.corrcoef(noisy.ravel(), ndimage.gaussian_filter(clean, 1.5).ravel())[0, 1] > 0.3


def test_a_patch_looks_like_a_piece_of_the_whole_tomogram(specimen: Specimen) -> None:
    """Without noise, a patch agrees with the same place of the whole volume, up to its faces: nothing wraps."""
    text = SPEC.model_dump()
    text["microscope"]["detector"]["counting_noise"] = False
    text["microscope"]["alignment"]["shift_angstrom"] = 0
    text["microscope"]["optics"] |= {"defocus_um": 3.0, "phase_shift_deg": 0.0, "defocus_spread_um": 0.0}
    spec = SimulationSpec.model_validate(text)
    options: dict[str, Any] = {"draw": spec, "size_zyx": (32, 48, 48), "batch": 3, "seed": 2}
    batch = PatchStream([specimen], **options).batch(0)
    whole = FastMicroscope(spec).signal(specimen.density + specimen.unlabelled, TiltState.nominal(spec))
    for noisy, box in zip(batch["noisy"][:, 0].numpy(), places(specimen, **options), strict=True):
        expected = whole[box]
        assert np.corrcoef(noisy.ravel(), expected.ravel())[0, 1] > 0.95
        for faces in (np.s_[:, :4], np.s_[:, -4:], np.s_[:, :, :4], np.s_[:, :, -4:]):
            assert np.corrcoef(noisy[faces].ravel(), expected[faces].ravel())[0, 1] > 0.9


def test_patches_that_do_not_fit_are_refused(specimen: Specimen) -> None:
    with pytest.raises(ValueError, match="no room"):
        PatchStream([specimen], SPEC, size_zyx=(128, 32, 32))
    with pytest.raises(ValueError, match="at least one"):
        PatchStream([], SPEC)
