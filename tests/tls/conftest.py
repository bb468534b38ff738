"""Stacks that end TLS, each with an authority of its own, and a client that believes only that one.

They are stacks of their own, beside the one of the end-to-end tests: what is tried is how a stack
starts.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
import trustme
from tls.stack import DOMAIN, Given, Stack, environment

_resolve = socket.getaddrinfo


@pytest.fixture(scope="session", autouse=True)
def names() -> Iterator[None]:
    """Let every name below the hub's lead to this machine, for this process only."""

    def resolve(host: Any, *rest: Any, **more: Any) -> Any:  # noqa: ANN401 - socket's own looseness
        name = host.decode() if isinstance(host, bytes) else host
        ours = isinstance(name, str) and (name == DOMAIN or name.endswith(f".{DOMAIN}"))
        return _resolve("127.0.0.1" if ours else host, *rest, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", resolve)
        yield


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """An authority that nobody but these tests believes."""
    return trustme.CA()


@pytest.fixture(scope="session")
def given(tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA) -> Given:
    """A folder with the hub's certificate and key, as a site has it."""
    made = Given(tmp_path_factory.mktemp("tls"), authority)
    made.write(DOMAIN, f"*.{DOMAIN}")
    return made


@pytest.fixture(scope="module")
def hub(given: Given, authority: trustme.CA) -> Iterator[Stack]:
    """A hub with that certificate."""
    trust = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
    with Stack(environment("given", SLICERHUB_TLS_FOLDER=str(given.folder)), trust) as running:
        yield running
