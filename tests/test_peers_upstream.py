"""Real servers of others behind the gateway: two llama-servers, and LiteLLM's proxy in front of one of them."""
import contextlib
import json
import os
import pathlib
import socket
import subprocess

import httpx
import openai
import pytest

from harness import alive, find_engine, wait_until

LITELLM = "litellm[proxy]==1.106.2"


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@contextlib.contextmanager
def running(command, log, health, environment=None):
    """A server on a port of the loopback address, from its first good answer to `health` on."""
    with open(log, "wb") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment,
                                   start_new_session=True)
    try:
        def ready():
            assert process.poll() is None, log.read_text(errors="replace")[-3000:]
            with contextlib.suppress(httpx.HTTPError):
                return httpx.get(health, timeout=5).status_code == 200
            return False

        wait_until(ready, f"an answer of {command[0]}", timeout=150)
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture(scope="module")
def llama_servers(sample_model, tmp_path_factory):
    """Two of llama.cpp's own servers with the sample model: their URLs and processes."""
    folder = tmp_path_factory.mktemp("servers")
    with contextlib.ExitStack() as stack:
        servers = []
        for number in (1, 2):
            port = free_port()
            command = [str(find_engine()), "--model", str(sample_model), "--alias", f"smol{number}", "--host", "127.0.0.1",
                       "--port", str(port), "--threads", "1", "--threads-batch", "1", "--parallel", "2", "--ctx-size",
                       "2048", "--no-webui"]
            url = f"http://127.0.0.1:{port}"
            process = stack.enter_context(running(command, folder / f"server{number}.log", url + "/health"))
            servers.append((url, process))
        yield servers


def entry(url, number, **more):
    return {"preset": "llama-server", "base_url": url + "/v1", "models": [f"smol{number}"], **more}


@pytest.fixture
def two(gateway, llama_servers):
    """A gateway that knows both, as one pool called `smol`."""
    settings = {"providers": {f"box{number}": entry(url, number) for number, (url, _) in enumerate(llama_servers, 1)},
                "routing": {"policy": "round_robin", "models": {"smol": {"targets": [{"model": "box1/smol1"},
                                                                                     {"model": "box2/smol2"}]}}}}
    return gateway([], settings)


def client_of(place):
    return openai.OpenAI(base_url=place.url + "/v1", api_key="x", max_retries=0)


def test_a_pool_of_two_llama_servers(two):
    seen = set()
    for _ in range(4):
        answer = two.post("/v1/chat/completions", {"model": "smol", "max_tokens": 4, "temperature": 0,
                                                   "messages": [{"role": "user", "content": "Hi"}]})
        assert answer.status_code == 200, answer.text
        assert answer.json()["usage"]["completion_tokens"] > 0
        seen.add(answer.headers["x-llm-engine"])
    assert seen == {"box1/smol1", "box2/smol2"}


def test_a_stream_and_its_usage(two):
    with client_of(two) as client:
        stream = client.chat.completions.create(model="box1/smol1", stream=True, max_tokens=5, temperature=0,
                                                stream_options={"include_usage": True},
                                                messages=[{"role": "user", "content": "Count to three."}])
        chunks = list(stream)
    assert "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert chunks[-1].usage.completion_tokens == 5


def test_completions_and_tokens(two):
    answer = two.post("/v1/completions", {"model": "box2/smol2", "prompt": "The capital of France is", "max_tokens": 1,
                                          "temperature": 0, "repetition_penalty": 1.0})
    assert "Paris" in answer.json()["choices"][0]["text"], answer.text
    counted = two.post("/api/v1/tokenize", {"model": "box2/smol2", "text": "The capital of France is"})
    assert counted.status_code == 200 and counted.json()["count"] == 5, counted.text


def test_too_long_a_prompt_is_the_callers_error(two):
    answer = two.post("/v1/completions", {"model": "box1/smol1", "prompt": "word " * 5000, "max_tokens": 1})
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["code"] == "context_length_exceeded"


def test_discovery_finds_them(two, llama_servers):
    ports = [int(url.rpartition(":")[2]) for url, _ in llama_servers]
    told = two.home.must("providers", "discover", "--json", *(f"--port={port}" for port in ports))
    found = {one["port"]: one for one in json.loads(told.stdout)["found"]}
    assert [found[port]["kind"] for port in ports] == ["llama-server"] * 2
    assert [found[port]["configured_as"] for port in ports] == ["box1", "box2"]


