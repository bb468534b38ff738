"""Views of the pages on which a session is shared, and of those on which people join it."""

from __future__ import annotations

from datetime import timedelta

from msgspec.structs import replace

from controller.core.model import Role
from controller.web.pages.forms import ErrorView
from controller.web.pages.sharing import GuestRow, JoinView, LinkRow, ShareView, ShownLink
from tests.support.page_views.common import ALICE, HOSTILE, LONG, NOW, Pages
from tests.support.page_views.home import READY

BOB = GuestRow(user="bob", display_name="Bob Example", role=Role.VIEW, connected=True)
DANA = GuestRow(
    user="dana",
    display_name="Dana Example",
    role=Role.CONTROL,
    until=NOW + timedelta(hours=1),
)
LINK = LinkRow(id="l1", role=Role.VIEW, until=NOW + timedelta(days=1), uses=0, max_uses=1)
QR = (
    "111111100100111011111111001111111",
    "100000100000111111000000001000001",
    "101110101010110011110110001011101",
    "101110101101001110010010001011101",
    "101110101111100101100001101011101",
    "100000101100000111000100001000001",
    "111111101010101010101010101111111",
    "000000001010001100000100000000000",
    "101111100000010111000010101111100",
    "111111000101001000111101001101111",
    "001101100011100100101010100010110",
    "100010010001101010011101001011110",
    "011000100111000100110001110011010",
    "010111010110111111000111001100011",
    "101010100010000000101100011110110",
    "100001011110010010011110011100100",
    "000010101100111011000010110111001",
    "011111011100100011110101101101111",
    "100000110100101111001110100110100",
    "110111000110110001101101111111110",
    "111000100000000110001010000111011",
    "110010011011000101110001111001101",
    "101111101011011111000110101110110",
    "100101011110000100100110000001111",
    "100001111001101111110010111110000",
    "000000001010001000111110100010101",
    "111111100011000110100011101010110",
    "100000101000001000001111100011101",
    "101110101011010000110000111111000",
    "101110101110101111011111110010111",
    "101110101100011001000101111101100",
    "100000100000110010011100010010100",
    "111111101110011001000011111101010",
)
"""The QR code of ``FRESH``'s address, level M."""
FRESH = ShownLink(
    url="https://hub.example/join/k3v7q2m5x4a6b2c7d5e3f4g6h7",
    role=Role.VIEW,
    until=NOW + timedelta(days=1),
    max_uses=1,
    qr=QR,
)
SHARE = ShareView(
    viewer=ALICE,
    now=NOW,
    id=READY.id,
    profile_title="Slicer",
    name="thesis",
    connected=("Alice Example (you)",),
    can_suggest=True,
)
SHARE_PATH = f"/sessions/{READY.id}/share"
SHARED_OUT = replace(
    SHARE,
    people=(BOB, DANA),
    links=(LINK, replace(LINK, id="l2", role=Role.CONTROL, uses=3, max_uses=None)),
    connected=("Alice Example (you)", "Bob Example"),
)
JOIN = JoinView(
    viewer=ALICE,
    code="k3v7q2m5x4a6b2c7d5e3f4g6h7",
    owner="Carol Example",
    title="Slicer · planning",
    role=Role.VIEW,
    until=NOW + timedelta(days=1),
    now=NOW,
)

PAGES: Pages = {
    "share_nobody": lambda r: r.page(SHARE),
    "share_people": lambda r: r.page(SHARED_OUT),
    "share_asked": lambda r: r.page(
        replace(SHARED_OUT, people=(BOB, DANA), ask=("bob",), links=(), kickable=False)
    ),
    "share_link": lambda r: r.page(replace(SHARED_OUT, fresh=FRESH)),
    "share_refused": lambda r: r.page(
        replace(
            SHARED_OUT,
            error="Nobody of that name may use the hub. Check how it is spelled.",
            typed_user="bbo",
        )
    ),
    "share_hostile": lambda r: r.page(
        replace(
            SHARE,
            name=HOSTILE,
            people=(replace(BOB, user=LONG, display_name=HOSTILE, asks=True),),
            connected=(HOSTILE, LONG),
            fresh=replace(FRESH, url=f"https://hub.example/{LONG}"),
            error=HOSTILE,
            typed_user=HOSTILE,
        )
    ),
    "join_view": lambda r: r.page(JOIN),
    "join_control": lambda r: r.page(replace(JOIN, role=Role.CONTROL, until=None)),
    "join_hostile": lambda r: r.page(replace(JOIN, owner=LONG, title=HOSTILE)),
    "join_refused": lambda r: r.page(
        ErrorView(
            status=410,
            title="This link no longer works",
            sentence="Ask for a new one.",
            viewer=ALICE,
        )
    ),
}
