"""CryoET Data Portal: metadata files."""
