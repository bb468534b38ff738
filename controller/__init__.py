"""Controller of the 3D Slicer Hub: logs people in, starts their sessions, answers Traefik."""

from __future__ import annotations

__version__ = "0.1.0"
