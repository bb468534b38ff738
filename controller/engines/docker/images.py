"""Fetches images, and tells how far a transfer is."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread
import docker
import docker.auth
import docker.errors
import docker.utils
import msgspec
import requests

from controller.core.errors import EngineUnavailable, ImageRefused
from controller.engines.docker import client
from controller.engines.docker.client import Api, Facts, mapped
from controller.engines.docker.progress import Progress
from controller.settings.schema import Settings

_TELL_SECONDS = 0.5  # between two words on a transfer


class Transfer:
    """An image on its way to the engine, and those who wait for it."""

    def __init__(self) -> None:
        """Begin with nothing fetched and nobody listening."""
        self.lock = anyio.Lock()  # whoever holds it fetches
        self.listeners: list[Callable[[str], None]] = []
        self.text = ""
        self.refusal = ""  # why it cannot be had

    def tell(self, text: str) -> None:
        """Tell the listeners how far it is."""
        if text != self.text:
            self.text = text
            for listener in self.listeners:
                listener(text)


class _AuthFile(msgspec.Struct):
    auths: dict[str, dict[str, str]] = {}


def registry_auth(text: str, image: str) -> str | None:
    """Return the ``X-Registry-Auth`` header for the image's registry, if the file knows it.

    ``text``: a file like Docker's config.json. Raises ValueError if it is not; its message holds
    nothing of the file.
    """
    registry, _ = docker.auth.resolve_repository_name(image)
    auth: Any = docker.auth
    try:
        auths = msgspec.json.decode(text, type=_AuthFile).auths
        config = auth.AuthConfig({"auths": auth.parse_auth(auths)})
    except ValueError as error:
        raise ValueError("it is not like Docker's config.json") from error
    found: Facts | None = config.resolve_authconfig(registry)
    return auth.encode_header(found).decode() if found else None


def words_of(error: EngineUnavailable) -> str:
    """Say why a transfer has failed."""
    if isinstance(error.__cause__, requests.RequestException):
        return f"the transfer broke off ({error.__cause__})."
    return error.in_full


def fetch(settings: Settings, image: str, transfer: Transfer) -> None:
    """Bring an image to the engine. For a thread that the event loop has started."""
    progress = Progress()
    told = 0.0
    headers = auth_headers(settings.docker.registry_auth_file, image)
    with mapped(), contextlib.closing(client.connect_engine(settings)) as api:
        silence = settings.docker.registry_silence_seconds
        for message in _messages(api, image=image, headers=headers, silence=silence):
            anyio.from_thread.check_cancelled()
            progress.hear(message)
            now = time.monotonic()
            if now - told >= _TELL_SECONDS:
                told = now
                anyio.from_thread.run_sync(transfer.tell, progress.text)


def auth_headers(path: str, image: str) -> dict[str, str]:
    """Return the header that lets the engine log in at the image's registry. Raises ConfigError."""
    if not path:
        return {}
    try:
        header = registry_auth(Path(path).read_text(encoding="utf-8"), image)
    except (OSError, ValueError) as error:
        raise ImageRefused(
            f"docker.registry_auth_file: {path} cannot be read ({error}). Correct it."
        ) from error
    return {"X-Registry-Auth": header} if header else {}


def _messages(
    api: Api, *, image: str, headers: Mapping[str, str], silence: int
) -> Generator[Facts, None, None]:
    """Yield what the engine tells while it fetches; raises ImageRefused with its last word.

    Not by the client's own method, which would wait for ever for a registry that falls silent.
    """
    repository, tag = docker.utils.parse_repository_tag(image)
    with api.post(
        f"{api.base_url}/v{api.api_version}/images/create",
        params={"fromImage": repository, "tag": tag or "latest"},
        headers=headers,
        stream=True,
        timeout=silence,
    ) as response:
        try:
            response.raise_for_status()
        except requests.HTTPError as error:
            docker.errors.create_api_error_from_http_exception(error)  # raises its own
        for line in filter(None, response.iter_lines()):
            message: Facts = msgspec.json.decode(line)
            if "error" in message:
                raise ImageRefused(f"The image {image} cannot be fetched: {message['error']}")
            yield message
