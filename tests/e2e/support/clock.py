"""A server whose clock is wrong: libfaketime before everything else in its process."""

import glob
from pathlib import Path

import pytest

LIBRARY = next(iter(sorted(glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1"))), None)

needs_faketime = pytest.mark.skipif(
    LIBRARY is None, reason="libfaketime is not installed (apt-get install faketime); the server's own tests jump its clock seam"
)


def wrong_clock(offset: str) -> dict:
    """Environment of a process whose wall clock is off by `offset`, such as "-31d" or "+3600".
    The monotonic clock stays as it is, as when an operator sets a machine's time."""
    return {"LD_PRELOAD": LIBRARY, "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


class Clock:
    """A wall clock that can be set while the process runs."""

    def __init__(self, folder: Path):
        self.file = folder / "clock"
        self.set("+0")

    def set(self, offset: str) -> None:
        self.file.write_text(offset + "\n")

    @property
    def env(self) -> dict:
        return {
            "LD_PRELOAD": LIBRARY,
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
