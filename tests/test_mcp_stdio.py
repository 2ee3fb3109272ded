"""MCP over stdio with the official SDK."""
import contextlib
import json

import anyio
import jsonschema
import pytest
from mcp import ClientSession, StdioServerParameters, stdio_client

from harness import PROGRAM, alive, wait_until
from mcp_lines import Stdio

TOOLS = {"llm_generate", "llm_chat", "llm_embed", "llm_list_models", "llm_model_info", "llm_load_model",
         "llm_unload_model", "llm_pull_model", "llm_status", "llm_rerank", "llm_tokenize", "llm_help"}
MODERN = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}


@contextlib.asynccontextmanager
async def session(home, *arguments):
    parameters = StdioServerParameters(command=str(PROGRAM), args=["stdio", *arguments], env=home.env, cwd=home.path)
    with open(home.path / "stdio.err", "a") as errors:
        async with stdio_client(parameters, errlog=errors) as streams:
            async with ClientSession(*streams) as client:
                await client.initialize()
                yield client


def conversation(function):
    """Runs `await function()` with a bound."""
    async def bounded():
        with anyio.fail_after(120):
            await function()
    anyio.run(bounded)


async def call(client, name, arguments=None, **options):
    result = await client.call_tool(name, arguments or {}, **options)
    assert not result.is_error, result.content
    return result


def test_initialize_and_list(tiny):
    async def talk():
        async with session(tiny.home) as client:
            listed = await client.list_tools()
            assert {tool.name for tool in listed.tools} == TOOLS
            for tool in listed.tools:
                jsonschema.Draft202012Validator.check_schema(tool.input_schema)
                jsonschema.Draft202012Validator.check_schema(tool.output_schema)
                assert tool.description
                assert tool.annotations is not None
            by_name = {tool.name: tool for tool in listed.tools}
            assert by_name["llm_list_models"].annotations.read_only_hint is True
            assert by_name["llm_unload_model"].annotations.read_only_hint is not True
            await client.send_ping()
    conversation(talk)


def test_every_tool(tiny):
    async def talk():
        async with session(tiny.home) as client:
            schemas = {tool.name: tool.output_schema for tool in (await client.list_tools()).tools}

            async def checked(name, arguments=None, **options):
                result = await call(client, name, arguments, **options)
                jsonschema.validate(result.structured_content, schemas[name])
                assert result.content[0].text
                return result

            models = (await checked("llm_list_models")).structured_content["models"]
            assert {"tiny", "tiny-embed"} <= {model["name"] for model in models}
            info = await checked("llm_model_info", {"model": "tiny"})
            assert info.structured_content["model"]["context_length"] == 2048
            loaded = await checked("llm_load_model", {"model": "tiny"})
            assert loaded.structured_content["state"] == "ready"
            progress = []

            async def heard(done, total, message):
                progress.append((done, total, message))

            generated = await checked("llm_generate", {"model": "tiny", "prompt": "abc", "max_tokens": 300,
                                                       "temperature": 0}, progress_callback=heard)
            assert generated.structured_content["usage"]["completion_tokens"] == 300
            assert len(generated.content[0].text) == 300
            counts = [done for done, _, _ in progress]
            assert counts
            assert counts == sorted(set(counts))
            chat = await checked("llm_chat", {"model": "tiny", "max_tokens": 5,
                                              "messages": [{"role": "user", "content": "hello"}]})
            assert chat.structured_content["usage"]["completion_tokens"] == 5
            embedded = await checked("llm_embed", {"model": "tiny-embed", "input": ["a", "b"]})
            assert [len(vector) for vector in embedded.structured_content["embeddings"]] == [64, 64]
            status = await checked("llm_status")
            assert status.structured_content["engines"]
            unloaded = await checked("llm_unload_model", {"model": "tiny"})
            assert unloaded.structured_content["state"] == "stopped"
    conversation(talk)


def test_tools_that_fail_say_why(tiny):
    async def talk():
        async with session(tiny.home) as client:
            for name, arguments, words in [
                    ("llm_generate", {"model": "nope", "prompt": "x"}, "not installed"),
                    ("llm_generate", {"model": "tiny", "prompt": "x", "temperature": -1}, "/temperature"),
                    ("llm_generate", {"model": "tiny", "prompt": "y" * 3000}, "2048"),
                    ("llm_embed", {"model": "tiny", "input": "x"}, "embeddings"),
                    ("llm_pull_model", {"source": "gopher:x"}, "hf:"),
                    ("llm_model_info", {"model": "nope"}, "not installed")]:
                result = await client.call_tool(name, arguments)
                assert result.is_error, name
                assert words in result.content[0].text, result.content[0].text
    conversation(talk)


def test_the_real_model(real):
    async def talk():
        async with session(real.home) as client:
            result = await call(client, "llm_generate", {"model": "smollm2", "prompt": "The capital of France is",
                                                         "max_tokens": 8, "temperature": 0})
            assert " Paris" in result.content[0].text
    conversation(talk)


