"""Hand-off: picks of a copick project to other programs, and back."""
