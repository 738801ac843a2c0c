"""Central slices, kept for the overlay picture."""
