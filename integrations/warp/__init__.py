"""Warp and M: tilt-series metadata."""
