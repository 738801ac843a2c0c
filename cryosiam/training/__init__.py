"""Training of the shipped weights from simulated tomograms."""
