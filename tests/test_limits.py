"""Limits, quotas and usage of keys: what a refusal looks like on every interface, that the engine's own counts are booked,
and that who goes away gets back what it did not use."""
import asyncio
import concurrent.futures
import json
import re
import socket
import sqlite3

import fastmcp
import httpx
import openai
import pytest
from fastmcp.client.transports import StreamableHttpTransport
from websockets.sync.client import connect

from conftest import Factory
from harness import error_of, wait_until

MODEL = "tiny"
LONG = "tiny-long"
PROMPT = {"model": MODEL, "prompt": "abc", "max_tokens": 4, "temperature": 0}
CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "abc"}], "max_tokens": 4, "temperature": 0}
ONE_AN_HOUR = {"requests": {"count": 1, "window": "1h"}}


@pytest.fixture(scope="module")
def running(models):
    factory = Factory(models)
    gateway = factory([MODEL, LONG])
    gateway.load(MODEL)
    gateway.load(LONG)
    yield gateway
    factory.close()


class Key:
    """A key with these limits, and a client that shows it."""
    count = 0

    def __init__(self, running, limits=None, **settings):
        Key.count += 1
        self.name = f"limited-{Key.count}"
        answer = running.post("/api/v1/keys", {"name": self.name, "limits": limits or {}, **settings})
        assert answer.status_code in (200, 201), answer.text
        self.secret = answer.json()["key"]
        self.id = answer.json()["id"]
        self.headers = {"Authorization": f"Bearer {self.secret}"}
        self.running = running

    def post(self, path, body, **options):
        return self.running.client.post(path, json=body, headers=self.headers, **options)

    def booked(self):
        """What /api/v1/usage says, once it is written."""
        def total():
            answer = self.running.get("/api/v1/usage", params={"key": self.id})
            assert answer.status_code == 200, answer.text
            return answer.json()["total"]
        return total


def number(answer, name):
    return int(answer.headers[f"x-ratelimit-{name}"])


@pytest.mark.parametrize("path, body", [("/api/v1/generate", PROMPT), ("/v1/completions", PROMPT),
                                        ("/v1/chat/completions", CHAT)])
def test_refused_over_http(running, path, body):
    key = Key(running, ONE_AN_HOUR)
    first = key.post(path, body)
    assert first.status_code == 200, first.text
    assert first.headers["ratelimit-policy"] == '"key-requests";q=1;w=3600'
    assert re.fullmatch(r'"key-requests";r=0;t=3[56]\d\d', first.headers["ratelimit"])
    assert number(first, "limit-requests") == 1
    assert number(first, "remaining-requests") == 0
    assert re.fullmatch(r"59m\d+s|1h0m0s", first.headers["x-ratelimit-reset-requests"])
    refused = key.post(path, body)
    assert refused.status_code == 429
    assert 3500 <= int(refused.headers["retry-after"]) <= 3600
    assert refused.headers["ratelimit"].startswith('"key-requests";r=0;t=3')
    error = error_of(refused)
    assert error["message"].startswith(f'key "{key.name}" is limited to 1 request per hour; try again in 3')
    assert error["type"] == "rate_limit_error" or "rate" in error["type"], error
    assert key.secret not in refused.text


def test_refused_as_a_stream_too(running):
    key = Key(running, ONE_AN_HOUR)
    for expected in (200, 429):
        answer = key.post("/v1/chat/completions", {**CHAT, "stream": True})
        assert answer.status_code == expected, answer.text
        assert "ratelimit" in answer.headers


def test_the_openai_client_sees_a_rate_limit(running):
    key = Key(running, ONE_AN_HOUR)
    client = openai.OpenAI(base_url=running.url + "/v1", api_key=key.secret, max_retries=0)
    raw = client.chat.completions.with_raw_response.create(**CHAT)
    assert raw.headers["x-ratelimit-remaining-requests"] == "0"
    with pytest.raises(openai.RateLimitError) as refused:
        client.chat.completions.create(**CHAT)
    assert refused.value.status_code == 429
    assert "1 request per hour" in str(refused.value)


