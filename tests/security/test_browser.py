"""Pages of others in somebody's browser, and what they can do to the hub (rows 28-30)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
import pytest
from docker import DockerClient
from e2e.stack import PAGE, URL, session_url
from playwright.sync_api import Browser, BrowserContext, Dialog, Page, expect
from security.attacker import (
    COOKIE,
    Person,
    change_directory,
    door,
    knock,
)

from tests.support import asking
from tests.support.breakage import compose, wait_for_hub
from tests.support.chromium import Complaints, chromium
from tests.support.waits import until

# Not skipped in the other mode, for there is nothing to be shown: a session's page is of the hub's
# own origin in path mode, and of its own in subdomain mode.
in_subdomain_mode = pytest.mark.mode("subdomain")
in_path_mode = pytest.mark.mode("path")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    with chromium() as started:
        yield started


class Window(NamedTuple):
    """A browser of one person, who is logged in."""

    context: BrowserContext
    page: Page

    @property
    def login(self) -> str:
        """The log-in cookie as the browser keeps it for the hub's own pages."""
        kept = [one for one in self.context.cookies(URL) if one.get("name") == COOKIE]
        (found,) = [one for one in kept if one.get("path") == "/" and one.get("httpOnly")]
        return found.get("value", "")


def logged_in(browser: Browser, name: str) -> Window:
    """Open a browser and log in by the page."""
    context = browser.new_context(locale="en-GB", timezone_id="UTC")
    context.set_default_timeout(30_000)
    page = context.new_page()
    page.goto(f"{URL}/login")
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password", exact=True).fill(name)
    page.keyboard.press("Enter")
    expect(page.locator("form[action='/logout']")).to_have_count(1)
    return Window(context, page)


@pytest.fixture
def window(browser: Browser) -> Iterator[Window]:
    """Alice's browser."""
    opened = logged_in(browser, "alice")
    yield opened
    opened.context.close()


def page_in(session: dict[str, Any], html: str) -> str:
    """Return the address of a page of a session's own with this content."""
    return f"{session_url(session['id'])}page?html={quote(html, safe='')}"


PLANT = """<!doctype html><title>plant</title><script>
for (const name of ["COOKIE", "COOKIE".toUpperCase(), "__Host-COOKIE", " COOKIE", "COOKIE "])
  for (const more of ["", "; path=/", "; path=/; domain=localhost", "; path=/; secure",
                      "; path=/; max-age=0", "; path=/; domain=.localhost; max-age=0"])
    document.cookie = name + "=planted" + more;
document.title = "done " + document.cookie;
</script>"""


def test_row_28_a_session_cannot_set_the_login(
    alice: Person, window: Window, victim: dict[str, Any]
) -> None:
    """Neither by its answers nor by a script: the browser goes on with the same log-in."""
    before = window.login
    at = door(alice, victim)
    for name in {COOKIE, *(one.partition("=")[0] for one in at.cookie.split("; "))}:
        answer = knock(at, path=f"cookie?{name}=planted&own=fine")
        set_cookies = answer.headers.get_list("set-cookie")
        assert any(one.startswith("own=fine") for one in set_cookies)
        assert not any("planted" in one for one in set_cookies)
    inside = window.context.new_page()
    for toss in (f"{COOKIE}=planted", f"{COOKIE}=planted%3B%20Domain%3Dlocalhost"):
        inside.goto(f"{session_url(victim['id'])}cookie?{toss}")
    inside.goto(page_in(victim, PLANT.replace("COOKIE", COOKIE)))
    expect(inside).to_have_title(re.compile("^done"))
    assert before not in inside.title(), "the page's script has read the log-in"
    window.page.goto(f"{URL}/")
    expect(window.page.locator("form[action='/logout']")).to_have_count(1)
    expect(window.page.get_by_text("Logged in as alice")).to_have_count(1)
    assert window.login == before


