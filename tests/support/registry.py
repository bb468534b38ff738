"""A real image registry for the tests, on loopback: plain HTTP, which engines allow there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from docker.errors import ImageNotFound

from tests.support.engine import Api

PROGRAM = "docker-registry"  # Debian's package of that name
START_SECONDS = 30
USER = "hub"
PASSWORD = "hub-password"
_HASH = "$2b$04$c3/wou53dabMP2R2jUTmketXHGvxYyaOof7aWjwa14GQ2SugoQ2ie"  # bcrypt of PASSWORD


@contextmanager
def registry(folder: Path, port: int, *, private: bool = False) -> Generator[str, None, None]:
    """Run a registry with its files below ``folder``; gives its ``host:port``.

    ``private``: it asks for USER and PASSWORD. Without the program the test is skipped, or fails
    where all parts must be there (SLICERHUB_TEST_STRICT).
    """
    program = shutil.which(PROGRAM)
    if program is None:
        if os.environ.get("SLICERHUB_TEST_STRICT"):
            raise FileNotFoundError(f"{PROGRAM} is not installed")
        pytest.skip(f"no {PROGRAM}")
    address = f"127.0.0.1:{port}"
    config: dict[str, object] = {
        "version": "0.1",
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "files")}},
        "http": {"addr": address},
    }
    if private:
        (folder / "people").write_text(f"{USER}:{_HASH}\n")
        config["auth"] = {"htpasswd": {"realm": "tests", "path": str(folder / "people")}}
    (folder / "config.yml").write_text(json.dumps(config))  # JSON is YAML
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            [program, "serve", str(folder / "config.yml")],
            stdout=log,
            stderr=log,
            env={"PATH": os.environ["PATH"], "OTEL_TRACES_EXPORTER": "none"},
        ) as process,
    ):
        try:
            _wait_until_it_answers(f"http://{address}/v2/", process, folder / "log")
            yield address
        finally:
            process.terminate()


_WORK = "trap 'exit 0' TERM; echo started; while :; do sleep 1 & wait $!; done"
_DOCKERFILE = f"""
FROM debian:bookworm-slim AS parts
RUN mkdir -p -m 1777 /all/tmp && mkdir -p /all/home/slicer /all/groups \\
    && chown 1000:1000 /all/home/slicer \\
    && for program in /bin/sh /bin/sleep; do \\
        cp --dereference --parents "$program" $(ldd "$program" | grep -o '/[^ ]*') /all; done \\
    && head -c 3000000 /dev/urandom >/noise
FROM scratch
COPY --from=parts /noise /noise
COPY --from=parts /all /
CMD ["sh", "-c", "{_WORK}"]
"""


def publish(api: Api, name: str, *, auth: dict[str, str] | None = None) -> None:
    """Build a small program of a few layers and put it into its registry."""
    subprocess.run(
        ["docker", "build", "--quiet", "--tag", name, "-"],
        input=_DOCKERFILE.encode(),
        check=True,
        capture_output=True,
    )
    for message in api.push(name, stream=True, decode=True, auth_config=auth or {}):
        assert "error" not in message, message


def forget(api: Api, name: str) -> None:
    """Take an image away from the engine, if it is there."""
    with suppress(ImageNotFound):
        api.remove_image(name, force=True)


def _wait_until_it_answers(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()  # noqa: S310 - an address of ours
        except urllib.error.HTTPError as error:
            error.close()
            return  # it asks who we are
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(f"the registry does not answer: {log.read_text()}")
