"""The toolset `original`: somebody who comes from the Python project calls the same tools with the same arguments."""
import contextlib

import pytest

from lmstudio_standin import LmStudio
from mcp_lines import Stdio
from ollama_standin import Ollama
from test_pull import Hub

import tiny_gguf

MODEL = "acme/tiny-GGUF"


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub") / MODEL
    folder.mkdir(parents=True)
    tiny_gguf.write(folder / "tiny-F32.gguf", seed=5)
    return folder.parent.parent


@pytest.fixture
def hub(repository):
    hub = Hub(repository)
    yield hub
    hub.close()


@contextlib.contextmanager
def client(home):
    """Calls a tool, checks the envelope, and gives it with whether it is an error."""
    with Stdio(home) as stdio:
        stdio.initialize()
        numbers = iter(range(100, 1000))

        def call(tool, **arguments):
            result = stdio.call("tools/call", {"name": tool, "arguments": arguments}, next(numbers))["result"]
            envelope = result["structuredContent"]
            assert sorted(envelope) == ["data", "message", "success"]
            assert envelope["success"] is not result.get("isError", False)
            assert result["content"][0]["text"]
            return envelope
        call.tools = [tool["name"] for tool in stdio.call("tools/list")["result"]["tools"]]
        yield call


def test_models_are_found_installed_used_and_removed(gateway, hub):
    running = gateway([], {"mcp": {"toolsets": ["original"]}, "models": {"hub_endpoint": hub.url, "hub_token": "t0k"}})
    hub.set(token="t0k")
    with client(running.home) as call:
        assert "llm_models" in call.tools and "llm_chat" not in call.tools and "llm_models_tool" not in call.tools
        found = call("llm_huggingface", operation="search_models", query="TINY")
        assert [model["id"] for model in found["data"]["models"]] == [MODEL]
        assert call("llm_huggingface", operation="search_models", query="none such")["data"]["models"] == []
        assert call("llm_huggingface", operation="whoami")["data"] == {"name": "tester"}
        info = call("llm_huggingface", operation="get_model_info", model_id=MODEL)
        assert [file["filename"] for file in info["data"]["gguf_files"]] == ["tiny-F32.gguf"]
        missing = call("llm_huggingface", operation="get_model_info", model_id="acme/none")
        assert not missing["success"] and missing["data"]["error"] == "not_found"

        installed = call("llm_huggingface_tool", operation="download_model", model_id=MODEL)
        name = installed["data"]["name"]
        listed = call("llm_models_tool", operation="list_models", provider="llama.cpp")
        assert [model["name"] for model in listed["data"]["models"]] == [name]
        written = call("llm_generation_tool", operation="generate_text", prompt="Hello", max_tokens=5)
        assert written["data"]["model"] == name and written["data"]["usage"]["completion_tokens"] == 5
        said = call("llm_generation", operation="chat_completion", max_tokens=3,
                    messages=[{"role": "user", "content": "Hello"}])
        assert said["data"]["finish_reason"] == "length"
        assert call("llm_engine_status_tool")["message"] == "1 engines, 1 ready"
        assert call("llm_gpu", operation="clear_memory")["data"]["unloaded"] == [name]
        assert not call("llm_models", operation="remove_model", model_id=name)["success"]
        assert call("llm_models", operation="remove_model", model_id=name, confirm=True)["success"]
        assert call("llm_models", operation="list_models")["data"]["models"] == []


def test_what_this_version_cannot_do_is_said_plainly(gateway):
    running = gateway([], {"mcp": {"toolsets": ["core", "original"]}})
    with client(running.home) as call:
        assert call.tools.count("llm_help") == 1 and "llm_chat" in call.tools
        for tool in ("llm_ollama", "llm_lmstudio"):
            answer = call(tool, operation="list_models")
            assert not answer["success"] and "providers discover" in answer["message"]
        none = call("llm_vllm", operation="list_models")
        assert none["data"]["engines"] == [] and "engines.vllm" in none["message"]
        wrong = call("llm_models", operation="list_model")
        assert "Did you mean list_models" in wrong["message"] and "get_model_info" in wrong["data"]["operations"]
        assert call("llm_help", topic="errors")["data"]["topic"] == "errors"
        assert call("llm_help", tool_name="llm_chat")["success"]


def test_providers_models_by_the_tools(gateway):
    """What Ollama and LM Studio do with their models, by MCP: the same as by REST and on the command line."""
    with Ollama() as ollama, LmStudio() as studio:
        running = gateway([], {"mcp": {"toolsets": ["original"]}, "providers": {
            "ollama": {"preset": "ollama", "base_url": ollama.url},
            "mine": {"preset": "lmstudio", "base_url": studio.url}}})
        with client(running.home) as call:
            assert call("llm_ollama", operation="pull_model", model="gemma3")["data"]["state"] == "downloaded"
            assert "gemma3:latest" in ollama.models
            listed = call("llm_ollama_tool", operation="list_models")
            assert listed["message"] == "Ollama has 3 models"
            assert call("llm_ollama", operation="load_model", model="gemma3:latest")["success"]
            assert list(ollama.loaded) == ["gemma3:latest"]
            assert call("llm_engine", operation="stop", engine="ollama", model="gemma3:latest")["success"]
            assert not ollama.loaded
            unsure = call("llm_ollama", operation="delete_model", model="gemma3:latest")
            assert not unsure["success"] and unsure["data"]["pointer"] == "/confirm"
            assert call("llm_models", operation="ollama_delete", model_id="gemma3:latest", confirm=True)["success"]
            assert "gemma3:latest" not in ollama.models

            assert call("llm_lmstudio", operation="link_status")["message"] == "LM Studio is there"
            assert call("llm_lmstudio", operation="load_model", model_name="qwen/qwen3-4b")["success"]
            assert studio.loaded["qwen/qwen3-4b"]
            assert call("llm_models", operation="lmstudio_unload", model_id="qwen/qwen3-4b")["success"]
            assert not studio.loaded["qwen/qwen3-4b"]
            missing = call("llm_lmstudio", operation="load_model", model_path="nosuch")
            assert not missing["success"]
            assert (missing["data"]["error"], missing["data"]["pointer"]) == ("not_found", "/model_path")

            gpu = call("llm_gpu", operation="get_health")
            assert gpu["data"]["healthy"] is True or gpu["data"]["complaints"]
            assert "unloaded" in call("llm_gpu", operation="optimize")["data"]


def test_a_hub_that_is_away_is_an_answer(gateway):
    running = gateway([], {"mcp": {"toolsets": ["original"]}, "models": {"hub_endpoint": "http://127.0.0.1:1"}})
    with client(running.home) as call:
        answer = call("llm_huggingface", operation="search_models", query="x")
        assert not answer["success"] and answer["data"]["error"] == "unavailable"
