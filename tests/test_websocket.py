"""The WebSocket at /api/v1/ws, with an ordinary client."""
import contextlib
import json
import select
import socket

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from harness import rss_bytes, wait_until

PATH = "/api/v1/ws"
SHORT = {"type": "generate", "model": "tiny", "prompt": "abc", "max_tokens": 12, "temperature": 0}
ENDLESS = {"type": "generate", "model": "tiny-long", "prompt": "on and on", "max_tokens": 120_000}


class Client:
    def __init__(self, gateway, **options):
        # A client that has stopped reading does not see the other side's close frame either, and then waits this long.
        options.setdefault("close_timeout", 1)
        self.socket = connect(gateway.url.replace("http", "ws", 1) + PATH, **options)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.socket.close()

    def send(self, message):
        self.socket.send(message if isinstance(message, (str, bytes)) else json.dumps(message))

    def receive(self):
        return json.loads(self.socket.recv(timeout=60))

    def until(self, *types):
        """Messages up to the first one of these types."""
        messages = [self.receive()]
        while messages[-1]["type"] not in types:
            messages.append(self.receive())
        return messages

    def close_code(self):
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                self.socket.recv(timeout=60)
        return closed.value.rcvd.code if closed.value.rcvd else None


@pytest.fixture
def client(tiny):
    with Client(tiny) as connected:
        yield connected


def test_generate(client, tiny):
    whole = tiny.post("/api/v1/generate", {key: SHORT[key] for key in SHORT if key != "type"}).json()
    client.send({**SHORT, "id": "1"})
    *tokens, done = client.until("done", "error")
    assert done["type"] == "done", done
    assert {token["type"] for token in tokens} <= {"token", "loading"}
    assert {message["id"] for message in [*tokens, done]} == {"1"}
    assert "".join(token.get("text", "") for token in tokens) == whole["text"]
    assert done["finish_reason"] == "length"
    assert done["usage"] == whole["usage"]


def test_chat_the_same_way(client):
    client.send({"type": "chat", "id": "c", "model": "tiny", "max_tokens": 5,
                 "messages": [{"role": "user", "content": "hello"}]})
    assert client.until("done", "error")[-1]["usage"]["completion_tokens"] == 5


def test_the_real_model(real):
    with Client(real) as client:
        client.send({"type": "generate", "id": "f", "model": "smollm2", "prompt": "The capital of France is",
                     "max_tokens": 8, "temperature": 0})
        tokens = client.until("done")
    assert " Paris" in "".join(message.get("text", "") for message in tokens)


def test_many_at_once_interleave(client):
    """Two run in the engine's two slots; neither waits for the other, and the rest come after."""
    for number in range(6):
        client.send({**ENDLESS, "id": str(number), "max_tokens": 400})
    order, ends = [], {}
    while len(ends) < 6:
        message = client.receive()
        if message["type"] == "token":
            assert message["id"] not in ends
            order.append(message["id"])
        elif message["type"] != "loading":
            ends[message["id"]] = message
    assert {end["type"] for end in ends.values()} == {"done"}
    assert {end["usage"]["completion_tokens"] for end in ends.values()} == {400}
    assert set(order) == set("012345")
    switches = sum(one != other for one, other in zip(order, order[1:]))
    assert switches > 20, "one after the other instead of side by side"


def test_cancel(client, tiny):
    client.send({**ENDLESS, "id": "a"})
    client.send({**ENDLESS, "id": "b"})
    client.until("token")
    client.send({"type": "cancel", "id": "a"})
    done = client.until("done")[-1]
    assert (done["id"], done["finish_reason"]) == ("a", "cancelled")
    assert done["usage"]["completion_tokens"] >= 0
    wait_until(lambda: tiny.busy_slots("tiny-long") == 1, "one free slot")
    client.send({**SHORT, "id": "a"})  # the id is free again
    while (message := client.receive())["id"] != "a" or message["type"] != "done":
        assert message["type"] != "error", message
    client.send({"type": "cancel", "id": "b"})
    client.until("done")
    tiny.wait_idle("tiny-long")


@pytest.mark.parametrize("message, code, pointer", [
    ({**SHORT, "id": "e", "model": "nope"}, "model_not_found", "/model"),
    ({**SHORT, "id": "e", "temperature": -1}, "invalid_argument", "/temperature"),
    ({**SHORT, "id": "e", "temprature": 1}, "invalid_argument", "/temprature"),
    ({**SHORT, "id": "e", "prompt": "y" * 3000}, "context_length_exceeded", None),
    ({**SHORT, "id": 5}, "invalid_argument", "/id"),
    ({**SHORT, "id": ""}, "invalid_argument", "/id"),
    ({**SHORT, "id": "x" * 257}, "invalid_argument", "/id"),
    (SHORT, "invalid_argument", "/id"),
    ({"type": "dance", "id": "e"}, "invalid_argument", "/type"),
    ({"id": "e"}, "invalid_argument", "/type"),
    ({"type": "cancel", "id": "e"}, "not_found", "/id"),
    ([1], "invalid_argument", None),
    ('{"type": "generate",', "malformed", None),
    ('{"a": "\\ud800"}', None, None),
])
def test_errors_are_events_and_the_socket_lives(client, message, code, pointer):
    client.send(message)
    error = client.receive()
    assert error["type"] == "error"
    assert code is None or error["error"]["code"] == code
    assert error["error"]["message"]
    if pointer:
        assert error["error"]["pointer"] == pointer
    if isinstance(message, dict) and "id" in message:
        assert error["id"] == message["id"]
    client.send({"type": "ping", "id": "p"})
    assert client.receive() == {"type": "pong", "id": "p"}


