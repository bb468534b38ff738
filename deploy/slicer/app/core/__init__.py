"""3D Slicer's scene and how it is drawn, and what every room needs: errors, log, settings."""
