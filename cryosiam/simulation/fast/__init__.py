"""The fast path: the optics of a tilt series as one filter in Fourier space, for volumes and for training patches."""
