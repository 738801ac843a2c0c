"""A simple, physical simulator of cryo-electron tomograms with ground truth (thesis section 3.3)."""

from cryosiam.simulation.config import SimulationConfig, draw_config
from cryosiam.simulation.library import training_species
from cryosiam.simulation.maps import species_from_map
from cryosiam.simulation.shapes import builtin_species
from cryosiam.simulation.simulate import SimulatedTomogram, image_specimen, simulate
from cryosiam.simulation.species import Species, species_from_density
from cryosiam.simulation.specimen import Specimen, build_specimen
from cryosiam.simulation.structures import species_from_structure

__all__ = [
    "SimulatedTomogram",
    "SimulationConfig",
    "Species",
    "Specimen",
    "build_specimen",
    "builtin_species",
    "draw_config",
    "image_specimen",
    "simulate",
    "species_from_density",
    "species_from_map",
    "species_from_structure",
    "training_species",
]
