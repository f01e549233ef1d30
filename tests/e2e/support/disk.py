"""A disk that is small, and full when a test likes: a file system in memory, which root may mount."""

import contextlib
import errno
import os
import shutil
import subprocess

import pytest


@contextlib.contextmanager
def small_disk(folder, size: str, options: str = ""):
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}{options}", "tmpfs", str(folder)], capture_output=True).returncode:
        pytest.skip("mounting a small disk is not permitted here; the journal's own tests fill a disk of their making")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder, leave: int) -> None:
    """Leaves that many bytes free, or what others leave who write beside it."""
    # Without a buffer: one that cannot be written would be tried again when the file is closed, and fail there.
    with open(folder / "filler", "ab", buffering=0) as file:
        while (free := shutil.disk_usage(folder).free) > leave:
            part = min(free - leave, 4 << 20)
            try:
                file.write(b"\0" * part)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                return
            if part < 4096:
                return
