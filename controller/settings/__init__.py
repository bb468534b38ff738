"""What can be configured: its schema, how it is read, and what must hold between settings."""