def test_one_of_two_that_ends(gateway, llama_servers, sample_model, tmp_path):
    """The pool goes on with the one that is left."""
    port = free_port()
    command = [str(find_engine()), "--model", str(sample_model), "--alias", "smol2", "--host", "127.0.0.1", "--port",
               str(port), "--threads", "1", "--ctx-size", "1024", "--no-webui"]
    with running(command, tmp_path / "mortal.log", f"http://127.0.0.1:{port}/health") as mortal:
        settings = {"providers": {"box1": entry(llama_servers[0][0], 1), "box2": entry(f"http://127.0.0.1:{port}", 2)},
                    "routing": {"policy": "round_robin", "models": {"smol": {"targets": [{"model": "box1/smol1"},
                                                                                         {"model": "box2/smol2"}]}}}}
        place = gateway([], settings)
        body = {"model": "smol", "max_tokens": 2, "messages": [{"role": "user", "content": "Hi"}]}
        for _ in range(2):
            assert place.post("/v1/chat/completions", body).status_code == 200
        mortal.kill()
        wait_until(lambda: not alive(mortal.pid), "the end of a server")
        for _ in range(4):
            answer = place.post("/v1/chat/completions", body)
            assert answer.status_code == 200, answer.text
            assert answer.headers["x-llm-engine"] == "box1/smol1"


@pytest.fixture(scope="module")
def litellm_program():
    """LiteLLM's proxy in a virtual environment of its own, where bench/peers has it, too."""
    cache = pathlib.Path(os.environ.get("LLM_MCP_BUILD_CACHE") or pathlib.Path(
        os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "llm-mcp-build")
    folder = cache / "peers/litellm"
    program = folder / "bin/litellm"
    if not program.exists():
        python = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else "python3"
        for command in ([python, "-m", "venv", str(folder)], [str(folder / "bin/pip"), "install", "-q", LITELLM]):
            done = subprocess.run(command, text=True, capture_output=True)
            if done.returncode != 0:
                pytest.skip(f"{LITELLM} cannot be installed: {done.stderr.strip()[-200:]}")
    return program


@pytest.mark.peers
@pytest.mark.timeout(900)
def test_litellms_proxy(gateway, llama_servers, litellm_program, tmp_path):
    port = free_port()
    config = tmp_path / "litellm.yaml"
    config.write_text(json.dumps({
        "model_list": [{"model_name": "smol", "litellm_params": {
            "model": "openai/smol1", "api_base": llama_servers[0][0] + "/v1", "api_key": "none"}}],
        "general_settings": {"master_key": "sk-peer"}, "litellm_settings": {"num_retries": 0, "telemetry": False}}))
    environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False",
                   "NO_PROXY": "127.0.0.1"}
    command = [str(litellm_program), "--config", str(config), "--host", "127.0.0.1", "--port", str(port),
               "--num_workers", "1"]
    with running(command, tmp_path / "litellm.log", f"http://127.0.0.1:{port}/health/liveliness", environment):
        place = gateway([], {"providers": {"litellm": {"base_url": f"http://127.0.0.1:{port}/v1", "api_key": "sk-peer",
                                                       "models": ["smol"]}}})
        with client_of(place) as client:
            body = {"model": "litellm/smol", "max_tokens": 4, "temperature": 0,
                    "messages": [{"role": "user", "content": "Hi"}]}
            whole = client.chat.completions.create(**body)
            assert whole.choices[0].message.content and whole.usage.completion_tokens > 0
            streamed = list(client.chat.completions.create(**body, stream=True,
                                                           stream_options={"include_usage": True}))
            assert "".join(c.delta.content or "" for s in streamed for c in s.choices) == whole.choices[0].message.content
            assert streamed[-1].usage.completion_tokens == whole.usage.completion_tokens
            with pytest.raises(openai.APIStatusError) as unknown:
                client.chat.completions.create(**{**body, "model": "litellm/nosuch"})
            assert unknown.value.status_code in (400, 404)
        assert "sk-peer" not in place.stderr()
