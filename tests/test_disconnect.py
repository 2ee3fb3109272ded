"""A client that goes away, or says that it wants no more, stops the work: the engine's own slots go back to idle."""
import contextlib
import json
import socket

import httpx
import pytest
from websockets.sync.client import connect

import mcp_lines
from harness import sse_payloads, wait_until

MODEL = "tiny-long"
ENDLESS = {"model": MODEL, "max_tokens": 120_000}
PROMPT = {**ENDLESS, "prompt": "on and on"}
MESSAGES = {**ENDLESS, "messages": [{"role": "user", "content": "on and on"}]}
PATHS = [("/api/v1/generate", PROMPT), ("/api/v1/generate", MESSAGES), ("/v1/chat/completions", MESSAGES),
         ("/v1/completions", PROMPT)]


@pytest.fixture(scope="module")
def running(tiny):
    tiny.load(MODEL)
    yield tiny
    tiny.wait_idle(MODEL)


@pytest.fixture(autouse=True)
def nothing_left(running):
    """Each test begins and ends with an idle engine, and a gateway that knows it."""
    running.wait_idle(MODEL)
    yield
    running.wait_idle(MODEL)
    wait_until(lambda: running.engine(MODEL)["in_flight"] == 0, "no request in flight")
    wait_until(lambda: running.get("/api/v1/status").json()["requests_in_flight"] == 0, "no request in flight")


def post_bytes(path, body):
    content = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" \
           f"Content-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


@pytest.mark.parametrize("path, body", PATHS)
def test_sse(running, path, body):
    with running.client.stream("POST", path, json={**body, "stream": True}) as response:
        lines = response.iter_lines()
        assert next(line for line in lines if sse_payloads([line]))
        assert running.busy_slots(MODEL) == 1
    running.wait_idle(MODEL)


@pytest.mark.parametrize("path, body", PATHS + [("/v1/chat/completions", {**MESSAGES, "n": 2})])
def test_plain_http(running, path, body):
    with socket.create_connection(running.address) as connection:
        connection.sendall(post_bytes(path, body))
        running.wait_busy(MODEL)
    running.wait_idle(MODEL)


def test_a_reset_connection(running):
    with socket.create_connection(running.address) as connection:
        connection.sendall(post_bytes("/v1/chat/completions", {**MESSAGES, "stream": True}))
        running.wait_busy(MODEL)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # close sends RST
    running.wait_idle(MODEL)


def test_the_unix_socket(running):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(running.state["unix_socket"])
        connection.sendall(post_bytes("/api/v1/generate", PROMPT))
        running.wait_busy(MODEL)
    running.wait_idle(MODEL)


def test_one_of_two_goes(running):
    """The other one goes on."""
    with running.client.stream("POST", "/v1/completions", json={**PROMPT, "stream": True}) as stays:
        lines = stays.iter_lines()
        next(lines)
        with running.client.stream("POST", "/v1/completions", json={**PROMPT, "stream": True}) as goes:
            others = goes.iter_lines()  # kept: a generator that is thrown away closes the connection
            next(others)
            running.wait_busy(MODEL, 2)
        wait_until(lambda: running.busy_slots(MODEL) == 1, "one slot to be free")
        for _ in range(200):
            next(lines)
        assert running.busy_slots(MODEL) == 1


def test_those_who_wait_for_a_slot(running):
    """Those behind the engine's two slots leave their queue, be it the engine's or the gateway's, with their clients;
    and however many wait, the engine still answers questions about itself."""
    with contextlib.ExitStack() as stack:
        for _ in range(16):
            connection = stack.enter_context(socket.create_connection(running.address))
            connection.sendall(post_bytes("/v1/chat/completions", {**MESSAGES, "stream": True}))
        running.wait_busy(MODEL, 2)
        wait_until(lambda: running.engine(MODEL)["in_flight"] == 16, "sixteen requests in flight")
        assert running.busy_slots(MODEL) == 2
    wait_until(lambda: running.engine(MODEL)["in_flight"] == 0, "no request in flight")
    running.wait_idle(MODEL)


def test_websocket_close(running):
    # A client that has stopped reading never sees the answer to its close frame.
    with connect(running.url.replace("http", "ws") + "/api/v1/ws", close_timeout=1) as socket_:
        for number in range(2):
            socket_.send(json.dumps({"type": "generate", "id": str(number), **PROMPT}))
        running.wait_busy(MODEL, 2)
    running.wait_idle(MODEL)


def test_websocket_cut(running):
    socket_ = connect(running.url.replace("http", "ws") + "/api/v1/ws")
    socket_.send(json.dumps({"type": "generate", "id": "a", **PROMPT}))
    running.wait_busy(MODEL)
    socket_.socket.shutdown(socket.SHUT_RDWR)  # no closing handshake
    running.wait_idle(MODEL)
    with contextlib.suppress(Exception):
        socket_.close()


def test_websocket_cancel(running):
    with connect(running.url.replace("http", "ws") + "/api/v1/ws") as socket_:
        socket_.send(json.dumps({"type": "generate", "id": "a", **PROMPT}))
        running.wait_busy(MODEL)
        socket_.send(json.dumps({"type": "cancel", "id": "a"}))
        running.wait_idle(MODEL)
        while (message := json.loads(socket_.recv(timeout=30)))["type"] != "done":
            pass
        assert message["finish_reason"] == "cancelled"


@pytest.mark.parametrize("progress", [False, True])
def test_mcp_cancel(running, progress):
    with mcp_lines.Stdio(running.home) as client:
        client.initialize()
        client.request("tools/call", {"name": "llm_generate", "arguments": PROMPT,
                                      **({"_meta": {"progressToken": "t"}} if progress else {})}, number=7)
        running.wait_busy(MODEL)
        client.notify("notifications/cancelled", {"requestId": 7, "reason": "enough"})
        running.wait_idle(MODEL)
        client.request("ping", number=8)
        answer = client.answer(8)
        assert answer["result"] == {}
        assert 7 not in client.answered  # a cancelled request gets no answer


def test_mcp_client_that_leaves(running):
    with mcp_lines.Stdio(running.home) as client:
        client.initialize()
        client.request("tools/call", {"name": "llm_generate", "arguments": PROMPT}, number=7)
        running.wait_busy(MODEL)
        client.process.stdin.close()
        running.wait_idle(MODEL)
        assert client.process.wait(30) == 0


def test_mcp_client_that_is_killed(running):
    with mcp_lines.Stdio(running.home) as client:
        client.initialize()
        client.request("tools/call", {"name": "llm_generate", "arguments": PROMPT}, number=7)
        running.wait_busy(MODEL)
        client.process.kill()
        running.wait_idle(MODEL)


def test_a_client_that_times_out(running):
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(running.url + "/api/v1/generate", json=PROMPT, timeout=0.3)
    running.wait_idle(MODEL)
