"""What the demo's live view takes from the mount's and the server's answers."""

from dataclasses import asdict

import msgspec
import pytest
from rich.console import Console

from mountfs.app.status import (
    CacheUse,
    Happening,
    Memory,
    MountStatus,
    Parked,
    Queue,
    Transfers,
)
from mountfs.demo.figures import (
    NewHappenings,
    ServerFigures,
    describe_queue,
    format_bytes,
    format_rate,
    parse_metrics,
    saved_bytes,
)
from mountfs.demo.live_view import draw
from mountfs.demo.plain_view import PlainView

EXPOSITION = """\
# HELP mountfs_http_requests_total Requests answered.
# TYPE mountfs_http_requests_total counter
mountfs_http_requests_total{method="GET",path="/v1/drives/{drive_id}/changes",status="200"} 7.0
mountfs_http_requests_total{method="POST",path="/v1/sessions",status="401"} 2.0
mountfs_http_body_bytes_total{direction="in",path="/v1/x"} 1000.0
mountfs_http_body_bytes_total{direction="out",path="/v1/x"} 30.0
mountfs_http_body_bytes_total{direction="out",path="/v1/y"} 4.0
mountfs_polls_waiting 2.0
mountfs_http_request_seconds_bucket{le="+Inf",method="GET",path="/"} 7.0
this is no metric
"""


def _status(**changes: object) -> MountStatus:
    quiet = MountStatus(
        mount_point="/home/ada/drive",
        pid=4711,
        drive="home",
        online=True,
        queue=Queue(),
        parked=[],
        conflicts=[],
        transfers=Transfers(),
        cache=CacheUse(),
        memory=Memory(),
        recent=[],
    )
    return msgspec.structs.replace(quiet, **changes)


def test_metrics_are_summed_over_their_labels() -> None:
    assert asdict(parse_metrics(EXPOSITION)) == {
        "requests": 9,
        "body_bytes_in": 1000,
        "body_bytes_out": 34,
        "polls_waiting": 2,
    }


def test_no_answer_is_all_zeros() -> None:
    assert parse_metrics("") == ServerFigures()


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (150 * 1024, "150 KiB"),
        (3 * 1024**3, "3.0 GiB"),
        (5000 * 1024**4, "5000 TiB"),
    ],
)
def test_bytes_for_a_person(count: int, text: str) -> None:
    assert format_bytes(count) == text


def test_a_rate_is_in_bytes_and_silence_is_a_dash() -> None:
    assert format_rate(8 * 2048) == "2.0 KiB/s"
    assert format_rate(0) == "–"


def test_what_was_saved_is_everything_that_did_not_travel() -> None:
    moved = Transfers(
        saved_by_delta_bytes=1, saved_by_dedup_bytes=20, saved_by_compression_bytes=300
    )
    assert saved_bytes(_status(transfers=moved)) == 321


def test_the_queue_in_words() -> None:
    waiting = Queue(operations=3, dirty_bytes=2048)
    assert describe_queue(_status()) == "empty"
    assert describe_queue(_status(queue=waiting)) == "3 changes, 2.0 KiB on their way"
    offline = _status(queue=waiting, online=False)
    assert describe_queue(offline) == "3 changes, 2.0 KiB waiting for the server"


def test_each_happening_is_told_once_and_in_order() -> None:
    first, second, third = (Happening(float(at), "uploaded", f"f{at}") for at in range(3))
    seen = NewHappenings()
    assert list(seen.of(_status(recent=[second, first]))) == [first, second]
    assert list(seen.of(_status(recent=[third, second, first]))) == [third]
    assert list(seen.of(_status(recent=[third, second]))) == []


def test_plain_lines_tell_a_burst_once_it_is_over() -> None:
    view = PlainView()
    assert list(view.lines(_status())) == ["online"]
    moving = _status(transfers=Transfers(bytes_up=10), queue=Queue(operations=1))
    assert list(view.lines(moving)) == []
    done = _status(transfers=Transfers(bytes_up=2048))
    (line,) = view.lines(done)
    assert line.startswith("sent 2.0 KiB, received 0 B")
    assert list(view.lines(done)) == []
    assert list(view.lines(_status(online=False, transfers=Transfers(bytes_up=2048)))) == [
        "offline: work goes on, changes wait here"
    ]
    assert list(view.lines(None)) == ["the drive is not mounted any more"]


def _drawn(status: MountStatus | None) -> str:
    console = Console(width=110, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        console.print(draw(status, ServerFigures(requests=5), url="http://x", hints=["a hint"]))
    return console.export_text()


def test_the_live_view_names_paths_as_they_are() -> None:
    tricky = Happening(0.0, "uploaded", "[bold]not markup[/] \x1b[31m.txt")
    drawn = _drawn(_status(recent=[tricky], parked=[Parked("f", "no room")]))
    assert "[bold]not markup[/]" in drawn
    assert "\x1b" not in drawn
    assert "5 requests" in drawn
    assert "a hint" in drawn


def test_the_live_view_says_when_the_mount_is_gone_or_offline() -> None:
    assert "not mounted any more" in _drawn(None)
    assert "offline" in _drawn(_status(online=False))
