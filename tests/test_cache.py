"""Exact answers come from the cache where that is allowed: to the same tenant, for the same version, as long as they last."""
import collections
import http.server
import json
import threading

import httpx
import pytest

import access_clients
from harness import error_of, wait_until

CHAT = {"model": "up/m", "messages": [{"role": "user", "content": "hello"}], "temperature": 0, "max_tokens": 50}
EMBED = {"model": "up/m", "input": "hello"}


class Engine(http.server.ThreadingHTTPServer):
    """An engine that never says the same twice: each answer has its number."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), EngineHandler)
        self.asked = collections.Counter()  # by path
        self.lock = threading.Lock()
        self.thread = threading.Thread(target=self.serve_forever, daemon=True)
        self.thread.start()

    @property
    def count(self):
        with self.lock:
            return sum(self.asked.values())

    def close(self):
        self.shutdown()
        self.server_close()
        self.thread.join()


class EngineHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.reply({"object": "list", "data": [{"id": "m"}, {"id": "other"}]})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.asked[self.path] += 1
            number = sum(self.server.asked.values())
        if self.path.endswith("/embeddings"):
            return self.reply({"object": "list", "model": body["model"], "usage": {"prompt_tokens": 2, "total_tokens": 2},
                               "data": [{"object": "embedding", "index": 0, "embedding": [number, 0.25]}]})
        usage = {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}
        words = ["answer", " number", f" {number}", "x" * body.get("pad", 0)]
        if not body.get("stream"):
            return self.reply({"id": f"up-{number}", "object": "chat.completion", "created": 1, "model": body["model"],
                               "choices": [{"index": 0, "finish_reason": "stop",
                                            "message": {"role": "assistant", "content": "".join(words)}}],
                               "usage": usage})
        event = {"id": f"up-{number}", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}
        choices = [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None},
                   *({"index": 0, "delta": {"content": word}, "finish_reason": None} for word in words if word),
                   {"index": 0, "delta": {}, "finish_reason": "stop"}]
        events = [{**event, "choices": [choice]} for choice in choices]
        if body.get("stream_options", {}).get("include_usage"):
            events.append({**event, "choices": [], "usage": usage})
        text = "".join(f"data: {json.dumps(one)}\n\n" for one in events) + "data: [DONE]\n\n"
        self.reply(text.encode(), "text/event-stream")

    def reply(self, document, kind="application/json"):
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def engine():
    one = Engine()
    yield one
    one.close()


@pytest.fixture
def cached(gateway, engine):
    """Makes gateways in front of that engine, with these settings of the cache."""
    def make(cache=None, **more):
        provider = {"base_url": f"http://127.0.0.1:{engine.server_port}/v1", "models": ["m", "other"]}
        return gateway([], {"providers": {"up": provider}, "cache": {"generation": True, **(cache or {})}, **more})
    return make


def ask(gateway, body=None, headers=None, path="/v1/chat/completions"):
    """An answer, which is good; whole or as a stream's events."""
    answer = gateway.client.post(path, json=body or CHAT, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer


def verdict(answer):
    return answer.headers.get("x-llm-cache")


def text(answer):
    return answer.json()["choices"][0]["message"]["content"]


def events(answer):
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def streamed_text(answer):
    return "".join(choice["delta"].get("content") or "" for event in events(answer) for choice in event["choices"])


def test_the_same_request_is_answered_once(cached, engine):
    gateway = cached()
    first, second = ask(gateway), ask(gateway)
    assert (verdict(first), verdict(second)) == ("miss", "hit")
    assert text(first) == text(second) == "answer number 1"
    assert engine.count == 1
    assert second.json()["usage"] == first.json()["usage"]
    assert second.json()["id"] != first.json()["id"], "an answer of its own"
    assert second.headers["x-llm-model-version"] == first.headers["x-llm-model-version"]


def test_another_spelling_is_the_same_request(cached, engine):
    gateway = cached()
    ask(gateway)
    same = {"max_tokens": 50.0, "temperature": 0.0, "user": "somebody",
            "messages": [{"content": "hello", "role": "user"}], "model": "up/m"}
    assert verdict(ask(gateway, same)) == "hit"
    for other in ({"max_tokens": 51}, {"model": "up/other"}, {"messages": [{"role": "user", "content": "Hello"}]}):
        assert verdict(ask(gateway, {**CHAT, **other})) == "miss", other
    assert engine.count == 4


@pytest.mark.parametrize("first,second", [(True, True), (True, False), (False, True)])
def test_streams_replay(cached, engine, first, second):
    """Whatever came first, the other way of asking gets the same answer."""
    gateway = cached()
    shape = {True: {"stream": True, "stream_options": {"include_usage": True}}, False: {}}
    one, two = ask(gateway, {**CHAT, **shape[first]}), ask(gateway, {**CHAT, **shape[second]})
    assert (verdict(one), verdict(two)) == ("miss", "hit")
    assert engine.count == 1
    said = [streamed_text(answer) if stream else text(answer) for answer, stream in ((one, first), (two, second))]
    assert said == ["answer number 1"] * 2
    model = (events(one)[0] if first else one.json())["model"]
    if not second:
        assert two.json()["choices"][0]["finish_reason"] == "stop"
        assert two.json()["usage"]["total_tokens"] == 5
        return
    replayed = events(two)
    assert len({event["id"] for event in replayed}) == 1
    assert all(event["object"] == "chat.completion.chunk" and event["model"] == model for event in replayed)
    assert [choice["finish_reason"] for event in replayed for choice in event["choices"]
            if choice["finish_reason"]] == ["stop"]
    assert replayed[-1]["choices"] == [] and replayed[-1]["usage"]["total_tokens"] == 5
    if first:
        def pieces(answer):
            return [event["choices"] for event in events(answer)]
        assert pieces(one) == pieces(two), "the same pieces"


def test_a_stream_without_usage_has_none(cached):
    gateway = cached()
    for _ in range(2):
        answer = ask(gateway, {**CHAT, "stream": True})
        assert all(not event.get("usage") and event["choices"] for event in events(answer))
    assert verdict(answer) == "hit"


def test_only_what_cannot_differ_is_kept(cached, engine):
    gateway = cached()
    for body in ({**CHAT, "temperature": 0.7}, {**CHAT, "n": 2}, {k: v for k, v in CHAT.items() if k != "temperature"}):
        for _ in range(2):
            assert verdict(ask(gateway, body)) in (None, "miss"), body
    assert engine.count == 6


def test_asked_for_and_refused(cached, engine):
    gateway = cached({"generation": False})
    warm = {**CHAT, "temperature": 0.7}
    assert [verdict(ask(gateway, {**warm, "cache": True})) for _ in range(2)] == ["miss", "hit"]
    assert verdict(ask(gateway, warm, {"X-LLM-Cache": "use"})) == "hit"
    assert verdict(ask(gateway, {**warm, "cache": False})) is None
    assert verdict(ask(gateway, warm)) is None
    assert verdict(ask(gateway)) is None, "generation is off"
    refused = gateway.post("/v1/chat/completions", {**CHAT, "cache": "yes"})
    assert refused.status_code == 400 and error_of(refused)["pointer"] == "/cache"


def test_no_store_keeps_nothing(cached, engine):
    gateway = cached()
    for _ in range(2):
        assert verdict(ask(gateway, CHAT, {"X-LLM-Cache": "no-store"})) is None
    assert engine.count == 2
    assert verdict(ask(gateway)) == "miss"


def test_tenants_apart(cached, engine):
    gateway = cached(**access_clients.PROTECTED)
    keys = []
    with access_clients.local(gateway) as admin:
        for name in ("red", "blue"):
            made = admin.post("/api/v1/projects", json={"id": name})
            assert made.status_code == 201, made.text
            keys.append(access_clients.make_key(gateway, project=name)["key"])
    seen = [verdict(ask(gateway, headers=access_clients.bearer(key))) for key in (*keys, *keys)]
    assert seen == ["miss", "miss", "hit", "hit"]
    assert engine.count == 2
    said = {text(ask(gateway, headers=access_clients.bearer(key))) for key in keys}
    assert said == {"answer number 1", "answer number 2"}


def test_embeddings(cached, engine):
    gateway = cached({"generation": False})
    first, second = (ask(gateway, EMBED, path="/v1/embeddings") for _ in range(2))
    assert (verdict(first), verdict(second)) == ("miss", "hit")
    assert first.json()["data"] == second.json()["data"]
    assert verdict(ask(gateway, {**EMBED, "input": "other"}, path="/v1/embeddings")) == "miss"
    assert engine.count == 2


def test_embeddings_off(cached, engine):
    gateway = cached({"embeddings": False})
    for _ in range(2):
        assert verdict(ask(gateway, EMBED, path="/v1/embeddings")) is None
    assert engine.count == 2


def test_time_to_live(cached, engine):
    gateway = cached({"ttl": "1s"})
    assert verdict(ask(gateway)) == "miss"
    wait_until(lambda: verdict(ask(gateway)) == "miss", "the end of the answer's time")
    assert engine.count == 2


def metric(gateway, name):
    line = next(line for line in gateway.get("/metrics").text.splitlines() if line.startswith(f"llm_mcp_cache_{name} "))
    return float(line.split()[1])


def test_bounded(cached, engine):
    limit = 256 << 10
    gateway = cached({"max_bytes": limit, "max_entry_bytes": 64 << 10})
    for number in range(60):
        ask(gateway, {**CHAT, "seed": number, "pad": 16 << 10})
    assert 0 < metric(gateway, "bytes") <= limit
    assert metric(gateway, "evictions_total") >= 40
    assert verdict(ask(gateway, {**CHAT, "seed": 59, "pad": 16 << 10})) == "hit"
    assert verdict(ask(gateway, {**CHAT, "seed": 0, "pad": 16 << 10})) == "miss"
    for _ in range(2):  # larger than an entry may be
        assert verdict(ask(gateway, {**CHAT, "pad": 70 << 10})) == "miss"
        assert verdict(ask(gateway, {**CHAT, "pad": 70 << 10, "stream": True})) == "miss"


def test_another_version_is_another_answer(gateway, models):
    """The same name, a new file behind it."""
    here = gateway(["tiny"], {"cache": {"generation": True}})
    body = {"model": "tiny", "prompt": "abc", "temperature": 0, "max_tokens": 8}
    first = ask(here, body, path="/v1/completions")
    assert verdict(first) == "miss"
    assert verdict(ask(here, body, path="/v1/completions")) == "hit"
    here.home.must("import", models["tiny-tools"], "--name", "tiny", "--replace")
    again = wait_until(lambda: (lambda answer: verdict(answer) == "miss" and answer)(
        ask(here, body, path="/v1/completions")), "the new version")
    assert again.headers["x-llm-model-version"] != first.headers["x-llm-model-version"]


def test_off(cached, engine):
    gateway = cached({"enabled": False})
    for _ in range(2):
        assert verdict(ask(gateway, {**CHAT, "cache": True})) is None
    assert engine.count == 2


def test_a_client_that_leaves_takes_nothing_along(cached, engine):
    """Half an answer is not kept: whoever asks next gets a whole one."""
    gateway = cached()
    with gateway.client.stream("POST", "/v1/chat/completions", json={**CHAT, "stream": True, "pad": 600 << 10}) as answer:
        next(answer.iter_raw(100))
    with httpx.Client(base_url=gateway.url, timeout=60) as other:
        whole = other.post("/v1/chat/completions", json={**CHAT, "pad": 600 << 10})
    assert whole.json()["choices"][0]["message"]["content"].endswith("x" * (600 << 10))


def test_an_operator_looks_and_clears(cached, engine):
    gateway = cached()
    for _ in range(2):
        ask(gateway)
    ask(gateway, {**CHAT, "model": "up/other"})
    report = gateway.get("/api/v1/cache").json()
    assert (report["entries"], report["hits"], report["misses"]) == (2, 1, 2)
    assert 0 < report["bytes"] < report["max_bytes"]
    version = ask(gateway).headers["x-llm-model-version"]
    assert gateway.client.request("DELETE", "/api/v1/cache", params={"version": version}).json()["removed"] == 1
    assert verdict(ask(gateway)) == "miss"
    assert verdict(ask(gateway, {**CHAT, "model": "up/other"})) == "hit"
    assert gateway.delete("/api/v1/cache").json()["removed"] == 2
