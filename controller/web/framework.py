"""Litestar with what the hub uses of it."""

from __future__ import annotations

from litestar import Litestar
from litestar.plugins import PluginProtocol
from litestar.plugins.core import MsgspecDIPlugin
from typing_extensions import override


class MsgspecApp(Litestar):
    """An application whose values are msgspec's alone.

    Litestar loads pydantic and attrs wherever they are installed, and both are: clients that the
    hub needs elsewhere bring them. Here that would be 4.6 MiB for nothing (Litestar 2.25).
    """

    @staticmethod
    @override
    def _get_default_plugins(plugins: list[PluginProtocol]) -> list[PluginProtocol]:
        return [*plugins, MsgspecDIPlugin()]