def test_two_clients_share_one_engine(gateway):
    home = gateway.home(["tiny"])
    home.write_config({"server": {"idle_exit": "1h"}}, ["tiny"])

    async def talk():
        async with session(home) as first, session(home) as second:
            async with anyio.create_task_group() as group:
                for client in (first, second):
                    group.start_soon(call, client, "llm_generate", {"model": "tiny", "prompt": "x", "max_tokens": 5})
            pid = home.state()["pid"]
            assert len(home.engine_pids()) == 1
        assert alive(pid)  # the gateway outlives its clients
        async with session(home) as third:
            await call(third, "llm_status")
            assert home.state()["pid"] == pid
    try:
        conversation(talk)
    finally:
        home.must("stop")
    wait_until(lambda: not home.engine_pids() and not home.state(), "the end of the gateway")


def test_a_background_gateway_is_started_and_ends_itself(home):
    place = home(["tiny"])
    with Stdio(place, program_arguments=["--set", "server.idle_exit=300ms"]) as client:
        client.initialize()
        client.call("tools/call", {"name": "llm_generate", "arguments": {"model": "tiny", "prompt": "x",
                                                                        "max_tokens": 3}})
        pid = place.state()["pid"]
        assert pid != client.process.pid
        assert alive(pid)
    wait_until(lambda: not alive(pid), "the gateway to end itself")
    wait_until(lambda: not place.engine_pids(), "the end of its engines")


def test_standalone_needs_no_gateway(home):
    place = home(["tiny"])

    async def talk():
        async with session(place, "--standalone") as client:
            await call(client, "llm_generate", {"model": "tiny", "prompt": "x", "max_tokens": 5})
            assert place.state() is None
            assert len(place.engine_pids()) == 1
    conversation(talk)
    wait_until(lambda: not place.engine_pids(), "the end of the engines")


def test_cancel_with_the_sdk(tiny):
    tiny.load("tiny-long")

    async def talk():
        async with session(tiny.home) as client:
            async with anyio.create_task_group() as group:
                group.start_soon(call, client, "llm_generate", {"model": "tiny-long", "prompt": "x",
                                                                "max_tokens": 100_000})
                await anyio.to_thread.run_sync(tiny.wait_busy, "tiny-long")
                group.cancel_scope.cancel()
            await anyio.to_thread.run_sync(tiny.wait_idle, "tiny-long")
            await client.send_ping()
    conversation(talk)


def test_a_killed_gateway_is_started_anew(gateway):
    running = gateway(["tiny"])
    with Stdio(running.home, program_arguments=["--set", "server.idle_exit=300ms"]) as client:
        client.initialize()
        generate = {"name": "llm_generate", "arguments": {"model": "tiny", "prompt": "x", "max_tokens": 3}}
        assert not client.call("tools/call", generate, 1)["result"].get("isError")
        running.kill()
        running.expected_exit = -9
        running.process.wait()
        again = client.call("tools/call", generate, 2)
        assert not again["result"].get("isError"), again
        pid = running.home.state()["pid"]
        assert pid != running.pid
    wait_until(lambda: not alive(pid), "the second gateway to end itself")


def test_stdout_is_protocol_only(tiny):
    with Stdio(tiny.home) as client:
        for line in ("garbage", "{}", "[]", '{"jsonrpc":"2.0"}', '{"jsonrpc":"2.0","id":1,"method":"nope"}'):
            client.send(line)
        client.request("ping", number="p")
        while "p" not in client.answered:
            message = json.loads(client.process.stdout.readline())  # each line is JSON-RPC
            assert message["jsonrpc"] == "2.0"
            client.answered[message.get("id")] = message
        client.process.stdin.close()
        assert client.process.stdout.read() == b""
        assert client.process.wait(30) == 0


@pytest.mark.parametrize("version", ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"])
def test_older_revisions(tiny, version):
    with Stdio(tiny.home) as client:
        assert client.initialize(version)["protocolVersion"] == version
        tools = client.call("tools/list", number=2)["result"]["tools"]
        assert {tool["name"] for tool in tools} == TOOLS


def test_the_modern_era(tiny):
    with Stdio(tiny.home) as client:
        found = client.call("server/discover", {"_meta": MODERN}, 1)["result"]
        assert found["supportedVersions"] == ["2026-07-28"]
        assert "tools" in found["capabilities"]
        tools = client.call("tools/list", {"_meta": MODERN}, 2)["result"]["tools"]
        assert {tool["name"] for tool in tools} == TOOLS
        result = client.call("tools/call", {"name": "llm_generate", "_meta": {**MODERN, "progressToken": 5},
                                            "arguments": {"model": "tiny", "prompt": "x", "max_tokens": 4}}, 3)
        assert result["result"]["structuredContent"]["usage"]["completion_tokens"] == 4
        refused = client.call("tools/list", {"_meta": {**MODERN, next(iter(MODERN)): "1999-01-01"}}, 4)
        assert refused["error"]["data"]["supported"] == ["2026-07-28"]
