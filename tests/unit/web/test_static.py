"""What a browser fetches with a page: few small files, all named by it, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from controller.web import render
from controller.web.render import Renderer
from controller.web.streams import HEARTBEAT_SECONDS
from tests.support.page_views import PAGES

FORBIDDEN_WORDS = re.compile(r"\b(containers?|pods?|images?|routes?|tokens?)\b", re.IGNORECASE)
RENDERER = Renderer()
ORDINARY = {name for name in PAGES if not name.startswith("admin")}


def files_of(page: str) -> set[str]:
    """Return the names of the files that a page names."""
    return set(re.findall(rf'(?:href|src)="{RENDERER.static}/([^"]+)"', page))


def classes_of(stylesheet: str) -> set[str]:
    """Return the classes that a stylesheet speaks of."""
    return set(re.findall(r"\.([a-z][\w-]*)", (render.STATIC_FOLDER / stylesheet).read_text()))


def test_the_script_speaks_the_same_way() -> None:
    """What the scripts write into a page keeps to the words of the pages."""
    for script in render.STATIC_FOLDER.glob("*.js"):
        assert FORBIDDEN_WORDS.search(script.read_text()) is None, script.name


@pytest.mark.parametrize("name", sorted(ORDINARY))
def test_a_first_visit_is_small(name: str) -> None:
    """Page, stylesheets, scripts and icon together stay under 60 KiB, uncompressed, and are few."""
    page = PAGES[name](RENDERER)
    files = files_of(page)
    assert not {"admin.css", "admin.js"} & files
    sizes = [(render.STATIC_FOLDER / file).stat().st_size for file in files]
    assert len(page.encode()) + sum(sizes) < 60 * 1024
    assert len(files) < 10


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_page_names_all_that_its_scripts_import(name: str) -> None:
    """A browser fetches all files at once, and waits for no script to learn of another."""
    files = files_of(PAGES[name](RENDERER))
    for script in (file for file in files if file.endswith(".js")):
        text = (render.STATIC_FOLDER / script).read_text()
        assert set(re.findall(r'^import .* from "\./(.*)";$', text, re.MULTILINE)) <= files, script


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_page_names_what_it_is_styled_by(name: str) -> None:
    """Nothing on a page is bare because its style stands in a file that the page does not name."""
    page = PAGES[name](RENDERER)
    fetched, known = set[str](), set[str]()
    for stylesheet in render.STATIC_FOLDER.glob("*.css"):
        known |= classes_of(stylesheet.name)
        if stylesheet.name in files_of(page):
            fetched |= classes_of(stylesheet.name)
    used = {one for words in re.findall(r'class="([^"]*)"', page) for one in words.split()}
    assert used & known <= fetched


def test_every_file_is_fetched_by_some_page() -> None:
    """Nobody who installs the hub gets a file that no page needs."""
    named = set[str]().union(*(files_of(make(RENDERER)) for make in PAGES.values()))
    assert named == {path.name for path in render.STATIC_FOLDER.iterdir()}


def test_static_files_get_another_address_when_they_change(tmp_path: Path) -> None:
    """A cached stylesheet is never used with a newer page."""
    (tmp_path / "hub.css").write_text("a")
    seen = {render.static_hash(tmp_path)}
    (tmp_path / "hub.css").write_text("b")
    seen.add(render.static_hash(tmp_path))
    (tmp_path / "hub.css").rename(tmp_path / "hubb.css")
    seen.add(render.static_hash(tmp_path))
    assert len(seen) == 3
    assert re.fullmatch(r"/static/[0-9a-f]{16}", RENDERER.static)
    assert RENDERER.static == render.static_prefix("/static")


def test_a_page_waits_for_two_heartbeats_and_a_half() -> None:
    """The script that takes a stream for dead knows how often the server sends one."""
    script = (render.STATIC_FOLDER / "events.js").read_text()
    waits = re.findall(r"^const (?:QUIET|GRACE) = (\d+);$", script, re.MULTILINE)
    assert len(waits) == 2
    assert sum(map(int, waits)) == 2.5 * HEARTBEAT_SECONDS * 1000
