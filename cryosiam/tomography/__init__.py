"""Tilt series to tomogram: hot pixels, alignment, filtering, back-projection."""
