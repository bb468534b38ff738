"""The errors of the gate, as branches of the session's own tree.

SlicerError
├── DesktopError      the screen or the program on it did not come up     exit 70
├── ProtocolError     a client sent what the hub's page never sends
└── SaveError         the program did not save
    └── CannotSave    the program cannot save on request
"""

from __future__ import annotations

from app.core.errors import SlicerError


class DesktopError(SlicerError):
    """The VNC server, the window manager or the program ended or never came up."""


class ProtocolError(SlicerError):
    """A message that the relay does not know, or that exceeds its limits."""


class SaveError(SlicerError):
    """The program refused to save, or did not answer."""


class CannotSave(SaveError):
    """The program cannot be asked to save; its user saves by hand."""
