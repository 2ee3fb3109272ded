"""Four replicas that fail in every way there is, 200 clients: every request ends once and well, and nothing is left over.

CHAOS_SEED repeats a run (the seed of a run that failed is in its message), CHAOS_SECONDS makes it longer."""
import asyncio
import json
import os
import pathlib
import random
import subprocess
import sys

import pytest

import chaos_upstream
from chaos_clients import Client, Wrong, crowd
from harness import rss_bytes, wait_until

REPLICAS, CLIENTS = 4, 200
SECONDS = float(os.environ.get("CHAOS_SECONDS", "7"))


class Upstream:
    """The misbehaving engines, in a process of their own."""

    def __init__(self):
        program = pathlib.Path(chaos_upstream.__file__)
        self.process = subprocess.Popen([sys.executable, program, str(REPLICAS)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.ports = json.loads(self.process.stdout.readline())

    def order(self, **order):
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def state(self):
        return self.order(state=True)

    def heal(self):
        for replica in range(REPLICAS):
            self.order(replica=replica, fault="none")

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)


@pytest.fixture
def upstream():
    engines = Upstream()
    yield engines
    engines.close()


@pytest.fixture
def seed():
    chosen = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"CHAOS_SEED={chosen}")  # pytest shows it with a failure
    return chosen


def settings(upstream, broken_stream):
    """Every wait short, so that a run of seconds sees each way to give up."""
    provider = {"preset": "vllm", "models": ["m"], "connect_timeout": "500ms", "request_timeout": "2s",
                "first_token_timeout": "2s", "stall_timeout": "1s"}
    return {
        "providers": {f"r{i}": {**provider, "base_url": f"http://127.0.0.1:{port}/v1"}
                      for i, port in enumerate(upstream.ports)},
        "routing": {
            "retries": 3, "retry_budget": 0.5, "broken_stream": broken_stream,
            "breaker": {"failures": 3, "open_for": "400ms"}, "outlier": {"eject_for": "400ms"},
            "health": {"interval": "300ms", "timeout": "500ms", "slow_start": "500ms"},
            "models": {"pool": {"targets": [{"model": f"r{i}/m"} for i in range(REPLICAS)]}},
        },
    }


def schedule(seed, seconds):
    """(when, replica, fault, how long): each fault at least once, then at random."""
    dice = random.Random(seed)
    kinds = list(chaos_upstream.FAULTS)
    dice.shuffle(kinds)
    at, plan = 0.3, []
    while at < seconds:
        fault = kinds.pop() if kinds else dice.choice(chaos_upstream.FAULTS)
        plan.append((at, dice.randrange(REPLICAS), fault, 0.3 + dice.random() * 1.2))
        at += seconds / 20 * (0.5 + dice.random())
    return plan


def mischief(upstream, seed, seconds):
    """Plays the schedule; at its end everybody is well."""
    async def play(_):
        loop = asyncio.get_running_loop()
        begin = loop.time()
        orders = []
        for number, (at, replica, fault, length) in enumerate(schedule(seed, seconds)):
            orders.append((at, number, replica, fault))
            orders.append((at + length, number, replica, "none"))
        latest = {}
        for at, number, replica, fault in sorted(orders):
            await asyncio.sleep(max(0, begin + min(at, seconds) - loop.time()))
            if fault == "none" and latest.get(replica) != number:
                continue  # it has another fault by now
            latest[replica] = number
            upstream.order(replica=replica, fault=fault)
    return play


def descriptors(pid):
    return len(list(pathlib.Path(f"/proc/{pid}/fd").iterdir()))


def replicas(gateway):
    answer = gateway.get("/api/v1/router/replicas")
    assert answer.status_code == 200, answer.text
    return answer.json()["replicas"]


def recovered(gateway, address):
    """Every breaker closed again. Requests find that out, so some are made."""
    async def some():
        outcomes = await crowd(address, 16, "recovery", 0.7, patient=True)
        return set(outcomes) <= {"whole", "streamed"}
    well = asyncio.run(some())
    return well and all(one["breaker"] == "closed" and one["available"] for one in replicas(gateway))


