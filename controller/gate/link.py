"""How a gate connects to a controller: by TLS, each side sure of the other."""

from __future__ import annotations

import ssl
from pathlib import Path

from controller.core.errors import ConfigError

LINK_FILE = "gate.pem"
"""In the folder that a controller shares with its gates: a gate's key and certificate, and the
authority's certificate."""

CONTROLLER_NAME = "controller.slicerhub.internal"
"""In the controller's certificate, whatever its address is."""


def client_context(folder: Path) -> ssl.SSLContext:
    """Return how a gate connects, by what the controller has put into ``folder``.

    Raises ConfigError if it is not there, or cannot be read.
    """
    path = folder / LINK_FILE
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_cert_chain(path)
        context.load_verify_locations(cafile=path)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(
            [f"{path}: cannot be read ({error}). The controller makes it when it starts."]
        ) from error
    return context
