"""The pages as text: safe with any name, complete in every state, small, in plain words."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from controller.core.model import Phase, Role
from controller.rules import sentences
from controller.rules.queue import QueuePosition
from controller.rules.quotas import Resource
from controller.web import render
from controller.web.pages.home import ProfileChoice
from controller.web.pages.login import DemoAccount
from controller.web.pages.session import Failure
from controller.web.render import RefusalView, Renderer
from tests.support.page_views import PAGES
from tests.support.page_views.common import ALICE, HOSTILE, NOW
from tests.support.page_views.home import EMPTY, HOME, OVERDUE, READY, UNUSED
from tests.support.page_views.login import LOGIN
from tests.support.page_views.session import FAILURE
from tests.support.page_views.sharing import FRESH, JOIN, LINK, SHARE, SHARED_OUT

FORBIDDEN_WORDS = re.compile(r"\b(containers?|pods?|images?|routes?|tokens?)\b", re.IGNORECASE)
SPOKEN_ATTRIBUTES = {
    "alt",
    "aria-label",
    "content",
    "data-say",
    "data-stop",
    "placeholder",
    "title",
}
VOID = {"br", "circle", "ellipse", "input", "link", "meta", "path", "rect"}
REFERENCES = {"for", "aria-labelledby", "aria-describedby", "aria-controls", "form"}

ORDINARY = {name for name in PAGES if not name.startswith("admin")}
QUESTIONS = {("get", path) for path in ("/admin", "/admin/act", "/admin/users")}

RENDERER = Renderer()


class Page(HTMLParser):
    """A page taken apart: its elements with attributes, and the words people read or hear."""

    def __init__(self, text: str) -> None:
        """Read all of ``text`` at once."""
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element that begins."""
        attributes = {name: value or "" for name, value in attrs}
        self.elements.append((tag, attributes))
        self.words += [value for name, value in attributes.items() if name in SPOKEN_ATTRIBUTES]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Hold each end against the latest beginning."""
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Note a piece of text."""
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        """Attributes of each element of that kind."""
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        """Everything that is read or heard, with single spaces."""
        return " ".join(" ".join(self.words).split())


@pytest.fixture(params=sorted(PAGES))
def page(request: pytest.FixtureRequest) -> Page:
    """Each page in each state."""
    return Page(PAGES[request.param](RENDERER))


def test_every_element_is_closed(page: Page) -> None:
    """No state leaves an element open that swallows the rest of the page."""
    assert page.open == []
    assert page.all("main")


def test_nothing_needs_a_laxer_policy(page: Page) -> None:
    """No script, style or handler stands in a page, and nothing comes from elsewhere."""
    assert page.all("style") == []
    for script in page.all("script"):
        assert script["src"].startswith(f"{RENDERER.static}/")
    for tag, attributes in page.elements:
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("href", "src", "action", "formaction"):
            address = attributes.get(name, "/")
            mail = tag == "a" and address == "mailto:help@hub.example"
            assert mail or re.match(r"/(?!/)|#\w", address), address


def test_names_in_a_page_are_unique_and_lead_somewhere(page: Page) -> None:
    """Labels, hints and buttons point at what they belong to."""
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.elements:
        for name in REFERENCES & set(attributes):
            assert set(attributes[name].split()) <= set(ids), attributes


def test_every_form_but_the_login_proves_its_origin(page: Page) -> None:
    """Each act of somebody who is logged in carries the person's own proof; questions need none."""
    forms = [
        form
        for form in page.all("form")
        if form["action"] != "/login" and (form["method"], form["action"]) not in QUESTIONS
    ]
    proofs = [field for field in page.all("input") if field.get("name") == "csrf"]
    assert all(form["method"] == "post" for form in forms)
    assert len(proofs) == len(forms)
    assert all(proof["value"] for proof in proofs)


@pytest.mark.parametrize("name", sorted(ORDINARY - {"docs"}))  # for those who write scripts
def test_pages_speak_of_what_people_know(name: str) -> None:
    """The engine's words never stand on a page that ordinary users see."""
    assert FORBIDDEN_WORDS.search(Page(PAGES[name](RENDERER)).text) is None


