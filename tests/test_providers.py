"""Servers that somebody else runs, by stand-ins that replay their documented formats: chats through the gateway, what else
they are asked to do, how they are configured and found."""
import contextlib
import json
import pathlib
import re

import openai
import pytest

import openai_standin
from access_clients import PROTECTED, ask, local, make_key
from harness import error_of
from lmstudio_standin import LmStudio
from ollama_standin import Ollama
from openai_standin import OpenAiLike


def chat(text, **more):
    return {"messages": [{"role": "user", "content": text}], **more}


def chunks(payloads):
    assert payloads[-1] == "[DONE]"
    return [json.loads(payload) for payload in payloads[:-1]]


def joined(events, field):
    return "".join(event["choices"][0]["delta"].get(field) or "" for event in events if event["choices"])


@contextlib.contextmanager
def standins(*kinds):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(kind()) for kind in kinds]


def providers(**entries):
    return {"providers": entries}


@pytest.fixture
def ollama(gateway):
    """An Ollama, and a gateway that knows it."""
    with Ollama() as server:
        server.gateway = gateway([], providers(ollama={"preset": "ollama", "base_url": server.url,
                                                       "models": ["qwen3:8b"], "keep_alive": "10m"}))
        yield server


# Ollama


def test_ollama_answers(ollama):
    body = chat("Why?", model="ollama/qwen3:8b", max_completion_tokens=5, top_k=3, n=1)
    answer = ollama.gateway.post("/v1/chat/completions", body)
    assert answer.status_code == 200, answer.text
    message = answer.json()["choices"][0]["message"]
    assert message["content"] == "It is blue."
    assert message["reasoning_content"] == "The sky."
    assert "reasoning" not in message
    assert answer.headers["x-llm-locality"] == "local"
    sent = ollama.asked("/v1/chat/completions")[-1].body
    assert sent["max_tokens"] == 5
    assert not {"max_completion_tokens", "top_k", "n"} & sent.keys()
    assert sent["model"] == "qwen3:8b"


def test_ollama_streams(ollama):
    events = chunks(ollama.gateway.stream("/v1/chat/completions", chat(
        "Why?", model="qwen3:8b", stream_options={"include_usage": True})))
    assert joined(events, "content") == "It is blue."
    assert joined(events, "reasoning_content") == "The sky."
    assert events[-1]["usage"]["prompt_tokens"] == 11


