"""Models that do not fit together: turns instead of thrash, pinned models, waiting for memory."""
import concurrent.futures
import json
import re

import pytest

from harness import error_of, wait_until
from ollama_standin import Ollama

LONG = {"model": "tiny-long", "prompt": "on and on", "max_tokens": 120_000}
PAIR = ("tiny", "tiny-tools")


def short(model):
    return {"model": model, "prompt": "x", "max_tokens": 4}


@pytest.fixture(scope="module")
def limit(tiny):
    """Memory for one of the small models, and not for two."""
    sizes = []
    for name in PAIR:
        estimate = tiny.get(f"/api/v1/models/{name}").json()["estimate"]["total_bytes"]
        tiny.load(name)
        sizes.append(max(estimate, wait_until(lambda: tiny.engine(name)["memory_bytes"], "a measurement")))
    return max(sizes) + min(sizes) // 2


def test_alternating_requests_are_served_in_batches(gateway, limit):
    running = gateway(PAIR, {"engines": {"memory_limit": limit, "min_residency": "5s"}})
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda i: running.post("/api/v1/generate", short(PAIR[i % 2])), range(20)))
    assert [answer.status_code for answer in answers] == [200] * 20
    assert len(running.log("engine ready")) <= 4  # as many as requests would be thrash
    assert len(running.home.engine_pids()) == 1


def test_a_pinned_model_stays(gateway, limit):
    running = gateway(PAIR, {"engines": {"memory_limit": limit, "min_residency": "0s"},
                             "models": {"settings": {"tiny": {"pinned": True}}}})
    running.load("tiny")
    answer = running.post("/api/v1/generate", short("tiny-tools"))
    assert answer.status_code == 503
    error = error_of(answer)
    assert error["code"] == "insufficient_memory"
    assert re.search(r"held by tiny\S* [0-9.]+ MiB \(ready, pinned\)", error["message"]), error
    assert "weights" in error["message"] and "kv_cache" in error["message"]
    assert running.engine_state("tiny") == "ready"
    assert running.post("/api/v1/generate", short("tiny")).status_code == 200


def test_a_load_waits_for_requests_that_hold_the_memory(gateway):
    probe = gateway(["tiny-long"])
    estimate = probe.get("/api/v1/models/tiny-long").json()["estimate"]["total_bytes"]
    probe.load("tiny-long")
    used = wait_until(lambda: probe.engine("tiny-long")["memory_bytes"], "a measurement")
    running = gateway(["tiny", "tiny-long"],
                      {"engines": {"memory_limit": max(estimate, used) + (1 << 20), "min_residency": "0s"}})
    with concurrent.futures.ThreadPoolExecutor() as pool:
        with running.client.stream("POST", "/v1/completions", json={**LONG, "stream": True}) as response:
            assert response.status_code == 200
            lines = response.iter_lines()
            next(lines)
            waiting = pool.submit(running.stream, "/api/v1/generate", short("tiny"))
            wait_until(lambda: (e := running.engine("tiny")) and e["phase"] == "waiting for memory", "the wait")
            assert running.engine_state("tiny-long") == "ready"
        events = waiting.result(60)  # the stream was given up: its slot, and the engine, are free
    phases = [json.loads(event).get("phase") for event in events if event.startswith("{")]
    assert "waiting for memory" in phases, events[:5]
    assert running.engine_state("tiny-long") == "stopped"
    metrics = running.get("/metrics").text
    planned = re.findall(r'llm_mcp_engine_memory_planned_bytes\{([^}]*)\} (\S+)', metrics)
    assert any('kind="weights"' in labels and 'model="tiny' in labels and float(value) > 0 for labels, value in planned)


@pytest.mark.parametrize("allowed", [True, False])
def test_others_give_memory_back_where_they_may_be_asked(gateway, limit, allowed):
    with Ollama() as ollama:
        ollama.loaded["qwen3:8b"] = 6_000_000_000
        running = gateway(PAIR, {"engines": {"memory_limit": limit, "min_residency": "0s"},
                                 "models": {"settings": {"tiny": {"pinned": True}}},
                                 "providers": {"ollama": {"preset": "ollama", "base_url": ollama.url,
                                                          "evict_others": allowed}}})
        running.load("tiny")
        assert ollama.loaded, "not before the memory is needed"
        answer = running.post("/api/v1/generate", short("tiny-tools"))
        assert answer.status_code == 503  # the limit is the gateway's own, and the pinned model has it
        assert bool(ollama.loaded) is not allowed
