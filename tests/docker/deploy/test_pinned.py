"""Base images are pulled by what is in them, from a real registry."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.registry import registry

ROOT = Path(__file__).parents[3]
PORT = 15097
IMAGE = f"127.0.0.1:{PORT}/slicerhub-test/base:1"


def docker(*words: str, stdin: str | None = None) -> str:
    """Run the engine's client."""
    ran = subprocess.run(
        ["docker", *words], input=stdin, check=True, capture_output=True, text=True, timeout=120
    )
    return ran.stdout.strip()


def made(text: str) -> str:
    """Make and push an image of this content under the one tag; return its digest."""
    dockerfile = f"FROM scratch\nLABEL slicerhub.test={text}\nCOPY . /\n"
    context = ROOT / "tests" / "e2e" / "echo"
    docker("build", "-q", "-t", IMAGE, "-f", "-", str(context), stdin=dockerfile)
    docker("push", IMAGE)
    digests = docker("image", "inspect", "--format", "{{json .RepoDigests}}", IMAGE)
    return digests.partition("@")[2].partition('"')[0]


@pytest.fixture
def pushed(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """A registry in which the tag has come to mean something else; the old and the new digest."""
    with registry(tmp_path, PORT):
        before, after = made("right"), made("other")
        assert before != after
        docker("rmi", "--force", IMAGE)
        yield before, after
        subprocess.run(["docker", "rmi", "--force", IMAGE], check=False, capture_output=True)


def pull(lock: Path) -> subprocess.CompletedProcess[str]:
    """Pull as deploy/up does."""
    script = f'. deploy/lib.sh; IMAGES_LOCK="{lock}"; pull_image {IMAGE}'
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )


def content() -> str:
    """Return what the tag means on this machine."""
    return docker(
        "image", "inspect", "--format", '{{index .Config.Labels "slicerhub.test"}}', IMAGE
    )


def test_the_locked_content_is_taken(tmp_path: Path, pushed: tuple[str, str]) -> None:
    """A tag that somebody has put elsewhere since does not matter: the lock says what is meant."""
    lock = tmp_path / "images.lock"
    lock.write_text(f"{IMAGE} {pushed[0]}\n")
    ran = pull(lock)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert content() == "right"


@pytest.mark.usefixtures("pushed")
def test_what_is_not_there_is_not_replaced(tmp_path: Path) -> None:
    """If the registry has nothing with that content, nothing is taken in its place."""
    lock = tmp_path / "images.lock"
    lock.write_text(f"{IMAGE} sha256:{'0' * 64}\n")
    assert pull(lock).returncode == 1
    with pytest.raises(subprocess.CalledProcessError):
        content()


@pytest.mark.usefixtures("pushed")
def test_without_a_lock_it_is_said(tmp_path: Path) -> None:
    """Without a digest the tag counts, and the person at the terminal reads so."""
    ran = pull(tmp_path / "none")
    assert ran.returncode == 0, ran.stderr
    assert f"no digest is locked for {IMAGE}" in ran.stdout
    assert content() == "other"
