"""Stages: the steps from a tomogram to classified particles, each a folder with its settings and its work."""
