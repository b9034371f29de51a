"""What a log may say of a change that the server refused: numbers only, no name and no content.

A code such as `malformed` means that one of the two sides is wrong. By then the change may have
been made anew and look different, so what it was is told in the line that says so.
"""

from typing import Final, NamedTuple

import msgspec

from backend_server.protocol.commit_messages import (
    CreateNode,
    DentryChange,
    NewContent,
    Operation,
    PlaceNodes,
    SetAttributes,
    SetContent,
)
from backend_server.protocol.errors import ErrorCode

_BUGS: Final = frozenset({ErrorCode.MALFORMED, ErrorCode.INTERNAL})
"""No answer to anything that a person did."""

_WORDS: Final[dict[type[Operation], str]] = {
    CreateNode: "create",
    PlaceNodes: "place",
    SetContent: "set_content",
    SetAttributes: "set_attributes",
}


class RefusedChange(NamedTuple):
    """`node_id`: which of the operation's nodes waits for a person."""

    node_id: int
    code: ErrorCode
    operation: Operation


def facts_of(refused: RefusedChange) -> dict[str, str | int]:
    """Return the fields of the log's line, by name. Pure.

    Of a bug also the operation's numbers, and how long what is no number is: `name_bytes`.
    """
    operation = refused.operation
    facts: dict[str, str | int] = {
        "operation": _WORDS[type(operation)],
        "node_id": refused.node_id,
        "code": refused.code,
    }
    if refused.code in _BUGS:
        facts |= _numbers_of(operation)
        if isinstance(operation, PlaceNodes):
            facts |= _numbers_of_change(operation, refused.node_id)
    return facts


def _numbers_of_change(operation: PlaceNodes, node_id: int) -> dict[str, str | int]:
    """Return what the first change of that node says."""
    for change in operation.changes:
        if node_id in (change.expected, change.node_id):
            return {f"change_{name}": value for name, value in _numbers_of(change).items()}
    return {}


def _numbers_of(part: Operation | DentryChange | NewContent) -> dict[str, str | int]:
    numbers: dict[str, str | int] = {}
    for name in part.__struct_fields__:
        match getattr(part, name):
            case int(number):
                numbers[name] = int(number)  # also of an enumeration
            case bytes(octets):
                numbers[f"{name}_bytes"] = len(octets)
            case str(text):
                numbers[f"{name}_length"] = len(text)
            case list(items):
                numbers[f"{name}_count"] = len(items)
            case NewContent() as content:
                numbers |= _numbers_of(content)
            case msgspec.Struct():
                numbers[f"has_{name}"] = 1
            case _:
                pass
    return numbers
