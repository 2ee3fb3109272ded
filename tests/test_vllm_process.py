"""vLLM as a process that the gateway runs, from the first request to the last, with a stand-in for vLLM."""
import concurrent.futures
import contextlib
import json
import os
import signal
import stat
import sys
import threading

import httpx
import pytest

from access_clients import PROTECTED, local, make_key, status
from harness import ROOT, alive, error_of, processes_naming, sse_payloads, wait_until

STANDIN = ROOT / "tests/vllm_standin.py"
VERSIONS = ["0.10.1", "0.33.0"]
CHAT = {"model": "big", "messages": [{"role": "user", "content": "count"}], "max_tokens": 4}


class Vllm:
    """A gateway with one engine "big", and the stand-in behind it."""

    def __init__(self, factory, settings=None, environment=None, gateway_settings=None, version=VERSIONS[1],
                 engines=None):
        self.home = factory.home([])
        self.program = self.home.path / "vllm"
        self.program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{STANDIN}" "$@"\n')
        self.program.chmod(self.program.stat().st_mode | stat.S_IXUSR)
        entry = {"runtime": "process", "model": "acme/big", "process": {"program": str(self.program)},
                 "stop_timeout": "20s",
                 "environment": {"VLLM_STANDIN_VERSION": version, "VLLM_STANDIN_CORE": "1", **(environment or {})},
                 **(settings or {})}
        self.home.write_config({"engines": {"vllm": {"big": entry}, "restart_backoff": "10ms", **(engines or {})},
                                **(gateway_settings or {})})
        self.gateway = factory(home=self.home)
        self.get, self.post = self.gateway.get, self.gateway.post

    def engine(self):
        return self.gateway.engine("big") or {"state": "stopped", "phase": ""}

    def state(self):
        return self.engine()["state"]

    def start(self):
        answer = self.post("/api/v1/engines/big/start")
        assert answer.status_code == 200, answer.text
        return self.engine()

    def url(self, path):
        return self.engine()["endpoint"].removesuffix("/v1") + path

    def standin(self):
        return httpx.get(self.url("/standin/state"), timeout=30).json()

    def set(self, **values):
        return httpx.post(self.url("/standin/set"), json=values, timeout=30).json()

    def crash(self, why):
        with contextlib.suppress(httpx.HTTPError):  # it may end before it answers
            httpx.post(self.url("/standin/crash"), json={"fail": why}, timeout=30)

    def processes(self):
        """Both of the stand-in's processes; none once it is gone."""
        return processes_naming(str(STANDIN))

    @contextlib.contextmanager
    def held_stream(self):
        """A stream that has given two words and gives no more until the stand-in lets it."""
        self.set(hold=True)
        with self.gateway.client.stream("POST", "/v1/chat/completions", json={**CHAT, "stream": True}) as response:
            assert response.status_code == 200, response.read()
            lines = response.iter_lines()
            seen = []
            while len(seen) < 2:
                line = next(lines)
                if line.startswith("data: ") and words([line]):
                    seen.append(line)
            yield lines


def words(lines):
    out = []
    for payload in sse_payloads(lines):
        if payload != "[DONE]":
            for choice in json.loads(payload).get("choices", []):
                out += (choice["delta"].get("content") or "").split()
    return out


@pytest.fixture
def vllm(gateway):
    before = set(processes_naming(str(STANDIN)))

    def make(*arguments, **options):
        return Vllm(gateway, *arguments, **options)

    yield make
    for running in gateway.gateways:
        running.stop()
    wait_until(lambda: set(processes_naming(str(STANDIN))) <= before, "the end of the engine's processes")


