"""copick projects (filesystem configuration) as source and sink."""
