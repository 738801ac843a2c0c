"""Labels that rules look for."""

from __future__ import annotations

CENTRED = ("rlnCenteredCoordinateXAngst", "rlnCenteredCoordinateYAngst", "rlnCenteredCoordinateZAngst")
CORNER = ("rlnCoordinateX", "rlnCoordinateY", "rlnCoordinateZ")
NATIVE_M = ("wrpCoordinateX1", "wrpCoordinateY1")
ANGLES = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
SUBTOMOGRAM_ANGLES = ("rlnTomoSubtomogramRot", "rlnTomoSubtomogramTilt", "rlnTomoSubtomogramPsi")
ORIGINS = ("rlnOriginXAngst", "rlnOriginYAngst", "rlnOriginZAngst")
ORIGINS_PIXELS = ("rlnOriginX", "rlnOriginY", "rlnOriginZ")
NAME = "rlnTomoName"
MICROGRAPH = "rlnMicrographName"
IMPORT_FILE = "rlnTomoImportParticleFile"
PARTICLES_FILE = "rlnTomoParticlesFile"
TOMOGRAMS_FILE = "rlnTomoTomogramsFile"
SIZES = ("rlnTomoSizeX", "rlnTomoSizeY", "rlnTomoSizeZ")
PIXEL_SIZE = "rlnTomoTiltSeriesPixelSize"
OPTICS = ("rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast")
