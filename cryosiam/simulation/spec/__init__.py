"""Simulation recipes: what is in the specimen and how it is imaged."""

from cryosiam.simulation.spec.base import Drawn, SpecPart, fixed
from cryosiam.simulation.spec.microscope import (
    AlignmentSpec,
    DetectorSpec,
    ExposureSpec,
    MicroscopeSpec,
    OpticsSpec,
    ReconstructionSpec,
    TiltSpec,
)
from cryosiam.simulation.spec.simulation import NoiseSpec, SimulationSpec, parse_spec, read_spec
from cryosiam.simulation.spec.specimen import FilamentSpec, MembraneSpec, SlabSpec, SpeciesSpec, SpecimenSpec

__all__ = [
    "AlignmentSpec",
    "DetectorSpec",
    "Drawn",
    "ExposureSpec",
    "FilamentSpec",
    "MembraneSpec",
    "MicroscopeSpec",
    "NoiseSpec",
    "OpticsSpec",
    "ReconstructionSpec",
    "SimulationSpec",
    "SlabSpec",
    "SpecPart",
    "SpeciesSpec",
    "SpecimenSpec",
    "TiltSpec",
    "fixed",
    "parse_spec",
    "read_spec",
]