@pytest.mark.parametrize("version", VERSIONS)
def test_the_first_request_starts_it_and_sees_how_far_it_is(vllm, version, tmp_path):
    big = vllm(environment={"VLLM_STANDIN_GATES": str(tmp_path)}, version=version)
    assert big.state() == "stopped"
    with concurrent.futures.ThreadPoolExecutor() as pool:
        answer = pool.submit(big.post, "/v1/chat/completions", CHAT)
        fractions = []
        for gate, phase in [("download", "downloading weights"), ("weights", "loading weights"),
                            ("compile", "compiling"), ("graphs", "allocating the KV cache"),
                            ("serve", "starting to serve")]:
            seen = wait_until(lambda: (e := big.engine())["phase"].startswith(phase) and e, phase)
            assert seen["state"] == "starting"
            fractions.append(seen["progress"])
            (tmp_path / gate).touch()
        assert fractions == sorted(set(fractions)), fractions
        answer = answer.result(60)
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"].split() == ["w0", "w1", "w2", "w3"]
    engine = big.engine()
    assert engine["state"] == "ready"
    assert engine["context"] == 4096
    seen = big.standin()
    assert seen["version"] == version
    assert "--served-model-name" in seen["argv"]
    assert ("--shutdown-timeout" in seen["argv"]) == (version != "0.10.1")
    assert not [argument for argument in seen["argv"] if "key" in argument], "the key is no argument"
    assert "VLLM_API_KEY" in seen["environment"]
    assert not [name for name in seen["environment"] if name.startswith("LLM_MCP")]
    assert httpx.get(big.url("/v1/models"), timeout=30).status_code == 401
    # The second time it is known how long it takes.
    assert big.post("/api/v1/engines/big/stop").status_code == 200
    assert big.processes() == []
    for gate in tmp_path.iterdir():
        gate.unlink()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        again = pool.submit(big.post, "/api/v1/engines/big/start")
        wait_until(lambda: " left)" in big.engine()["phase"], "an estimate")
        for gate in ["download", "weights", "compile", "graphs", "serve"]:
            (tmp_path / gate).touch()
        assert again.result(60).status_code == 200


