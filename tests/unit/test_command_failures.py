"""What a person is told, and how a command ends."""

import inspect

import pytest

from backend_server.protocol.errors import ErrorCode
from mountfs import errors
from mountfs.app.failures import exit_code_of, first_leaf, message_of, remedy_of
from mountfs.cli.sizes import parse_size, rate_text, size_text

FOR_PEOPLE = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, errors.Unavailable | errors.NotLoggedIn | errors.LocalStorageError)
]


@pytest.mark.parametrize("kind", FOR_PEOPLE)
def test_every_failure_of_a_command_has_a_remedy(kind: type[errors.MountError]) -> None:
    assert remedy_of(kind("why"))


def test_a_setup_error_brings_its_own_remedy() -> None:
    assert remedy_of(errors.SetupError("wrong", remedy="do it right")) == "do it right"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.Offline("away"), 3),
        (errors.DeadlinePassed("late"), 3),
        (errors.ServerBusy("busy"), 1),
        (errors.WrongPassword("wrong"), 1),
        (errors.SetupError("missing"), 1),
        (errors.QuotaExceeded("full"), 1),
        (errors.RequestRefused(ErrorCode.FORBIDDEN, "no"), 1),
    ],
)
def test_exit_codes(error: errors.MountError, code: int) -> None:
    assert exit_code_of(error) == code


def test_of_a_group_the_known_error_counts() -> None:
    known, bug = errors.Offline("away"), ValueError("a bug")
    assert first_leaf(ExceptionGroup("", [bug, ExceptionGroup("", [known])])) is known
    assert first_leaf(ExceptionGroup("", [bug])) is bug
    assert first_leaf(bug) is bug


def test_messages_are_one_line() -> None:
    assert message_of(errors.Offline("the server\n  is away")) == "the server is away"
    assert message_of(errors.Offline()) == "Offline"


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("0", 0),
        ("4096", 4096),
        ("10GiB", 10 << 30),
        ("10g", 10 << 30),
        ("1.5 MiB", 3 << 19),
        ("10GB", 10**10),
        ("2TiB", 2 << 40),
        ("7b", 7),
    ],
)
def test_sizes_are_read(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize("text", ["", "GiB", "-1", "1 PiB", "10 20", "1e3"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a size"):
        parse_size(text)


def test_sizes_are_written() -> None:
    assert [size_text(number) for number in (0, 1023, 1536, 5 << 30, 3 << 50)] == [
        "0 B",
        "1023 B",
        "1.5 KiB",
        "5.0 GiB",
        "3072.0 TiB",
    ]
    assert rate_text(8 * 1024) == "1.0 KiB/s"
