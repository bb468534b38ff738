"""The errors of the gate, as branches of the session's own tree.

SlicerError
├── DesktopError      the screen or the program on it did not come up     exit 70
├── ProtocolError     a client said what no page of ours says
└── SaveError         the program did not save
    └── CannotSave    it is a program that cannot be asked to
"""

from __future__ import annotations

from app.core.errors import SlicerError


class DesktopError(SlicerError):
    """The VNC server, the window manager or the program ended or never came up."""


class ProtocolError(SlicerError):
    """A message that the relay does not know, or one out of its bounds."""


class SaveError(SlicerError):
    """The program refused to save, or did not answer."""


class CannotSave(SaveError):
    """The program has no ear for it; its user saves by hand."""
