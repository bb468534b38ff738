"""Who may do what, and which requests are believed."""

from __future__ import annotations

import itertools
import re
from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from controller.core.errors import InvalidRequest, NotAllowed
from controller.core.model import NAME_MAX, Person, Role, Session, UserId
from controller.rules import access, origins, quotas
from controller.rules.quotas import Resource, Shortfall
from controller.rules.sentences import awaited, refusal_of
from controller.settings.loading import SLICER
from controller.settings.schema import Limits, Settings
from tests.support.fakes.directory import PEOPLE
from tests.support.samples import session, settings

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
    assert origins.safe_next(target) == "/"


@pytest.mark.parametrize(
    "target", ["/", "/s/abc/", "/s/abc/x?y=//z&u=http://e", "/starting/a", "/a%2fb", "/?a=b\x21"]
)
def test_next_is_kept(target: str) -> None:
    """Anyone who follows a link to a session gets there after the log-in."""
    assert target == origins.safe_next(target)


@given(
    st.text()
    | st.text(alphabet="/\\.:@%25ceEvil\t\n?#[]").map("/".__add__)
    | st.builds("".join, st.lists(st.sampled_from(HOSTILE), max_size=3))
)
def test_every_next_is_ours(target: str) -> None:
    """No text whatever leads a browser away from the hub."""
    parts = urlsplit(where(origins.safe_next(target)))
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
        forged = origins.is_forged(method, host=host, origin=origin, fetch_site=site, settings=HUB)
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
    assert url == origins.public_url_for(host, HUB)


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
    assert kept == access.clean_name(typed)


@pytest.mark.parametrize(
    "typed",
    ["a" * (NAME_MAX + 1), "a\nb", "a\tb", "a\x00", "a\u200bb", "a\u202eb", "a\x7f", "\ud800"],
)
def test_refused_names(typed: str) -> None:
    """A name that hides something or fills the page is refused with a sentence."""
    with pytest.raises(InvalidRequest, match="A name"):
        access.clean_name(typed)


@given(st.text(max_size=NAME_MAX))
def test_names_are_stable(typed: str) -> None:
    """A name that was accepted is accepted again, unchanged."""
    try:
        kept = access.clean_name(typed)
    except InvalidRequest:
        return
    assert kept == access.clean_name(kept)
    assert len(kept) <= NAME_MAX
    assert len(kept.splitlines()) <= 1


SMALL = replace(SLICER, id="small", default=True, cpus=2.0, memory_mib=4096)
BIG = replace(SLICER, id="big", default=False, cpus=6.0, memory_mib=16_384, max_sessions=2)
GPU = replace(SLICER, id="gpu", default=False, cpus=1.0, memory_mib=1024, gpus=1)
GPUS = replace(GPU, id="gpus", gpus=2)


def bounded(**limits: object) -> Settings:
    """Return settings with these limits and no others."""
    wide = Limits(sessions_per_user=99, sessions_total=99)
    return replace(HUB, profiles=(SMALL, BIG, GPU, GPUS), limits=replace(wide, **limits))


def of(
    number: int, profile: str = "small", owner: str = "", *, groups: str = "", gpus: str = ""
) -> Session:
    """Return a session, of a person of its own unless one is named."""
    made = session(number, owner=owner or f"person-{number}", profile=profile, name=str(number))
    return replace(made, groups=tuple(groups.split()), gpus=tuple(gpus.split()))


ALICES = [of(1, owner="alice"), of(2, "big", owner="alice")]
NEXT = of(9, owner="alice")


@pytest.mark.parametrize(
    ("wanted", "running", "limits", "shortfall"),
    [
        (NEXT, [], {}, None),
        (NEXT, ALICES, {}, None),
        # One's own.
        (NEXT, ALICES, {"sessions_per_user": 3}, None),
        (NEXT, ALICES, {"sessions_per_user": 2}, Shortfall(Resource.OWN, "2")),
        (of(9, owner="bob"), ALICES, {"sessions_per_user": 1}, None),
        (NEXT, ALICES, {"sessions_per_user": 1, "sessions_total": 1}, Shortfall(Resource.OWN, "2")),
        # All people's.
        (NEXT, [of(1), of(2)], {"sessions_total": 3}, None),
        (NEXT, [of(1), of(2), of(3)], {"sessions_total": 3}, Shortfall(Resource.TOTAL)),
        (
            of(9, "big"),
            [of(1, "big"), of(2, "big")],
            {"sessions_total": 2},
            Shortfall(Resource.TOTAL),
        ),
        # The profile's.
        (of(9, "big"), [of(1, "big"), of(2), of(3)], {}, None),
        (of(9, "big"), [of(1, "big"), of(2, "big")], {}, Shortfall(Resource.PROFILE, "big")),
        (of(9, "small"), [of(1, "big"), of(2, "big")], {}, None),
        # A group's.
        (of(9, groups="a"), [of(1, groups="a")], {"groups": {"a": 2}}, None),
        (
            of(9, groups="a"),
            [of(1, groups="a")],
            {"groups": {"a": 1}},
            Shortfall(Resource.GROUP, "a"),
        ),
        (of(9, groups="b"), [of(1, groups="a")], {"groups": {"a": 1, "b": 1}}, None),
        (
            of(9, groups="a b"),
            [of(1, groups="b")],
            {"groups": {"a": 1, "b": 1}},
            Shortfall(Resource.GROUP, "b"),
        ),
        (of(9, groups="a"), [of(1, groups="a")], {"groups": {}}, None),
        (of(9), [of(1, groups="a")], {"groups": {"a": 1}}, None),
        # Cores and memory of all together; 0 is no limit, and exactly full is not too much.
        (of(9), [of(1), of(2, "big")], {"cpus": 10.0}, None),
        (of(9), [of(1), of(2, "big")], {"cpus": 9.9}, Shortfall(Resource.CPUS)),
        (of(9), [of(1), of(2, "big")], {"memory_mib": 24_576}, None),
        (of(9), [of(1), of(2, "big")], {"memory_mib": 24_575}, Shortfall(Resource.MEMORY)),
        (of(9), [of(1, "gone"), of(2, "gone")], {"cpus": 2.0, "memory_mib": 4096}, None),
        # Graphics cards.
        (of(9, "gpu"), [], {"gpus": ("0", "1")}, None),
        (of(9, "gpu"), [of(1, "gpu", gpus="1")], {"gpus": ("0", "1")}, None),
        (of(9, "gpus"), [of(1, "gpu", gpus="1")], {"gpus": ("0", "1")}, Shortfall(Resource.GPUS)),
        (of(9, "gpu"), [of(1, "gpus", gpus="1 0")], {"gpus": ("0", "1")}, Shortfall(Resource.GPUS)),
        (of(9, "small"), [of(1, "gpus", gpus="1 0")], {"gpus": ("0", "1")}, None),
        (of(9, "gpu"), [of(1, "gpu", gpus="7")], {"gpus": ("0",)}, None),
        (of(9, "gpus"), [of(1, "gpus")], {"gpus": ()}, None),
    ],
)
def test_what_is_lacking(
    wanted: Session, running: list[Session], limits: dict[str, object], shortfall: Shortfall | None
) -> None:
    """Nobody has more than their share, nothing more than there is; one's own limit is told first.

    What a profile or group may have does not hinder others.
    """
    assert shortfall == quotas.shortfall_of(wanted, running, bounded(**limits))


