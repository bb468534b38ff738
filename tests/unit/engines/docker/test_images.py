"""A program is fetched while people are told how far it is, and looked at before it starts."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
import requests
from msgspec.structs import replace

from controller.core import labels
from controller.core.errors import EngineUnavailable, ImageRefused, NoGpu
from controller.core.sentence import Phrase
from controller.engines.docker import client
from controller.engines.docker.calls import Calls
from controller.engines.docker.images import Images
from controller.settings.loading import SLICER
from controller.settings.schema import Settings
from tests.support.fakes.engine import refusal
from tests.support.samples import settings

pytestmark = pytest.mark.anyio

CARD = replace(SLICER, id="card", gpus=1, default=False)
HUB = replace(settings(), profiles=(SLICER, CARD))
Facts = dict[str, Any]  # as the engine's JSON


class Engine:
    """An engine that has one image, or none, and tells of a transfer what the test wants."""

    base_url = "http://engine"
    api_version = "1.41"

    def __init__(self) -> None:
        """Begin with an image without labels, and without cards."""
        self.image: object = {"Id": "x", "Config": {"Labels": None}}
        self.told: Facts = {}
        self.messages: list[object] = []
        self.posted: list[tuple[str, dict[str, str]]] = []

    def inspect_image(self, image: str) -> object:
        """Tell of the image."""
        if self.image is None:
            raise refusal(404, f"No such image: {image}")
        return self.image

    def info(self) -> Facts:
        """Tell of itself."""
        return self.told

    def ping(self) -> None:
        """Answer."""

    def close(self) -> None:
        """Nothing is open."""

    def post(self, url: str, *, params: dict[str, str], **_: object) -> requests.Response:
        """Fetch the image, and say so."""
        self.posted.append((url, params))
        made = requests.Response()
        made.status_code = 200
        made.raw = io.BytesIO(b"\r\n".join(json.dumps(one).encode() for one in self.messages))
        return made


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Give an engine, to which every client leads."""
    made = Engine()

    def connect(_: Settings) -> Engine:
        return made

    monkeypatch.setattr(client, "connect_engine", connect)
    return made


@pytest.fixture
def images(engine: Engine) -> Images:
    """Give the programs of the hub's profiles on that engine."""
    del engine  # it is found by its name
    return Images(HUB, Calls(HUB))


async def test_in_order(images: Images) -> None:
    """A profile whose program is there, without labels, may be started."""
    assert await images.checked_profile(SLICER.id) == SLICER


@pytest.mark.parametrize("label", ["Traefik.enable", labels.SESSION])
async def test_labels_of_its_own(images: Images, engine: Engine, label: str) -> None:
    """A program that would open itself to others by its labels is not started."""
    engine.image = {"Config": {"Labels": {label: "x", "maintainer": "somebody"}}}
    with pytest.raises(ImageRefused) as caught:
        await images.checked_profile(SLICER.id)
    assert label in caught.value.cause
    assert "maintainer" not in caught.value.cause


async def test_an_image_that_cannot_be_read(images: Images, engine: Engine) -> None:
    """A program of which it is not known what it carries is not started."""
    engine.image = {"Id": "x"}
    with pytest.raises(EngineUnavailable, match="cannot be read"):
        await images.checked_profile(SLICER.id)


async def test_missing(images: Images, engine: Engine) -> None:
    """A program that is not there is told as such to the administrator."""
    engine.image = None
    with pytest.raises(ImageRefused) as caught:
        await images.checked_profile(SLICER.id)
    assert "is not on this server" in caught.value.cause


async def test_graphics_cards(images: Images, engine: Engine) -> None:
    """A profile that wants a card is refused where there is none, and starts where there is."""
    with pytest.raises(NoGpu):
        await images.checked_profile(CARD.id)
    engine.told = {"Runtimes": {"nvidia": {}}}
    assert await images.checked_profile(CARD.id) == CARD


async def test_fetched(images: Images, engine: Engine) -> None:
    """A person who waits for a program reads how far its transfer is."""
    engine.image = None
    detail = {"current": 3_000_000, "total": 9_000_000}
    engine.messages = [
        {"status": "Pulling fs layer", "id": "a", "progressDetail": {}},
        {"status": "Downloading", "id": "a", "progressDetail": detail},
    ]
    told: list[Phrase] = []
    await images.fetch(SLICER.id, told.append)
    assert str(told[0]) == "Fetching the program"
    ((url, params),) = engine.posted
    assert url == "http://engine/v1.41/images/create"
    assert f"{params['fromImage']}:{params['tag']}" == SLICER.image


async def test_already_there(images: Images, engine: Engine) -> None:
    """What is there is not fetched."""
    await images.fetch(SLICER.id, list[Phrase]().append)
    assert engine.posted == []


@pytest.mark.parametrize(
    ("last", "words"),
    [({"error": "manifest unknown"}, "manifest unknown"), ([], "cannot be read")],
)
async def test_a_transfer_that_fails(
    images: Images, engine: Engine, last: object, words: str
) -> None:
    """A program that cannot be fetched is refused, with the engine's last word if it has one."""
    engine.image = None
    engine.messages = [{"status": "Pulling from lab/viewer", "id": "3"}, last]
    with pytest.raises(ImageRefused) as caught:
        await images.fetch(SLICER.id, list[Phrase]().append)
    assert SLICER.image in caught.value.cause
    assert words in caught.value.cause
