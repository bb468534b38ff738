"""The README and the guide: links lead somewhere, and each page says where it was run."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest

from controller.cli.main import main
from controller.rules.felt import BOUNDS_MS, PART_MAX_MS, PICTURES_MAX
from controller.sessions.gateway import Inside

ROOT = Path(__file__).parents[3]
GUIDE = ROOT / "deploy/guide"
PAGES = sorted(page for page in GUIDE.glob("*.md") if page.name != "README.md")
DOCUMENTS = (ROOT / "README.md", GUIDE / "README.md", *PAGES)
LONGEST_README = 170

_FENCE = re.compile(r"^ *(```|~~~).*?^ *\1 *$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)")
_LINK = re.compile(r"\[[^\[\]]*\]\(([^()\s]+)\)")
_HEADING = re.compile(r"^(#+) +(.+?) *$", re.MULTILINE)
_BLOCK = re.compile(r"^```(?:console|sh)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_OWN = re.compile(r"(?:^|\s)\.?/?(deploy/[\w./-]+)")
_NAMED = re.compile(r"`((?:controller|tests)/[\w./-]*)`")


def name(document: Path) -> str:
    """Return what a test is called after: the document, seen from the root."""
    return str(document.relative_to(ROOT))


def prose(document: Path) -> str:
    """Return a document without its blocks of code, in which # begins a comment."""
    return _FENCE.sub("", document.read_text("utf-8"))


def links(document: Path) -> list[str]:
    """Return where the links and pictures of a document lead, but for those to other sites."""
    found = _LINK.findall(_CODE.sub("", prose(document)))
    return [target for target in found if not re.match(r"[a-z]+:", target)]


def headings(document: Path, level: str = "#+") -> list[str]:
    """Return the titles of a document that are of this level."""
    return [
        title for marks, title in _HEADING.findall(prose(document)) if re.fullmatch(level, marks)
    ]


def anchors(document: Path) -> set[str]:
    """Return the anchors that a reader's page gives to the headings of a document."""
    found: set[str] = set()
    for title in headings(document):
        slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        again = 0
        while (anchor := f"{slug}-{again}" if again else slug) in found:
            again += 1
        found.add(anchor)
    return found


def last_table(document: Path) -> list[str]:
    """Return the lines of the table with which a document ends."""
    lines = document.read_text("utf-8").rstrip().splitlines()
    first = next(
        (number for number in range(len(lines), 0, -1) if not lines[number - 1].startswith("|")), 0
    )
    return lines[first:]


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_every_link_leads_somewhere(document: Path) -> None:
    """A reader who follows a link finds the file, and the heading within it."""
    for link in links(document):
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), f"{link}: there is no such file"
        if anchor:
            assert anchor in anchors(target), f"{link}: there is no such heading"


def test_links_are_found() -> None:
    """Links are read from the text, and not from what stands in blocks of code beside it."""
    assert "deploy/guide/ldap.md" in links(ROOT / "README.md")
    assert "deploy/pictures/session.png" in links(ROOT / "README.md")
    assert "two-commands" in anchors(ROOT / "README.md")
    assert "if-this-is-taken-over" in anchors(GUIDE / "security.md")
    assert not any("named by" in title for title in headings(GUIDE / "profiles.md"))


def test_the_readme_is_short() -> None:
    """The first page is read to its end; everything else stands in the guide."""
    lines = (ROOT / "README.md").read_text("utf-8").splitlines()
    assert len(lines) <= LONGEST_README


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_page_is_in_the_index(page: Path) -> None:
    """Each page of the guide is found from its index, once, and from the README."""
    assert links(GUIDE / "README.md").count(page.name) == 1
    assert name(page) in links(ROOT / "README.md")


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_one_title(document: Path) -> None:
    """A document says once what it is about, first of all."""
    assert document.read_text("utf-8").startswith("# ")
    assert len(headings(document, "#")) == 1


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_what_was_run(page: Path) -> None:
    """Each page ends with what was run of it, by which test or command, and what was not."""
    head, ruler, *rows = last_table(page)
    assert head == "| What | Where it is run |"
    assert ruler == "|---|---|"
    assert rows


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_every_file_that_is_named_exists(document: Path) -> None:
    """A reader finds a test or a part of the program where a page says that it is."""
    for named in _NAMED.findall(document.read_text("utf-8")):
        assert (ROOT / named).exists(), f"{named}: there is no such file"


def typed(document: Path) -> list[str]:
    """Return the commands of a document, block by block, without what they answer."""
    blocks = _BLOCK.findall(document.read_text("utf-8"))
    return [
        "\n".join(
            line.removeprefix("$ ")
            for line in block.splitlines()
            if not block.startswith("$ ") or line.startswith(("$ ", " "))
        )
        for block in blocks
    ]


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_commands_can_be_typed(document: Path) -> None:
    """A shell understands each command, and the files and commands of the hub in it exist."""
    for block in typed(document):
        words = re.sub(r"<[a-z ]+[^<>\n]*>", "word", block)
        read = subprocess.run(
            ["bash", "-n"], check=False, input=words, text=True, capture_output=True
        )
        assert read.returncode == 0, f"{block}\n{read.stderr}"
        for file in _OWN.findall(block):
            assert (ROOT / file).exists(), f"{file}: there is no such file"
        for words in re.findall(r"(?:controller|run) slicerhub (.+)", block):
            command: Any = main
            for word in words.split():
                if isinstance(command, click.Group):
                    command = command.get_command(click.Context(command), word)
                    assert command is not None, f"slicerhub {words}: there is no {word}"


def test_what_an_image_is_told_to_answer_is_read() -> None:
    """Who makes an image by the guide's example is understood by the hub, in every value."""
    page = (GUIDE / "profiles.md").read_text("utf-8")
    (example,) = re.findall(r"^```json\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    read = msgspec.json.encode(msgspec.json.decode(example, type=Inside))
    assert msgspec.json.decode(read) == msgspec.json.decode(example)
    words = " ".join(page.split())
    assert f"at most {', '.join(map(str, BOUNDS_MS))} ms, and more" in words
    assert f"A count is at most {PICTURES_MAX:,}, a part at most {PART_MAX_MS:,.0f}." in words