@pytest.mark.parametrize("resource", list(Resource))
def test_words_for_what_is_lacking(resource: Resource) -> None:
    """Whatever is lacking, people read a sentence that says what helps, in plain words."""
    sentence, waits_for = str(refusal_of(Shortfall(resource, "3"))), str(awaited(resource))
    assert sentence.endswith(".")
    assert waits_for
    assert not waits_for.endswith(".")
    words = set(re.findall(r"[a-z]+", f"{sentence} {waits_for}".lower()))
    assert words.isdisjoint({"container", "pod", "image", "route", "token"})
    assert ("3" in sentence) is (resource is Resource.OWN)


@pytest.mark.parametrize(
    ("groups", "limited"),
    [
        (set[str](), ()),
        ({"students"}, ("Students",)),
        ({"STUDENTS", "gpu"}, ("Students", "gpu")),
        ({"Gpu", "staff"}, ("gpu",)),
        ({"student", "gpus"}, ()),
    ],
)
def test_limited_groups(groups: set[str], limited: tuple[str, ...]) -> None:
    """A session counts for those of its owner's groups that have a limit, however they are typed.

    They are named as in the configuration, so that all members count together.
    """
    person = Person(UserId("olga"), "Olga", frozenset(groups))
    assert limited == quotas.limited_groups(person, Limits(groups={"gpu": 1, "Students": 3}))


@pytest.mark.parametrize(
    ("configured", "held", "free"),
    [
        ("", "", ""),
        ("0 1 2", "", "0 1 2"),
        ("2 0 1", "0", "2 1"),
        ("0 1", "1 0", ""),
        ("0", "9", "0"),
    ],
)
def test_free_gpus(configured: str, held: str, free: str) -> None:
    """A card that a session holds is nobody else's; the others come in their order."""
    running = [of(number, "gpu", gpus=gpu) for number, gpu in enumerate(held.split())]
    assert quotas.free_gpus(configured.split(), running) == tuple(free.split())


def test_profiles_by_groups() -> None:
    """People see and get the profiles of their groups; others' are as if they were not there."""
    gpu = replace(SLICER, id="gpu", groups=frozenset({"slicer-admins", "gpu"}), default=True)
    plain = replace(SLICER, id="plain", default=False)
    hub = replace(HUB, profiles=(plain, gpu))
    assert access.choose_profile(hub, CAROL, "gpu") == gpu
    assert access.choose_profile(hub, CAROL, "") == gpu
    assert access.choose_profile(hub, ALICE, "") == plain
    refusals: list[str] = []
    for person, wanted in ((ALICE, "gpu"), (ALICE, "unknown"), (OUTSIDER, "gpu")):
        with pytest.raises(NotAllowed) as caught:
            access.choose_profile(hub, person, wanted)
        refusals.append(str(caught.value))
    assert len(set(refusals)) == 1


def test_no_profile_at_all() -> None:
    """Anyone who may start nothing gets a sentence, not a fault."""
    hub = replace(HUB, profiles=(replace(SLICER, groups=frozenset({"gpu"})),))
    with pytest.raises(NotAllowed):
        access.choose_profile(hub, OUTSIDER, "")


@pytest.mark.parametrize(
    ("uid", "granted", "role"),
    [
        ("alice", None, Role.OWNER),
        ("alice", Role.VIEW, Role.OWNER),
        ("bob", None, None),
        ("bob", Role.VIEW, Role.VIEW),
        ("bob", Role.CONTROL, Role.CONTROL),
        ("carol", None, None),
        ("", None, None),
    ],
)
def test_roles(uid: str, granted: Role | None, role: Role | None) -> None:
    """A session is its owner's and of those invited, nobody else's, administrators included."""
    assert role is access.role_in(session(), UserId(uid), granted)
