"""The errors of this program.

SlicerError
├── SettingsError     an environment variable is wrong          exit 64
├── VolumeError       the user's volume cannot be written       exit 73
├── CoreError         3D Slicer's core did not come up          exit 70
├── FileError         a file cannot be opened, saved or named
└── StreamError       a page sends what no page of the hub sends
"""

from __future__ import annotations


class SlicerError(Exception):
    """Carries one sentence that tells the reader what to do.

    ``exit_code`` is what the program ends with when nobody can go on after it (sysexits.h).
    """

    exit_code = 70


class SettingsError(SlicerError):
    """An environment variable has a value that cannot be used."""

    exit_code = 64


class VolumeError(SlicerError):
    """The user's volume is missing, read-only or full."""

    exit_code = 73


class CoreError(SlicerError):
    """3D Slicer's core could not be loaded or could not draw."""

    exit_code = 70


class FileError(SlicerError):
    """A file is missing, of an unknown kind, or outside the folders of this session."""


class StreamError(SlicerError):
    """A page's stream carries something that no page of the hub sends. Its connection is closed."""
