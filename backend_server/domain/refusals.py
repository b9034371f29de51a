"""A call that the server refuses as a whole."""

from backend_server.protocol.errors import ErrorCode


class Refusal(Exception):
    """The answer to a call is an error: `code`, a message for a person, and when to try again."""

    def __init__(self, code: ErrorCode, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after_s = retry_after_s
