"""Recipes of the weights that ship."""