CAUSES = {
    "oom": (503, "gpu_memory_utilization"),
    "kv_cache": (503, "lower max_model_len"),
    "no_gpu": (502, "sees no GPU"),
    "no_driver": (502, "driver"),
    "gated": (403, "accept its licence"),
    "bad_token": (403, "hf_token"),
    "arch": (None, "NovelForCausalLM"),
    "port": (502, "port is taken"),
    "shm": (502, "/dev/shm"),
    "dtype": (400, "dtype"),
    "kill9": (None, "signal 9"),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_a_start_that_fails_says_why_and_what_to_do(vllm, cause):
    big = vllm(environment={"VLLM_STANDIN_FAIL": cause}, version=VERSIONS[cause == "shm"])
    answer = big.post("/v1/chat/completions", CHAT)
    status, text = CAUSES[cause]
    assert answer.status_code >= 400
    if status:
        assert answer.status_code == status, answer.text
    assert text in error_of(answer)["message"], answer.text
    wait_until(lambda: not big.processes(), "the end of what was started")
    assert big.state() in ("failed", "stopped", "starting")
    # The same is told to whoever looks, with the log.
    lines = big.get("/api/v1/engines/big/logs").json() if cause == "arch" else None
    assert lines is None or "NovelForCausalLM" in json.dumps(lines)


def test_an_option_that_this_version_lacks(vllm):
    big = vllm({"extra_args": ["--max-num-queued-reqs", "7"]}, version="0.10.1")
    answer = big.post("/v1/chat/completions", CHAT)
    assert answer.status_code == 400
    assert "--max-num-queued-reqs" in error_of(answer)["message"]


def test_a_program_that_is_not_there(vllm):
    big = vllm({"process": {"program": "/nowhere/vllm"}})
    answer = big.post("/v1/chat/completions", CHAT)
    assert answer.status_code == 502
    assert "/nowhere/vllm" in error_of(answer)["message"]
    assert "process.python" in error_of(answer)["message"]


def test_an_engine_that_is_never_ready(vllm):
    big = vllm({"start_timeout": "3s"}, {"VLLM_STANDIN_FAIL": "never_ready"})
    answer = big.post("/v1/chat/completions", CHAT)
    assert answer.status_code == 504, answer.text
    assert "start_timeout" in error_of(answer)["message"]
    assert "capturing CUDA graphs" in error_of(answer)["message"]
    assert not big.processes()


@pytest.mark.parametrize("version", VERSIONS)
def test_streams_usage_and_the_tenants_salt(vllm, version):
    big = vllm(version=version)
    payloads = big.gateway.stream("/v1/chat/completions", {**CHAT, "stream_options": {"include_usage": True}})
    assert payloads[-1] == "[DONE]"
    chunks = [json.loads(payload) for payload in payloads[:-1]]
    assert words([f"data: {payload}" for payload in payloads]) == ["w0", "w1", "w2", "w3"]
    assert chunks[-1]["usage"]["completion_tokens"] == 4
    seen = big.standin()
    assert len(set(seen["cache_salts"])) == 1
    assert seen["aborted"] == 0
    tokens = big.get("/api/v1/engines/big/metrics")
    assert tokens.status_code == 200, tokens.text
    replica, = tokens.json()["replicas"]
    assert replica["generation_tokens"] == 5  # one of them the gateway's own, at the start
    assert replica["inter_token_latency_seconds_count"] == 5


def test_each_project_has_a_salt_of_its_own(vllm):
    big = vllm(gateway_settings=PROTECTED)
    with local(big.gateway) as client:
        assert client.post("/api/v1/projects", json={"id": "search"}).status_code == 201
    keys = [make_key(big.gateway)["key"], make_key(big.gateway, project="search")["key"], make_key(big.gateway)["key"]]
    for key in keys:
        assert status(big.gateway, key, "POST", "/v1/chat/completions", json=CHAT) == 200
    with local(big.gateway) as client:
        engine = next(one for one in client.get("/api/v1/engines").json()["engines"] if one["model"] == "big")
    seen = httpx.get(engine["endpoint"].removesuffix("/v1") + "/standin/state", timeout=30).json()
    own, search, again = seen["cache_salts"]
    assert own == again != search
    assert "search" not in search, "it tells the engine nothing of who asked"


def test_a_client_that_leaves_ends_its_generation_in_the_engine(vllm):
    big = vllm()
    big.start()
    with big.held_stream():
        assert big.standin()["running"] == 1
    wait_until(lambda: big.standin()["aborted"] == 1, "the abort in the engine")
    assert big.standin()["running"] == 0
    # The same without a stream.
    with contextlib.suppress(httpx.ReadTimeout):
        big.gateway.client.post("/v1/chat/completions", json=CHAT, timeout=1)
    wait_until(lambda: big.standin()["aborted"] == 2, "the second abort")
    assert big.post("/v1/completions", {"model": "big", "prompt": "x", "max_tokens": 1}).status_code == 200


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("level", [1, 2])
def test_sleep_and_wake(vllm, version, level):
    big = vllm({"sleep_mode": True}, version=version)
    pid = big.start()["pid"]
    url = big.url("")
    answer = big.post("/api/v1/engines/big/sleep", {"level": level})
    assert answer.status_code == 200, answer.text
    assert big.state() == "asleep"
    assert httpx.get(url + "/is_sleeping", timeout=30).json()["is_sleeping"] is True
    # A request wakes it; the weights of level 2 were read again.
    answer = big.post("/v1/chat/completions", CHAT)
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"].startswith("w0")
    seen = big.standin()
    assert seen["sleeping"] == 0 and seen["pid"] == pid
    assert seen["requests_while_asleep"] == 0
    assert seen["collective_rpc"] == (["reload_weights"] if level == 2 else [])
    assert big.post("/api/v1/engines/big/sleep").status_code == 200
    assert big.post("/api/v1/engines/big/wake").status_code == 200
    assert big.state() == "ready"


def test_an_engine_without_sleep_says_so(vllm):
    big = vllm()
    big.start()
    answer = big.post("/api/v1/engines/big/sleep")
    assert answer.status_code == 400, answer.text
    assert "sleep_mode" in error_of(answer)["message"]
    assert big.post("/v1/chat/completions", CHAT).status_code == 200


@pytest.mark.parametrize("version", VERSIONS)
def test_adapters_are_models(vllm, version, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir(), second.mkdir()
    big = vllm({"enable_lora": True, "lora_modules": [{"name": "one", "path": str(first)}]}, version=version)
    big.start()

    def names():
        return {model["id"] for model in big.get("/v1/models").json()["data"]}

    def say(model):
        return big.post("/v1/chat/completions", {**CHAT, "model": model})

    assert names() >= {"big", "big:one"}
    assert say("big:one").json()["choices"][0]["message"]["content"].startswith("one-0")
    assert say("big:two").status_code == 404
    load = {"adapter": "two", "path": str(second)}
    assert big.post("/api/v1/engines/big/adapters", load).status_code == 200
    assert names() >= {"big", "big:one", "big:two"}
    assert say("big:two").json()["choices"][0]["message"]["content"].startswith("two-0")
    assert big.post("/api/v1/engines/big/adapters", load).status_code == 409
    assert big.post("/api/v1/engines/big/adapters", {"adapter": "three", "path": "/nowhere"}).status_code == 404
    assert big.post("/api/v1/engines/big/adapters", {"adapter": "a:b", "path": "/x"}).status_code == 400
    assert big.post("/api/v1/engines/big/adapters/unload", {"adapter": "two"}).status_code == 200
    assert big.post("/api/v1/engines/big/adapters/unload", {"adapter": "two"}).status_code == 404
    assert "big:two" not in names()
    assert say("big:two").status_code == 404
    assert say("big").json()["choices"][0]["message"]["content"].startswith("w0")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_stop_waits_for_what_runs(vllm, version):
    big = vllm(version=version)
    pids = set(big.processes()) if big.start() else set()
    assert len(pids) == 2
    standin = big.url("/standin/set")
    with big.held_stream() as lines, concurrent.futures.ThreadPoolExecutor() as pool:
        stopped = pool.submit(big.post, "/api/v1/engines/big/stop")
        wait_until(lambda: big.state() == "stopping", "the stop")
        assert set(big.processes()) == pids
        httpx.post(standin, json={"hold": False}, timeout=30)
        assert words(list(lines)) == ["w2", "w3"]
        assert stopped.result(60).status_code == 200
    assert big.processes() == []
    assert big.state() == "stopped"


def test_a_crash_in_mid_stream_has_its_cause_and_is_followed_by_a_restart(vllm, tmp_path):
    once = tmp_path / "crashed"
    big = vllm(environment={"VLLM_STANDIN_FAIL": "crash_mid_stream", "VLLM_STANDIN_FAIL_ONCE": str(once)})
    pid = big.start()["pid"]
    with big.gateway.client.stream("POST", "/v1/chat/completions", json={**CHAT, "stream": True}) as response:
        payloads = sse_payloads(response.iter_lines())
    last = json.loads(payloads[-1])
    assert words([f"data: {payload}" for payload in payloads[:-1]]) == ["w0", "w1"]
    assert "CUDA out of memory" in last["error"]["message"], last
    engine = wait_until(lambda: (e := big.engine())["state"] == "ready" and e, "the restart")
    assert engine["pid"] != pid and engine["restarts"] == 1
    assert big.post("/v1/chat/completions", CHAT).status_code == 200
    assert len(big.processes()) == 2, "nothing of the first one is left"


def test_what_crashes_again_and_again_is_left_alone(vllm):
    big = vllm(engines={"max_restarts": 2})
    big.start()
    for restarts in (1, 2):
        big.crash("oom")
        wait_until(lambda: (e := big.engine())["state"] == "ready" and e["restarts"] == restarts, "the restart")
    big.crash("oom")
    failed = wait_until(lambda: (e := big.engine())["state"] == "failed" and e["restarts"] == 3 and e, "the end of it")
    assert "CUDA out of memory" in failed["error"]["message"]
    assert "lower gpu_memory_utilization" in failed["error"]["message"]
    wait_until(lambda: not big.processes(), "the end of its processes")
    # Not for ever: whoever asks for it next starts it.
    assert big.start()["state"] == "ready"


def test_killing_the_engine_ends_all_of_it(vllm):
    big = vllm()
    engine = big.start()
    core = big.standin()["core"]
    os.kill(engine["pid"], signal.SIGKILL)
    wait_until(lambda: not alive(core), "the end of the second process")
    wait_until(lambda: big.state() == "ready", "the restart")


def test_the_gateways_end_is_the_engines(vllm):
    big = vllm()
    big.start()
    assert len(big.processes()) == 2
    done = threading.Event()
    with big.held_stream() as lines:
        standin = big.url("/standin/set")
        big.gateway.process.terminate()
        wait_until(lambda: big.gateway.log("stopping") or not alive(big.gateway.pid) or big.gateway.stderr(), "SIGTERM")
        httpx.post(standin, json={"hold": False}, timeout=30)
        assert words(list(lines)) == ["w2", "w3"], "what runs may end"
        done.set()
    big.gateway.stop()
    assert big.processes() == []


def test_a_killed_gateway_leaves_nothing(vllm):
    big = vllm()
    big.start()
    pids = big.processes()
    assert len(pids) == 2
    big.gateway.expected_exit = -signal.SIGKILL
    big.gateway.kill()
    wait_until(lambda: not any(alive(pid) for pid in pids), "the end of the engine")
