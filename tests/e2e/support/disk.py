"""A disk that is small, and full when a test likes: a file system in memory, which root may mount."""

import contextlib
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
    """Leaves that many bytes free."""
    free = shutil.disk_usage(folder).free
    with open(folder / "filler", "ab") as file:
        while free > leave:
            part = min(free - leave, 4 << 20)
            try:
                file.write(b"\0" * part)
                file.flush()
            except OSError:
                return
            free = shutil.disk_usage(folder).free
            if part < 4096:
                return
