"""IMOD: tilt angle files and alignment transforms."""
