"""Changes of training patches that keep what they show: views, wedges, spectra, optics, voxel size, orientation."""
