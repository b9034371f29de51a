"""`mountfs status` names whatever waits for a person, with where to find it."""

from rich.console import Console

from mountfs.app.status import (
    CacheUse,
    Conflict,
    Memory,
    MountStatus,
    Parked,
    Queue,
    Recovered,
    Transfers,
)
from mountfs.cli.status_view import status_view


def shown(status: MountStatus) -> str:
    console = Console(width=200, highlight=False)
    with console.capture() as captured:
        console.print(status_view([status]))
    return captured.get()


def status(**changes: object) -> MountStatus:
    fields = {
        "mount_point": "/home/ann/Drive",
        "pid": 4711,
        "drive": "home",
        "online": True,
        "queue": Queue(),
        "parked": [],
        "conflicts": [],
        "transfers": Transfers(),
        "cache": CacheUse(),
        "memory": Memory(),
        "recent": [],
    }
    return MountStatus(**fields | changes)  # type: ignore[arg-type]


def test_a_quiet_mount_says_that_the_server_has_everything() -> None:
    assert "nothing: the server has everything" in shown(status())


def test_what_waits_for_a_person_is_named() -> None:
    text = shown(
        status(
            parked=[Parked("huge.iso", "quota exceeded")],
            conflicts=[Conflict("notes (ann's laptop).txt", device="laptop")],
            conflicts_count=11,
            recovered=[Recovered("draft [1].txt", "/state/recovered/7-3")],
        )
    )
    assert "huge.iso: quota exceeded" in text
    assert "11: `mountfs conflicts`" in text
    assert "what laptop wrote is in notes (ann's laptop).txt" in text
    assert "draft [1].txt is in /state/recovered/7-3" in text
