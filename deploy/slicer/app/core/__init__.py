"""3D Slicer's scene and its drawing, and what every folder needs: errors, log, settings."""
