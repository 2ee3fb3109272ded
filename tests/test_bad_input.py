"""What bad input gets: the right status, a code, the place, and the way out."""
import base64
import json
import os
import socket
import threading

import pytest

from harness import error_of, wait_until

CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "x"}]}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}


def raw(gateway, data, shut=False):
    """Bytes to the TCP address; all that comes back until the other side closes or is quiet after a whole answer."""
    with socket.create_connection(gateway.address, timeout=30) as connection:
        connection.sendall(data)
        if shut:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
        return answer


def request_bytes(line, *headers, host="Host: localhost"):
    return "\r\n".join([line, host, *headers, "Connection: close", "", ""]).encode()


@pytest.mark.parametrize("text, place", [
    ('{"model": "tiny",\n  "prompt": }', "line 2, column 13"),
    ('{"model": "tiny"', "line 1"),
    ('{"a": 1} x', "line 1, column 10"),
    ('{"a": 1,}', "line 1, column 9"),
    ('{"a": "\x01"}', "line 1, column 8"),
])
@pytest.mark.parametrize("path", ["/api/v1/generate", "/v1/chat/completions"])
def test_malformed_json_says_where(tiny, path, text, place):
    answer = tiny.client.post(path, content=text, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    error = error_of(answer)
    assert error["code"] == "malformed"
    assert place in error["message"], error["message"]


@pytest.mark.parametrize("path, body, pointer, words", [
    ("/api/v1/generate", {"prompt": "x", "temperature": "hot"}, "/temperature", "number"),
    ("/api/v1/generate", {"prompt": "x", "temperature": -1}, "/temperature", "0"),
    ("/api/v1/generate", {"prompt": "x", "max_tokens": 0}, "/max_tokens", "1"),
    ("/api/v1/generate", {"prompt": "x", "max_tokens": 1.5}, "/max_tokens", "integer"),
    ("/api/v1/generate", {"prompt": "x", "top_p": 2}, "/top_p", "1"),
    ("/api/v1/generate", {"prompt": 5}, "/prompt", "string"),
    ("/api/v1/generate", {"prompt": "x", "stop": [1]}, "/stop/0", "string"),
    ("/api/v1/generate", {"prompt": "x", "stream": "yes"}, "/stream", "true or false"),
    ("/api/v1/generate", {"prompt": "x", "keep_alive": "soon"}, "/keep_alive", "duration"),
    ("/api/v1/generate", {"prompt": "x", "temprature": 1}, "/temprature", "temperature"),
    ("/api/v1/generate", {"model": "tiny"}, "/prompt", "messages"),
    ("/api/v1/generate", {"prompt": "x", "messages": CHAT["messages"]}, "/messages", "not both"),
    ("/api/v1/generate", {"messages": []}, "/messages", "1"),
    ("/api/v1/generate", {"prompt": "x", "images": ["http://127.0.0.1/x.png"]}, "/images/0", "base64"),
    ("/api/v1/models/pull", {}, "/source", "required"),
    ("/api/v1/models/pull", {"source": "gopher:x"}, "", "hf:"),
    ("/api/v1/models/pull", {"source": "hf:a/b", "name": "../x"}, "/name", ""),
    ("/api/v1/models/tiny/load", {"keep_alive": True}, "/keep_alive", "duration"),
    ("/v1/chat/completions", {"model": "tiny"}, "/messages", "messages"),
    ("/v1/chat/completions", {"model": "tiny", "messages": "hi"}, "/messages", "array"),
    ("/v1/chat/completions", {"model": "tiny", "messages": []}, "/messages", "at least one"),
    ("/v1/chat/completions", {"model": "tiny", "messages": [{"content": "x"}]}, "/messages/0/role", "role"),
    ("/v1/chat/completions", {"model": "tiny", "messages": [{"role": "user", "content": 1}]}, "/messages/0/content",
     "string"),
    ("/v1/chat/completions", {**CHAT, "model": 7}, "/model", "string"),
    ("/v1/chat/completions", {**CHAT, "n": 0}, "/n", "1"),
    ("/v1/chat/completions", {**CHAT, "n": 129}, "/n", "128"),
    ("/v1/chat/completions", {**CHAT, "n": "2"}, "/n", "integer"),
    ("/v1/chat/completions", {**CHAT, "temperature": 101}, "/temperature", "100"),
    ("/v1/chat/completions", {**CHAT, "stream": 1}, "/stream", "true or false"),
    ("/v1/chat/completions", {**CHAT, "stream": True, "stream_options": {"include_usage": 1}},
     "/stream_options/include_usage", "true or false"),
    ("/v1/chat/completions", {**CHAT, "tools": [TOOL]}, "/tools", "template"),
    ("/v1/chat/completions", {**CHAT, "tool_choice": "required"}, "/tool_choice", "template"),
    ("/v1/chat/completions", {**CHAT, "model": "tiny-tools", "tool_choice": "required"}, "/tool_choice", "tools"),
    ("/v1/chat/completions", {**CHAT, "messages": [{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}]}, "/messages/0/content/0",
     "images"),
    ("/v1/completions", {"model": "tiny"}, "/prompt", "prompt"),
    ("/v1/embeddings", {"model": "tiny-embed"}, "/input", "input"),
    ("/v1/embeddings", {"model": "tiny", "input": "x"}, "/model", "embeddings"),
    ("/v1/chat/completions", {**CHAT, "model": "tiny-embed"}, "/model", "generate text"),
    ("/v1/rerank", {"model": "tiny", "query": "x", "documents": ["y"]}, "/model", "rank"),
])
def test_wrong_fields_are_named(tiny, path, body, pointer, words):
    if path == "/api/v1/generate":
        body = {"model": "tiny", **body}
    answer = tiny.post(path, body)
    assert answer.status_code == 400, answer.text
    error = error_of(answer)
    assert error.get("pointer", "") == pointer or not pointer, error
    assert words in error["message"], error
    assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize("path, body", [
    ("/api/v1/generate", {"prompt": "x"}), ("/v1/chat/completions", {"messages": CHAT["messages"]}),
    ("/v1/completions", {"prompt": "x"}), ("/v1/embeddings", {"input": "x"}), ("/api/v1/models/tinny/load", {}),
])
def test_unknown_model(tiny, path, body):
    answer = tiny.post(path, body if "load" in path else {**body, "model": "tinny"})
    assert answer.status_code == 404
    error = error_of(answer)
    assert error["code"] == "model_not_found"
    assert "did you mean tiny" in error["message"]
    assert "llm-mcp pull" in error["message"]


def test_get_of_unknown_models(tiny):
    for path in ("/api/v1/models/tinny", "/v1/models/tinny"):
        assert error_of(tiny.get(path))["code"] == "model_not_found"


@pytest.mark.parametrize("path, body", [
    ("/api/v1/generate", {"prompt": "y" * 3000}), ("/v1/completions", {"prompt": "y" * 3000}),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "y" * 3000}]}),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "y" * 3000}], "stream": True}),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "y" * 3000}], "n": 2}),
])
def test_too_long_a_prompt_is_never_cut(tiny, path, body):
    answer = tiny.post(path, {"model": "tiny", **body})
    assert answer.status_code == 400, answer.text
    error = error_of(answer)
    assert error["code"] == "context_length_exceeded"
    assert error["n_ctx"] == 2048
    assert error["n_prompt_tokens"] > 3000
    assert "2048" in error["message"] and str(error["n_prompt_tokens"]) in error["message"]