HOSTILE = """<!doctype html><title>hostile</title><body><script>
const hub = "HUB", said = {};
const note = async (name, work) => {
  try { said[name] = "did: " + String(await work()).slice(0, 200); }
  catch (error) { said[name] = "blocked: " + error; }
};
const soon = (what) => new Promise((yes, no) => {
  what(yes, no); setTimeout(no, 4000, "silence");
});
const text = (path, how) => fetch(hub + path, {credentials: "include", ...how}).then(a => a.text());
const form = (path) => soon((yes, no) => {
  const frame = document.createElement("iframe");
  frame.name = "f" + Math.random();
  document.body.append(frame);
  const one = document.createElement("form");
  one.method = "post"; one.action = hub + path; one.target = frame.name;
  for (const [key, value] of [["csrf", "x"], ["profile", "echo"], ["name", "forged"]]) {
    const field = document.createElement("input");
    field.name = key; field.value = value; one.append(field);
  }
  document.body.append(one);
  frame.onload = () => {
    try { yes(frame.contentDocument.body.innerText); } catch (error) { no(error); }
  };
  one.submit();
});
const element = (name, attributes) => soon((yes, no) => {
  const one = document.createElement(name);
  one.onload = () => yes("loaded"); one.onerror = () => no("error");
  Object.assign(one, attributes);
  document.body.append(one);
});
(async () => {
  const body = new URLSearchParams({profile: "echo", name: "forged", csrf: "x"});
  await Promise.all([
    note("read the page", () => text("/")),
    note("read me", () => text("/api/v1/me")),
    note("read without cors", async () => {
      const read = await text("/api/v1/me", {mode: "no-cors"});
      if (!read) throw "nothing to read";
      return read;
    }),
    note("launch by api", () => text("/api/v1/sessions", {
      method: "POST", body: JSON.stringify({profile: "echo", name: "forged"}),
      headers: {"Content-Type": "application/json"}})),
    note("launch by text", () => text("/api/v1/sessions", {
      method: "POST", body: JSON.stringify({profile: "echo", name: "forged"}),
      headers: {"Content-Type": "text/plain"}})),
    note("log out by form", () => form("/logout")),
    note("launch by form", () => form("/launch")),
    note("log out by fetch", async () => {
      const answer = await fetch(hub + "/logout", {
        method: "POST", mode: "no-cors", credentials: "include", body});
      throw answer.type + " " + answer.status;
    }),
    note("end all by fetch", async () => {
      const answer = await fetch(hub + "/logins/end-all", {
        method: "POST", mode: "no-cors", credentials: "include", body});
      throw answer.type + " " + answer.status;
    }),
    note("delete", () => text("/api/v1/sessions/SESSION", {method: "DELETE"})),
    note("frame", () => soon((yes, no) => {
      const frame = document.createElement("iframe");
      frame.src = hub + "/";
      frame.onload = () => {
        try { yes(frame.contentDocument.body.innerText); } catch (error) { no(error); }
      };
      document.body.append(frame);
    })),
    note("script", () => element("script", {src: hub + "/api/v1/me"})),
    note("image", () => element("img", {src: hub + "/"})),
    note("object", () => element("object", {data: hub + "/"})),
    note("events", () => soon((yes, no) => {
      const source = new EventSource(hub + "/api/v1/events", {withCredentials: true});
      source.onopen = () => yes("open"); source.onerror = () => no("error");
    })),
    note("socket", () => soon((yes, no) => {
      const socket = new WebSocket(hub.replace("http", "ws") + "/api/v1/events");
      socket.onopen = () => yes("open"); socket.onerror = () => no("error");
    })),
    note("opener", () => {
      if (!window.opener) throw "no opener";
      return window.opener.document.title;
    }),
    note("domain", () => { document.domain = "localhost"; return document.domain; }),
    note("cookie", () => {
      if (!document.cookie.includes("-login") && !document.cookie.includes("-entry")) throw "none";
      return document.cookie;
    }),
  ]);
  window.said = said;
  document.title = "done";
})();
</script>"""

OPEN = """<!doctype html><title>opens</title><button>open</button><script>
document.querySelector("button").onclick = () => { window.other = window.open("HUB/"); };
window.look = () => {
  const found = [];
  for (const read of [() => window.other.document.title, () => window.other.location.href,
                      () => window.other.document.querySelector("form").submit()])
    try { found.push("did: " + read()); } catch (error) { found.push("blocked: " + error.name); }
  return {found, closed: window.other.closed};
};
</script>"""


@pytest.fixture
def guest(alice: Person, browser: Browser, victim: dict[str, Any]) -> Iterator[Window]:
    """Bob's browser, while alice shows him her session."""
    alice.invite(victim, "bob", "view")
    opened = logged_in(browser, "bob")
    yield opened
    opened.context.close()
    alice.api.delete(f"/api/v1/sessions/{victim['id']}/shares/bob")


@in_subdomain_mode
def test_row_29_a_hostile_page_cannot_read_drive_or_log_out(
    bob: Person, guest: Window, victim: dict[str, Any]
) -> None:
    """In bob's browser a page of alice's session gets at nothing of bob's hub, in eighteen ways."""
    before = guest.login
    page = guest.page
    page.goto(session_url(victim["id"]))  # comes in; the page's address is too long to be led to
    page.goto(page_in(victim, HOSTILE.replace("HUB", URL).replace("SESSION", victim["id"])))
    expect(page).to_have_title("done", timeout=30_000)
    said: dict[str, str] = page.evaluate("window.said")
    assert len(said) >= 18
    assert {name: one for name, one in said.items() if not one.startswith("blocked")} == {}
    # Nothing of the hub is to be seen in any of its frames.
    for frame in page.frames[1:]:
        assert not frame.url.startswith(f"{URL}/") or "Logged in" not in frame.content()
    found = bob.api.get("/api/v1/sessions").json()["items"]
    assert not [one for one in found if one["name"] == "forged"]
    page.goto(f"{URL}/")
    expect(page.get_by_text("Logged in as bob")).to_have_count(1)
    assert guest.login == before


