"""Running a dense network over a tomogram of any size in bounded memory."""
