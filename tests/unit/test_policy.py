"""Who may do what, and which requests are believed."""

from __future__ import annotations

import itertools
import re
from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from controller import policy
from controller.config import SLICER, Limits
from controller.errors import InvalidRequest, NotAllowed, QuotaReached
from controller.model import NAME_MAX, Person, Role, UserId
from tests.fakes.directory import PEOPLE
from tests.samples import session, settings

ALICE, CAROL = PEOPLE["alice"], PEOPLE["carol"]
OUTSIDER = Person(UserId("olga"), "Olga")
HUB = settings(public_url="http://localhost:8080", extra_urls="https://Slicer.Example.org:443")

HOSTILE = [
    "",
    "evil.example",
    "http://evil.example",
    "https://evil.example/",
    "HTTP://evil.example",
    "http:evil.example",
    "http:/evil.example",
    "http:\\\\evil.example",
    "//evil.example",
    "//evil.example/%2f..",
    "///evil.example",
    "////evil.example",
    "/\\evil.example",
    "\\/evil.example",
    "\\\\evil.example",
    "/\\/evil.example",
    "/%5cevil.example",
    "/%5Cevil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "/\r/evil.example",
    "/\r\nLocation: http://evil.example",
    "\t//evil.example",
    " //evil.example",
    "\x00//evil.example",
    "/\x00/evil.example",
    "/\x7f/evil.example",
    "/.//evil.example",
    "/..//evil.example",
    "/a/..//evil.example",
    "/a/../..//evil.example",
    "/./\\evil.example",
    "javascript:alert(1)",
    "data:text/html,evil",
    "@evil.example",
    "localhost:8080@evil.example",
    "http://localhost:8080@evil.example/",
    "http://localhost:8080.evil.example/",
    "／／evil.example",
    "/／evil.example",
    "/\u2028/evil.example",
    "/" + "a" * 2048,
]


def where(target: str) -> str:
    """Return the address that a browser goes to, which is lenient in ways urljoin is not."""
    read = re.sub(r"[\t\r\n]", "", target.strip("".join(map(chr, range(33)))))
    return urljoin("http://localhost:8080/login", read.replace("\\", "/"))


@pytest.mark.parametrize("target", HOSTILE)
def test_no_open_redirect(target: str) -> None:
    """Whatever a link to the log-in page says, it leads on to a page of this hub."""
    assert policy.safe_next(target) == "/"


@pytest.mark.parametrize(
    "target", ["/", "/s/abc/", "/s/abc/x?y=//z&u=http://e", "/starting/a", "/a%2fb", "/?a=b\x21"]
)
def test_next_is_kept(target: str) -> None:
    """Who follows a link to a session gets there after the log-in."""
    assert target == policy.safe_next(target)


@given(
    st.text()
    | st.text(alphabet="/\\.:@%25ceEvil\t\n?#[]").map("/".__add__)
    | st.builds("".join, st.lists(st.sampled_from(HOSTILE), max_size=3))
)
def test_every_next_is_ours(target: str) -> None:
    """No text whatever leads a browser away from the hub."""
    parts = urlsplit(where(policy.safe_next(target)))
    assert parts.scheme == "http"
    assert parts.netloc == "localhost:8080"


ORIGINS = {
    "http://localhost:8080": "localhost:8080",
    "https://slicer.example.org": "slicer.example.org",
}
FOREIGN = [
    "",
    "null",
    "http://evil.example",
    "http://localhost",
    "https://localhost:8080",
    "http://localhost:8080.evil.example",
    "http://session.localhost:8080",
    "HTTP://LOCALHOST:8080",
]
SITES = ["", "same-origin", "same-site", "cross-site", "none", "SAME-ORIGIN"]
HOSTS = ["localhost:8080", "slicer.example.org", "evil.example", ""]
METHODS = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "post"]


