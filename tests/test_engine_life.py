"""Engines and the gateway that come, go, crash and are killed."""
import concurrent.futures
import json
import os
import signal
import threading

import httpx
import pytest

from harness import alive, error_of, processes_naming, wait_until

LONG = {"model": "tiny-long", "prompt": "on and on", "max_tokens": 120_000}
SHORT = {"model": "tiny", "prompt": "x", "max_tokens": 4}


def events(lines):
    """(payload or None for [DONE]) of each data line."""
    for line in lines:
        if line.startswith("data: "):
            yield None if line == "data: [DONE]" else json.loads(line[6:])


@pytest.mark.parametrize("path", ["/api/v1/generate", "/v1/completions"])
def test_an_engine_that_is_killed_in_mid_stream(gateway, path):
    running = gateway(["tiny-long"], {"engines": {"restart_backoff": "50ms"}})
    first_pid = running.load("tiny-long")["pid"]
    with running.client.stream("POST", path, json={**LONG, "stream": True}) as response:
        stream = events(response.iter_lines())
        first = next(stream)
        assert first.get("text") or first["choices"]
        os.kill(first_pid, signal.SIGKILL)
        *tokens, last = stream  # ends, although nobody says [DONE]
    assert all("error" not in token for token in tokens)
    assert last is not None and "error" in last, last
    assert last["error"]["code"] == "engine_failed"
    assert "signal 9" in last["error"]["message"], last["error"]
    engine = wait_until(lambda: (e := running.engine("tiny-long")) and e["state"] == "ready" and e, "the restart")
    assert engine["pid"] != first_pid
    assert engine["restarts"] == 1
    assert running.post("/api/v1/generate", {**LONG, "max_tokens": 3}).status_code == 200
    crash, = running.log("engine crashed")
    assert crash["restart_in_ms"] == 50


def test_a_killed_engine_without_a_stream(gateway):
    running = gateway(["tiny-long"], {"engines": {"restart_backoff": "1h"}})
    pid = running.load("tiny-long")["pid"]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        answers = [pool.submit(running.post, path, LONG) for path in ("/api/v1/generate", "/v1/completions")]
        running.wait_busy("tiny-long", 2)
        os.kill(pid, signal.SIGKILL)
        for answer in answers:
            assert answer.result(30).status_code == 502
            assert "restarted" in error_of(answer.result())["message"]
    # While the pause lasts, requests hear at once why and when; an explicit load does not wait.
    refused = running.post("/api/v1/generate", LONG)
    assert refused.status_code == 502
    assert 50 < int(refused.headers["retry-after"]) <= 60  # a minute is the longest pause
    assert running.engine("tiny-long")["error"]["code"] == "engine_failed"
    assert running.get("/health").status_code == 200
    running.load("tiny-long")


def test_an_engine_that_crashes_again_and_again_is_given_up(gateway):
    running = gateway(["tiny"], {"engines": {"restart_backoff": "1ms", "max_restarts": 2}})
    running.load("tiny")
    for restarts in (1, 2):
        os.kill(running.engine("tiny")["pid"], signal.SIGKILL)
        wait_until(lambda: (e := running.engine("tiny"))["state"] == "ready" and e["restarts"] == restarts, "a restart")
    os.kill(running.engine("tiny")["pid"], signal.SIGSEGV)
    wait_until(lambda: running.engine("tiny")["state"] == "failed", "the last crash")
    assert running.log("engine crashed")[-1]["restart_in_ms"] == -1
    assert "signal 11" in running.engine("tiny")["error"]["message"]


def test_engines_do_not_outlive_a_killed_gateway(gateway):
    running = gateway(["tiny", "tiny-tools"])
    pids = {running.load(name)["pid"] for name in ("tiny", "tiny-tools")}
    assert pids <= set(running.home.engine_pids())
    running.kill()
    running.expected_exit = -signal.SIGKILL
    wait_until(lambda: not any(alive(pid) for pid in pids), "the end of the engines")
    running.stop()
    again = gateway(home=running.home)  # what was left lying about is no obstacle
    assert again.post("/api/v1/generate", SHORT).status_code == 200


def many_streams(running, count, started):
    """Runs `count` streams; [(tokens, how it ended)]."""
    def one(_):
        tokens, end = 0, "cut"
        try:
            with httpx.stream("POST", running.url + "/v1/completions", json={**LONG, "stream": True},
                              timeout=120) as response:
                if response.status_code != 200:
                    return 0, response.status_code
                for event in events(response.iter_lines()):
                    if event is None:
                        end = "done"
                    elif "error" in event:
                        end = event["error"]["code"]
                    else:
                        tokens += 1
                        started.release()
        except httpx.HTTPError as error:
            end = type(error).__name__
        return tokens, end

    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


@pytest.mark.parametrize("signals", [[signal.SIGTERM], [signal.SIGINT, signal.SIGINT]])
def test_a_signal_while_fifty_streams_run(gateway, signals):
    drain = "1s" if len(signals) == 1 else "1h"  # the second signal cuts the drain time short
    running = gateway(["tiny-long"], {"server": {"drain_timeout": drain},
                                      "models": {"settings": {"tiny-long": {"context": 4096, "parallel": 16}}}})
    running.load("tiny-long")
    started = threading.Semaphore(0)
    results = []
    clients = threading.Thread(target=lambda: results.extend(many_streams(running, 50, started)))
    clients.start()
    for _ in range(64):
        assert started.acquire(timeout=60)
    wait_until(lambda: running.engine("tiny-long")["in_flight"] >= 32, "many streams in flight")
    for number in signals:
        running.process.send_signal(number)
        wait_until(lambda: running.log("stopping"), "the first phase")
    clients.join(60)
    assert not clients.is_alive()
    running.stop()  # status 0, nothing left
    assert len(results) == 50
    assert {end for _, end in results} <= {"done", "unavailable", "RemoteProtocolError", "ReadError",
                                           "ConnectError", 503}, results
    assert not running.log("engine crashed")