def chaos(gateway, upstream, seed):
    """What it came to: outcomes of the requests during the chaos."""
    address = gateway.address
    calm = asyncio.run(crowd(address, CLIENTS, "calm", 1.5))
    assert set(calm) <= {"whole", "streamed", "left"}, calm
    wait_until(lambda: settled(gateway, upstream), "the end of the first requests")
    before = {"memory": rss_bytes(gateway.pid), "files": descriptors(gateway.pid),
              "received": sum(one["received"] for one in upstream.state())}

    outcomes = asyncio.run(crowd(address, CLIENTS, seed, SECONDS, alongside=mischief(upstream, seed, SECONDS)))
    print(f"seed {seed}: {dict(sorted(outcomes.items()))}")
    upstream.heal()
    asked = sum(outcomes.values())
    received = sum(one["received"] for one in upstream.state()) - before["received"]
    assert received <= asked * 1.5 + 3 * (SECONDS / 10 + 1), f"{received} attempts for {asked} requests: no budget"
    wait_until(lambda: recovered(gateway, address), "all replicas in use again", 60)
    wait_until(lambda: settled(gateway, upstream), "nothing in flight")
    assert not [line for one in upstream.state() for line in one["refused"]], "prompts that were mixed up"
    # Connections that wait for their next request are not a leak, but they are bounded.
    wait_until(lambda: descriptors(gateway.pid) <= before["files"] + 16, "descriptors as before")
    # The allocator keeps what a crowd once needed, in pieces that differ from run to run.
    assert rss_bytes(gateway.pid) <= before["memory"] + (96 << 20)
    return outcomes


def settled(gateway, upstream):
    """Nothing in flight, by the gateway's word and by the engines'."""
    return (all(one["requests_in_flight"] == 0 and one["tokens_in_flight"] == 0 for one in replicas(gateway))
            and gateway.get("/api/v1/status").json()["requests_in_flight"] == 0
            and all(one["active"] == 0 for one in upstream.state()))


def test_every_request_ends_once(gateway, upstream, seed):
    here = gateway([], settings(upstream, "error"))
    outcomes = chaos(here, upstream, seed)
    assert outcomes["whole"] and outcomes["streamed"] and outcomes["left"], outcomes


def test_broken_streams_go_on_elsewhere(gateway, upstream, seed):
    here = gateway([], settings(upstream, "continue"))
    outcomes = chaos(here, upstream, seed)
    assert outcomes["whole"] and outcomes["streamed"], outcomes


def test_a_stream_survives_its_engines(gateway, upstream):
    """Three of four die in every answer; what they said so far is taken up by the next one."""
    config = settings(upstream, "continue")
    config["routing"]["retry_budget"] = 10  # nearly every request needs retries here
    here = gateway([], config)
    for replica in range(REPLICAS - 1):
        upstream.order(replica=replica, fault="die")
    outcomes = asyncio.run(crowd(here.address, 4, "survivors", 3, patient=True))
    print(outcomes)
    assert outcomes["streamed"] and set(outcomes) <= {"streamed", "whole"}, outcomes


@pytest.mark.parametrize("fault", ["die", "corrupt", "hang"])
def test_the_clients_would_notice(upstream, fault, monkeypatch):
    """Without a gateway that deals with it, a fault is one that the clients call wrong."""
    monkeypatch.setattr("chaos_clients.PATIENCE", 1)
    upstream.order(replica=0, fault=fault)
    client = Client(("127.0.0.1", upstream.ports[0]), 0, "any", {}, patient=True)
    with pytest.raises(Wrong):
        asyncio.run(client.ask())


def test_the_answers_would_show(upstream):
    """An answer to another prompt is recognised."""
    client = Client(("127.0.0.1", upstream.ports[0]), 0, "any", {}, patient=True)
    document = chaos_upstream.whole_answer(True, chaos_upstream.tokens("other"))
    with pytest.raises(Wrong):
        client.whole("mine", document)
