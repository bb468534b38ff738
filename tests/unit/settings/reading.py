"""Settings as they are read, and what is said of wrong ones."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from controller.core.errors import ConfigError
from controller.settings.loading import load
from controller.settings.schema import Settings

LDAP = {
    "SLICERHUB_LDAP_URL": "ldaps://ldap.example.org",
    "SLICERHUB_LDAP_USER_DN_TEMPLATE": "uid={username},ou=people,dc=example,dc=org",
}


def read(environ: Mapping[str, str], **files: str) -> tuple[Settings, list[str]]:
    """Load settings; ``files``: by their names, in place of the disk."""

    def read_file(path: str) -> str:
        if path not in files:
            raise FileNotFoundError(2, "No such file or directory", path)
        return files[path]

    return load(environ, read_file)


def faults_of(environ: Mapping[str, str], **files: str) -> list[str]:
    """Return what is said of wrong settings."""
    with pytest.raises(ConfigError) as caught:
        read(environ, **files)
    return caught.value.faults
