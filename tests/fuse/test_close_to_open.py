"""`--consistency=close-to-open`: what was closed and sent over there is seen by the next open here.

Without waiting: with push alone the same would be true only a hint later.
"""

import pytest

from harness.fixtures import NewDevice, NewMount
from harness.server import Server

pytestmark = pytest.mark.fuse


def test_an_open_sees_what_was_sent_before_it(device: NewDevice, mounted: NewMount) -> None:
    there = mounted(device("laptop"))
    here = mounted(device("desktop"), "--consistency", "close-to-open")
    (there.path / "f").write_bytes(b"first")
    there.sync()
    for number in range(20):
        content = b"version %d " % number * (1 + 7 * (number % 5))
        (there.path / "f").write_bytes(content)
        there.sync()
        assert (here.path / "f").read_bytes() == content


def test_files_open_while_the_server_is_away(
    server: Server, device: NewDevice, mounted: NewMount
) -> None:
    here = mounted(device("laptop"), "--consistency", "close-to-open")
    here.process.expected += ["unreachable", "offline"]
    (here.path / "f").write_bytes(b"known here")
    here.sync()
    server.stop()
    assert (here.path / "f").read_bytes() == b"known here"
    (here.path / "f").write_bytes(b"written while away")
    assert (here.path / "f").read_bytes() == b"written while away"
    server.start()
    here.sync()
