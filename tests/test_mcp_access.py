"""MCP with access control: real SDKs with keys, what each role sees, and what belongs to somebody else."""
import json
import re
import threading

import httpx
import pytest

from access_clients import PROTECTED, bearer, local, make_key
from conftest import Factory
from harness import wait_until
from mcp_lines import Stdio
from test_mcp_clients import CLIENTS, ERAS, connect

MODERN, LEGACY = "2026-07-28", "2025-11-25"
TASKS = "io.modelcontextprotocol/tasks"


@pytest.fixture(scope="module")
def guarded(models):
    factory = Factory(models)
    gateway = factory(["tiny", "tiny-long"], {**PROTECTED, "mcp": {"task_after": "0s", "toolsets": ["core", "admin"]}})
    yield gateway
    factory.close()


@pytest.fixture(scope="module")
def keys(guarded):
    return {role: make_key(guarded, role)["key"] for role in ("admin", "operator", "user", "viewer")}


def post(gateway, key, method, params=None, *, capabilities=None, headers=None):
    """One request of the stateless era."""
    params = dict(params or {})
    named = params.get("name") or params.get("uri") or params.get("taskId")
    params["_meta"] = {"io.modelcontextprotocol/protocolVersion": MODERN,
                       "io.modelcontextprotocol/clientCapabilities": capabilities or {}}
    sent = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": MODERN, "Mcp-Method": method,
            **({"Mcp-Name": named} if named else {}), **(bearer(key) if key else {}), **(headers or {})}
    return httpx.post(gateway.url + "/mcp", headers=sent, timeout=60,
                      json={"jsonrpc": "2.0", "id": 1, "method": method, "params": params})


def result(answer):
    """Of an answer as JSON or as a stream."""
    if answer.headers["content-type"].startswith("text/event-stream"):
        last = [line[6:] for line in answer.text.splitlines() if line.startswith("data: ")][-1]
        return json.loads(last)["result"]
    return answer.json()["result"]


def session_of(gateway, key):
    """A session of the older era: what every further request of it carries."""
    headers = {"Accept": "application/json, text/event-stream", **bearer(key)}
    opened = httpx.post(gateway.url + "/mcp", headers=headers, json={
        "jsonrpc": "2.0", "id": 0, "method": "initialize",
        "params": {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}})
    assert opened.status_code == 200, opened.text
    return {**headers, "Mcp-Session-Id": opened.headers["mcp-session-id"], "MCP-Protocol-Version": LEGACY}


@pytest.mark.parametrize("kind, era", CLIENTS, ids="-".join)
def test_clients_with_a_key(guarded, keys, node_tools, kind, era):
    with connect(kind, era, url=guarded.url + "/mcp", headers=bearer(keys["user"])) as client:
        assert client.do("about")["version"] == ERAS[era]
        listed = client.do("list")
        assert "llm_chat" in listed["tools"] and "llm_list_models" in listed["tools"]
        assert not {"llm_pull_model", "llm_status"} & set(listed["tools"])
        assert "llm://models" in listed["resources"] and "llm://engines" not in listed["resources"]
        called = client.do("call", name="llm_tokenize", arguments={"model": "tiny", "text": "abc"})
        assert called["structuredContent"]["count"] >= 3
    with connect(kind, era, url=guarded.url + "/mcp", headers=bearer(keys["viewer"])) as client:
        listed = client.do("list")
        assert "llm_chat" not in listed["tools"] and "llm_status" in listed["tools"]
        assert listed["prompts"] == []
        with pytest.raises(Exception):
            client.do("call", name="llm_tokenize", arguments={"model": "tiny", "text": "abc"})


@pytest.mark.parametrize("kind, era", [("ts-v1", "legacy"), ("ts-v2", MODERN), ("mcp", MODERN)], ids="-".join)
def test_clients_without_a_key(guarded, node_tools, kind, era):
    with pytest.raises(Exception):
        with connect(kind, era, url=guarded.url + "/mcp") as client:
            client.do("list")


def test_discovery(guarded):
    """From the 401 to the metadata, as RFC 9728 section 5 and the MCP specification have it."""
    for answer in (post(guarded, "", "tools/list"), post(guarded, "llm_0_0", "tools/list"),
                   httpx.get(guarded.url + "/mcp"), httpx.delete(guarded.url + "/mcp")):
        assert answer.status_code == 401
        challenge = answer.headers["www-authenticate"]
        place = re.search(r'resource_metadata="([^"]+)"', challenge)[1]
        metadata = httpx.get(place).json()
        assert metadata["resource"] == guarded.url + "/mcp"
        assert "scope=" in challenge
    assert 'error="invalid_token"' in post(guarded, "llm_0_0", "tools/list").headers["www-authenticate"]
    # A token in the URL is no token (MCP "Access token usage").
    assert httpx.get(guarded.url + "/mcp?access_token=llm_0_0").status_code == 401


