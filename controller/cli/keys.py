"""The commands for the keys that sign log-ins."""

from __future__ import annotations

import json
import time
from contextlib import aclosing
from datetime import UTC, datetime

import click

from controller.cli.common import run
from controller.parts import open_store
from controller.people.keys import replace_all, rotate
from controller.people.tokens import Key, KeyRing, Use
from controller.rules.sentences import ago_text, clock_text
from controller.settings.schema import Settings


@click.group()
def keys() -> None:
    """List and rotate the keys that sign log-ins. Secrets are never shown."""


@keys.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of a table.")
def keys_command(*, as_json: bool) -> None:
    """List the keys: how old each is, what for, and whether it signs or only verifies.

    Use "hub": log-ins and the hub's own requests; "entry": entries to a session's own host.
    """

    async def work(settings: Settings) -> None:
        store, storage = open_store(settings, "keys")
        async with aclosing(store):
            ring = await storage.key_ring(make=False)
        _show_keys(ring, time.time(), as_json=as_json)

    run(work)


@keys.command("rotate")
@click.option("--now", "at_once", is_flag=True, help="For a leaked key: everybody is logged out.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def rotate_command(*, at_once: bool, yes: bool) -> None:
    """Let new keys sign, one for each use. Nobody is logged out, and nothing is restarted.

    Earlier keys verify until the last log-in that they signed has ended; then they are dropped.
    With --now they are dropped at once.
    """
    if at_once and not yes:
        click.confirm("Everybody will be logged out. Continue?", abort=True)

    async def work(settings: Settings) -> None:
        store, storage = open_store(settings, "keys")
        now = time.time()
        async with aclosing(store):
            if at_once:
                ring = await replace_all(storage, now=now)
            else:
                expiries = [one.expires for one in await store.logins(now)]
                seconds = settings.login.hours * 3600
                ring = await rotate(storage, now=now, seconds=seconds, expiries=expiries)
        _show_keys(ring, now, as_json=False)

    run(work)


def _show_keys(ring: KeyRing, now: float, *, as_json: bool) -> None:
    if as_json:
        found = [
            {
                "kid": one.kid,
                "use": one.use.value,
                "algorithm": one.algorithm,
                "made_at": moment_of(one.made).isoformat() if one.made else None,
                "state": _state(one, ring, now),
                "verifies_until": None if one.ends is None else moment_of(one.ends).isoformat(),
            }
            for one in ring.keys
        ]
        click.echo(json.dumps(found, indent=2))
        return
    click.echo(f"{'KEY':20}{'MADE':24}{'USE':8}STATE")
    for one in ring.keys:
        made = ago_text(moment_of(one.made), moment_of(now)) if one.made else "not known"
        state = _state(one, ring, now)
        if one.ends is not None and state != "over":
            verifies = "" if state == "verifies" else ", verifies"
            state += f"{verifies} until {clock_text(moment_of(one.ends), moment_of(now))}"
        click.echo(f"{one.kid:20}{made:24}{one.use.value:8}{state}")


def _state(key: Key, ring: KeyRing, now: float) -> str:
    if any(key is ring.signing(use, now) for use in Use if key.serves(use)):
        return "signs"
    if key.signs > now:
        return f"signs in {max(1, round(key.signs - now))} s"
    return "verifies" if key.ends is None or key.ends > now else "over"


def moment_of(seconds: float) -> datetime:
    """Return a moment in UTC. ``seconds``: since the epoch."""
    return datetime.fromtimestamp(seconds, UTC)
