"""Random system calls of several users and processes: a mount does what a local folder does."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from differential.actors import actors_of
from differential.machine import USERS, SameAsLocal, Site
from harness.fixtures import NewDevice, NewMount
from harness.mount import Mount

pytestmark = [
    pytest.mark.fuse,
    pytest.mark.slow,
    pytest.mark.skipif(os.getuid() != 0, reason="calls of several users need root"),
]

EXAMPLES = int(os.environ.get("DIFFERENTIAL_EXAMPLES", "40"))
STEPS = int(os.environ.get("DIFFERENTIAL_STEPS", "40"))


@pytest.fixture
def mount(device: NewDevice, mounted: NewMount) -> Mount:
    return mounted(device(), "--allow-other", "--xattrs")


@pytest.fixture
def sites(tmp_path: Path, mount: Mount) -> Iterator[tuple[Site, Site]]:
    local = tmp_path / "local"
    local.mkdir()
    with actors_of(USERS) as at_home, actors_of(USERS) as on_mount:
        yield Site("local", local, at_home), Site("mount", mount.path, on_mount)


def test_random_calls(sites: tuple[Site, Site], mount: Mount) -> None:
    class Machine(SameAsLocal):
        before_each = staticmethod(mount.watch_for_hanging)

    Machine.sites = sites
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