def test_ollama_cannot_do_everything(ollama):
    for more, pointer in (({"n": 2}, "/n"), ({"tool_choice": "required", "tools": [
            {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]}, "/tool_choice")):
        answer = ollama.gateway.post("/v1/chat/completions", chat("x", model="ollama/qwen3:8b", **more))
        assert answer.status_code == 400, answer.text
        assert error_of(answer)["param"] in (pointer, pointer.strip("/"))
    assert not ollama.asked("/v1/chat/completions")


def test_ollama_says_what_it_lacks(ollama):
    answer = ollama.gateway.post("/v1/chat/completions", chat("x", model="ollama/nosuch"))
    assert answer.status_code == 404, answer.text
    assert "providers pull" in error_of(answer)["message"]


def test_ollamas_own_work(ollama):
    gateway = ollama.gateway
    listed = gateway.get("/api/v1/providers/ollama/models").json()
    assert listed["version"] == "0.11.4"
    assert {model["name"]: model["loaded"] for model in listed["models"]} == {
        "qwen3:8b": False, "nomic-embed-text:latest": False}

    loaded = gateway.post("/api/v1/providers/ollama/load", {"model": "qwen3:8b"})
    assert loaded.json() == {"provider": "ollama", "model": "qwen3:8b", "state": "loaded"}
    assert ollama.keep_alive["qwen3:8b"] == "600000ms"  # as the entry says
    gateway.post("/api/v1/providers/ollama/load", {"model": "qwen3:8b", "keep_alive": -1})
    assert ollama.keep_alive["qwen3:8b"] == "-1s"
    model = gateway.get("/api/v1/providers/ollama/models").json()["models"][1]
    assert (model["name"], model["loaded"], model["memory_bytes"]) == ("qwen3:8b", True, 5_201_000_000)

    assert gateway.post("/api/v1/providers/ollama/load", {"model": "nomic-embed-text:latest"}).status_code == 200
    assert gateway.post("/api/v1/providers/ollama/unload", {"model": "nomic-embed-text:latest"}).status_code == 200
    assert list(ollama.loaded) == ["qwen3:8b"]
    assert gateway.post("/api/v1/providers/ollama/delete", {"model": "qwen3:8b"}).json()["state"] == "deleted"
    assert "qwen3:8b" not in ollama.models
    gone = gateway.post("/api/v1/providers/ollama/delete", {"model": "qwen3:8b"})
    assert gone.status_code == 404, gone.text

    with local(gateway) as client:
        records = client.get("/api/v1/audit", params={"action": "provider."}).json()["records"]
    assert {"provider.load", "provider.unload", "provider.delete"} <= {record["action"] for record in records}


def test_ollama_pulls(ollama):
    events = chunks_of_events(ollama.gateway, "/api/v1/providers/ollama/pull", {"model": "gemma3"})
    done = [event["bytes_done"] for event in events if "bytes_done" in event]
    assert done == sorted(done) and done[-1] == 1050
    assert "gemma3:latest" in ollama.models
    missing = ollama.gateway.post("/api/v1/providers/ollama/pull", {"model": "nosuch"})
    assert missing.status_code == 404, missing.text


def chunks_of_events(gateway, path, body):
    """The events of a long operation."""
    with gateway.client.stream("POST", path, json={**body, "stream": True}) as response:
        assert response.status_code == 200, response.read()
        payloads = [line[len("data: "):] for line in response.iter_lines() if line.startswith("data: ")]
    return [json.loads(payload) for payload in payloads if payload != "[DONE]"]


def test_arguments_are_checked(ollama):
    gateway = ollama.gateway
    for body, pointer in (({}, "/model"), ({"model": "a", "keep_alive": "x"}, "/keep_alive"),
                          ({"model": "a", "size": 1}, "/size")):
        answer = gateway.post("/api/v1/providers/ollama/load", body)
        assert answer.status_code == 400, answer.text
        assert error_of(answer)["param"] in (pointer, pointer.strip("/")), answer.text
    unknown = gateway.get("/api/v1/providers/nosuch/models")
    assert unknown.status_code == 404
    assert "ollama" in error_of(unknown)["message"]
    assert gateway.post("/api/v1/providers/discover", {"ports": [0]}).status_code == 400


def test_the_command_line(ollama):
    home = ollama.gateway.home
    assert "qwen3:8b" in home.must("providers", "models", "ollama").stdout
    pulled = home.must("providers", "pull", "ollama", "gemma3")
    assert "downloaded" in pulled.stdout
    listed = json.loads(home.must("providers", "list", "--json").stdout)["providers"]
    assert [(one["name"], one["locality"], one["reachable"]) for one in listed] == [("ollama", "local", True)]
    assert "up" in home.must("providers", "health").stdout
    assert "is loaded" in home.must("providers", "load", "ollama", "gemma3:latest", "--keep-alive", "5m").stdout
    assert ollama.keep_alive["gemma3:latest"] == "300000ms"
    assert "is unloaded" in home.must("providers", "unload", "ollama", "gemma3:latest").stdout
    assert not ollama.loaded
    assert home.run("providers", "delete", "ollama", "gemma3:latest").returncode == 2
    home.must("providers", "delete", "ollama", "gemma3:latest", "--yes")
    assert "gemma3:latest" not in ollama.models


# LM Studio


def test_lm_studios_own_work(gateway):
    with LmStudio() as server:
        # The entry's name is its owner's; the kind finds it, too.
        place = gateway([], providers(studio={"preset": "lmstudio", "base_url": server.url}))
        loaded = place.post("/api/v1/providers/lmstudio/load", {"model": "qwen/qwen3-4b", "context": 8192}).json()
        assert loaded["instance"] == "qwen/qwen3-4b" and loaded["provider"] == "studio"
        assert server.asked("/api/v1/models/load")[-1].body == {"model": "qwen/qwen3-4b", "context_length": 8192}
        place.post("/api/v1/providers/studio/load", {"model": "qwen/qwen3-4b"})
        models = place.get("/api/v1/providers/studio/models").json()["models"]
        assert models[0]["instances"] == ["qwen/qwen3-4b", "qwen/qwen3-4b:2"]
        gone = place.post("/api/v1/providers/studio/unload", {"model": "qwen/qwen3-4b"}).json()
        assert gone["instances"] == ["qwen/qwen3-4b", "qwen/qwen3-4b:2"]
        assert place.post("/api/v1/providers/studio/unload", {"model": "qwen/qwen3-4b"}).status_code == 404
        assert place.post("/api/v1/providers/studio/delete", {"model": "qwen/qwen3-4b"}).status_code == 400
        assert place.post("/api/v1/providers/studio/pull", {"model": "a/b"}).json()["state"] == "downloaded"
        assert "a/b" in server.models
        # The same on the command line.
        place.home.must("providers", "load", "studio", "a/b", "--context", "4096")
        assert server.asked("/api/v1/models/load")[-1].body == {"model": "a/b", "context_length": 4096}
        place.home.must("providers", "unload", "studio", "a/b")
        assert not server.loaded["a/b"]
        missing = place.home.run("providers", "load", "studio", "nosuch")
        assert missing.returncode != 0 and "nosuch not found" in missing.stderr


# Servers of the OpenAI API, each with its own words


@pytest.mark.parametrize("preset", ["vllm", "lmstudio", "llama-server", "sglang", "tgi", "openai", "openrouter", "gemini",
                                    "openai-compatible"])
def test_every_preset_answers_in_the_same_words(gateway, preset):
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
    body = {"model": "there/org/m", "messages": [{"role": "user", "content": "Hello"}], "tools": tools}
    more = {"max_tokens": 9, "extra_body": {"repeat_penalty": 1.1, "min_p": 0.1}, "seed": 1}
    with OpenAiLike(preset) as server:
        place = gateway([], providers(there={"preset": preset, "base_url": server.url, "api_key": openai_standin.KEY,
                                             "keep_alive": "90s"}))
        with openai.OpenAI(base_url=place.url + "/v1", api_key="x", max_retries=0) as client:
            choice = client.chat.completions.create(**body, **more).choices[0]
            with client.chat.completions.stream(**body, **more, stream_options={"include_usage": True}) as stream:
                pieces = [chunk.chunk for chunk in stream if chunk.type == "chunk"]
                final = stream.get_final_completion()
        thoughts = "".join(getattr(one.delta, "reasoning_content", None) or "" for c in pieces for one in c.choices)
        for answered in (choice, final.choices[0]):
            assert answered.finish_reason == "tool_calls" and answered.message.content == "Hi"
            call = answered.message.tool_calls[0].function
            assert (call.name, json.loads(call.arguments)) == ("weather", {"city": "Oslo"})
        reasons = preset in openai_standin.REASONING
        assert getattr(choice.message, "reasoning_content", None) == ("hm" if reasons else None)
        assert thoughts == ("hm" if reasons else "")
        assert final.usage.completion_tokens == 2
        sent = server.asked("/v1/chat/completions")[-1].body
        assert sent["model"] == "org/m"
        assert sent.get("ttl") == (90 if preset == "lmstudio" else None)
        limit = "max_completion_tokens" if preset == "openai" else "max_tokens"
        assert sent[limit] == 9 and len({"max_tokens", "max_completion_tokens"} & sent.keys()) == 1
        # A wrong key is not the caller's, and stays unsaid.
        wrong = gateway([], providers(there={"preset": preset, "base_url": server.url, "api_key": "sk-mistaken"}))
        refused = wrong.post("/v1/chat/completions", body)
        assert refused.status_code in (502, 503), refused.text
        assert "sk-" not in refused.text + wrong.stderr()


# The configuration


def test_a_service_without_a_key_is_a_wrong_configuration(home):
    place = home([], providers(cloud={"preset": "openai"}))
    failed = place.run("config", "show")
    assert failed.returncode == 2 and "OPENAI_API_KEY" in failed.stderr, failed.stderr
    place.write_config(providers(cloud={"preset": "openai", "enabled": False}))
    place.must("config", "show")


def test_the_entries_of_the_documentation_work(home):
    """Every preset from YAML: what docs/providers.md shows is taken as it stands."""
    text = (pathlib.Path(__file__).parents[1] / "docs/providers.md").read_text()
    blocks = re.findall(r"```yaml\n(.*?)```", text, re.S)
    presets = set(re.findall(r"preset: ([a-z-]+)", "".join(blocks)))
    assert presets == {"vllm", "ollama", "lmstudio", "llama-server", "sglang", "tgi", "openai", "openrouter", "anthropic",
                       "gemini", "openai-compatible"}
    place = home([])
    for number, block in enumerate(blocks):
        file = place.path / f"shown{number}.yaml"
        file.write_text(block)
        place.env.update({name: "sk-secret" for name in re.findall(r"env:([A-Z_]+)", block)})
        shown = place.must("--config", file, "config", "show")
        assert "sk-secret" not in shown.stdout
        for name in re.findall(r"^  ([a-z]+): ", block, re.M):
            assert name in shown.stdout


# Finding them


def test_discovery_names_what_runs_here(gateway):
    with standins(Ollama, LmStudio) as (ollama, studio):
        place = gateway([], providers(mine={"preset": "ollama", "base_url": ollama.url}))
        told = place.home.must("providers", "discover", "--json", "--port", ollama.port, "--port", studio.port)
        found = {one["port"]: one for one in json.loads(told.stdout)["found"]}
        assert found[ollama.port]["kind"] == "ollama" and found[ollama.port]["version"] == "0.11.4"
        assert found[ollama.port]["configured_as"] == "mine"
        assert found[studio.port]["kind"] == "lmstudio"
        # The entry that it prints is one that works.
        entry = found[studio.port]["configuration"]
        checked = place.home.path / "found.yaml"
        checked.write_text(entry)
        shown = place.home.must("--config", checked, "config", "show")
        assert f"127.0.0.1:{studio.port}" in shown.stdout
        asked = place.post("/api/v1/providers/discover", {"ports": [studio.port], "known": False}).json()
        assert [one["kind"] for one in asked["found"]] == ["lmstudio"] and asked["ports"] == [studio.port]


def test_discovery_names_a_wrong_service(home):
    """What answers on a usual port, but is something else than one would expect there."""
    usual = {1234: "LM Studio", 30000: "SGLang", 3000: "TGI", 8080: "llama-server or TGI", 8000: "vLLM"}
    for port in usual:
        with contextlib.suppress(OSError):
            server = Ollama(port=port)
            break
    else:
        pytest.skip("something runs on every usual port of this machine")
    with server:
        told = json.loads(home([]).must("providers", "discover", "--json").stdout)
    found = {one["port"]: one for one in told["found"]}[port]
    assert found["wrong"] and found["kind"] == "ollama"
    assert found["message"] == f"port {port} answers, but as Ollama 0.11.4, not {usual[port]}"


def test_discovery_is_for_admins(gateway):
    place = gateway([], PROTECTED)
    key = make_key(place, "operator")["key"]
    assert ask(place, key, "POST", "/api/v1/providers/discover", json={"known": False}).status_code == 403
    assert ask(place, key, path="/api/v1/providers").status_code == 200
    assert ask(place, "", path="/v1/gateway/providers").status_code == 401


def test_the_originals_paths(ollama):
    listed = ollama.gateway.get("/v1/gateway/providers").json()["providers"]
    assert [one["name"] for one in listed] == ["ollama"]
    health = ollama.gateway.get("/v1/gateway/providers/health").json()["providers"]
    assert health[0]["reachable"] is True
    ollama.__exit__()
    down = ollama.gateway.get("/v1/gateway/providers/health").json()["providers"]
    assert down[0]["reachable"] is False and "cannot be reached" in down[0]["error"]


def test_listing_contacts_nobody_elsewhere(gateway):
    with Ollama() as server:
        place = gateway([], providers(far={"preset": "ollama", "base_url": server.url, "locality": "remote"}))
        assert "reachable" not in place.get("/api/v1/providers").json()["providers"][0]
        assert not server.requests


# The stand-in is as the provider's own client expects it.


def test_ollamas_own_client_understands_the_standin():
    ollama = pytest.importorskip("ollama")
    with Ollama() as server:
        client = ollama.Client(host=server.root)
        assert sorted(model.model for model in client.list().models) == sorted(server.models)
        assert [progress.status for progress in client.pull("gemma3", stream=True)][-1] == "success"
        with pytest.raises(ollama.ResponseError, match="does not exist"):
            list(client.pull("nosuch", stream=True))
        client.embed("nomic-embed-text:latest", [], keep_alive="1m")
        assert [model.model for model in client.ps().models] == ["nomic-embed-text:latest"]
        client.delete("gemma3:latest")
        with pytest.raises(ollama.ResponseError):
            client.delete("gemma3:latest")
