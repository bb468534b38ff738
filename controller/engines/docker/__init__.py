"""Sessions as containers of one Docker engine."""
