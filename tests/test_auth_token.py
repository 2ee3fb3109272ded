"""The gateway's own tokens: traded for a key, renewed, revoked."""
import concurrent.futures

import pytest

from access_clients import PROTECTED, ask, local, make_key, status

TOKEN = "/api/v1/auth/token"


@pytest.fixture(scope="module")
def guarded(models):
    from conftest import Factory
    factory = Factory(models)
    yield factory((), PROTECTED)
    factory.close()


def trade(gateway, **request):
    return ask(gateway, "", "POST", TOKEN, json=request)


def sign_in(gateway, key, **more):
    answer = trade(gateway, api_key=key, **more)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    grant = answer.json()
    assert grant["token_type"] == "Bearer" and grant["expires_in"] > 0
    return grant


def test_a_key_buys_a_token(guarded):
    made = make_key(guarded)
    grant = sign_in(guarded, made["key"])
    assert status(guarded, grant["access_token"]) == 200
    me = ask(guarded, grant["access_token"], path="/api/v1/auth/me").json()
    assert me["kind"] == "token" and me["key"] == made["id"] and me["role"] == "user"
    assert status(guarded, grant["refresh_token"]) == 401, "a refresh token is for nothing else"


def test_a_scope_narrows_it(guarded):
    grant = sign_in(guarded, make_key(guarded)["key"], scope="models:read")
    assert grant["scope"] == "models:read"
    assert status(guarded, grant["access_token"]) == 200
    assert status(guarded, grant["access_token"], "POST", "/v1/embeddings", json={}) == 403
    assert trade(guarded, api_key=make_key(guarded)["key"], scope="admin").status_code == 400


def test_refreshing_uses_a_token_up(guarded):
    first = sign_in(guarded, make_key(guarded)["key"])
    second = trade(guarded, refresh_token=first["refresh_token"])
    assert second.status_code == 200, second.text
    assert second.json()["refresh_token"] != first["refresh_token"]
    assert status(guarded, second.json()["access_token"]) == 200


def test_a_second_use_ends_the_sign_in(guarded):
    key = make_key(guarded)["key"]
    first, other = sign_in(guarded, key), sign_in(guarded, key)
    second = trade(guarded, refresh_token=first["refresh_token"]).json()
    assert trade(guarded, refresh_token=first["refresh_token"]).status_code == 401
    assert trade(guarded, refresh_token=second["refresh_token"]).status_code == 401
    assert status(guarded, first["access_token"]) == 401
    assert status(guarded, second["access_token"]) == 401
    assert status(guarded, other["access_token"]) == 200, "another sign-in goes on"


def test_of_many_at_once_one_gets_it(guarded):
    refresh = sign_in(guarded, make_key(guarded)["key"])["refresh_token"]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        got = [answer.status_code for answer in pool.map(lambda _: trade(guarded, refresh_token=refresh), range(8))]
    assert got.count(200) <= 1 and got.count(200) + got.count(401) == 8, got


@pytest.mark.parametrize("which", ["access_token", "refresh_token"])
def test_revoking(guarded, which):
    grant = sign_in(guarded, make_key(guarded)["key"])
    revoked = ask(guarded, grant["access_token"], "POST", "/api/v1/auth/revoke", json={"token": grant[which]})
    assert revoked.status_code == 200, revoked.text
    assert status(guarded, grant["access_token"]) == 401
    wanted = 401 if which == "refresh_token" else 200
    assert trade(guarded, refresh_token=grant["refresh_token"]).status_code == wanted


def test_a_key_takes_its_tokens_with_it(guarded):
    made = make_key(guarded)
    grant = sign_in(guarded, made["key"])
    with local(guarded) as client:
        assert client.delete(f"/api/v1/keys/{made['id']}").status_code == 200
    assert status(guarded, grant["access_token"]) == 401
    assert trade(guarded, refresh_token=grant["refresh_token"]).status_code == 401
    assert trade(guarded, api_key=made["key"]).status_code == 401


def test_what_is_no_sign_in(guarded):
    grant = sign_in(guarded, make_key(guarded)["key"])
    for request, wanted in (({}, 400), ({"api_key": "a", "refresh_token": "b"}, 400), ({"api_key": 7}, 400),
                            ({"api_key": "llm_x"}, 401), ({"refresh_token": "llr_x"}, 401),
                            ({"api_key": grant["access_token"]}, 401), ({"refresh_token": grant["access_token"]}, 401),
                            ({"api_key": grant["refresh_token"]}, 401)):
        assert trade(guarded, **request).status_code == wanted, request


def test_guessing_is_slowed_down(gateway):
    running = gateway((), {"access": {"local_user": "off", "login": {"failures": 5}}})
    key = make_key(running)["key"]
    got = [trade(running, refresh_token=f"llr_{i}").status_code for i in range(6)]
    assert got == [401] * 5 + [429]
    blocked = trade(running, api_key=key)
    assert blocked.status_code == 429 and int(blocked.headers["retry-after"]) > 0
    assert status(running, key) == 429


def test_public_keys(guarded):
    answer = ask(guarded, "", path="/.well-known/jwks.json")
    assert answer.headers["content-type"] == "application/jwk-set+json"
    assert answer.json()["keys"]
    assert all("d" not in key for key in answer.json()["keys"])
