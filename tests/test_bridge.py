"""Tools of other MCP servers behind ours: the official Python SDK's server over stdio and over HTTP, and broken ones."""
import json
import pathlib
import subprocess
import sys

import pytest

from harness import alive, processes_naming, wait_until

PEER = pathlib.Path(__file__).parent / "bridge_peer.py"
META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
BRIDGED = {"add", "pixel", "steps", "broken", "variable", "die"}


def post(server, method, params=None, meta=None, number=1):
    """One request of 2026-07-28 over HTTP: the messages that came back, the answer last."""
    params = {**(params or {}), "_meta": {**META, **(meta or {})}}
    headers = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2026-07-28",
               "Mcp-Method": method, **({"Mcp-Name": params["name"]} if "name" in params else {})}
    response = server.client.post("/mcp", headers=headers,
                                  json={"jsonrpc": "2.0", "id": number, "method": method, "params": params})
    assert response.status_code == 200, response.text
    if response.headers["content-type"].startswith("application/json"):
        return [response.json()]
    return [json.loads(line[len("data: "):]) for line in response.text.splitlines() if line.startswith("data: {")]


def tools(server):
    return {tool["name"]: tool for tool in post(server, "tools/list")[-1]["result"]["tools"]}


def call(server, name, arguments=None):
    return post(server, "tools/call", {"name": name, "arguments": arguments or {}})[-1]["result"]


def bridged(server, prefix):
    return wait_until(lambda: {name: tool for name, tool in tools(server).items() if name.startswith(prefix)},
                      f"tools with the prefix {prefix}")


def stdio_peer(**changes):
    return {"command": sys.executable, "args": [str(PEER), "stdio"], **changes}


@pytest.fixture
def http_peer(tmp_path):
    """URL of a peer over HTTP."""
    port = tmp_path / "port"
    process = subprocess.Popen([sys.executable, str(PEER), "http", str(port)], stdin=subprocess.DEVNULL)
    yield f"http://127.0.0.1:{wait_until(lambda: port.exists() and port.read_text(), 'the peer')}/mcp"
    process.kill()
    process.wait()


def check_peer(server, prefix):
    listed = bridged(server, prefix)
    assert set(listed) == {prefix + name for name in BRIDGED}
    add = listed[prefix + "add"]
    assert add["title"] == "Add numbers"
    assert add["annotations"]["readOnlyHint"] is True and add["annotations"]["openWorldHint"] is False
    assert set(add["inputSchema"]["required"]) == {"a", "b"} and "outputSchema" in add
    assert call(server, prefix + "add", {"a": 1, "b": 2})["structuredContent"] == {"total": 3}
    wrong = call(server, prefix + "add", {"a": "one"})  # refused here, by the peer's own schema
    assert wrong["isError"] and "/a" in wrong["content"][0]["text"]
    assert [block["type"] for block in call(server, prefix + "pixel")["content"]] == ["image"]
    assert call(server, prefix + "broken")["isError"]
    *progress, answer = post(server, "tools/call", {"name": prefix + "steps", "arguments": {}},
                             meta={"progressToken": "p"})
    assert [message["params"]["message"] for message in progress] == ["step 1", "step 2", "step 3"]
    assert answer["result"]["structuredContent"] == {"result": "walked"}


def test_a_server_over_stdio(gateway):
    place = gateway.home(settings={"mcp": {"bridges": {"peer": stdio_peer(env={"GIVEN": "yes"}, pass_env=["PASSED"])}}})
    place.env |= {"HIDDEN": "s3cret", "PASSED": "on"}
    server = gateway(home=place)
    check_peer(server, "peer_")
    assert call(server, "peer_variable", {"name": "GIVEN"})["structuredContent"] == {"result": "yes"}
    assert call(server, "peer_variable", {"name": "PASSED"})["structuredContent"] == {"result": "on"}
    assert call(server, "peer_variable", {"name": "HIDDEN"})["structuredContent"] == {"result": ""}


def test_a_server_over_http(gateway, http_peer):
    server = gateway([], {"mcp": {"bridges": {"web": {"url": http_peer, "prefix": "w"}}}})
    check_peer(server, "w_")


def test_filters(gateway):
    peer = stdio_peer(include=["a*", "die"], exclude=["d*"])
    server = gateway([], {"mcp": {"bridges": {"peer": peer}}})
    assert set(bridged(server, "peer_")) == {"peer_add"}


def test_urls_from_the_environment(gateway, http_peer):
    place = gateway.home()
    place.env["MCP_BRIDGE_URLS"] = f"env={http_peer}"
    assert "env_add" in bridged(gateway(home=place), "env_")


def test_a_server_that_dies_comes_back(gateway):
    server = gateway([], {"mcp": {"bridges": {"peer": stdio_peer()}}})
    bridged(server, "peer_")
    died = call(server, "peer_die")
    assert died["isError"] and "bridge 'peer'" in died["content"][0]["text"]
    assert call(server, "peer_add", {"a": 2, "b": 2})["structuredContent"] == {"total": 4}


def test_servers_that_are_broken_harm_nobody(gateway):
    script = {"garbage": "while :; do head -c 100000 /dev/urandom; done", "silent": "while read -r line; do :; done",
              "deaf": "exec sleep 1000", "gone": "exit 1", "long": "exec cat /dev/zero"}
    bridges = {name: {"command": "/bin/sh", "args": ["-c", text]} for name, text in script.items()}
    bridges |= {"missing": {"command": "/nowhere/server"}, "closed": {"url": "http://127.0.0.1:9/mcp"},
                "peer": stdio_peer()}
    server = gateway([], {"mcp": {"bridges": bridges}})
    assert call(server, "llm_status")["structuredContent"]  # at once, whatever the bridges do
    assert "peer_add" in bridged(server, "peer_")
    assert call(server, "peer_add", {"a": 1, "b": 1})["structuredContent"] == {"total": 2}


def test_the_end_of_the_gateway_ends_the_programs(gateway, tmp_path):
    mark = str(tmp_path / "mark")
    server = gateway([], {"mcp": {"bridges": {"peer": stdio_peer(args=[str(PEER), "stdio", mark])}}})
    bridged(server, "peer_")
    pids = processes_naming(mark)
    assert pids
    server.stop()
    assert not any(alive(pid) for pid in pids)


def test_a_bridge_to_ourselves_is_refused(gateway):
    place = gateway.home()
    server = gateway(home=place)
    port = server.url.rpartition(":")[2]
    server.stop()
    place.write_config({"server": {"port": int(port)},
                        "mcp": {"bridges": {"me": {"url": f"http://127.0.0.1:{port}/mcp"}}}})
    server = gateway(home=place)
    wait_until(lambda: "bridge refused" in server.stderr(), "the refusal in the log")
    assert not any(name.startswith("me_") for name in tools(server))
