"""STAR files of any program: dialects, reading, writing, picks in and out."""