def test_the_refusal_fits_in_one_small_answer() -> None:
    """Somebody not invited reads the words of the 403 page in less than 900 bytes."""
    small = RENDERER.refusal(RefusalView(stylesheet=RENDERER.stylesheet))
    assert len(small.encode()) < 900
    for words in (render.FORBIDDEN_TITLE, render.FORBIDDEN_SENTENCE):
        assert words in Page(small).text


TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=60)


@given(text=st.one_of(TEXT, st.just(HOSTILE)))
def test_any_name_is_shown_and_does_nothing(text: str) -> None:
    """Whatever stands in a name or display name arrives as these characters and nothing more."""
    view = replace(
        HOME,
        viewer=replace(ALICE, display_name=text, user=text, csrf=text),
        sessions=(replace(READY, name=text),),
        launch_name=text,
        blocked="",
    )
    plain, odd = Page(RENDERER.page(HOME)), Page(RENDERER.page(view))
    assert [tag for tag, _ in odd.elements] == [tag for tag, _ in plain.elements]
    assert [sorted(attributes) for _, attributes in odd.elements] == [
        sorted(attributes) for _, attributes in plain.elements
    ]
    assert odd.words.count(text) >= 2
    assert f"Slicer · {text}" in odd.words
    assert text in [field.get("value") for field in odd.all("input")]


def test_a_hostile_log_and_login_stay_text() -> None:
    """Log lines, reasons, user names and target pages are shown as they are."""
    failure = Failure(reason=HOSTILE, log=(HOSTILE, HOSTILE), code=HOSTILE)
    failed = replace(READY, failure=failure, phase=Phase.FAILED)
    page = Page(RENDERER.page(replace(HOME, sessions=(failed,))))
    assert page.words.count(HOSTILE) >= 2
    assert page.all("script") == Page(RENDERER.page(HOME)).all("script")
    login = Page(RENDERER.page(replace(LOGIN, username=HOSTILE, next=HOSTILE, help_line=HOSTILE)))
    assert login.all("script") == Page(RENDERER.page(LOGIN)).all("script")
    assert [field.get("value") for field in login.all("input")].count(HOSTILE) == 2
    assert HOSTILE in login.words


def test_login_focuses_the_first_empty_field() -> None:
    """The cursor stands in the user name at first, and in the password after a refusal."""
    focused = [f["id"] for f in Page(RENDERER.page(LOGIN)).all("input") if "autofocus" in f]
    assert focused == ["username"]
    again = replace(LOGIN, username="alice", error="Not like this.")
    page = Page(RENDERER.page(again))
    assert [f["id"] for f in page.all("input") if "autofocus" in f] == ["password"]
    assert page.text.count("Not like this.") == 1


def test_the_demo_accounts_show_only_in_the_demo() -> None:
    """A real hub never mentions accounts on its log-in page."""
    assert "demonstration" not in Page(RENDERER.page(LOGIN)).text
    demo = replace(LOGIN, demo=(DemoAccount("alice", "secret"),))
    assert "secret" in Page(RENDERER.page(demo)).text


def test_over_a_quota_nothing_can_be_started_and_the_reason_stands_there() -> None:
    """Each start button is off and the sentence says why."""
    for view in (HOME, EMPTY):
        page = Page(RENDERER.page(replace(view, blocked="Two of two run.")))
        starts = [b for b in page.all("button") if b.get("name") == "profile"]
        assert starts
        assert all("disabled" in button for button in starts)
        assert "Two of two run." in page.text


def test_why_a_launch_was_refused_is_said_once() -> None:
    """The sentence stands there in every state of the page, and never twice."""
    why = "That cannot be done."
    for view in (HOME, EMPTY, replace(EMPTY, profiles=()), replace(HOME, blocked=why)):
        page = Page(RENDERER.page(replace(view, launch_error=why)))
        assert page.text.count(why) == 1


def test_enter_in_the_name_field_starts_the_default_profile() -> None:
    """The first button that sends the launch form is the default profile's."""
    profiles = (
        ProfileChoice(id="other", title="Other"),
        ProfileChoice(id="usual", title="Usual", default=True),
    )
    for sessions in ((), (READY,)):
        view = replace(HOME, profiles=profiles, sessions=sessions)
        starts = [b for b in Page(RENDERER.page(view)).all("button") if b.get("name") == "profile"]
        assert [button["value"] for button in starts] == ["usual", "other"]


