"""The pipeline: which stages run on which tomograms, what is done already, and a record of all of it."""