def test_malformed_json_says_where(client):
    client.send('{"type":\n  oops}')
    assert "line 2, column 3" in client.receive()["error"]["message"]


def test_an_id_that_runs_is_refused(client, tiny):
    client.send({**ENDLESS, "id": "a"})
    client.until("token")
    client.send({**ENDLESS, "id": "a"})
    error = client.until("error")[-1]
    assert error["id"] == "a"
    assert error["error"]["code"] == "already_exists"
    client.send({"type": "cancel", "id": "a"})  # the first one still runs
    assert client.until("done")[-1]["finish_reason"] == "cancelled"
    tiny.wait_idle("tiny-long")


def test_protocol_pings(client):
    assert client.socket.ping(b"data").wait(30)


def test_binary_messages_are_refused(client):
    client.send(b"{}")
    error = client.receive()
    assert error["type"] == "error"
    assert "text" in error["error"]["message"]


def test_too_large_a_message_closes_with_1009(gateway):
    running = gateway(["tiny"], {"server": {"limits": {"websocket_message_bytes": "2KiB"}}})
    with Client(running) as client:
        client.send({**SHORT, "id": "1", "prompt": "x" * 1000})
        assert client.until("done", "error")[-1]["type"] == "done"
        with contextlib.suppress(ConnectionClosed):
            client.send("x" * 4096)
        assert client.close_code() == 1009


def test_a_frame_that_is_not_masked_closes_with_1002(client):
    client.socket.socket.sendall(b"\x81\x02{}")
    assert client.close_code() == 1002


def test_text_that_is_not_utf8_closes_with_1007(client):
    client.socket.socket.sendall(b"\x81\x82\0\0\0\0\xff\xfe")
    assert client.close_code() == 1007


def test_a_normal_close_is_answered(client):
    client.socket.close(1000, "bye")
    assert client.socket.close_code == 1000


def test_a_stopping_gateway_says_so(gateway):
    running = gateway(["tiny-long"], {"server": {"drain_timeout": 0}})
    with Client(running) as client:
        client.send({**ENDLESS, "id": "a"})
        client.until("token")
        running.process.terminate()
        assert client.close_code() == 1001
    running.stop()


def small_window(gateway):
    """A connection that takes little: its kernel buffer is small from the start."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.connect(gateway.address)
    return raw


def test_a_slow_reader_of_events_stays_bounded(gateway):
    """What a client does not read is not kept in the gateway's memory, and others are served."""
    running = gateway(["tiny-long"], {"server": {"limits": {"stream_queue_bytes": "16KiB"}}})
    running.load("tiny-long")
    body = json.dumps({**ENDLESS, "stream": True, "logprobs": 20})  # two to three KB for each event
    with small_window(running) as raw:
        raw.sendall(f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                    f"Content-Length: {len(body)}\r\n\r\n{body}".encode())
        running.wait_busy("tiny-long")
        rss = rss_bytes(running.pid)
        wait_until(lambda: sum(slot["next_token"][0]["n_decoded"] for slot in running.slots("tiny-long")) > 5_000,
                   "many tokens that nobody reads", 120)
        answer = running.post("/api/v1/generate", {"model": "tiny-long", "prompt": "x", "max_tokens": 20})
        assert answer.status_code == 200
        assert rss_bytes(running.pid) - rss < 4 << 20  # of 12 MB and more; the system's own buffers take some
    running.wait_idle("tiny-long")


def test_who_asks_and_does_not_read_is_not_read_either(gateway):
    """A flood of questions whose answers nobody takes: at some point the gateway stops listening."""
    running = gateway(["tiny"], {"server": {"limits": {"stream_queue_bytes": "16KiB"}}})
    text = json.dumps({"type": "ping", "id": "x" * 60_000}).encode()
    frame = b"\x81\xfe" + len(text).to_bytes(2, "big") + b"\0\0\0\0" + text
    with small_window(running) as raw:
        slow = connect(f"ws://127.0.0.1:{running.state['port']}{PATH}", sock=raw, max_queue=1, close_timeout=1)
        rss, sent = rss_bytes(running.pid), 0
        while sent < 64 << 20 and select.select([], [raw], [], 2)[1]:
            sent += raw.send(frame[sent % len(frame):], socket.MSG_DONTWAIT)
        assert sent > 1 << 20
        assert rss_bytes(running.pid) - rss < 16 << 20, f"after {sent} bytes"
        slow.socket.close()


def test_closing_while_generating_frees_the_slots(tiny):
    with Client(tiny) as client:
        for number in range(4):
            client.send({**ENDLESS, "id": str(number)})
        tiny.wait_busy("tiny-long", 2)
    tiny.wait_idle("tiny-long")
    wait_until(lambda: tiny.engine("tiny-long")["in_flight"] == 0, "no request in flight")
