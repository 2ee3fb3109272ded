"""Requests go to the replica that the policy says, and to another one when that fails; what is ill or drained is left alone."""
import collections
import concurrent.futures
import urllib.parse

import pytest

from harness import error_of, wait_until
from routing_upstream import Engine


@pytest.fixture
def engines():
    started = []

    def make(count):
        started.extend(Engine(f"r{len(started)}") for _ in range(count))
        return started
    yield make
    for engine in started:
        engine.close()


@pytest.fixture
def pool(gateway, engines):
    """A gateway whose model `pool` is served by that many engines, and the engines."""
    def make(count=3, policy="round_robin", model=None, **routing):
        there = engines(count)
        providers = {e.name: {"base_url": e.url, "models": ["m"], "connect_timeout": "1s"} for e in there}
        routes = {"policy": policy, "retry_budget": 10, "health": {"interval": 0, "slow_start": 0},
                  "models": {"pool": {"targets": [{"model": f"{e.name}/m"} for e in there], **(model or {})}}}
        models = routing.pop("models", {})
        routes.update(routing)
        routes["models"].update(models)
        return gateway([], {"providers": providers, "routing": routes}), there
    return make


def chat(gateway, text="hello", model="pool", messages=None, **options):
    body = {"model": model, "messages": messages or [{"role": "user", "content": text}]}
    return gateway.client.post("/v1/chat/completions", json=body, **options)


def who(answer):
    """The engine that gave this answer, by its own word and by the header, which agree."""
    assert answer.status_code == 200, answer.text
    name = answer.json()["choices"][0]["message"]["content"]
    assert name in answer.headers["x-llm-engine"]
    return name


def replicas(gateway):
    """Lines of /api/v1/router/replicas by engine."""
    lines = gateway.get("/api/v1/router/replicas").json()["replicas"]
    return {line["key"].split("/")[0]: line for line in lines}


