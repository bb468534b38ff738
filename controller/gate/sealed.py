"""The file with what a gate keeps: sealed with a key of the proof that its controller has made.

That proof is on another volume, so neither of the two tells anything without the other. One file
belongs to one process of one gate, in one run of the machine.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from controller.gate.facts import PROTOCOL
from controller.gate.framing import MESSAGE_MOST
from controller.gate.kept import KeptSnapshot
from controller.gate.link import LINK_FILE

_MACHINE = Path("/proc/sys/kernel/random/boot_id")

_KEY_BYTES = 32

_NONCE_BYTES = 12


class NotOpened(Exception):
    """There is a file, and it cannot be opened; the message says why."""


class SealedForAnother(NotOpened):
    """It is of another start of the controller or the machine, or damaged."""


def machine_boot() -> str:
    """Return the id of this start of the machine; "" if it is not known."""
    try:
        return _MACHINE.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


class SealedFile:
    """Where one process of a gate keeps what it knows. All of it may wait for the disk."""

    def __init__(self, folder: Path, proofs: Path, name: str, machine: str) -> None:
        """``proofs``: the folder of ``gate.pem``; ``name``: that of the process for good.

        ``machine``: id of this start of the machine.
        """
        self._folder = folder
        self._path = folder / f"{name}.sealed"
        self._draft = folder / f"{name}.draft"
        self._proof = proofs / LINK_FILE
        self._bound = f"{name}\n{PROTOCOL}\n{machine}".encode()

    def write(self, kept: KeptSnapshot) -> None:
        """Keep this, completely or not at all. Raises OSError, or NotOpened without a proof."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = self._cipher().encrypt(nonce, msgspec.msgpack.encode(kept), self._bound)
        with suppress(FileNotFoundError):
            self._draft.unlink()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with os.fdopen(os.open(self._draft, flags, 0o600), "wb") as file:
            file.write(nonce + sealed)
            file.flush()
            os.fsync(file.fileno())
        self._draft.replace(self._path)
        self._settle()

    def read(self) -> KeptSnapshot | None:
        """Return what was kept; None if nothing was.

        Raises NotOpened for whatever is not of this process and this run of the machine.
        """
        try:
            with os.fdopen(os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
                sealed = file.read(MESSAGE_MOST + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise NotOpened(str(error)) from error
        if len(sealed) > MESSAGE_MOST:
            raise NotOpened("it is too large")
        try:
            opened = self._cipher().decrypt(
                sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], self._bound
            )
            return msgspec.msgpack.decode(opened, type=KeptSnapshot)
        except InvalidTag as error:
            raise SealedForAnother("it is of another start, or damaged") from error
        except (ValueError, msgspec.DecodeError) as error:
            raise NotOpened(str(error)) from error

    def remove(self) -> None:
        """Keep nothing any more. Raises OSError unless that is sure."""
        removed = False
        for path in (self._path, self._draft):
            try:
                # Not simply removed: on a disk that is read-only even that of nothing fails.
                path.lstat()
            except (FileNotFoundError, NotADirectoryError, PermissionError):
                continue  # a folder that may not be entered has nothing for another start either
            path.unlink(missing_ok=True)
            removed = True
        if removed:
            self._settle()

    def _settle(self) -> None:
        """Wait until the folder's own entries are on the disk."""
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _cipher(self) -> AESGCM:
        """Return what seals and opens. Raises NotOpened without a proof."""
        try:
            key = serialization.load_pem_private_key(self._proof.read_bytes(), password=None)
        except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise NotOpened(f"{self._proof}: {error}") from error
        secret = key.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        derive = HKDF(hashes.SHA256(), _KEY_BYTES, salt=None, info=b"slicerhub kept snapshot")
        return AESGCM(derive.derive(secret))
