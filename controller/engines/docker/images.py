"""The programs of profiles, as images: fetched, and looked at before a start."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import docker
import docker.auth
import docker.errors
import docker.utils
import msgspec
import requests

from controller.core import labels
from controller.core.errors import EngineUnavailable, ImageRefused, NoGpu
from controller.core.model import Profile
from controller.core.sentence import Phrase, Sentence, Value
from controller.engines.docker import client
from controller.engines.docker.answers import Image, Info, PullMessage, read, read_json
from controller.engines.docker.api import Api
from controller.engines.docker.calls import Calls
from controller.engines.docker.client import mapped
from controller.engines.docker.progress import BEGINNING, Progress
from controller.settings.schema import Settings

_TRANSFERS = 4  # at once, each with a thread for minutes

_TELL_SECONDS = 0.5  # between two words on a transfer


class Transfer:
    """An image on its way to the engine, and those who wait for it."""

    def __init__(self) -> None:
        self.lock = anyio.Lock()  # its holder fetches
        self.listeners: list[Callable[[Phrase], None]] = []
        self.state: Phrase | None = None
        self.refusal: Sentence | None = None  # why it cannot be had

    def tell(self, state: Phrase) -> None:
        """Tell the listeners how far it is."""
        if state != self.state:
            self.state = state
            for listener in self.listeners:
                listener(state)


class _AuthFile(msgspec.Struct):
    auths: dict[str, dict[str, str]] = {}


def registry_auth(text: str, image: str) -> str | None:
    """Return the ``X-Registry-Auth`` header for the image's registry, if the file knows it.

    ``text``: a file like Docker's config.json. Raises ValueError if it is not; its message holds
    nothing of the file.
    """
    registry, _ = docker.auth.resolve_repository_name(image)
    auth: Any = docker.auth  # its stubs leave open what most of this takes and returns
    try:
        auths = msgspec.json.decode(text, type=_AuthFile).auths
        config = auth.AuthConfig({"auths": auth.parse_auth(auths)})
    except ValueError as error:
        raise ValueError("it is not like Docker's config.json") from error
    found: object = config.resolve_authconfig(registry)
    return auth.encode_header(found).decode() if found else None


def why_broken(error: EngineUnavailable) -> Value:
    """Say why a transfer has failed."""
    if isinstance(error.__cause__, requests.RequestException):
        return Phrase("the transfer broke off ({error}).", error=str(error.__cause__))
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
                anyio.from_thread.run_sync(transfer.tell, progress.state)


def auth_headers(path: str, image: str) -> dict[str, str]:
    """Return the header that lets the engine log in at the image's registry. Raises ConfigError."""
    if not path:
        return {}
    try:
        header = registry_auth(Path(path).read_text(encoding="utf-8"), image)
    except (OSError, ValueError) as error:
        raise ImageRefused(
            "docker.registry_auth_file: {path} cannot be read ({error}). Correct it.",
            path=path,
            error=str(error),
        ) from error
    return {"X-Registry-Auth": header} if header else {}


def _messages(
    api: Api, *, image: str, headers: Mapping[str, str], silence: int
) -> Generator[PullMessage, None, None]:
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
            message = read_json(line, PullMessage)
            if message.error:
                raise ImageRefused(
                    "The image {image} cannot be fetched: {said}", image=image, said=message.error
                )
            yield message


class Images:
    """The programs of profiles: fetched where they are not there, and looked at before a start."""

    def __init__(self, settings: Settings, calls: Calls) -> None:
        self._settings = settings
        self._calls = calls
        self._transfers: dict[str, Transfer] = {}  # by image
        self._limiter = anyio.CapacityLimiter(_TRANSFERS)

    async def fetch(self, profile_id: str, tell: Callable[[Phrase], None]) -> None:
        """See that a profile's program is there; ``tell`` how far that is. Raises ImageRefused."""
        image = self._profile(profile_id).image
        if await self._image(image) is not None:
            return
        transfer = self._transfers.setdefault(image, Transfer())
        transfer.listeners.append(tell)
        try:
            if transfer.state is not None:
                tell(transfer.state)
            async with transfer.lock:
                # Another caller may have fetched it while this one waited.
                if transfer.refusal is not None:
                    raise ImageRefused(transfer.refusal)
                if await self._image(image) is None:
                    await self._fetch(image, transfer)
        finally:
            transfer.listeners.remove(tell)
            if not transfer.listeners:
                del self._transfers[image]

    async def checked_profile(self, profile_id: str) -> Profile:
        """Return a profile whose program may be started. Raises ImageRefused, NoGpu."""
        profile = self._profile(profile_id)
        image = await self._image(profile.image)
        if image is None:
            raise ImageRefused(
                "The image {image} of the profile {profile} is not on this server. "
                "Build it there, or make its registry reachable.",
                image=profile.image,
                profile=profile.id,
            )
        own = read(image, Image).config.marks
        # The engine gives an image's labels to its containers: what Traefik or this hub reads.
        claims = sorted(
            name for name in own if name.lower().startswith("traefik.") or name in labels.ALL
        )
        if claims:
            raise ImageRefused(
                "The image {image} of the profile {profile} has labels of its own "
                "for Traefik or the hub ({claims}), which could open it to others. It "
                "is not started.",
                image=profile.image,
                profile=profile.id,
                claims=", ".join(claims),
            )
        if profile.gpus and not await self._offers_gpu():
            raise NoGpu(
                "The profile {profile} needs a GPU, and the engine offers none. Install the "
                "NVIDIA container toolkit, or set gpus = 0.",
                profile=profile.id,
            )
        return profile

    async def _offers_gpu(self) -> bool:
        return read(await self._calls.call(lambda api: api.info()), Info).offers_gpu

    async def _fetch(self, image: str, transfer: Transfer) -> None:
        transfer.tell(BEGINNING)
        try:
            await anyio.to_thread.run_sync(
                partial(fetch, self._settings, image, transfer),
                abandon_on_cancel=True,
                limiter=self._limiter,
            )
        except ImageRefused as error:
            transfer.refusal = error.why
            raise
        except EngineUnavailable as error:
            await self._calls.ping()  # raises if it is the engine that is away
            refusal = ImageRefused(
                "The image {image} cannot be fetched: {said}", image=image, said=why_broken(error)
            )
            transfer.refusal = refusal.why
            raise refusal from error

    def _profile(self, profile_id: str) -> Profile:
        profile = self._settings.profile(profile_id)
        if profile is None:
            raise ImageRefused("The profile {profile} no longer exists.", profile=profile_id)
        return profile

    async def _image(self, image: str) -> object | None:
        return await self._calls.gone_is_fine(lambda api: api.inspect_image(image))