def test_insufficient_scope(guarded, keys):
    answer = post(guarded, keys["user"], "tools/call", {"name": "llm_load_model", "arguments": {"model": "tiny"}})
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/json"
    challenge = answer.headers["www-authenticate"]
    assert challenge.startswith("Bearer ") and 'error="insufficient_scope"' in challenge
    assert f'resource_metadata="{guarded.url}/.well-known/oauth-protected-resource/mcp"' in challenge
    assert set(re.search(r'scope="([^"]+)"', challenge)[1].split()) == {"generate", "models:read", "models:write"}
    assert answer.json()["id"] == 1 and answer.json()["error"]["data"] == {"permission": "models:write"}
    session = session_of(guarded, keys["user"])
    old = httpx.post(guarded.url + "/mcp", headers=session, json={
        "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "llm_load_model"}})
    assert old.status_code == 403 and old.headers["www-authenticate"] == challenge
    denied = [line for line in guarded.home.must("audit", "list", "--action", "access.denied", "--json").stdout
              .splitlines()]
    assert "llm_load_model" in "".join(denied)


def test_the_body_decides_and_not_the_header(guarded, keys):
    harmless = {"Mcp-Name": "llm_list_models", "Mcp-Method": "tools/call"}
    answer = post(guarded, keys["viewer"], "tools/call", {"name": "llm_chat", "arguments": {"messages": []}},
                  headers=harmless)
    assert answer.status_code == 400 and answer.json()["error"]["code"] == -32020
    session = session_of(guarded, keys["viewer"])
    answer = httpx.post(guarded.url + "/mcp", headers={**session, **harmless}, json={
        "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "llm_chat"}})
    assert answer.status_code == 403


def test_models_of_a_key(guarded):
    key = make_key(guarded, "operator", models=["tiny"])["key"]
    listed = result(post(guarded, key, "tools/call", {"name": "llm_list_models", "arguments": {}}))
    assert [model["name"] for model in listed["structuredContent"]["models"]] == ["tiny"]
    uris = [one["uri"] for one in result(post(guarded, key, "resources/list"))["resources"]]
    assert "llm://models/tiny" in uris and "llm://models/tiny-long" not in uris
    there = post(guarded, key, "resources/read", {"uri": "llm://models/tiny-long"})
    nowhere = post(guarded, key, "resources/read", {"uri": "llm://models/no-such"})
    assert "result" not in there.json() and "result" not in nowhere.json()
    assert there.json()["error"]["code"] == nowhere.json()["error"]["code"], "whether it exists is not told"
    refused = result(post(guarded, key, "tools/call", {
        "name": "llm_generate", "arguments": {"model": "tiny-long", "prompt": "x", "max_tokens": 1}}))
    assert refused["isError"], refused


def test_a_foreign_session(guarded, keys):
    session = session_of(guarded, keys["user"])
    unknown = {**session, "Mcp-Session-Id": "0" * 32 + session["Mcp-Session-Id"][32:]}
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    # Even who may do more, and a second key of the same person.
    for thief in (keys["admin"], make_key(guarded, "user")["key"]):
        for send in (lambda headers: httpx.post(guarded.url + "/mcp", headers=headers, json=ping),
                     lambda headers: httpx.get(guarded.url + "/mcp", headers=headers),
                     lambda headers: httpx.get(guarded.url + "/mcp", headers={**headers, "Last-Event-ID": "1-0"}),
                     lambda headers: httpx.delete(guarded.url + "/mcp", headers=headers)):
            stolen, none = send({**session, **bearer(thief)}), send({**unknown, **bearer(thief)})
            assert stolen.status_code == none.status_code == 404
            assert stolen.content == none.content
    assert httpx.post(guarded.url + "/mcp", headers=session, json=ping).status_code == 200


def task_of(gateway, key):
    made = result(post(gateway, key, "tools/call",
                       {"name": "llm_generate", "arguments": {"model": "tiny-long", "prompt": "x",
                                                              "max_tokens": 100_000}},
                       capabilities={"extensions": {TASKS: {}}}))
    assert made["resultType"] == "task", made
    return made["taskId"]


def test_a_foreign_task(guarded, keys):
    owner, thief = keys["user"], keys["admin"]
    able = {"extensions": {TASKS: {}}}
    task = task_of(guarded, owner)
    try:
        for method, more in (("tasks/get", {}), ("tasks/update", {"inputResponses": {}}), ("tasks/cancel", {})):
            stolen = post(guarded, thief, method, {"taskId": task, **more}, capabilities=able)
            none = post(guarded, thief, method, {"taskId": "0" * 32, **more}, capabilities=able)
            assert "error" in stolen.json(), (method, stolen.text)
            assert stolen.status_code == none.status_code
            assert stolen.text.replace(task, "ID") == none.text.replace("0" * 32, "ID")
        with local(guarded) as client:  # the local user is another one, too
            answer = client.post("/mcp", headers={"Accept": "application/json, text/event-stream",
                                                  "MCP-Protocol-Version": MODERN, "Mcp-Method": "tasks/get",
                                                  "Mcp-Name": task},
                                 json={"jsonrpc": "2.0", "id": 1, "method": "tasks/get", "params": {
                                     "taskId": task,
                                     "_meta": {"io.modelcontextprotocol/protocolVersion": MODERN,
                                               "io.modelcontextprotocol/clientCapabilities": able}}})
            assert "error" in answer.json()
        assert result(post(guarded, owner, "tasks/get", {"taskId": task}, capabilities=able))["status"] == "working"
    finally:
        post(guarded, owner, "tasks/cancel", {"taskId": task}, capabilities=able)
        guarded_idle(guarded)


def guarded_idle(gateway):
    with local(gateway) as client:
        def idle():
            return not any(engine.get("in_flight") for engine in client.get("/api/v1/engines").json()["engines"])
        wait_until(idle, "idle engines")


def test_a_foreign_request_state(guarded):
    """What the server sealed for one principal is nothing in another's hands, or with other arguments."""
    owner, thief = (make_key(guarded, "admin")["key"] for _ in range(2))
    able = {"elicitation": {"form": {}}}
    asked = {"name": "llm_remove_model", "arguments": {"model": "tiny-long"}}
    first = result(post(guarded, owner, "tools/call", asked, capabilities=able))
    assert first["resultType"] == "input_required", first
    answers = {key: {"action": "decline"} for key in first["inputRequests"]}
    state = first["requestState"]

    def repeat(key, params, sealed=state):
        return post(guarded, key, "tools/call", {**params, "inputResponses": answers, "requestState": sealed},
                    capabilities=able).json()

    other = {"name": "llm_remove_model", "arguments": {"model": "tiny"}}
    tampered = state[:-2] + ("AA" if state[-2:] != "AA" else "BB")
    for refused in (repeat(thief, asked), repeat(owner, other), repeat(owner, asked, tampered)):
        assert refused["error"]["code"] == -32602 and "requestState" in refused["error"]["message"], refused
    assert "result" in repeat(owner, asked)


class Listening(threading.Thread):
    """Reads a stream to its end."""

    def __init__(self, *request, **options):
        super().__init__(daemon=True)
        self.request, self.options = request, options
        self.open = threading.Event()
        self.lines = []
        self.start()
        assert self.open.wait(60), "the stream did not begin"

    def run(self):
        with httpx.stream(*self.request, timeout=60, **self.options) as response:
            assert response.status_code == 200, response.read()
            for line in response.iter_lines():
                self.lines.append(line)
                self.open.set()


def test_listening_ends_with_the_key(guarded):
    """Both kinds of streams that may be silent for days."""
    made = make_key(guarded, "user")
    session = session_of(guarded, made["key"])
    params = {"notifications": {"resourcesListChanged": True},
              "_meta": {"io.modelcontextprotocol/protocolVersion": MODERN,
                        "io.modelcontextprotocol/clientCapabilities": {}}}
    streams = [
        Listening("GET", guarded.url + "/mcp", headers={**session, "Accept": "text/event-stream"}),
        Listening("POST", guarded.url + "/mcp", headers={
            "Accept": "application/json, text/event-stream", "MCP-Protocol-Version": MODERN,
            "Mcp-Method": "subscriptions/listen", **bearer(made["key"])},
            json={"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": params}),
    ]
    assert all(stream.is_alive() for stream in streams)
    with local(guarded) as client:
        assert client.delete(f"/api/v1/keys/{made['id']}").status_code in (200, 204)
    for stream in streams:
        stream.join(60)
        assert not stream.is_alive(), "a stream outlived its key"
    assert httpx.post(guarded.url + "/mcp", headers=session,
                      json={"jsonrpc": "2.0", "id": 1, "method": "ping"}).status_code == 401


def test_lists_are_not_for_shared_caches(guarded, keys):
    for method in ("tools/list", "resources/list", "resources/templates/list", "prompts/list", "server/discover"):
        assert result(post(guarded, keys["user"], method))["cacheScope"] == "private", method


def test_stdio_is_the_local_user(guarded):
    """Whoever can open the Unix socket is; no key is needed."""
    with Stdio(guarded.home) as stdio:
        stdio.initialize()
        names = {tool["name"] for tool in stdio.call("tools/list", {}, 1)["result"]["tools"]}
        assert {"llm_chat", "llm_pull_model", "llm_status"} <= names
        called = stdio.call("tools/call", {"name": "llm_list_models", "arguments": {}}, 2)["result"]
        assert {model["name"] for model in called["structuredContent"]["models"]} == {"tiny", "tiny-long"}
