"""The settings: their schema, how they are read, and rules between them."""
