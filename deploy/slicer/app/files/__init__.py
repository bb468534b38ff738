"""A person's files: allowed paths, complete writes, saved scenes and autosaves."""
