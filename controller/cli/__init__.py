"""The command ``slicerhub``."""
