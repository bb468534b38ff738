"""A person's files: where they may be, how they are written whole, saved scenes and autosaves."""
