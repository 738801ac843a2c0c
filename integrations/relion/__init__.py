"""RELION STAR files as sink of picks."""
