"""MCP clients that people use, over stdio and HTTP: the TypeScript SDKs, the Python SDK, FastMCP, the Inspector."""
import contextlib
import json
import socket
import subprocess
import threading

import pytest

import node_clients
from conftest import Factory
from harness import PROGRAM, wait_until

LONG = "tiny-long"
SMALL_SET = {"llm_generate", "llm_chat", "llm_embed", "llm_list_models", "llm_model_info", "llm_status", "llm_help"}
FRANCE = {"model": "smollm2", "prompt": "The capital of France is", "max_tokens": 8, "temperature": 0}
ERAS = {"legacy": "2025-11-25", "auto": "2026-07-28", "2026-07-28": "2026-07-28"}
CLIENTS = [("ts-v1", "legacy"), *((kind, era) for kind in ("ts-v2", "mcp", "fastmcp") for era in ERAS)]


@pytest.fixture(scope="module")
def served(models, sample_model):
    """One gateway with the sample model and one that can go on for long."""
    factory = Factory({**models, "smollm2": sample_model})
    yield factory(["smollm2", "tiny", LONG])
    factory.close()


def stdio_of(gateway):
    return {"command": str(PROGRAM), "args": ["stdio"], "env": gateway.home.env, "cwd": str(gateway.home.path)}


def connect(kind, era, **transport):
    if kind.startswith("ts-"):
        return node_clients.NodeClient(kind.removeprefix("ts-"), era, **transport)
    from python_clients import PythonClient
    return PythonClient(kind, era, **transport)


def where(gateway, transport):
    return {"stdio": stdio_of(gateway)} if transport == "stdio" else {"url": gateway.url + "/mcp"}


@pytest.fixture(scope="module", params=[(*client, transport) for client in CLIENTS for transport in ("stdio", "http")],
                ids="-".join)
def client(request, node_tools, served):
    kind, era, transport = request.param
    with connect(kind, era, **where(served, transport)) as connected:
        assert connected.do("about")["version"] == ERAS[era]
        yield connected


def text_of(result):
    assert not result.get("isError"), result
    return result["content"][0]["text"]


def test_lists(client):
    listed = client.do("list")
    assert SMALL_SET <= set(listed["tools"])
    assert {"llm://models", "llm://status"} <= set(listed["resources"])
    assert "llm://models/{name}" in listed["templates"]
    assert listed["prompts"]


def test_generates_with_the_real_model(client):
    result = client.do("call", name="llm_generate", arguments=FRANCE)
    assert text_of(result).startswith(" Paris")
    assert result["structuredContent"]["usage"]["completion_tokens"] == 8


def test_tells_what_is_wrong(client):
    result = client.do("call", name="llm_generate", arguments={**FRANCE, "temperature": -1})
    assert result["isError"]
    assert "/temperature" in result["content"][0]["text"]


def test_progress(client, served):
    """Of a call that does not end by itself: an SDK that gets a call's progress and its answer in one piece may take the
    answer first, and then drops the progress."""
    served.load(LONG)
    call = client.start("call", name="llm_generate", progress=True,
                        arguments={"model": LONG, "prompt": "on and on", "max_tokens": 120_000})
    first = client.event("progress")
    assert first["progress"] > 0
    assert client.event("progress")["progress"] > first["progress"]
    client.abort(call)
    served.wait_idle(LONG)


def test_cancels(client, served):
    served.load(LONG)
    served.wait_idle(LONG)
    call = client.start("call", name="llm_generate",
                        arguments={"model": LONG, "prompt": "on and on", "max_tokens": 120_000})
    served.wait_busy(LONG)
    client.abort(call)
    served.wait_idle(LONG)
    wait_until(lambda: served.engine(LONG)["in_flight"] == 0, "no request in flight")
    assert client.do("list")["tools"]  # the connection goes on


def test_reads_resources(client):
    contents = client.do("read", uri="llm://models")["contents"]
    names = {model["name"] for model in json.loads(contents[0]["text"])["models"]}
    assert {"smollm2", "tiny", LONG} <= names
    card = client.do("read", uri="llm://models/smollm2")["contents"]
    assert "smollm2" in card[0]["text"]


def test_gets_prompts(client):
    prompts = client.do("list")["prompts"]
    prompt = next(one for one in prompts if [argument for argument in one["arguments"] if argument.get("required")])
    arguments = {argument["name"]: "Paris" for argument in prompt["arguments"] if argument.get("required")}
    messages = client.do("prompt", name=prompt["name"], arguments=arguments)["messages"]
    assert any("Paris" in message["content"]["text"] for message in messages)