def test_too_large_a_body(gateway):
    running = gateway(["tiny"], {"server": {"limits": {"max_body_bytes": "2KiB"}}})
    answer = running.post("/api/v1/generate", {"model": "tiny", "prompt": "x" * 4096})
    assert answer.status_code == 413
    assert "2" in error_of(answer)["message"]
    chunked = request_bytes("POST /api/v1/generate HTTP/1.1", "Content-Type: application/json",
                            "Transfer-Encoding: chunked") + b"1000\r\n" + b" " * 4096 + b"\r\n0\r\n\r\n"
    assert raw(running, chunked).startswith(b"HTTP/1.1 413")
    assert running.post("/api/v1/generate", {"model": "tiny", "prompt": "x", "max_tokens": 1}).status_code == 200


@pytest.mark.parametrize("headers", [
    {"Content-Type": "text/plain"}, {"Content-Type": "application/x-www-form-urlencoded"}, {},
    {"Content-Type": "application/json", "Content-Encoding": "gzip"},
])
def test_other_media_types(tiny, headers):
    answer = tiny.client.post("/api/v1/generate", content=b'{"model":"tiny","prompt":"x"}', headers=headers)
    assert answer.status_code == 415
    assert error_of(answer)["message"]


@pytest.mark.parametrize("method, path, allow", [
    ("GET", "/api/v1/generate", {"POST"}), ("PUT", "/v1/models", {"GET", "HEAD"}),
    ("POST", "/api/v1/models/tiny", {"GET", "HEAD", "DELETE"}), ("DELETE", "/health", {"GET", "HEAD"}),
])
def test_other_methods(tiny, method, path, allow):
    answer = tiny.client.request(method, path)
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == allow
    assert error_of(answer)["code"] == "method_not_allowed"


def test_unknown_path(tiny):
    answer = tiny.get("/v1/nothing")
    assert answer.status_code == 404
    assert error_of(answer)["code"] == "not_found"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "[::2]"])
@pytest.mark.parametrize("path", ["/", "/livez", "/metrics", "/v1/models", "/api/v1/ws"])
def test_foreign_hosts_are_refused_everywhere(tiny, host, path):
    answer = tiny.get(path, headers={"Host": host})
    assert answer.status_code == 403
    assert "server.allowed_hosts" in error_of(answer)["message"]


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost.evil.example"])
def test_foreign_origins_are_refused(tiny, origin):
    answer = tiny.client.post("/v1/chat/completions", json=CHAT, headers={"Origin": origin})
    assert answer.status_code == 403
    assert "server.allowed_origins" in error_of(answer)["message"]


