"""API keys from their creation to their end."""
import json

import pytest

from access_clients import PROTECTED, ask, local, make_key, status
from harness import error_of, merge, wait_until


@pytest.fixture(scope="module")
def guarded(models):
    from conftest import Factory
    factory = Factory(models)
    yield factory(["tiny", "tiny-embed"], PROTECTED)
    factory.close()


def embed(gateway, key, model="tiny-embed"):
    return ask(gateway, key, "POST", "/v1/embeddings", json={"model": model, "input": "a"})


def test_made_used_and_revoked(guarded):
    made = make_key(guarded, "user", name="ci")
    assert made["key"].startswith(f"llm_{made['id']}_")
    assert embed(guarded, made["key"]).status_code == 200
    with local(guarded) as client:
        shown = client.get(f"/api/v1/keys/{made['id']}").json()
        assert shown["name"] == "ci" and "key" not in shown
        assert made["key"] not in client.get("/api/v1/keys").text
        wait_until(lambda: client.get(f"/api/v1/keys/{made['id']}").json().get("last_used"), "the time of its use")
        assert client.delete(f"/api/v1/keys/{made['id']}").status_code == 200
    assert embed(guarded, made["key"]).status_code == 401
    with local(guarded) as client:
        assert client.get(f"/api/v1/keys/{made['id']}").json()["revoked"]


def test_every_way_to_show_one(guarded):
    key = make_key(guarded)["key"]
    for headers in ({"Authorization": f"Bearer {key}"}, {"x-api-key": key}, {"api-key": key}):
        assert status(guarded, "", headers=headers) == 200, list(headers)
    assert status(guarded, "", headers={"Authorization": f"Basic {key}"}) == 401
    assert status(guarded, "", path=f"/v1/models?api_key={key}") == 401
    assert status(guarded, "", headers={"Authorization": f"Bearer {key}", "x-api-key": "llm_other"}) == 401


def test_scopes_narrow_a_role(guarded):
    key = make_key(guarded, "operator", scopes=["models:read"])["key"]
    assert status(guarded, key) == 200
    assert embed(guarded, key).status_code == 403
    assert status(guarded, key, path="/api/v1/engines") == 403


def test_models_narrow_a_role(guarded):
    key = make_key(guarded, models=["tiny-em*"])["key"]
    assert embed(guarded, key).status_code == 200
    refused = ask(guarded, key, "POST", "/v1/completions", json={"model": "tiny", "prompt": "a", "max_tokens": 1})
    assert refused.status_code == 403, refused.text
    unknown = ask(guarded, key, "POST", "/v1/completions", json={"model": "nobody", "prompt": "a", "max_tokens": 1})
    assert unknown.status_code == 403, "what one may not use might as well not be there"
    assert {m["id"] for m in ask(guarded, key).json()["data"]} == {"tiny-embed"}
    assert [m["name"] for m in ask(guarded, key, path="/api/v1/models").json()["models"]] == ["tiny-embed"]
    assert status(guarded, key, path="/v1/models/tiny") == 403
    assert status(guarded, key, path="/api/v1/models/tiny") in (403, 404)


def test_addresses(guarded):
    here = make_key(guarded, addresses=["127.0.0.0/8"])["key"]
    there = make_key(guarded, addresses=["10.0.0.0/8"])["key"]
    assert status(guarded, here) == 200
    assert status(guarded, there) == 403
    # What a client says of itself is no address.
    assert status(guarded, there, headers={"X-Forwarded-For": "10.0.0.1"}) == 403


def test_expiry(guarded):
    with local(guarded) as client:
        bad = client.post("/api/v1/keys", json={"name": "a", "role": "user", "expires": "soon"})
        assert bad.status_code == 400 and error_of(bad)["pointer"] == "/expires"
    made = make_key(guarded, expires="1s")
    wait_until(lambda: status(guarded, made["key"]) == 401, "the key's end")
    assert status(guarded, make_key(guarded, expires="90d")["key"]) == 200


def test_rotation_with_overlap(guarded):
    made = make_key(guarded)
    with local(guarded) as client:
        second = client.post(f"/api/v1/keys/{made['id']}/rotate", json={"overlap": "1h"}).json()
        assert second["id"] == made["id"] and second["key"] != made["key"]
        assert status(guarded, made["key"]) == 200 and status(guarded, second["key"]) == 200
        third = client.post(f"/api/v1/keys/{made['id']}/rotate", json={"overlap": "0s"}).json()
    assert status(guarded, third["key"]) == 200
    assert status(guarded, second["key"]) == 401 and status(guarded, made["key"]) == 401


