"""Sessions under load, as their owners and as the engine know them."""

from __future__ import annotations

import threading
from typing import Any

from docker import DockerClient
from e2e.stack import INSTANCE, session_url

from tests.support.inside import run_inside

KEPT = "/home/slicer/kept-by-the-soak"


class Own:
    """A session that is ready. ``marker``: what stands in every answer of it, and in no other."""

    def __init__(self, session_id: str, name: str, marker: str) -> None:
        """``name``: what its owner calls it."""
        self.id = session_id
        self.name = name
        self.marker = marker
        self.url = session_url(session_id)


class Engine:
    """What the tests ask of the engine, one after the other: its client is not made for threads."""

    def __init__(self, client: DockerClient) -> None:
        """Use this client."""
        self._client = client
        self._turn = threading.Lock()

    def marker_of(self, session_id: str) -> str:
        """Return what the echo calls itself; "": there is no such session."""
        labels = [f"slicerhub.instance={INSTANCE}", f"slicerhub.session={session_id}"]
        with self._turn:
            api: Any = self._client.api
            found = api.containers(filters={"label": labels})
        return found[0]["Id"][:12] if len(found) == 1 else ""

    def write(self, session_id: str, text: str) -> bool:
        """Put a file among the files of a session's owner, from inside."""
        labels = [f"slicerhub.session={session_id}"]
        with self._turn:
            found = self._client.containers.list(filters={"label": labels})
            if len(found) != 1:
                return False
            script = f"printf %s '{text}' > {KEPT}"
            return run_inside(found[0], "sh", "-c", script).exit_code == 0
