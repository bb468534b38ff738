"""What people put into a folder is there whole or not at all, and nowhere else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path, PurePosixPath

import aiohttp
import pytest
from aiohttp import web
from app.core.errors import FileError
from app.core.kinds import ending_of
from app.files.folders import DRAFTS, open_folder, write_whole
from app.files.paths import Target, target_of
from app.front.endpoints import Endpoints
from app.people.activity import Activity

HERE = PurePosixPath()


@pytest.fixture
def group(tmp_path: Path) -> Path:
    """The volume of a group, in which a colleague may put anything."""
    folder = tmp_path / "groups" / "cases"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """The folder of the person's own files, with one in it."""
    folder = tmp_path / "home" / "files"
    folder.mkdir(parents=True)
    (folder / "thesis.nrrd").write_text("mine")
    return folder


def write(text: str) -> Callable[[Path], None]:
    """A function that writes it."""

    def put(path: Path) -> None:
        path.write_text(text)

    return put


def names_in(folder: Path) -> list[str]:
    """All there is, hidden files too."""
    return [each.name for each in folder.iterdir()]


def test_a_link_is_replaced_and_not_followed(group: Path, own: Path) -> None:
    """A colleague cannot make somebody overwrite a file of their own."""
    (group / "brain.nrrd").symlink_to(own / "thesis.nrrd")
    write_whole(own.parent, target_of(group, PurePosixPath("brain.nrrd")), write("saved"))
    assert not (group / "brain.nrrd").is_symlink()
    assert (group / "brain.nrrd").read_text() == "saved"
    assert (own / "thesis.nrrd").read_text() == "mine"


def test_a_folder_that_becomes_a_link_is_refused(group: Path, own: Path) -> None:
    """Also between the look at where a path leads and the writing."""
    (group / "new").mkdir()
    target = target_of(group, PurePosixPath("new/thesis.nrrd"))
    (group / "new").rmdir()
    (group / "new").symlink_to(own)
    with pytest.raises(FileError):
        write_whole(own.parent, target, write("theirs"))
    assert (own / "thesis.nrrd").read_text() == "mine"


def test_links_out_of_the_folder_are_refused(group: Path, own: Path) -> None:
    """A path through a link ends where the folder ends."""
    (group / "out").symlink_to(own)
    with pytest.raises(FileError):
        target_of(group, PurePosixPath("out/thesis.nrrd"))


def test_links_inside_the_folder_are_paths_like_others(group: Path) -> None:
    """A person put them there on purpose."""
    (group / "real").mkdir()
    (group / "known as").symlink_to(group / "real")
    target = target_of(group, PurePosixPath("known as/a.nrrd"))
    assert target == Target(group.resolve(), PurePosixPath("real"), "a.nrrd")


def test_drafts_have_names_that_nobody_knows(group: Path) -> None:
    """Two writers of one name never share a file, and none waits for the other."""
    with (
        open_folder(group, HERE, make=False) as folder,
        folder.draft(".mrb") as first,
        folder.draft(".mrb") as second,
    ):
        first.write(b"first")
        second.write(b"second")
        assert first.name != second.name
        second.put(folder, "scene.mrb")
        first.put(folder, "scene.mrb")
    assert (group / "scene.mrb").read_text() == "first"
    assert names_in(group) == ["scene.mrb"]


def test_what_a_killed_program_left_is_taken_away(group: Path) -> None:
    """A draft that nobody writes any more goes with the next one; nothing else does."""
    left = [".draft-0123456789abcdef", ".draft-0123456789abcdee.mrb"]
    others = [".draft-me", "draft-1.mrb", ".other"]
    for name in (*left, *others):
        (group / name).write_text("x")
    (group / ".draft-0123456789abcded").symlink_to(group / ".other")
    with open_folder(group, HERE, make=False) as folder, folder.draft() as written:
        with folder.draft():
            pass
        written.put(folder, "new")
    kept = {each.name for each in group.iterdir()}
    assert kept == {*others, "new", ".draft-0123456789abcded"}


def test_nothing_half_is_left(group: Path, own: Path) -> None:
    """A write that fails leaves what was there, and no part of what was to be."""
    (group / "brain.nrrd").write_text("old")

    def fail(path: Path) -> None:
        path.write_text("half")
        raise FileError("no")

    target = target_of(group, PurePosixPath("brain.nrrd"))
    for writer in (fail, Path.touch):
        with pytest.raises(FileError):
            write_whole(own.parent, target, writer)
    assert (group / "brain.nrrd").read_text() == "old"
    assert list((own.parent / DRAFTS).iterdir()) == []


