"""Filaments: microtubules, F-actin, and DNA with nucleosomes."""

from cryosiam.simulation.filaments.placing import Filament, add_filaments

__all__ = ["Filament", "add_filaments"]