def test_subscribes(client, served):
    """However soon after the subscription something changes, its subscriber is told. Some notices are of nothing new."""
    served.post("/api/v1/models/tiny/unload")
    client.subscribe("llm://engines")
    served.load("tiny")

    def told():
        assert client.event("updated")["uri"] == "llm://engines"
        engines = json.loads(client.do("read", uri="llm://engines")["contents"][0]["text"])["engines"]
        return any(engine["model"].startswith("tiny") and engine["state"] == "ready" for engine in engines
                   if not engine["model"].startswith(LONG))

    while not told():
        pass


class Proxy:
    """Stands between a client and the gateway, and can cut all their connections as a bad network does."""

    def __init__(self, target):
        self.target = target
        self.heard = bytearray()  # what clients sent
        self.pairs = []
        self.lock = threading.Lock()
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        self.threads = []
        self._spawn(self._accept)

    def _spawn(self, work, *arguments):
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self.threads.append(thread)
        thread.start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listening.accept()
                server = socket.create_connection(self.target)
                with self.lock:
                    self.pairs.append((client, server))
                self._spawn(self._copy, client, server, self.heard)
                self._spawn(self._copy, server, client, None)

    def _copy(self, source, target, record):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if record is not None:
                    record.extend(data)
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self):
        with self.lock:
            pairs, self.pairs = self.pairs, []
        for pair in pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()
        self.cut()
        for thread in self.threads:
            thread.join(10)


@pytest.mark.parametrize("kind", ["ts-v1", "ts-v2", "mcp", "fastmcp"])
def test_resumes(node_tools, served, kind):
    """A legacy client whose stream breaks comes back for the rest; the generation has gone on meanwhile."""
    tokens = 3000
    with Proxy(served.address) as proxy, connect(kind, "legacy", url=f"http://127.0.0.1:{proxy.port}/mcp") as client:
        call = client.start("call", name="llm_generate", progress=True,
                            arguments={"model": LONG, "prompt": "abc", "max_tokens": tokens, "temperature": 0})
        client.event("progress")
        proxy.cut()
        result = client.result(call)
        assert not result.get("isError"), result
        assert result["structuredContent"]["usage"]["completion_tokens"] == tokens
        assert b"last-event-id:" in bytes(proxy.heard).lower()
        assert bytes(proxy.heard).count(b'"llm_generate"') == 1


def inspect(home, *arguments):
    """Starts the Inspector's command line."""
    launcher = node_clients.package("@modelcontextprotocol/inspector") / "clients/launcher/build/index.js"
    return subprocess.Popen([node_clients.node(), str(launcher), "--cli", *map(str, arguments)],
                            env={**home.env, "NO_COLOR": "1"}, cwd=home.path, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("transport", ["stdio", "http"])
@pytest.mark.parametrize("era", ["legacy", "auto", "modern"])
def test_inspector(node_tools, served, era, transport):
    if transport == "stdio":  # of its own environment it hands on the usual variables only
        target = [PROGRAM, "stdio", *(f"-e{name}={value}" for name, value in served.home.env.items())]
    else:
        target = [served.url + "/mcp", "--transport", "http"]
    common = [*target, "--protocol-era", era, "--format", "json", "-q"]
    started = {
        "tools": inspect(served.home, *common, "--method", "tools/list", "--strict"),
        "call": inspect(served.home, *common, "--method", "tools/call", "--tool-name", "llm_generate",
                        "--tool-args-json", json.dumps(FRANCE)),
        "wrong": inspect(served.home, *common, "--method", "tools/call", "--tool-name", "llm_nothing"),
        "resource": inspect(served.home, *common, "--method", "resources/read", "--uri", "llm://models"),
        "prompts": inspect(served.home, *common, "--method", "prompts/list"),
    }
    done = {}
    for name, process in started.items():
        out, errors = process.communicate(timeout=120)
        done[name] = (process.returncode, out, errors)
    assert done["tools"][0] == 0, done["tools"]
    assert SMALL_SET <= {tool["name"] for tool in json.loads(done["tools"][1])["result"]["tools"]}
    assert done["call"][0] == 0, "".join(done["call"][1:])
    assert " Paris" in done["call"][1]
    assert done["wrong"][0] == 5, done["wrong"]
    assert done["resource"][0] == 0, done["resource"]
    assert "smollm2" in done["resource"][1]
    assert done["prompts"][0] == 0, done["prompts"]
    assert json.loads(done["prompts"][1])["result"]["prompts"]