def test_a_stream_may_finish_within_the_drain_time(gateway):
    running = gateway(["tiny-long"], {"server": {"drain_timeout": "60s"}})
    running.drain = 60
    with running.client.stream("POST", "/api/v1/generate", json={**LONG, "max_tokens": 3000, "stream": True}) as busy:
        stream = events(busy.iter_lines())
        next(stream)
        running.process.terminate()
        wait_until(lambda: running.log("stopping"), "the first phase")
        *_, last, done = stream
    assert last["usage"]["completion_tokens"] == 3000
    assert done is None
    with pytest.raises(httpx.ConnectError):
        httpx.get(running.url + "/livez")
    running.stop()


def test_signals_up_to_the_last_moment_do_not_spoil_a_clean_stop(gateway):
    """Service managers and people press again. Whenever that is, a gateway that stops in order ends with status 0."""
    running = gateway(["tiny"])
    running.load("tiny")
    while running.process.poll() is None:
        running.process.terminate()
    running.stop()  # status 0, nothing left


def test_one_load_however_many_ask(gateway):
    running = gateway(["tiny"])
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: running.post("/api/v1/generate", SHORT), range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert len(running.log("engine starting")) == 1
    assert len(running.home.engine_pids()) == 1


def test_loading_does_not_block_a_loaded_model(gateway, tmp_path):
    """The second engine never gets ready; the first one serves as ever, and unloading ends the attempt."""
    stuck = tmp_path / "llama-server"
    real = gateway.home([]).config_file  # for the real engine's path
    engine = json.loads(real.read_text())["engines"]["llama_server"]
    stuck.write_text(f"#!/bin/bash\ncase \"$*\" in *tiny-tools*) exec sleep 1000;; esac\nexec {engine} \"$@\"\n")
    stuck.chmod(0o755)
    running = gateway(["tiny", "tiny-tools"], {"engines": {"llama_server": str(stuck)}})
    running.load("tiny")
    waiting = concurrent.futures.ThreadPoolExecutor().submit(running.post, "/api/v1/models/tiny-tools/load")
    wait_until(lambda: running.engine_state("tiny-tools") == "starting", "the stuck load")
    for _ in range(5):
        assert running.post("/api/v1/generate", SHORT).status_code == 200
    assert running.engine_state("tiny-tools") == "starting"
    assert running.post("/api/v1/models/tiny-tools/unload").json()["state"] == "stopped"
    assert waiting.result(30).status_code >= 400


def test_idle_models_are_unloaded(gateway):
    running = gateway(["tiny", "tiny-tools"], {"models": {"keep_alive": "300ms",
                                                          "settings": {"tiny-tools": {"keep_alive": -1}}}})
    for name in ("tiny-tools", "tiny"):
        assert running.post("/api/v1/generate", {**SHORT, "model": name}).status_code == 200
    wait_until(lambda: running.engine_state("tiny") == "stopped", "the idle model to be unloaded")
    assert running.engine_state("tiny-tools") == "ready"
    assert len(running.home.engine_pids()) == 1
    assert running.post("/api/v1/generate", SHORT).status_code == 200


def test_memory_that_is_not_there(gateway):
    running = gateway(["tiny"], {"engines": {"memory_limit": "1MiB"}})
    answer = running.post("/api/v1/generate", SHORT)
    assert answer.status_code == 503
    error = error_of(answer)
    assert error["code"] == "insufficient_memory"
    assert error["bytes_needed"] > error["bytes_available"] == 1 << 20
    for word in ("1.0 MiB", "engines.memory_limit", "context"):
        assert word in error["message"]
    assert not running.home.engine_pids()


def test_the_least_recently_used_model_makes_room(gateway):
    probe = gateway(["tiny"])
    estimate = probe.get("/api/v1/models/tiny").json()["estimate"]["total_bytes"]
    probe.load("tiny")
    used = wait_until(lambda: probe.engine("tiny")["memory_bytes"], "a measurement")
    limit = max(estimate, used) + estimate // 2
    running = gateway(["tiny", "tiny-tools"], {"engines": {"memory_limit": limit, "min_residency": "0s"}})
    assert running.post("/api/v1/generate", SHORT).status_code == 200
    assert running.post("/api/v1/generate", {**SHORT, "model": "tiny-tools"}).status_code == 200
    assert running.engine_state("tiny") == "stopped"
    assert len(running.home.engine_pids()) == 1
    assert running.post("/api/v1/generate", SHORT).status_code == 200


def test_a_corrupt_engine_answer_is_explained(gateway, tmp_path):
    broken = tmp_path / "llama-server"
    broken.write_text("#!/bin/bash\necho 'main: something is wrong with this build' >&2\nexit 3\n")
    broken.chmod(0o755)
    running = gateway(["tiny"], {"engines": {"llama_server": str(broken)}})
    answer = running.post("/api/v1/generate", SHORT)
    assert answer.status_code == 502
    assert "something is wrong" in error_of(answer)["message"] or "3" in error_of(answer)["message"]
    assert not processes_naming(str(broken))


def test_no_engine_binary(gateway):
    running = gateway(["tiny"], {"engines": {"llama_server": "/nowhere/llama-server"}})
    answer = running.post("/api/v1/generate", SHORT)
    assert answer.status_code >= 500
    error = error_of(answer)
    assert "/nowhere/llama-server" in error["message"], error
    assert running.get("/livez").status_code == 200