def test_a_failed_session_can_be_tried_again_as_it_was() -> None:
    """Reason, log and code are there, and trying again asks for the same profile and name."""
    failed = replace(READY, failure=FAILURE, phase=Phase.FAILED)
    page = Page(RENDERER.page(replace(HOME, sessions=(failed,))))
    assert FAILURE.reason in page.text
    assert FAILURE.code in page.text
    assert FAILURE.log[0] in page.text
    hidden = {(f["name"], f["value"]) for f in page.all("input") if f.get("type") == "hidden"}
    assert {("profile", "slicer"), ("name", "thesis")} <= hidden


@pytest.mark.parametrize(
    ("position", "text"),
    [
        (1, "next in the queue"),
        (2, "2nd in the queue"),
        (3, "3rd in the queue"),
        (4, "4th in the queue"),
        (11, "11th in the queue"),
        (12, "12th in the queue"),
        (21, "21st in the queue"),
        (112, "112th in the queue"),
        (122, "122nd in the queue"),
    ],
)
def test_a_place_in_line_is_said_as_people_say_it(position: int, text: str) -> None:
    """A person in the queue reads a number with the right ending."""
    assert sentences.place_text(position) == text
    waiting = replace(READY, phase=Phase.PENDING, place=QueuePosition(position, Resource.TOTAL))
    page = Page(RENDERER.page(replace(HOME, sessions=(waiting,))))
    assert f"{text[0].upper()}{text[1:]} ; waits for a free place" in page.text
    assert f"/sessions/{READY.id}/stop" in [form["action"] for form in page.all("form")]


@pytest.mark.parametrize(
    ("uses", "most", "text"),
    [
        (0, None, "not used yet"),
        (1, None, "used once"),
        (7, None, "used 7 times"),
        (0, 1, "used 0 of 1"),
        (2, 5, "used 2 of 5"),
    ],
)
def test_how_often_a_link_was_used_is_told(uses: int, most: int | None, text: str) -> None:
    """The owner sees what became of a link."""
    view = replace(SHARE, links=(replace(LINK, uses=uses, max_uses=most),))
    assert text in Page(RENDERER.page(view)).text


@given(st.integers(1, 12).flatmap(lambda n: st.lists(st.text("01", min_size=n, max_size=n))))
def test_a_qr_code_is_drawn_as_it_is(rows: list[str]) -> None:
    """Each dark module is covered by the drawing once, each light one and the margin never."""
    drawn: list[tuple[int, int]] = []
    for x, y, across, back in re.findall(r"M(\d+) (\d+)h(\d+)v1h-(\d+)z", render.qr_path(rows)):
        assert across == back
        drawn += [(int(y) - 4, int(x) - 4 + step) for step in range(int(across))]
    dark = [(y, x) for y, row in enumerate(rows) for x, sign in enumerate(row) if sign == "1"]
    assert drawn == dark


def test_a_fresh_link_is_shown_with_its_code_on_white() -> None:
    """A telephone reads it in both colour schemes: white ground, the quiet zone, dark modules."""
    page = Page(RENDERER.page(replace(SHARE, fresh=FRESH)))
    assert [field["value"] for field in page.all("input") if field.get("id") == "share-url"] == [
        FRESH.url
    ]
    side = len(FRESH.qr) + 8
    drawing = next(svg for svg in page.all("svg") if svg["class"] == "qr")
    assert drawing["viewbox"] == f"0 0 {side} {side}"
    ground, code = [path for path in page.all("path") if "fill" in path][-2:]
    assert ground == {"d": f"M0 0h{side}v{side}h-{side}z", "fill": "#fff"}
    assert code == {"d": render.qr_path(FRESH.qr), "fill": "#000"}


