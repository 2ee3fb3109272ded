"""The gateway's own REST API."""
import json

import pytest
from prometheus_client.parser import text_string_to_metric_families

from harness import error_of, wait_until

GREEDY = {"temperature": 0, "max_tokens": 12}


def generate(gateway, **request):
    answer = gateway.post("/api/v1/generate", request)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_generate_answers_with_all_its_parts(tiny):
    answer = generate(tiny, model="tiny", prompt="abc", **GREEDY)
    assert answer["model"] == "tiny"
    assert answer["id"]
    assert len(answer["text"]) == 12  # one byte a token
    assert answer["finish_reason"] == "length"
    usage = answer["usage"]
    assert usage["prompt_tokens"] == 4  # three bytes and the beginning of text
    assert usage["completion_tokens"] == 12
    assert usage["total_tokens"] == 16
    assert answer["timings"]["predicted_n"] == 12


def test_the_real_model_knows_the_capital_of_france(real):
    answer = generate(real, model="smollm2", prompt="The capital of France is", temperature=0, max_tokens=8)
    assert " Paris" in answer["text"]


def test_the_real_model_streams_the_same_text(real):
    request = {"model": "smollm2", "prompt": "The capital of France is", "temperature": 0, "max_tokens": 16}
    whole = generate(real, **request)
    *pieces, last = [json.loads(p) for p in real.stream("/api/v1/generate", request) if p != "[DONE]"]
    assert "".join(piece["text"] for piece in pieces if "text" in piece) == whole["text"]
    assert last["usage"] == whole["usage"]


def test_a_stream_says_the_same_in_pieces(tiny):
    request = {"model": "tiny", "prompt": "stream", "temperature": 0, "max_tokens": 40}
    whole = generate(tiny, **request)
    payloads = tiny.stream("/api/v1/generate", request)
    assert payloads[-1] == "[DONE]"
    *pieces, last = [json.loads(payload) for payload in payloads[:-1]]
    assert "".join(piece["text"] for piece in pieces) == whole["text"]
    assert [piece["tokens"] for piece in pieces] == sorted({piece["tokens"] for piece in pieces})
    assert last["done"] is True
    assert last["usage"] == whole["usage"]
    assert last["finish_reason"] == "length"
    assert last["model"] == "tiny"
    assert "text" not in last


def test_chat_messages(tiny):
    answer = generate(tiny, model="tiny", messages=[{"role": "user", "content": "hello"}], **GREEDY)
    assert len(answer["text"]) == 12


def test_every_field_is_taken(tiny):
    answer = generate(tiny, model="tiny", prompt="x", max_tokens=5, temperature=0.7, top_p=0.9, top_k=20, min_p=0.01,
                      repeat_penalty=1.1, frequency_penalty=0.1, presence_penalty=0.1, stop=["~~"], seed=7,
                      stream=False, logprobs=2, response_format={"type": "text"}, keep_alive="5m")
    assert answer["usage"]["completion_tokens"] == 5


@pytest.mark.parametrize("request_part", [{"prompt": "x"}, {"messages": [{"role": "user", "content": "x"}]}])
def test_logprobs(tiny, request_part):
    answer = generate(tiny, model="tiny", logprobs=3, max_tokens=4, temperature=0, **request_part)
    content = answer["logprobs"]["content"]
    assert len(content) == 4
    assert "".join(item["token"] for item in content) == answer["text"]
    for item in content:
        assert item["logprob"] <= 0
        assert len(item["top_logprobs"]) == 3


def test_json_schema_gives_json(tiny):
    schema = {"type": "object", "properties": {"age": {"type": "integer", "minimum": 0, "maximum": 99},
                                               "ok": {"type": "boolean"}},
              "required": ["age", "ok"], "additionalProperties": False}
    answer = generate(tiny, model="tiny", messages=[{"role": "user", "content": "go"}], max_tokens=300, seed=1,
                      response_format={"type": "json_schema", "json_schema": {"name": "p", "schema": schema}})
    assert answer["finish_reason"] == "stop"
    document = json.loads(answer["text"])
    assert document.keys() == {"age", "ok"}
    assert 0 <= document["age"] <= 99


def test_stop_ends_the_text_before_it(tiny):
    text = generate(tiny, model="tiny", prompt="abc", **GREEDY)["text"]
    stop = text[5:8]
    answer = generate(tiny, model="tiny", prompt="abc", stop=stop, **GREEDY)
    assert answer["text"] == text[:text.index(stop)]
    assert answer["finish_reason"] == "stop"


