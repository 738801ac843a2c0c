"""Hand-made specimens and recipes for the microscope."""

import numpy as np
import pytest

from cryosiam.domain import Picks
from cryosiam.simulation.spec import (
    AlignmentSpec,
    DetectorSpec,
    ExposureSpec,
    MicroscopeSpec,
    OpticsSpec,
    ReconstructionSpec,
    SimulationSpec,
    SlabSpec,
    SpecimenSpec,
    TiltSpec,
)
from cryosiam.simulation.tomogram import Specimen

IDEAL = {
    "optics": {"defocus_spread_um": 0.0},
    "exposure": {"radiation_damage": False, "inelastic_mean_free_path_nm": 0.0},
    "detector": {"kind": "ideal", "counting_noise": False},
    "alignment": {"shift_angstrom": 0.0, "rotation_deg": 0.0},
    "reconstruction": {"halves": False, "corrected_volume": False},
}
"""A microscope without any defect but its CTF."""

WITHOUT_CTF = {"phase_shift_deg": 90.0, "defocus_um": 0.0, "spherical_aberration_mm": 0.0, "defocus_gradient": False}
"""Optics of a perfect phase plate in focus: the CTF is 1 (but for the amplitude contrast) at all frequencies."""


@pytest.fixture
def make_specimen():
    def make(density, voxel_size_angstrom=6.8, sample_mask=None):
        shape = density.shape
        return Specimen(
            voxel_size_angstrom=voxel_size_angstrom,
            density=density.astype(np.float32),
            unlabelled=np.zeros(shape, np.float32),
            semantic=np.zeros(shape, np.uint8),
            instances=np.zeros(shape, np.int32),
            scaffold=np.zeros(shape, np.uint16),
            scaffold_kinds=(),
            sample_mask=np.ones(shape, bool) if sample_mask is None else sample_mask,
            picks=Picks("test", np.zeros((0, 3)), np.zeros(0), ()),
            radii_angstrom={},
        )

    return make


@pytest.fixture
def make_spec():
    """Return recipes with the ideal microscope; parts given replace fields of it."""

    def make(specimen, tilts=(), **parts):
        merged = {name: {**fields, **parts.get(name, {})} for name, fields in IDEAL.items()}
        shape, voxel = specimen.density.shape, specimen.voxel_size_angstrom
        return SimulationSpec(
            shape_zyx=shape,
            voxel_size_angstrom=voxel,
            specimen=SpecimenSpec(slab=SlabSpec(thickness_nm=0.09 * shape[0] * voxel)),
            microscope=MicroscopeSpec(
                tilts=TiltSpec(**dict(tilts)),
                optics=OpticsSpec(**merged["optics"]),
                exposure=ExposureSpec(**merged["exposure"]),
                detector=DetectorSpec(**merged["detector"]),
                alignment=AlignmentSpec(**merged["alignment"]),
                reconstruction=ReconstructionSpec(**merged["reconstruction"]),
            ),
        )

    return make


@pytest.fixture
def in_focus():
    return dict(WITHOUT_CTF)


@pytest.fixture
def gaussian_bead():
    def bead(shape, centre_zyx, sigma=2.5, height=1.0):
        axes = np.ogrid[tuple(slice(n) for n in shape)]
        squares = sum((axis - centre) ** 2 for axis, centre in zip(axes, centre_zyx, strict=True))
        return height * np.exp(-squares / (2 * sigma**2))

    return bead
