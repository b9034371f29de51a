"""Which operations of a request are new, and which were answered before. Pure."""

from collections.abc import Sequence

from backend_server.domain.refusals import Refusal
from backend_server.protocol.commit_messages import CommitRequest, Operation
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.limits import COMMIT_OPERATIONS_MAX


def check_numbering(request: CommitRequest) -> None:
    """Check what a request says about itself. Pure.

    Raises:
        Refusal: TOO_LARGE (too many operations); MALFORMED (numbers with a gap, not from 1, or
            said to be answered; a group that is not contiguous).
    """
    operations = request.operations
    if len(operations) > COMMIT_OPERATIONS_MAX:
        raise Refusal(ErrorCode.TOO_LARGE, f"At most {COMMIT_OPERATIONS_MAX} operations a commit.")
    if not 0 <= request.answered_through < 1 << 63:
        raise _malformed("answered_through is no number of an operation")
    if not operations:
        return
    first = operations[0].number
    if not 0 < first < 1 << 62 or first <= request.answered_through:
        raise _malformed("operations that are said to be answered")
    groups_seen: set[int] = set()
    last_group = 0
    for index, operation in enumerate(operations):
        if operation.number != first + index:
            raise _malformed("operations are not numbered without gaps")
        if operation.group != last_group:
            if operation.group in groups_seen:
                raise _malformed("a group is not contiguous")
            last_group = operation.group
            if last_group:
                groups_seen.add(last_group)


def count_repeated(operations: Sequence[Operation], *, highest_number: int) -> int:
    """Return how many operations, from the first, were answered before. Pure.

    Raises:
        Refusal: MALFORMED: the first is beyond the next number that the drive expects.
    """
    if not operations:
        return 0
    first = operations[0].number
    if first > highest_number + 1:
        raise _malformed(f"operation {first} came where {highest_number + 1} was expected")
    return min(len(operations), highest_number + 1 - first)


def _malformed(message: str) -> Refusal:
    return Refusal(ErrorCode.MALFORMED, message)
