"""What may leave the machine: rules of models, projects, roles and of everything, and what answers say about it."""
import json

import pytest

from access_clients import PROTECTED, ask, local, make_key
from anthropic_standin import KEY, Anthropic
from harness import error_of
from ollama_standin import Ollama
from test_access_matrix import mcp
from test_providers import chat, providers


@pytest.fixture
def far(gateway):
    """A provider that counts as elsewhere, a model of our own, and a model that may not leave."""
    with Ollama() as server:
        routing = {"models": {"both": {"targets": [{"model": "far/qwen3:8b"}], "fallbacks": ["tiny"]},
                              "two-clouds": {"targets": [{"model": "far/qwen3:8b"}],
                                             "fallbacks": ["far/nomic-embed-text:latest"]},
                              "split": {"split": [{"model": "home"}]},
                              "far/nomic-embed-text:latest": {"locality": "local_only"},
                              "home-of-two": {"targets": [{"model": "far/nomic-embed-text:latest"}]},
                              "home": {"targets": [{"model": "far/qwen3:8b"}], "locality": "local_only"},
                              "home-first": {"targets": [{"model": "tiny"}], "fallbacks": ["far/qwen3:8b"],
                                             "locality": "local_only"}}}
        settings = {**providers(far={"preset": "ollama", "base_url": server.url, "locality": "remote",
                                     "models": ["qwen3:8b"]}), "routing": routing, **PROTECTED}
        server.gateway = gateway(["tiny"], settings)
        yield server


def answered(far, key, model):
    """Status and locality of a chat; what the provider was asked is counted by the caller."""
    answer = ask(far.gateway, key, "POST", "/v1/chat/completions", json=chat("x", model=model, max_tokens=2))
    return answer.status_code, answer.headers.get("x-llm-locality")


def header_of(far, key, path="/v1/chat/completions", **body):
    answer = ask(far.gateway, key, "POST", path, json=body)
    return answer.status_code, answer.headers.get("x-llm-locality")


def test_a_free_caller_may_leave(far):
    key = make_key(far.gateway)["key"]
    assert answered(far, key, "far/qwen3:8b") == (200, "remote")
    assert answered(far, key, "both") == (200, "remote")
    assert answered(far, key, "tiny") == (200, "local")


@pytest.mark.parametrize("rule", ["role", "project"])
def test_a_rule_keeps_a_caller_here(far, rule):
    with local(far.gateway) as client:
        if rule == "role":
            made = client.post("/api/v1/roles", json={"name": "homely", "rules": [{"permissions": ["generate"]}],
                                                      "caps": {"local_only": True}})
            more = {"role": "homely"}
        else:
            made = client.post("/api/v1/projects", json={"id": "homely", "name": "x", "locality": "local_only"})
            more = {"project": "homely"}
        assert made.status_code == 201, made.text
    key = make_key(far.gateway, **more)["key"]
    assert answered(far, key, "far/qwen3:8b") == (403, "local")
    assert answered(far, key, "qwen3:8b") == (403, "local")
    for path, body in (("/v1/embeddings", {"input": "x"}), ("/v1/completions", {"prompt": "x"}),
                       ("/api/v1/generate", {"prompt": "x"}), ("/api/v1/tokenize", {"text": "x"})):
        assert header_of(far, key, path, model="far/qwen3:8b", **body) == (403, "local"), path
    assert answered(far, key, "both") == (200, "local")  # its fallback is at home
    assert answered(far, key, "tiny") == (200, "local")
    assert answered(far, key, "two-clouds") == (403, "local")  # its fallback is elsewhere, too
    told = mcp(far.gateway, key, "tools/call", name="llm_generate", arguments={"model": "far/qwen3:8b", "prompt": "x"})
    assert told.json()["result"]["isError"] and "local_only" in told.text, told.text
    assert not [request for request in far.requests if request.method == "POST"]


def test_a_model_stays_here(far):
    key = make_key(far.gateway)["key"]
    assert answered(far, key, "home") == (403, "local")
    assert answered(far, key, "home-first") == (200, "local")
    # By another name that leads to it, it stays as well.
    assert answered(far, key, "split") == (403, "local")
    assert answered(far, key, "home-of-two") == (403, "local")
    assert not far.asked("/v1/chat/completions")


def test_the_rule_for_who_has_none(gateway):
    """`access.caps` holds for keys whose role has no caps of its own."""
    with Ollama() as server:
        place = gateway([], {**providers(far={"preset": "ollama", "base_url": server.url, "locality": "remote"}),
                             "access": {**PROTECTED["access"], "caps": {"local_only": True}}})
        answer = ask(place, make_key(place)["key"], "POST", "/v1/chat/completions", json=chat("x", model="far/qwen3:8b"))
        assert (answer.status_code, answer.headers["x-llm-locality"]) == (403, "local"), answer.text
        assert not server.asked("/v1/chat/completions")


def test_the_rule_for_everything(gateway):
    with Ollama() as server:
        place = gateway([], {**providers(far={"preset": "ollama", "base_url": server.url, "locality": "remote"}),
                             "routing": {"locality": "local_only"}})
        answer = place.post("/v1/chat/completions", chat("x", model="far/qwen3:8b"))
        assert (answer.status_code, answer.headers["x-llm-locality"]) == (403, "local"), answer.text
        assert "local_only" in error_of(answer)["message"]
        assert not server.requests


def test_a_failure_elsewhere_says_where(far):
    """What was sent has left the machine, whatever came of it; what was refused before has not."""
    key = make_key(far.gateway)["key"]
    assert answered(far, key, "far/nosuch") == (404, "remote")
    assert header_of(far, key, model="far/qwen3:8b", messages=[], n=-1) == (400, "local")
    assert answered(far, key, "no-such-model") == (404, "local")


def test_a_cloud_that_is_switched_off_is_not_there(gateway):
    with Anthropic() as server:
        off = {"preset": "anthropic", "base_url": server.url, "api_key": KEY, "models": ["claude-test"], "enabled": False}
        place = gateway([], providers(claude=off))
        for name in ("claude-test", "claude/claude-test"):
            assert place.post("/v1/chat/completions", chat("x", model=name)).status_code == 404
        assert place.get("/v1/models").json()["data"] == []
        assert place.get("/api/v1/providers").json()["providers"] == []
        assert not server.requests


def test_a_project_changes_its_mind(far):
    home = far.gateway.home
    home.must("projects", "create", "shop", "--locality", "local_only")
    assert json.loads(home.must("projects", "show", "shop", "--json").stdout)["locality"] == "local_only"
    key = make_key(far.gateway, project="shop")["key"]
    assert answered(far, key, "far/qwen3:8b")[0] == 403
    home.must("projects", "update", "shop", "--locality", "any")
    assert json.loads(home.must("projects", "show", "shop", "--json").stdout)["locality"] == "any"
    assert answered(far, key, "far/qwen3:8b") == (200, "remote")
