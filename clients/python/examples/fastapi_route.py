"""A route that gives the logged-in user's app its token: FastAPI."""

import logging
import os
from collections.abc import Callable

from countersign import Countersign
from fastapi import Depends, FastAPI
from fastapi.responses import JSONResponse

countersign = Countersign(os.environ["COUNTERSIGN"], os.environ["COUNTERSIGN_API_KEY"])


def add_route(app: FastAPI, user_id_of_session: Callable[..., int]) -> None:
    """`user_id_of_session` is yours: it takes the user from your session. The route is no coroutine: FastAPI gives it a
    thread, and the event loop goes on."""

    @app.post("/session/braze")
    def braze_session(user_id: int = Depends(user_id_of_session)) -> JSONResponse:
        answer = countersign.answer("web", str(user_id))
        if answer.error:
            logging.error("%s", answer.error)
        return JSONResponse(answer.body, answer.status, answer.headers)