def test_what_an_invitation_lets_somebody_do_is_said_before_it_is_made() -> None:
    """The page explains both roles, and what removing somebody does there."""
    text = Page(RENDERER.page(SHARED_OUT)).text
    assert "sees everything in this session as it happens, can change nothing" in text
    assert "your files included" in text
    assert "disconnected at once" in text
    stays = Page(RENDERER.page(replace(SHARED_OUT, kickable=False)))
    assert "What they have open stays open" in stays.text
    assert f"/sessions/{SHARE.id}/restart" in [link["href"] for link in stays.all("a")]


def test_a_link_invites_for_a_day_and_to_view_unless_told_otherwise() -> None:
    """An owner who presses at once shares little and not for long."""
    chosen = [o["value"] for o in Page(RENDERER.page(SHARE)).all("option") if "selected" in o]
    assert chosen == ["view", "", "view", "86400"]


def test_names_are_not_looked_up_where_that_is_not_wanted() -> None:
    """Without suggestions there is a plain field and nothing that asks."""
    for can in (True, False):
        page = Page(RENDERER.page(replace(SHARE, can_suggest=can)))
        assert bool(page.all("datalist")) is can
        assert [
            f.get("data-suggest") for f in page.all("input") if f.get("id") == "share-user"
        ] == ["/api/v1/people" if can else None]


def test_joining_says_first_who_shows_what_and_what_one_may_do() -> None:
    """Nobody joins unasked, and nobody is surprised."""
    for role, words in ((Role.VIEW, "you can change nothing"), (Role.CONTROL, "files included")):
        page = Page(RENDERER.page(replace(JOIN, role=role)))
        assert "Carol Example shows you Slicer · planning" in page.text
        assert words in page.text
        assert f"/join/{JOIN.code}" in [form["action"] for form in page.all("form")]


def test_the_longest_run_cannot_be_kept_longer() -> None:
    """A press on Keep helps against idleness only, so it stands only there."""
    for card, kept in ((UNUSED, True), (OVERDUE, False)):
        page = Page(RENDERER.page(replace(HOME, sessions=(card,))))
        actions = [form["action"] for form in page.all("form")]
        assert (f"/sessions/{card.id}/keep" in actions) is kept
    assert "Stops at 14:10 UTC . This is the longest it may run. Save your work." in page.text


def test_sharing_is_offered_only_where_it_works() -> None:
    """A session that cannot be shared has no button for it."""
    for can in (True, False):
        page = Page(RENDERER.page(replace(HOME, sessions=(replace(READY, can_share=can),))))
        assert ("data-share" in dict.fromkeys(k for a in page.all("a") for k in a)) is can


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (NOW, "14:05 UTC"),
        (NOW - timedelta(days=1), "4 Mar, 14:05 UTC"),
        (NOW - timedelta(days=100), "25 Nov 2025, 14:05 UTC"),
        (datetime.fromisoformat("2026-03-05T01:00:00+02:00"), "4 Mar, 23:00 UTC"),
    ],
)
def test_times_are_plain_without_a_script(at: datetime, text: str) -> None:
    """Without script a time is said in UTC, with its day if that is not today."""
    assert sentences.clock_text(at, NOW) == text
    assert sentences.clock_text(at, None).startswith(f"{at.astimezone(UTC).day} ")
    assert datetime.fromisoformat(sentences.iso_text(at)) == at.astimezone(UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (83, "1 min 23 s"),
        (1800, "30 min"),
        (3600, "1 h"),
        (5400, "1 h 30 min"),
        (86_400, "24 h"),
    ],
)
def test_lengths_of_time_are_short_and_exact(seconds: int, text: str) -> None:
    """A length of time is said in the units that people use."""
    assert sentences.duration_text(timedelta(seconds=seconds)) == text
    assert sentences.elapsed_text(seconds + 0.9) == text


@pytest.mark.parametrize(
    ("states", "filled"),
    [("", 0), ("atttt", 1), ("ddat", 6), ("dddd", render.SLICES), ("tttt", 0)],
)
def test_the_drawing_fills_as_a_session_starts(states: str, filled: int) -> None:
    """Nothing done, nothing filled; all done, all filled."""
    kinds = {"d": render.StepState.DONE, "a": render.StepState.ACTIVE, "t": render.StepState.TODO}
    assert render.filled_slices([render.Step("x", kinds[s]) for s in states]) == filled
