"""What browsers are told: CORS for listed origins alone, and headers that keep answers from being misused."""
import httpx
import pytest

from access_clients import PROTECTED, ask, make_key

PAGE = "https://chat.example"


@pytest.fixture(scope="module")
def guarded(models):
    from conftest import Factory
    factory = Factory(models)
    yield factory((), {**PROTECTED, "server": {"allowed_origins": [PAGE]}})
    factory.close()


def preflight(gateway, origin, path="/v1/chat/completions", method="POST", **headers):
    return httpx.options(gateway.url + path, headers={"Origin": origin, "Access-Control-Request-Method": method,
                                                      "Access-Control-Request-Headers": "authorization,content-type",
                                                      **headers})


def cors(answer):
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}


def test_a_listed_page_may_ask(guarded):
    answer = preflight(guarded, PAGE)
    assert answer.status_code == 204
    assert cors(answer) == {"access-control-allow-origin": PAGE, "access-control-allow-methods": "POST",
                            "access-control-allow-headers": "authorization,content-type",
                            "access-control-expose-headers": cors(answer)["access-control-expose-headers"],
                            "access-control-max-age": "600"}
    assert "Origin" in answer.headers["vary"]
    key = make_key(guarded)["key"]
    plain = ask(guarded, key, headers={"Origin": PAGE})
    assert plain.status_code == 200
    assert plain.headers["access-control-allow-origin"] == PAGE
    assert "x-ratelimit-remaining-requests" in plain.headers["access-control-expose-headers"]
    assert "access-control-allow-credentials" not in plain.headers


def test_other_pages_may_not(guarded):
    for origin in ("https://evil.example", "https://chat.example.evil", "http://chat.example", "null"):
        answer = preflight(guarded, origin)
        assert answer.status_code == 403 and not cors(answer), origin
        assert not cors(ask(guarded, "", headers={"Origin": origin})), origin
    loopback = preflight(guarded, "http://localhost:3000")
    assert loopback.status_code == 405 and not cors(loopback)


def test_off_without_a_list(tiny):
    answer = preflight(tiny, "http://localhost:3000")
    assert answer.status_code == 405 and not cors(answer)
    assert "origin" not in tiny.get("/livez", headers={"Origin": "http://localhost:3000"}).headers.get("vary", "")


def test_what_changes_something_is_no_form(guarded):
    """A page may send these without a preflight; none of them gets as far as doing anything."""
    key = make_key(guarded, "admin")["key"]
    for route in httpx.get(guarded.url + "/").json()["routes"]:
        if route["method"] != "POST" or route["path"] == "/mcp":
            continue
        path = route["path"].replace("{name}", "tiny")
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
            answer = ask(guarded, key, "POST", path, content=b'{"name":"x"}', headers={"Content-Type": kind})
            assert answer.status_code == 415, (path, kind, answer.status_code)


def test_every_answer_says_what_it_is_not(guarded):
    key = make_key(guarded)["key"]
    answers = [ask(guarded, key), ask(guarded, ""), ask(guarded, key, path="/nowhere"),
               ask(guarded, key, "DELETE", "/v1/models"), ask(guarded, "", path="/livez"),
               ask(guarded, "", headers={"Host": "evil.example"})]
    assert [a.status_code for a in answers] == [200, 401, 404, 405, 200, 403]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "strict-transport-security" not in answer.headers
    assert answers[0].headers["cache-control"] == "no-store"
