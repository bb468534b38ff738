"""Whose the data folder is, and that one controller at a time uses it."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from controller.core.errors import ConfigError
from controller.store import data_folder


def test_a_renamed_hub_does_not_start(tmp_path: Path) -> None:
    """Under another name the hub says whose folder it is and what to do, and changes nothing."""
    with data_folder.held(tmp_path, "clinic"):
        pass
    with (
        pytest.raises(ConfigError, match="belongs to the hub 'clinic'") as caught,
        data_folder.held(tmp_path, "hospital"),
    ):
        pytest.fail("it was given away")
    assert "SLICERHUB_INSTANCE" in str(caught.value)
    assert "SLICERHUB_DATA_DIR" in str(caught.value)
    with pytest.raises(ConfigError, match="belongs to the hub 'clinic'"):
        data_folder.check_owner(tmp_path, "hospital")
    data_folder.check_owner(tmp_path, "clinic")
    with data_folder.held(tmp_path, "clinic"):
        pass


def test_the_name_is_for_the_hub_alone(tmp_path: Path) -> None:
    """The file that tells is readable for its owner only, like all that is kept there."""
    with data_folder.held(tmp_path, "clinic"):
        (path,) = tmp_path.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_one_at_a_time(tmp_path: Path) -> None:
    """A second controller does not start on the same folder; after a kill the next one does."""
    program = (
        "import sys, time; from pathlib import Path; from controller.store import data_folder\n"
        "with data_folder.held(Path(sys.argv[1]), 'clinic'):\n"
        "    print('held', flush=True); time.sleep(600)\n"
    )
    words = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        with (
            pytest.raises(ConfigError, match="a running hub uses this folder"),
            data_folder.held(tmp_path, "clinic"),
        ):
            pytest.fail("two at once")
        first.kill()
        first.wait()
    with data_folder.held(tmp_path, "clinic"):
        pass


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """A folder that is missing is named."""
    with (
        pytest.raises(ConfigError, match="cannot be used"),
        data_folder.held(tmp_path / "none", "clinic"),
    ):
        pytest.fail("made of nothing")
    data_folder.check_owner(tmp_path, "clinic")
