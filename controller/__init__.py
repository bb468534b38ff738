"""Controller of the 3D Slicer Hub: logs people in, starts their sessions, answers Traefik."""

__version__ = "0.1.0"