def test_another_file_system_is_copied_to(own: Path, group: Path) -> None:
    """Volumes of groups are other file systems than a person's own."""
    memory = Path("/dev/shm")  # noqa: S108 - another file system
    if memory.stat().st_dev == own.stat().st_dev:
        pytest.skip("there is no other file system here")
    with (
        open_folder(memory, HERE, make=False) as other,
        other.draft(".nrrd") as draft,
        open_folder(group, HERE, make=False) as folder,
    ):
        draft.write(b"x" * 3_000_000)
        draft.put(folder, "large.nrrd")
    assert (group / "large.nrrd").stat().st_size == 3_000_000
    assert names_in(group) == ["large.nrrd"]


@pytest.mark.parametrize(
    ("name", "ending"), [("A.SEG.NRRD", ".seg.nrrd"), ("a.nii.gz", ".nii.gz"), ("notes", "")]
)
def test_a_draft_has_the_ending_of_its_file(name: str, ending: str) -> None:
    """3D Slicer chooses the format by it."""
    assert ending_of(name) == ending


# Uploads.


@asynccontextmanager
async def serve(roots: dict[str, Path]) -> AsyncGenerator[str]:
    """The files of a session at an address."""
    endpoints = Endpoints(
        Activity(),
        roots,
        "",
        standalone=True,
        save=lambda: None,
        notify=lambda _: None,
        ask=lambda _: None,
    )
    application = web.Application()
    endpoints.mount(application)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        yield f"http://127.0.0.1:{port}/files"
    finally:
        await runner.cleanup()


def slowly(content: bytes, *, begun: asyncio.Event, go_on: asyncio.Event) -> AsyncIterator[bytes]:
    """A body of which the second half comes when it is told to."""

    async def parts() -> AsyncIterator[bytes]:
        yield content[: len(content) // 2]
        begun.set()
        await go_on.wait()
        yield content[len(content) // 2 :]

    return parts()


@pytest.mark.anyio
async def test_uploads_of_one_name_at_once_do_not_mix(group: Path) -> None:
    """Each arrives whole; the one that ends last is what is there."""
    first, second = b"a" * 400_000, b"b" * 300_000
    go_on, begun = asyncio.Event(), asyncio.Event()
    async with serve({"cases": group}) as url, aiohttp.ClientSession() as client:

        async def put(body: object) -> int:
            async with client.put(f"{url}/cases/brain.nrrd", data=body) as answer:
                return answer.status

        slow = asyncio.create_task(put(slowly(first, begun=begun, go_on=go_on)))
        await begun.wait()
        assert await put(second) == 201
        assert (group / "brain.nrrd").read_bytes() == second
        go_on.set()
        assert await slow == 201
        assert (group / "brain.nrrd").read_bytes() == first
    assert names_in(group) == ["brain.nrrd"]


@pytest.mark.anyio
async def test_an_upload_does_not_follow_links(group: Path, own: Path) -> None:
    """Neither at its name, nor at a name that a part of it could have."""
    (group / "brain.nrrd").symlink_to(own / "thesis.nrrd")
    (group / ".brain.nrrd.part").symlink_to(own / "thesis.nrrd")
    async with serve({"cases": group}) as url, aiohttp.ClientSession() as client:
        async with client.put(f"{url}/cases/brain.nrrd", data=b"theirs") as answer:
            assert answer.status == 201
        async with client.put(f"{url}/cases/a/new/folder.nrrd", data=b"x") as answer:
            assert answer.status == 201
        async with client.put(f"{url}/cases/a", data=b"x") as answer:
            assert answer.status == 409
    assert (own / "thesis.nrrd").read_text() == "mine"
    assert (group / "brain.nrrd").read_bytes() == b"theirs"
    assert (group / "a" / "new" / "folder.nrrd").read_bytes() == b"x"


@pytest.mark.anyio
async def test_an_upload_that_cannot_be_written_is_told(group: Path) -> None:
    """In a sentence, and it leaves nothing behind."""
    (group / "file").write_text("x")
    async with (
        serve({"cases": group}) as url,
        aiohttp.ClientSession() as client,
        client.put(f"{url}/cases/file/brain.nrrd", data=b"x") as answer,
    ):
        assert answer.status == 507
        assert "brain.nrrd could not be written" in await answer.text()
    assert names_in(group) == ["file"]
