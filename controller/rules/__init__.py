"""Decisions without I/O: from facts to what is done and what is said."""
