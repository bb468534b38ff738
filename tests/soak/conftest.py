"""The soak has the load's people and the load's reports."""

from __future__ import annotations

from load.conftest import client, gather, load, names, publish, pytest_terminal_summary

__all__ = ["client", "gather", "load", "names", "publish", "pytest_terminal_summary"]
