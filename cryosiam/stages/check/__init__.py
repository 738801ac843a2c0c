"""Read a tomogram through once: are its voxels usable, how are they scaled, is protein dark?"""