def test_hosts_and_origins_of_this_machine_are_served(tiny):
    for headers in ({"Host": "localhost:1"}, {"Host": "127.0.0.1"}, {"Host": "[::1]:80"},
                    {"Origin": "http://localhost:3000"}):
        assert tiny.get("/livez", headers=headers).status_code == 200, headers


@pytest.mark.parametrize("path", [
    "/api/v1/models/%zz", "/api/v1/models/%", "/api/v1/models/a%00b", "/api/v1/models/..", "/api/v1/../v1/models",
    "/api/v1/models/%2e%2e", "/api/v1/models/%2e%2e%2fx", "/api/v1/models/..%2f..%2fetc%2fpasswd",
    "/api/v1/models/%ff", "/api/v1/models/a%0d%0ab",
])
def test_broken_and_climbing_paths(tiny, path):
    answer = raw(tiny, request_bytes(f"GET {path} HTTP/1.1"))
    assert answer.startswith(b"HTTP/1.1 400"), answer[:200]


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/../../b", "/etc/passwd", ".", "a\x00b", "x" * 5000, ""])
def test_names_that_climb_find_nothing(tiny, name):
    answer = tiny.post("/api/v1/generate", {"model": name or " ", "prompt": "x"})
    assert answer.status_code in (400, 404)
    assert len(answer.content) < 2000  # a long name is not sent back
    for command in ("import", "rm", "show"):
        if "\x00" not in name:
            assert tiny.home.run(command, *(["--name", name, "--", "/dev/null"] if command == "import" else
                                            ["--", name or " "])).returncode != 0
    assert not (tiny.home.path / "etc").exists()


KEY = base64.b64encode(os.urandom(16)).decode()
UPGRADE = ("Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {KEY}", "Sec-WebSocket-Version: 13")


@pytest.mark.parametrize("headers, status", [
    ((), 426),
    (UPGRADE[:3] + ("Sec-WebSocket-Version: 8",), 426),
    (UPGRADE[:2] + UPGRADE[3:], 400),
    (UPGRADE[:2] + ("Sec-WebSocket-Key: c2hvcnQ=", UPGRADE[3]), 400),
    ((*UPGRADE, "Origin: http://evil.example"), 403),
])
def test_broken_websocket_handshakes(tiny, headers, status):
    head = "\r\n".join(["GET /api/v1/ws HTTP/1.1", "Host: localhost", *headers, "", ""]).encode()
    answer = raw(tiny, head, shut=True)
    assert answer.startswith(f"HTTP/1.1 {status}".encode()), answer[:300]
    if status == 426:
        assert b"sec-websocket-version: 13" in answer.lower()
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["message"]


@pytest.mark.parametrize("data", [
    b"GARBAGE\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nX y: z\r\n\r\n", b"GET / HTTP/3.0\r\nHost: localhost\r\n\r\n",
    b"POST /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
])
def test_broken_messages_close_the_connection(tiny, data):
    answer = raw(tiny, data)
    assert answer.split(b" ")[1:2][0] in (b"400", b"505"), answer[:200]
    assert answer.count(b"HTTP/1.1 ") == 1


def test_slow_clients_are_cut(gateway):
    limits = {"header_timeout": "200ms", "body_timeout": "200ms", "idle_timeout": "300ms"}
    running = gateway(["tiny"], {"server": {"limits": limits}})
    head = b"GET / HTTP/1.1\r\nHost: loc"
    assert raw(running, head)[:12] in (b"", b"HTTP/1.1 408")
    body = b"POST /api/v1/generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" \
           b"Content-Length: 100\r\n\r\n{"
    assert raw(running, body).startswith(b"HTTP/1.1 408")
    assert raw(running, b"") == b""


def test_overload_is_an_early_clear_answer(gateway):
    running = gateway(["tiny-long"], {"inference": {"max_concurrent": 1, "queue_limit": 0}})
    request = {"model": "tiny-long", "prompt": "x", "max_tokens": 100_000}
    with running.client.stream("POST", "/api/v1/generate", json={**request, "stream": True}) as busy:
        assert busy.status_code == 200
        refused = running.post("/v1/completions", {**request, "max_tokens": 1})
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
        error = error_of(refused)
        assert error["code"] == "overloaded"
        assert error["retry_after"] > 0
        assert "1 requests at work" in error["message"]
    wait_until(lambda: running.post("/v1/completions", {**request, "max_tokens": 1}).status_code == 200, "a free place")


def test_the_queue_lets_requests_in_one_by_one(gateway):
    running = gateway(["tiny"], {"inference": {"max_concurrent": 1, "queue_limit": 8}})
    statuses = []

    def ask():
        request = {"model": "tiny", "prompt": "x", "max_tokens": 20}
        statuses.append(running.post("/api/v1/generate", request).status_code)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 8
