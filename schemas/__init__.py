"""Data, not code: STAR dialects and the JSON Schemas of the files CryoSiam writes."""
