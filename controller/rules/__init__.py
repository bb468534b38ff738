"""Decisions without I/O: given what is known, what is to be done and what is said."""
