"""What a request carries is read once, however many parts of the hub ask who sent it."""

from __future__ import annotations

import pytest

from controller.rules.credentials import CredentialReader, Credentials
from tests.support.hub import HTML, World

pytestmark = pytest.mark.anyio


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Credentials]:
    """Give what is read from now on, as often as it is."""
    found: list[Credentials] = []
    read = CredentialReader.read

    def counted(self: CredentialReader, cookie: str, authorization: str) -> Credentials:
        found.append(read(self, cookie, authorization))
        return found[-1]

    monkeypatch.setattr(CredentialReader, "read", counted)
    return found


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 200),
        ("/login", 302),  # she is logged in
        ("/nothing", 404),  # the error's page says who is logged in, too
        ("/admin", 200),  # its guard asks, and then the page
        ("/api/v1/me", 200),
        ("/api/v1/admin/sessions", 200),
        ("/s/{id}/", 200),  # starting: the judge asks, and then the page
    ],
)
async def test_by_the_hub(hub: World, reads: list[Credentials], path: str, status: int) -> None:
    """A page, the API and a session's address know by one reading who asks."""
    made = await hub.session("carol", ready=False)
    carol = await hub.browser("carol")
    reads.clear()
    answer = await carol.get(path.format(id=made), Accept=HTML)
    assert answer.status_code == status
    (given,) = reads
    assert given.login


async def test_by_verify(hub: World, reads: list[Credentials]) -> None:
    """So does verify, which lets through what the session may see from the same reading."""
    made = await hub.session("alice")
    alice = await hub.browser("alice")
    reads.clear()
    answer = await hub.verify(made, {"Cookie": f"{alice.cookie}; a=1"})
    assert (answer.status_code, answer.headers["cookie"]) == (200, "a=1")
    (given,) = reads
    assert given.others == "a=1"
