"""Views of the log-in, and of the list of somebody's log-ins."""

from __future__ import annotations

from datetime import timedelta

from msgspec.structs import replace

from controller.web.pages.login import DemoAccount, LoginRow, LoginsView, LoginView
from tests.support.page_views.common import ALICE, HOSTILE, LONG, NOW, Pages

LOGIN = LoginView(
    organisation="Department of Example",
    help_line="No account yet? Write to help@hub.example.",
    next="/",
)

FIREFOX = LoginRow(
    id="f" * 32,
    client="Firefox on Windows",
    address="10.14.3.77",
    since=NOW - timedelta(hours=5),
    seen=NOW - timedelta(seconds=20),
    ends=NOW + timedelta(hours=7),
    current=True,
)
SCRIPT = replace(
    FIREFOX, id="5" * 32, client="Script", current=False, seen=NOW - timedelta(minutes=12)
)
LOGINS = LoginsView(
    viewer=ALICE,
    now=NOW,
    rows=(
        FIREFOX,
        replace(
            SCRIPT,
            id="a" * 32,
            client="Safari on an iPhone",
            address="2001:db8:85a3:8d3:1319:8a2e:370:7348",
            since=NOW - timedelta(hours=11),
            seen=NOW - timedelta(hours=9),
        ),
        SCRIPT,
    ),
)

PAGES: Pages = {
    "login": lambda r: r.page(LOGIN),
    "login_bare": lambda r: r.page(LoginView()),
    "login_demo_error": lambda r: r.page(
        replace(
            LOGIN,
            username="alice",
            error="User name or password is wrong, or this account may not use the hub.",
            demo=(
                DemoAccount("alice", "alice"),
                DemoAccount("bob", "bob"),
                DemoAccount("carol", "carol", "administrator"),
            ),
        )
    ),
    "logins": lambda r: r.page(LOGINS),
    "logins_one": lambda r: r.page(replace(LOGINS, rows=(FIREFOX,))),
    "logins_ended": lambda r: r.page(
        replace(LOGINS, rows=(FIREFOX, SCRIPT), said="That log-in has ended.")
    ),
    "logins_hostile": lambda r: r.page(
        replace(
            LOGINS,
            viewer=replace(ALICE, user=LONG, display_name=HOSTILE),
            rows=(
                replace(FIREFOX, client=HOSTILE, address=LONG),
                replace(SCRIPT, client=LONG, address=""),
            ),
        )
    ),
}