def test_a_seed_repeats_and_another_does_not(tiny):
    request = {"model": "tiny", "prompt": "seed", "temperature": 2, "max_tokens": 48}
    first, again, other = (generate(tiny, seed=seed, **request)["text"] for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_keep_alive_zero_unloads(gateway):
    running = gateway(["tiny"])
    generate(running, model="tiny", prompt="x", keep_alive=0, **GREEDY)
    wait_until(lambda: running.engine_state("tiny") == "stopped", "the engine to stop")
    wait_until(lambda: not running.home.engine_pids(), "the engine's process to end")
    generate(running, model="tiny", prompt="x", **GREEDY)  # and comes back


def test_models_list_and_show(tiny):
    listing = tiny.get("/api/v1/models").json()
    by_name = {model["name"]: model for model in listing["models"]}
    assert {"tiny", "tiny-tools", "tiny-embed", "tiny-long"} <= by_name.keys()
    model = by_name["tiny"]
    assert model["digest"].startswith("sha256:")
    assert model["architecture"] == "llama"
    assert model["context_length"] == 2048
    assert model["mode"] == "generation"
    assert by_name["tiny-embed"]["mode"] == "embedding"
    details = tiny.get("/api/v1/models/tiny").json()
    assert details["chat_template"]
    assert details["settings"]["threads"] == 1
    assert details["estimate"]["total_bytes"] > model["size"]
    assert tiny.get("/api/v1/models/tiny:latest").json()["digest"] == model["digest"]


def test_load_streams_progress_and_unload_stops(gateway):
    running = gateway(["tiny"])
    payloads = running.stream("/api/v1/models/tiny/load", {})
    assert payloads[-1] == "[DONE]"
    events = [json.loads(payload) for payload in payloads[:-1]]
    loading = [event for event in events if event.get("status") == "loading"]
    assert loading
    fractions = [event["progress"] for event in loading]
    assert fractions == sorted(fractions)
    assert events[-1]["done"] is True
    assert events[-1]["state"] == "ready"
    assert events[-1]["context"] == 2048
    assert events[-1]["slots"] == 2
    engine = running.engine("tiny")
    assert engine["state"] == "ready"
    assert engine["pid"] in running.home.engine_pids()
    assert running.post("/api/v1/models/tiny/unload").json() == {"model": "tiny", "state": "stopped",
                                                                 "was_loaded": True}
    assert not running.home.engine_pids()
    assert running.post("/api/v1/models/tiny/unload").json()["was_loaded"] is False


def test_delete_removes_the_model_and_its_file(gateway):
    running = gateway(["tiny", "tiny-tools"])
    running.load("tiny")
    blobs = running.home.store / "blobs"
    before = {path.name for path in blobs.rglob("*") if path.is_file()}
    assert running.delete("/api/v1/models/tiny").json() == {"model": "tiny", "removed": True}
    assert not running.home.engine_pids()
    assert len({path.name for path in blobs.rglob("*") if path.is_file()}) < len(before)
    assert error_of(running.get("/api/v1/models/tiny"))["code"] == "model_not_found"
    assert running.delete("/api/v1/models/tiny").status_code == 404


def test_status_and_index(tiny):
    status = tiny.get("/api/v1/status").json()
    assert status["status"] == "ok"
    assert status["models"] == 4
    assert status["requests_in_flight"] == 0
    assert status["cpu"]["cores"] >= 1
    assert status["memory"]["total"] > status["memory"]["available"] > 0
    index = tiny.get("/").json()
    assert index["name"] == "llm-mcp"
    assert ("POST", "/api/v1/generate") in {(route["method"], route["path"]) for route in index["routes"]}


@pytest.mark.parametrize("path", ["/health", "/livez", "/readyz"])
def test_health(tiny, path):
    answer = tiny.get(path)
    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"
    head = tiny.client.head(path)
    assert head.status_code == 200
    assert head.content == b""


def test_a_request_id_is_kept_or_given(tiny):
    assert tiny.get("/livez", headers={"X-Request-Id": "mine-1"}).headers["x-request-id"] == "mine-1"
    given = [tiny.get("/livez").headers["x-request-id"] for _ in range(2)]
    assert given[0] != given[1]


def test_metrics_count_what_happened(gateway):
    running = gateway(["tiny"])
    for _ in range(3):
        generate(running, model="tiny", prompt="abc", **GREEDY)
    running.stream("/api/v1/generate", {"model": "tiny", "prompt": "abc", **GREEDY})
    assert running.post("/api/v1/generate", {"model": "nope", "prompt": "x"}).status_code == 404
    answer = running.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    samples = {}
    for family in text_string_to_metric_families(answer.text):
        assert family.documentation, family.name
        for sample in family.samples:
            samples[sample.name, frozenset(sample.labels.items())] = sample.value

    def value(name, **labels):
        return samples[name, frozenset(labels.items())]

    model = "tiny:latest"
    assert value("llm_mcp_http_requests_total", route="/api/v1/generate", method="POST", status="200") == 4
    assert value("llm_mcp_http_requests_total", route="/api/v1/generate", method="POST", status="404") == 1
    assert value("llm_mcp_inference_requests_total", model=model, operation="completion", outcome="ok") == 4
    assert value("llm_mcp_tokens_total", model=model, type="completion") == 48
    assert value("llm_mcp_tokens_total", model=model, type="prompt") == 16
    assert value("llm_mcp_time_to_first_token_seconds_count", model=model) == 4
    assert value("llm_mcp_engine_load_seconds_count", model=model) == 1
    assert value("llm_mcp_engine_state", model=model, state="ready") == 1
    assert value("llm_mcp_engine_memory_bytes", model=model) > 1_000_000
    assert value("llm_mcp_inference_duration_seconds_count", model=model, operation="completion") == 4
