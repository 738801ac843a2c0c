"""What RELION, Warp, M and Scipion will do with a STAR file, rule by rule."""
