from __future__ import annotations

from datetime import timedelta


class CountersignError(Exception):
    """The reason why there is no answer with a token. No member has a token, an API key or a user id.

    `code` is the server's, or one of this library: `not_reached`, no connection came about and nothing was sent;
    `no_answer`, the request was sent and no whole answer came, so that the session may exist; `not_understood`, the
    answer is not Countersign's (a proxy's page).
    """

    def __init__(self, code: str, status: int | None, retry_after: timedelta | None, request_id: str) -> None:
        super().__init__(code, status, retry_after, request_id)
        self.code = code
        """To branch on."""
        self.status = status
        """The HTTP status; `None` where no answer came."""
        self.retry_after = retry_after
        """The time to wait before it is worth another request; `None` where the server does not say."""
        self.request_id = request_id
        """The `X-Request-Id` of the request, which is in the server's log."""

    def __str__(self) -> str:
        return f"countersign: {self.status or 'no answer'} {self.code} request_id={self.request_id}"
