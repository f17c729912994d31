"""What users write: checked, not run. An `ignore` that is not needed is an error."""

from datetime import datetime, timedelta, timezone

from countersign import Answer, Countersign, CountersignError, Revocation, Session

client = Countersign("https://auth.example.com", "key", timeout=timedelta(seconds=3))


def login(user_id: int) -> Session | str:
    try:
        client.generate("web", user_id)  # type: ignore[arg-type]
        client.generate("web", None)  # type: ignore[arg-type]
        client.generate("web", str(user_id), ttl=60)  # type: ignore[arg-type]
        return client.generate("web", str(user_id), ttl=timedelta(minutes=1))
    except CountersignError as error:
        wait: timedelta | None = error.retry_after
        status: int | None = error.status
        return error.code if wait is None and status == 403 else "unavailable"


def others(session: Session) -> Revocation:
    client.refresh(session.refresh_token)  # type: ignore[arg-type]
    following = client.refresh(session.refresh_token or "", user_id="u-1", failure={"errorCode": 22})
    client.report_failure(following.refresh_token or "", {"errorCode": 25})
    following.is_refreshable(1795000000000)  # type: ignore[arg-type]
    answer: Answer = client.answer("web", "u-1")
    due = following.is_due_for_refresh(datetime.now(timezone.utc)) or not following.is_refreshable()
    return client.revoke("a" if due and answer.status == 200 else "b")