@pytest.mark.parametrize("method", METHODS)
def test_forged_requests(method: str) -> None:
    """Only the hub's own page at the very address that was asked may change anything."""
    for host, origin, site in itertools.product(HOSTS, [*ORIGINS, *FOREIGN], SITES):
        asked = host if host in ORIGINS.values() else "localhost:8080"
        own_page = ORIGINS.get(origin) == asked and site in {"", "same-origin"}
        believed = method in {"GET", "HEAD", "OPTIONS"} or own_page
        forged = policy.is_forged(method, host=host, origin=origin, fetch_site=site, settings=HUB)
        assert believed is not forged, (host, origin, site)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("localhost:8080", "http://localhost:8080"),
        ("LOCALHOST:8080", "http://localhost:8080"),
        ("slicer.example.org", "https://slicer.example.org"),
        ("evil.example", "http://localhost:8080"),
        ("localhost:8080@evil.example", "http://localhost:8080"),
        ("localhost", "http://localhost:8080"),
        ("", "http://localhost:8080"),
    ],
)
def test_links_are_of_configured_addresses(host: str, url: str) -> None:
    """A link is never made of what a request claims the hub to be called."""
    assert url == policy.public_url_for(host, HUB)


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("", ""),
        ("thesis", "thesis"),
        ("  my  thesis ", "my  thesis"),
        ("u\u0308ber", "über"),
        ("a" * NAME_MAX, "a" * NAME_MAX),
        ("脳 🧠", "脳 🧠"),
        ("`) || Host(`evil`", "`) || Host(`evil`"),
        ("thesis\n", "thesis"),
    ],
)
def test_names(typed: str, kept: str) -> None:
    """People may call a session what they like, on one line."""
    assert kept == policy.clean_name(typed)


@pytest.mark.parametrize(
    "typed",
    ["a" * (NAME_MAX + 1), "a\nb", "a\tb", "a\x00", "a\u200bb", "a\u202eb", "a\x7f", "\ud800"],
)
def test_refused_names(typed: str) -> None:
    """A name that hides something or fills the page is refused with a sentence."""
    with pytest.raises(InvalidRequest, match="A name"):
        policy.clean_name(typed)


@given(st.text(max_size=NAME_MAX))
def test_names_are_stable(typed: str) -> None:
    """A name that was accepted is accepted again, unchanged."""
    try:
        kept = policy.clean_name(typed)
    except InvalidRequest:
        return
    assert kept == policy.clean_name(kept)
    assert len(kept) <= NAME_MAX
    assert len(kept.splitlines()) <= 1


def test_quota() -> None:
    """Nobody has more than their share, and all together not more than there is."""
    limits = Limits(sessions_per_user=2, sessions_total=3)
    one, two = session(1), session(2, name="b")
    foreign = [session(3, owner="bob"), session(4, owner="carol")]
    policy.check_quota(UserId("alice"), [one], limits)
    policy.check_quota(UserId("alice"), [one, foreign[0]], limits)
    with pytest.raises(QuotaReached, match="You have 2 sessions"):
        policy.check_quota(UserId("alice"), [one, two], limits)
    with pytest.raises(QuotaReached, match="All places are taken"):
        policy.check_quota(UserId("alice"), [one, *foreign], limits)


def test_profiles_by_groups() -> None:
    """People see and get the profiles of their groups; others' are as if they were not there."""
    gpu = replace(SLICER, id="gpu", groups=frozenset({"slicer-admins", "gpu"}), default=True)
    plain = replace(SLICER, id="plain", default=False)
    hub = replace(HUB, profiles=(plain, gpu))
    assert policy.choose_profile(hub, CAROL, "gpu") == gpu
    assert policy.choose_profile(hub, CAROL, "") == gpu
    assert policy.choose_profile(hub, ALICE, "") == plain
    refusals: list[str] = []
    for person, wanted in ((ALICE, "gpu"), (ALICE, "unknown"), (OUTSIDER, "gpu")):
        with pytest.raises(NotAllowed) as caught:
            policy.choose_profile(hub, person, wanted)
        refusals.append(str(caught.value))
    assert len(set(refusals)) == 1


def test_no_profile_at_all() -> None:
    """Who may start nothing gets a sentence, not a fault."""
    hub = replace(HUB, profiles=(replace(SLICER, groups=frozenset({"gpu"})),))
    with pytest.raises(NotAllowed):
        policy.choose_profile(hub, OUTSIDER, "")


def test_roles() -> None:
    """A session is its owner's and nobody else's, administrators included."""
    assert policy.role_in(session(), UserId("alice")) is Role.OWNER
    assert policy.role_in(session(), UserId("bob")) is None
    assert policy.role_in(session(), UserId("carol")) is None
    assert policy.role_in(session(), UserId("")) is None