def test_nobody_grants_what_it_has_not(guarded):
    with local(guarded) as client:
        assert client.post("/api/v1/roles", json={
            "name": "lead", "rules": [{"permissions": ["generate", "models:read", "keys:read", "keys:write"]}],
        }).status_code == 201
    lead = make_key(guarded, "lead")
    for request, wanted in (({"role": "admin"}, 403), ({"role": "operator"}, 403), ({"role": "user"}, 201)):
        got = ask(guarded, lead["key"], "POST", "/api/v1/keys", json={"name": "x", **request})
        assert got.status_code == wanted, (request, got.text)
    up = ask(guarded, lead["key"], "PATCH", f"/api/v1/keys/{lead['id']}", json={"role": "admin"})
    assert up.status_code == 403


def test_a_project_that_is_disabled_takes_its_keys_with_it(guarded):
    with local(guarded) as client:
        assert client.post("/api/v1/projects", json={"id": "red", "name": "Red"}).status_code == 201
        key = make_key(guarded, project="red")["key"]
        assert status(guarded, key) == 200
        assert client.delete("/api/v1/projects/red").status_code == 200
        assert status(guarded, key) == 401
        assert client.patch("/api/v1/projects/red", json={"disabled": False}).status_code == 200
        assert status(guarded, key) == 200


def test_revoked_here_and_in_a_second_gateway(gateway):
    """Two processes on one database: both know a key that either of them made, and neither after one revoked it."""
    first = gateway((), PROTECTED)
    database = first.home.path / "d/llm-mcp/access/llm-mcp.db"
    assert database.exists(), sorted(first.home.path.rglob("*.db"))
    settings = json.loads(json.dumps(PROTECTED))
    merge(settings, {"access": {"database": {"url": f"sqlite:{database}"},
                                "secret_file": str(database.with_name("secret"))}})
    second = gateway((), settings)
    made = make_key(first)
    assert status(first, made["key"]) == 200
    wait_until(lambda: status(second, made["key"]) == 200, "the key at the other gateway")
    with local(second) as client:
        assert client.delete(f"/api/v1/keys/{made['id']}").status_code == 200
    assert status(second, made["key"]) == 401, "at once where it was revoked"
    wait_until(lambda: status(first, made["key"]) == 401, "the revocation at the other gateway")


def test_keys_outlive_a_restart(gateway):
    running = gateway((), PROTECTED)
    made, gone = make_key(running), make_key(running)
    with local(running) as client:
        assert client.delete(f"/api/v1/keys/{gone['id']}").status_code == 200
    running.stop()
    again = gateway((), PROTECTED, home=running.home)
    assert status(again, made["key"]) == 200
    assert status(again, gone["key"]) == 401


def test_no_secret_is_written_anywhere(gateway):
    running = gateway((), {**PROTECTED, "observe": {"log_level": "debug"}})
    made = make_key(running)
    wrong = "llm_0123456789abcdef_" + "z" * 52
    assert status(running, made["key"]) == 200
    assert status(running, wrong) == 401
    assert status(running, made["key"], path="/api/v1/projects", method="POST", json={}) == 403
    with local(running) as client:
        rotated = client.post(f"/api/v1/keys/{made['id']}/rotate", json={"overlap": "0s"}).json()["key"]
    assert ask(running, "", "POST", "/api/v1/auth/token", json={"api_key": rotated}).status_code == 200
    running.stop()
    secrets = [text.rsplit("_", 1)[1].encode() for text in (made["key"], rotated, wrong)]
    for file in running.home.path.rglob("*"):
        if file.is_file() and not file.is_socket():
            content = file.read_bytes()
            assert not any(secret in content for secret in secrets), file


def test_without_keys_only_the_owner_of_the_process_gets_in(gateway):
    running = gateway((), PROTECTED)
    assert status(running, "") == 401
    with local(running) as client:
        assert client.get("/v1/models").status_code == 200
        assert client.get("/api/v1/auth/me").json()["kind"] == "local"


def test_answers_say_where_the_caller_stands(guarded):
    key = make_key(guarded, limits={"requests": {"count": 1, "window": "1h"}})["key"]
    first = embed(guarded, key)
    assert first.status_code == 200, first.text
    assert first.headers["x-ratelimit-limit-requests"] == "1"
    assert first.headers["x-ratelimit-remaining-requests"] == "0"
    assert "ratelimit-policy" in first.headers and "ratelimit" in first.headers
    second = embed(guarded, key)
    assert second.status_code == 429
    assert int(second.headers["retry-after"]) > 0
    assert second.headers["x-ratelimit-remaining-requests"] == "0"
    error = error_of(second)
    assert (error["scope"], error["kind"]) == ("key", "requests")
    assert status(guarded, key) == 200, "looking costs nothing"
