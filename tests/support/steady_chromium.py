#!/usr/bin/env python3
"""Starts Chromium so that it does not hear of networks that come and go on this machine.

Each session that starts brings an interface, each that ends takes one away. Chromium then ends all
that it is loading (ERR_NETWORK_CHANGED), as it should on a laptop that is carried from one network
to another; here the way to localhost never changes. It hears of networks by a netlink socket, and
takes the network as steady where it cannot have one.

``tests/support/chromium.py`` names the program in SLICERHUB_CHROMIUM, and starts this file instead.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from importlib import import_module
from typing import Any

seccomp: Any = import_module("pyseccomp")  # which has no types


def main() -> None:
    """Become Chromium."""
    rules = seccomp.SyscallFilter(seccomp.ALLOW)
    netlink = seccomp.Arg(0, seccomp.EQ, int(socket.AF_NETLINK))
    rules.add_rule(seccomp.ERRNO(errno.EAFNOSUPPORT), "socket", netlink)
    rules.load()
    program = os.environ["SLICERHUB_CHROMIUM"]
    os.execv(program, [program, *sys.argv[1:]])  # noqa: S606 - that is what it is for


if __name__ == "__main__":
    main()
