"""Simulated cryo-electron tomograms with complete ground truth (thesis section 3.3).

`cryosiam.simulation.spec` holds recipes, `build.build_specimen` makes a specimen of one, `run.simulate` a tomogram.
"""
