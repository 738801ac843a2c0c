"""MRC and REC files as source and sink."""
