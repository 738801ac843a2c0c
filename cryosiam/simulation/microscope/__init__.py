"""From a specimen to tilt images and to a tomogram."""
