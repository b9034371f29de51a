"""What native code says on standard error reaches a person."""

import os
import subprocess

from mountfs.fuse.native_messages import native_messages


def test_what_is_said_is_collected_and_the_way_out_restored(capfd: object) -> None:
    before = os.fstat(2)
    with native_messages() as said:
        os.write(2, b"fuse: device not found,\n")
        subprocess.run(["sh", "-c", "echo and so on >&2"], check=True)
    assert said.text == "fuse: device not found, and so on"
    assert os.fstat(2) == before


def test_an_error_passes_and_long_speech_is_cut() -> None:
    try:
        with native_messages() as said:
            os.write(2, b"x" * 5000)
            raise RuntimeError("failed")
    except RuntimeError:
        pass
    assert len(said.text) == 1000
