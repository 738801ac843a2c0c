"""Scores of particles: the probability, from 0 to 1, that one is real."""

from typing import Final

LEAST_SCORE: Final = 0.3
"""What scores less is left out unless the user asks for it: that makes F1 best on held-out simulations."""
