"""Whose turn it is when a model is busy: projects and keys by their weights, interactive before batch, and an early, clear
refusal. One slot is held until everybody waits; then the order in which the answers come is the order of the turns."""
import asyncio
import contextlib
import json
import socket

import httpx
import pytest

from harness import error_of, wait_until

MODEL = "tiny-long"
HANDED_OVER = 4  # requests that an engine with one slot has at once: twice its slots and two


def post_bytes(key, body):
    payload = json.dumps(body).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n"
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(payload)}\r\n\r\n".encode() + payload


def make_key(running, project, **settings):
    answer = running.post("/api/v1/keys", {"name": f"key of {project}", "project": project, **settings})
    assert answer.status_code in (200, 201), answer.text
    return answer.json()["key"]


def make_project(running, name, **settings):
    answer = running.post("/api/v1/projects", {"id": name, **settings})
    assert answer.status_code in (200, 201), answer.text


@pytest.fixture
def busy(gateway):
    """A gateway whose model has one slot, and one that holds it until `release()`."""
    running = gateway([MODEL], {"models": {"settings": {MODEL: {"parallel": 1}}}})
    running.load(MODEL)
    running.in_flight = lambda: running.engine(MODEL)["in_flight"]
    with contextlib.ExitStack() as stack:
        make_project(running, "holder")
        connection = stack.enter_context(socket.create_connection(running.address))
        connection.sendall(post_bytes(make_key(running, "holder"),
                                      {"model": MODEL, "prompt": "x", "max_tokens": 100_000, "stream": True}))
        running.wait_busy(MODEL)
        running.release = connection.close
        yield running


async def finished_in_order(running, waves):
    """Sends each wave (a list of names with keys) and waits until all of it is there; then frees the slot. -> the names in
    the order of their answers."""
    order = []

    async def ask(client, name, key, extra):
        body = {"model": MODEL, "prompt": "a", "max_tokens": 4, **extra}
        answer = await client.post("/v1/completions", json=body, headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == 200, answer.text
        order.append(name)

    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=running.url, timeout=120, limits=limits) as client:
        tasks = []
        for wave in waves:
            for name, key, extra in wave:
                tasks.append(asyncio.create_task(ask(client, name, key, extra)))
            await asyncio.to_thread(wait_until, lambda: running.in_flight() == 1 + len(tasks), "all to wait")
        running.release()
        await asyncio.gather(*tasks)
    return "".join(order)


def run(running, *waves):
    return asyncio.run(finished_in_order(running, waves))


def test_one_project_does_not_hold_up_another(busy):
    make_project(busy, "flood")
    make_project(busy, "small")
    flood, small = make_key(busy, "flood"), make_key(busy, "small")
    order = run(busy, [("f", flood, {})] * 200, [("s", small, {})] * 5)
    # Those of the flood that the engine has already come first, then they take turns.
    assert order.rfind("s") < HANDED_OVER + 2 * 5 + 2, order[:40]


def test_keys_of_a_project_take_turns(busy):
    make_project(busy, "shared")
    flood, small = make_key(busy, "shared"), make_key(busy, "shared")
    order = run(busy, [("f", flood, {})] * 60, [("s", small, {})] * 5)
    assert order.rfind("s") < HANDED_OVER + 2 * 5 + 2, order[:40]


def test_weights_show_in_the_order(busy):
    make_project(busy, "heavy", weight=3)
    make_project(busy, "light", weight=1)
    heavy, light = make_key(busy, "heavy"), make_key(busy, "light")
    order = run(busy, [("h", heavy, {})] * 60, [("l", light, {})] * 60)
    turns = order[HANDED_OVER:HANDED_OVER + 40]
    assert 28 <= turns.count("h") <= 32, order


def test_interactive_goes_before_batch(busy):
    make_project(busy, "both")
    batch, now = make_key(busy, "both", priority="batch"), make_key(busy, "both")
    order = run(busy, [("b", batch, {})] * 30, [("i", now, {})] * 21)
    turns = order[HANDED_OVER:]
    assert turns.rfind("i") < 21 + 21 // 7 + 2, order  # one turn in eight is a batch request's
    assert "b" in turns[:10], order


def test_the_refusal_says_the_place_and_when_to_come_back(gateway):
    running = gateway([MODEL], {"models": {"settings": {MODEL: {"parallel": 1}}},
                                "inference": {"max_concurrent": 1, "queue_limit": 2}})
    running.load(MODEL)
    long = {"model": MODEL, "prompt": "x", "max_tokens": 100_000, "stream": True}
    key = make_key(running, "default")
    with contextlib.ExitStack() as stack:
        def send():
            connection = stack.enter_context(socket.create_connection(running.address))
            connection.sendall(post_bytes(key, long))
            return connection

        send()
        running.wait_busy(MODEL)
        send(), send()

        def refused():
            # Until both wait, this one would wait too, and perhaps in the place of one of them: it does not ask for long,
            # and then another takes its place.
            try:
                answer = running.post("/v1/completions", {**long, "stream": False}, timeout=1)
            except httpx.TimeoutException:
                send()
                return None
            return answer if answer.status_code == 503 else None

        answer = wait_until(refused, "a refusal")
        error = error_of(answer)
        assert error["code"] == "overloaded"
        assert error["queue_length"] == 2 and error["queue_position"] == 3, error
        assert int(answer.headers["retry-after"]) >= 1