def drain(gateway, engine, verb="drain"):
    key = urllib.parse.quote(replicas(gateway)[engine.name]["key"], safe="")
    answer = gateway.post(f"/api/v1/router/replicas/{key}/{verb}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_round_robin_takes_turns(pool):
    gateway, there = pool(3)
    assert collections.Counter(who(chat(gateway)) for _ in range(12)) == {e.name: 4 for e in there}


def test_the_least_loaded_gets_the_next(pool):
    gateway, there = pool(2, "least_loaded")
    for engine in there:
        engine.hold()
    first = concurrent.futures.ThreadPoolExecutor(1).submit(chat, gateway)
    wait_until(lambda: there[0].holding + there[1].holding == 1, "the request in an engine")
    busy, idle = there if there[0].holding else there[::-1]
    idle.release()
    assert {who(chat(gateway)) for _ in range(8)} == {idle.name}
    assert replicas(gateway)[busy.name]["requests_in_flight"] == 1
    busy.release()
    assert who(first.result()) == busy.name
    assert replicas(gateway)[busy.name]["requests_in_flight"] == 0


def test_a_session_stays(pool):
    gateway, there = pool(4, "session")

    def homes():
        return {s: who(chat(gateway, headers={"X-Session-Id": f"session {s}"})) for s in range(40)}
    first = homes()
    assert set(first.values()) == {e.name for e in there}
    assert homes() == first
    gone = there[1]
    drain(gateway, gone)
    moved = homes()
    assert all(moved[s] == home for s, home in first.items() if home != gone.name)
    assert gone.name not in moved.values()


def test_a_conversation_stays_where_its_prompt_is_cached(pool):
    gateway, there = pool(3, "prefix")
    system = {"role": "system", "content": "You are a patient assistant. " * 40}
    conversations = [[system, {"role": "user", "content": f"Question {c}: " + f"why {c}? " * 60}] for c in range(9)]
    homes = [who(chat(gateway, messages=messages)) for messages in conversations]
    counts = collections.Counter(homes)
    assert set(counts) == {e.name for e in there} and max(counts.values()) <= 5, counts
    for turn in range(3):
        for messages, home in zip(conversations, homes):
            messages += [{"role": "assistant", "content": f"because {turn} " * 40}, {"role": "user", "content": "go on " * 50}]
            assert who(chat(gateway, messages=messages)) == home


def test_priority_and_weight(pool):
    gateway, there = pool(2, "priority", model={"targets": [{"model": "r0/m", "priority": 1}, {"model": "r1/m"}]})
    assert {who(chat(gateway)) for _ in range(6)} == {"r1"}
    there[1].answer_with = 500
    assert who(chat(gateway)) == "r0"


def test_a_killed_replica_is_left_alone_until_a_probe_succeeds(pool):
    gateway, there = pool(3, breaker={"failures": 3, "open_for": "300ms"})
    assert {who(chat(gateway)) for _ in range(3)} == {e.name for e in there}
    dead = there[0]
    dead.kill()
    for _ in range(12):  # nobody notices
        assert who(chat(gateway)) != dead.name
    line = replicas(gateway)[dead.name]
    assert line["failures"] >= 3 and line["breaker"] in ("open", "half_open") and line["requests_in_flight"] == 0, line
    dead.start()
    wait_until(lambda: who(chat(gateway)) == dead.name, "an answer of the engine that is back")
    assert replicas(gateway)[dead.name]["breaker"] == "closed"


def test_an_open_breaker_asks_nobody(pool):
    gateway, there = pool(1, breaker={"failures": 3, "open_for": "1h"}, retries=0)
    there[0].answer_with = 500
    for _ in range(3):
        assert chat(gateway).status_code == 502
    answer = chat(gateway)
    assert answer.status_code == 503 and int(answer.headers["retry-after"]) > 3000
    assert "pool" in error_of(answer)["message"] or "m" in error_of(answer)["message"]
    assert there[0].count == 3
    line = replicas(gateway)["r0"]
    assert line["breaker"] == "open" and not line["available"] and line["retry_in_ms"] > 3_000_000


def test_what_is_wrong_with_the_request_is_asked_once(pool):
    gateway, there = pool(3)
    for engine in there:
        engine.answer_with = 400
    assert chat(gateway).status_code == 400
    assert sum(e.count for e in there) == 1
    assert all(line["failures"] == 0 for line in replicas(gateway).values())


def test_a_failure_goes_to_another_replica_and_says_so(pool):
    gateway, there = pool(2, "priority", model={"targets": [{"model": "r0/m"}, {"model": "r1/m", "priority": 1}]})
    there[0].answer_with = 500
    answer = chat(gateway)
    assert who(answer) == "r1"
    assert answer.headers["x-llm-attempts"] == "2"
    assert answer.headers["x-llm-locality"] == "local"
    there[0].answer_with = "ok"
    assert "x-llm-attempts" not in chat(gateway).headers


def test_a_full_replica_is_passed_over_and_not_condemned(pool):
    gateway, there = pool(2, "priority", model={"targets": [{"model": "r0/m"}, {"model": "r1/m", "priority": 1}]})
    there[0].answer_with, there[0].retry_after = 503, "30"
    for _ in range(6):
        assert who(chat(gateway)) == "r1"
    assert there[0].count == 1
    assert replicas(gateway)["r0"]["breaker"] == "closed"


def test_no_more_retries_than_the_model_allows(pool):
    gateway, there = pool(4, model={"retries": 1})
    for engine in there:
        engine.answer_with = 500
    assert chat(gateway).status_code == 502
    assert sum(e.count for e in there) == 2


def test_draining(pool):
    gateway, there = pool(2)
    for engine in there:
        who(chat(gateway))
    there[0].hold()
    there[1].answer_with = "ok"
    executor = concurrent.futures.ThreadPoolExecutor(2)
    both = [executor.submit(chat, gateway) for _ in range(2)]
    wait_until(lambda: there[0].holding == 1, "a request in the first engine")
    assert drain(gateway, there[0])["draining"]
    assert {who(chat(gateway)) for _ in range(4)} == {"r1"}
    there[0].release()
    assert sorted(who(answer.result()) for answer in both) == ["r0", "r1"]  # what it had went on
    assert {who(chat(gateway)) for _ in range(4)} == {"r1"}
    assert not drain(gateway, there[0], "undrain")["draining"]
    assert {who(chat(gateway)) for _ in range(4)} == {"r0", "r1"}


def test_draining_what_nobody_knows(pool):
    gateway, _ = pool(1)
    who(chat(gateway))
    answer = gateway.post("/api/v1/router/replicas/r0%2Fn/drain")
    assert answer.status_code == 404 and "r0/m" in error_of(answer)["message"]


def test_fallbacks_in_their_order(pool):
    gateway, there = pool(3, model={"targets": [{"model": "r0/m"}], "fallbacks": ["r1/m", "r2/m"]})
    assert who(chat(gateway)) == "r0"
    there[0].answer_with = 500
    assert who(chat(gateway)) == "r1"
    there[1].kill()
    assert who(chat(gateway)) == "r2"
    there[2].answer_with = 400  # is this one's verdict on the request
    assert chat(gateway).status_code == 400
    assert "llm_mcp_router_fallbacks_total" in gateway.get("/metrics").text


def test_a_split_keeps_each_caller(pool):
    gateway, there = pool(2, models={"app": {"split": [{"model": "r0/m", "weight": 1}, {"model": "r1/m", "weight": 1}]}})

    def versions():
        return [who(chat(gateway, model="app", headers={"X-Session-Id": f"caller {i}"})) for i in range(40)]
    first = versions()
    assert set(first) == {"r0", "r1"}
    assert versions() == first


def test_a_wrong_route_is_refused_at_start(home):
    there = home([], {"routing": {"models": {"a": {"fallbacks": ["b"]}, "b": {"split": [{"model": "a"}]}}}})
    done = there.run("serve", "--config", there.config_file)
    assert done.returncode != 0 and "a → b → a" in done.stderr, done.stderr


def test_health_checks_find_the_ill_and_the_healed(pool):
    gateway, there = pool(2, health={"interval": "50ms", "timeout": "2s", "slow_start": 0})
    assert {who(chat(gateway)) for _ in range(4)} == {"r0", "r1"}
    there[0].models_status = 401
    wait_until(lambda: not replicas(gateway)["r0"]["well"], "the check that finds it ill")
    line = replicas(gateway)["r0"]
    assert "401" in line["reason"] and not line["available"], line
    assert {who(chat(gateway)) for _ in range(4)} == {"r1"}
    there[0].models_status = 200
    wait_until(lambda: replicas(gateway)["r0"]["well"], "the check that finds it well")
    assert {who(chat(gateway)) for _ in range(4)} == {"r0", "r1"}


def test_metrics_of_routing(pool):
    gateway, there = pool(2, breaker={"failures": 3, "open_for": "1h"})
    there[0].answer_with = 500
    for _ in range(8):
        who(chat(gateway))
    text = gateway.get("/metrics").text
    key = replicas(gateway)["r0"]["key"]
    for series in (f'llm_mcp_router_picks_total{{policy="round_robin",replica="{key}"}} 3',
                   f'llm_mcp_router_breaker_state{{replica="{key}"}} 1',
                   f'llm_mcp_router_breaker_transitions_total{{replica="{key}",to="open"}} 1',
                   "llm_mcp_router_retries_total 3"):
        assert series in text, [line for line in text.splitlines() if "router" in line]
