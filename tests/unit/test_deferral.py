"""When a change is sent."""

from mountfs.core.deferral import (
    BURST_MAX_S,
    OPEN_MAX_S,
    OPEN_QUIET_S,
    QUIET_S,
    SendHistory,
    burst_due_at_s,
    content_due_at_s,
)


def test_a_single_save_goes_after_a_moment() -> None:
    due = burst_due_at_s(first_change_s=10, last_change_s=10, changes_count=1)
    assert 10 + QUIET_S <= due < 10 + 2 * QUIET_S
    assert (
        content_due_at_s(first_change_s=10, last_change_s=10, is_open=False, recent_sends=0)
        == 10 + QUIET_S
    )


def test_a_burst_that_does_not_end_is_sent_in_parts() -> None:
    due = burst_due_at_s(first_change_s=10, last_change_s=99, changes_count=5000)
    assert due == 10 + BURST_MAX_S


def test_an_open_file_waits_for_a_pause_but_not_for_ever() -> None:
    assert (
        content_due_at_s(first_change_s=10, last_change_s=11, is_open=True, recent_sends=0)
        == 11 + OPEN_QUIET_S
    )
    assert (
        content_due_at_s(first_change_s=10, last_change_s=1000, is_open=True, recent_sends=0)
        == 10 + OPEN_MAX_S
    )


def test_what_is_saved_often_waits_longer() -> None:
    waits = [
        content_due_at_s(first_change_s=0, last_change_s=0, is_open=False, recent_sends=sends)
        for sends in range(9)
    ]
    assert waits == sorted(waits)
    assert waits[-1] > 10 * waits[0]


def test_the_history_forgets_what_is_long_ago() -> None:
    history = SendHistory()
    for at_s in (0.0, 1.0, 40.0):
        history.sent(5, at_s)
    assert history.recent_sends(5, 41.0) == 1
    assert history.recent_sends(6, 41.0) == 0
