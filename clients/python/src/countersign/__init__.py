"""Requests Braze SDK authentication tokens from a Countersign server."""

from ._answer import Answer
from ._client import Countersign
from ._error import CountersignError
from ._session import Revocation, Session

__all__ = ["Answer", "Countersign", "CountersignError", "Revocation", "Session"]
__version__ = "0.1.0"