@in_subdomain_mode
def test_row_29_a_hostile_page_cannot_use_a_window_of_the_hub(
    guest: Window, victim: dict[str, Any]
) -> None:
    """A window that it opens on the hub is cut off from it."""
    page = guest.page
    page.goto(page_in(victim, OPEN.replace("HUB", URL)))
    with guest.context.expect_page() as opened:
        page.get_by_role("button").click()
    expect(opened.value.get_by_text("Logged in as bob")).to_have_count(1)
    told = page.evaluate("window.look()")
    assert told["closed"] is True, "the hub's window is still at the page's hand"
    assert not [one for one in told["found"] if one.startswith("did: ") and "undefined" not in one]
    expect(opened.value.get_by_text("Logged in as bob")).to_have_count(1)


def test_row_29_the_hubs_pages_are_in_nobodys_frame(alice: Person) -> None:
    """Each page says that it is not to be framed, shared between windows or read from elsewhere."""
    for path in ("/", "/login", "/api/docs", "/nothing-here", "/api/v1/me"):
        headers = alice.browser.get(path).headers
        policy = {
            part.split()[0]: part.split()[1:]
            for part in headers["content-security-policy"].split(";")
            if part.strip()
        }
        assert policy["frame-ancestors"] == ["'none'"]
        assert policy["form-action"] == ["'self'"]
        assert policy["base-uri"] == ["'none'"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"]
        assert headers["permissions-policy"]
        assert "no-store" in headers["cache-control"]


@in_path_mode
def test_row_29_in_path_mode_nobody_shares_unless_the_risk_is_accepted(
    alice: Person, victim: dict[str, Any]
) -> None:
    """Without the administrator's words neither names nor links let anybody in."""
    compose("up", "--detach", "--wait", "--no-deps", "controller", SLICERHUB_PATH_MODE_SHARING="")
    try:
        wait_for_hub()
        where = f"/api/v1/sessions/{victim['id']}"
        for answer in (
            alice.api.put(f"{where}/shares/bob", json={"role": "view"}),
            alice.api.post(f"{where}/links", json={"role": "view"}),
        ):
            assert answer.status_code in {403, 409}, answer.text
        assert alice.act(f"/sessions/{victim['id']}/share", user="bob", role="view").is_error
        with Person("bob") as bob:
            assert knock(door(bob, victim)).status_code == 403
    finally:
        compose("up", "--detach", "--wait", "--no-deps", "controller")
        wait_for_hub()


SCRIPT = "<img src=x onerror=alert(1)>"
NAME = f"</title></script><script>alert(1)</script>{SCRIPT}"


def test_row_30_names_are_text(alice: Person, browser: Browser, engine: DockerClient) -> None:
    """Markup in a session's name and in the directory's names is shown, and does nothing."""
    modify = "dn: uid=alice,ou=people,dc=example,dc=org\nchangetype: modify\nreplace: displayName\n"
    name = f"<script>alert(1)</script>{SCRIPT}"[:40]
    session = alice.launch("echo", name)
    change_directory(engine, f"{modify}displayName: {NAME}")
    try:
        window = logged_in(browser, "alice")
        complaints, dialogs = Complaints(window.page), list[str]()

        def hear(dialog: Dialog) -> None:
            dialogs.append(dialog.message)
            dialog.dismiss()

        window.page.on("dialog", hear)
        until(
            lambda: (
                NAME in alice.api.get("/api/v1/me").json()["display_name"]
                or SCRIPT in alice.api.get("/api/v1/me").json()["display_name"]
            ),
            what="the new name",
        )
        admin = logged_in(browser, "carol")
        for where, path in (
            (window, "/"),
            (window, f"/sessions/{session['id']}/share"),
            (window, f"/sessions/{session['id']}/stop"),
            (admin, "/admin"),
            (admin, "/admin/users"),
        ):
            where.page.goto(URL + path)
            assert where.page.locator("img[src='x']").count() == 0, path
            assert where.page.evaluate("document.scripts.length") >= 1
        window.page.goto(f"{URL}/")
        expect(window.page.get_by_text(name, exact=False).first).to_be_visible()
        assert dialogs == []
        assert complaints.heard == []
        admin.context.close()
        window.context.close()
    finally:
        change_directory(engine, f"{modify}displayName: Alice Example")
        alice.stop(session["id"])


def test_row_30_what_was_typed_comes_back_as_text() -> None:
    """The pages that repeat what was sent escape it: the log-in's name, and where it leads."""
    answer = httpx.post(
        f"{URL}/login",
        data={"username": f'"><script>{SCRIPT}', "password": "x", "next": f'/"><script>{SCRIPT}'},
        headers={"Origin": URL, **PAGE},
        timeout=30,
    )
    assert "<script>" not in answer.text.replace("<script src=", "")
    assert "<img src=x" not in answer.text
    for path in (f"/{quote(SCRIPT)}", f"/join/{quote(SCRIPT)}", f"/login?next=/{quote(SCRIPT)}"):
        assert SCRIPT not in asking.get(URL + path, headers=PAGE).text