def test_a_key_in_anthropics_header_is_limited_too(running):
    key = Key(running, ONE_AN_HOUR)
    headers = {"x-api-key": key.secret}
    answers = [httpx.post(running.url + "/v1/completions", json=PROMPT, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
    assert key.post("/v1/completions", PROMPT).status_code == 429, "the same key, however it is shown"


def test_refused_over_the_websocket(running):
    key = Key(running, ONE_AN_HOUR)
    address = running.url.replace("http", "ws", 1) + "/api/v1/ws"
    with connect(address, additional_headers=key.headers) as client:
        for expected in ("done", "error"):
            client.send(json.dumps({"type": "generate", "id": expected, **PROMPT}))
            message = json.loads(client.recv(timeout=60))
            while message["type"] not in ("done", "error"):
                message = json.loads(client.recv(timeout=60))
            assert message["type"] == expected, message
        assert "is limited to 1 request per hour" in json.dumps(message)
        assert key.secret not in json.dumps(message)
        # The connection is still good for what is not limited.
        client.send(json.dumps({"type": "generate", "id": "again", **PROMPT}))
        assert json.loads(client.recv(timeout=60))["type"] == "error"


def test_refused_over_mcp(running):
    key = Key(running, ONE_AN_HOUR)
    arguments = {"model": MODEL, "prompt": "abc", "max_tokens": 4}

    async def call_twice():
        transport = StreamableHttpTransport(running.url + "/mcp", headers=key.headers)
        async with fastmcp.Client(transport) as client:
            return [await client.call_tool("llm_generate", arguments, raise_on_error=False) for _ in range(2)]

    done, refused = asyncio.run(call_twice())
    assert not done.is_error, done
    assert refused.is_error
    assert "is limited to 1 request per hour" in refused.content[0].text


def test_tokens_are_counted_as_the_engine_counts(running):
    key = Key(running, {"input_tokens": {"count": 100000, "window": "1h"}, "output_tokens": {"count": 500, "window": "1h"}})
    sums = {"requests": 0, "input_tokens": 0, "output_tokens": 0}
    for i in range(5):
        answer = key.post("/v1/completions", {**PROMPT, "prompt": "ab" * (i + 1), "max_tokens": 3 + i})
        usage = answer.json()["usage"]
        sums["requests"] += 1
        sums["input_tokens"] += usage["prompt_tokens"]
        sums["output_tokens"] += usage["completion_tokens"]
    assert sums["output_tokens"] > 0
    total = key.booked()
    wait_until(lambda: total()["requests"] == 5, "the usage to be written")
    assert {name: total()[name] for name in sums} == sums
    # What was reserved (max_tokens, an upper bound of the prompt) is not what counts: the next answer tells.
    answer = key.post("/v1/completions", {**PROMPT, "max_tokens": 1})
    # Since the last request an hour's 500 tokens have come back by a few at most.
    assert 500 - sums["output_tokens"] - 1 <= number(answer, "remaining-tokens") <= 499


def test_quotas_end_and_say_when_they_start_again(running):
    key = Key(running, {"requests_per_day": 2, "tokens_per_month": 1000000})
    answers = [key.post("/v1/completions", PROMPT) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    message = error_of(answers[2])["message"]
    assert re.fullmatch(rf'key "{key.name}" has used its 2 requests of today; it starts again on '
                        r"\d{4}-\d\d-\d\dT00:00:00Z", message), message
    assert 0 < int(answers[2].headers["retry-after"]) <= 86400


def test_a_project_is_limited_over_its_keys(running):
    answer = running.post("/api/v1/projects", {"id": "limited", "limits": {"requests_per_day": 3}})
    assert answer.status_code in (200, 201), answer.text
    keys = [Key(running, project="limited") for _ in range(2)]
    codes = [keys[i % 2].post("/v1/completions", PROMPT).status_code for i in range(5)]
    assert codes == [200, 200, 200, 429, 429]


def test_a_changed_limit_holds_at_once_and_keeps_the_count(running):
    key = Key(running, {"requests_per_day": 2})
    assert [key.post("/v1/completions", PROMPT).status_code for _ in range(3)] == [200, 200, 429]
    answer = running.client.patch(f"/api/v1/keys/{key.id}", json={"limits": {"requests_per_day": 3}})
    assert answer.status_code == 200, answer.text
    assert [key.post("/v1/completions", PROMPT).status_code for _ in range(2)] == [200, 429]


def stream_and_leave(running, key, count=1):
    """Opens endless generations, and closes their connections once the engine works on them."""
    body = json.dumps({"model": LONG, "prompt": "on and on", "max_tokens": 50_000, "stream": True}).encode()
    head = (f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {key.secret}\r\nContent-Length: {len(body)}\r\n\r\n").encode()
    connections = [socket.create_connection(running.address) for _ in range(count)]
    for connection in connections:
        connection.sendall(head + body)
    running.wait_busy(LONG, count)
    return connections


def test_concurrent_requests_and_disconnects(running):
    key = Key(running, {"concurrent": 2})
    connections = stream_and_leave(running, key, 2)
    refused = key.post("/v1/completions", PROMPT)
    assert refused.status_code == 429
    assert error_of(refused)["message"] == f'key "{key.name}" is limited to 2 requests at once; try again when one has ended'
    for connection in connections:
        connection.close()
    running.wait_idle(LONG)
    wait_until(lambda: key.post("/v1/completions", PROMPT).status_code == 200, "the places of those who left")


def test_who_disconnects_gets_its_tokens_back(running):
    # 60,000 an hour: one request reserves nearly all of it.
    key = Key(running, {"output_tokens": {"count": 60_000, "window": "24h"}})
    connection, = stream_and_leave(running, key)
    body = {"model": LONG, "prompt": "x", "max_tokens": 30_000, "stream": True}
    assert key.post("/v1/completions", body).status_code == 429
    connection.close()
    running.wait_idle(LONG)

    def fits():
        # 40,000 would not fit if those 50,000 still counted.
        with running.client.stream("POST", "/v1/completions", headers=key.headers,
                                   json={**body, "max_tokens": 40_000}) as answer:
            return answer.status_code == 200
    wait_until(fits, "the tokens of who left")
    running.wait_idle(LONG)


def test_what_fails_costs_nothing(running):
    key = Key(running, {"requests_per_day": 1})
    assert key.post("/v1/completions", {**PROMPT, "model": "unknown"}).status_code == 404
    assert key.post("/v1/completions", {**PROMPT, "temperature": -5}).status_code == 400
    assert key.post("/v1/completions", PROMPT).status_code == 200


def test_never_granted_twice_whatever_runs_at_once(running):
    key = Key(running, {"requests_per_day": 7, "concurrent": 50})
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        codes = list(pool.map(lambda _: key.post("/v1/completions", {**PROMPT, "max_tokens": 1}).status_code, range(40)))
    assert sorted(codes) == [200] * 7 + [429] * 33


def test_the_local_user_has_no_limits(gateway):
    running = gateway([MODEL], {"access": {"limits": {"key": ONE_AN_HOUR, "address": ONE_AN_HOUR}}})
    assert [running.post("/v1/completions", PROMPT).status_code for _ in range(3)] == [200] * 3
    key = Key(running)
    assert [key.post("/v1/completions", PROMPT).status_code for _ in range(2)] == [200, 429]


def test_limits_of_models_hold_for_everybody(gateway):
    running = gateway([MODEL], {"access": {"limits": {"models": {"tin*": ONE_AN_HOUR}}}})
    assert Key(running).post("/v1/completions", PROMPT).status_code == 200
    refused = running.post("/v1/completions", PROMPT)
    assert refused.status_code == 429
    assert error_of(refused)["message"].startswith('model "tiny')


def test_quotas_and_usage_outlive_a_restart(gateway):
    home = gateway.home([MODEL], {"access": {"usage": {"durability": "strict"}}})
    running = gateway(home=home)
    key = Key(running, {"requests_per_month": 3})
    answer = key.post("/v1/completions", PROMPT)
    assert answer.status_code == 200
    tokens = answer.json()["usage"]["completion_tokens"]
    # At once: strict durability answers when it is on stable storage.
    running.kill()
    running.expected_exit = -9
    running.stop()
    again = gateway(home=home)
    key.running = again
    total = key.booked()()
    assert (total["requests"], total["output_tokens"]) == (1, tokens)
    assert [key.post("/v1/completions", PROMPT).status_code for _ in range(3)] == [200, 200, 429]


def test_usage_in_csv(running):
    key = Key(running)
    assert key.post("/v1/completions", PROMPT).status_code == 200
    total = key.booked()
    wait_until(lambda: total()["requests"] == 1, "the usage to be written")
    answer = running.get("/api/v1/usage", params={"key": key.id, "format": "csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    head, row = answer.text.splitlines()[:2]
    cells = dict(zip(head.split(","), row.split(",")))
    assert (cells["key"], cells["model"].split(":")[0], cells["requests"]) == (key.id, MODEL, "1"), answer.text


def test_a_database_that_is_locked_stops_nobody(running):
    """The hot path needs no database: another program holds its lock all the time."""
    key = Key(running, {"requests": {"count": 1000, "window": "1h"}, "tokens_per_day": 1000000})
    assert key.post("/v1/completions", PROMPT).status_code == 200
    file, = (running.home.path / "d").rglob("*.db")
    lock = sqlite3.connect(file, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    try:
        assert [key.post("/v1/completions", PROMPT).status_code for _ in range(3)] == [200] * 3
    finally:
        lock.rollback()
        lock.close()
    total = key.booked()
    wait_until(lambda: total()["requests"] == 4, "the usage to be written afterwards")
