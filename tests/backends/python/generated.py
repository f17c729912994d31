"""Uses the client that openapi-python-client generates: generated.py FOLDER ADDRESS API_KEY."""

import sys

sys.path.insert(0, sys.argv[1])
from generated_client import AuthenticatedClient, Client  # noqa: E402
from generated_client.api.failures import report  # noqa: E402
from generated_client.api.tokens import generate, refresh, revoke  # noqa: E402
from generated_client.models import (  # noqa: E402
    Code,
    FailureRequest,
    FailureRequestFailure,
    GenerateRequest,
    Problem,
    RefreshRequest,
    RevokeRequest,
    TokenAnswer,
)


def main(address, api_key):
    backend = AuthenticatedClient(base_url=address, token=api_key)
    app = Client(base_url=address)
    login = generate.sync(client=backend, body=GenerateRequest(app="web", user_id="42", ttl=60))
    assert isinstance(login, TokenAnswer) and login.token.count(".") == 2 and login.token_expires > 1.7e12, login
    refused = generate.sync(client=backend, body=GenerateRequest(app="web", user_id=""))
    assert isinstance(refused, Problem) and refused.code == Code.CLIENT_ERROR and refused.errors[0].field == "user_id"
    unauthorized = generate.sync(
        client=AuthenticatedClient(base_url=address, token="csk_wrong"), body=GenerateRequest(app="web", user_id="42")
    )
    assert isinstance(unauthorized, Problem) and unauthorized.status == 401, unauthorized
    following = refresh.sync(client=app, body=RefreshRequest(refresh_token=login.refresh_token))
    assert isinstance(following, TokenAnswer) and following.token != login.token
    failure = FailureRequestFailure.from_dict({"error_code": 25})
    reported = report.sync_detailed(
        client=app, body=FailureRequest(refresh_token=following.refresh_token, failure=failure)
    )
    assert reported.status_code == 204, reported
    ended = revoke.sync(client=app, body=RevokeRequest(refresh_token=following.refresh_token))
    assert ended.status == "success", ended
    over = refresh.sync(client=app, body=RefreshRequest(refresh_token=following.refresh_token))
    assert isinstance(over, Problem) and over.code == Code.INVALID_TOKEN, over
    print("openapi-python-client: login, refusals, refresh, report, logout")


main(*sys.argv[2:])
