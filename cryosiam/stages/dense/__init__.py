"""One pass of the dense network: denoised volume, sample, semantic classes, and the maps instances are made of."""
