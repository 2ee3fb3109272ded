"""MCP over HTTP: calls over kept-alive connections; very many idle streams; very many sessions."""
import json
import subprocess
import sys
import time
import urllib.request

from . import measure
from .mcp_servers import (ECHO, FIXTURE_ECHO, HELP, META, NO_ENGINE, FixtureHttp, SdkHttp, find_fixture, modern_call,
                          modern_headers)
from .servers import CLIENT_CORE, ROOT, SERVER_CORE, Gateway, Load, Upstream, Workplace, find_program

CONNECTIONS = (1, 32)
STREAMS = 10_000
SESSIONS = 100_000
QUIET_SECONDS = 5  # new listeners are told what there is, once, within two seconds
LISTEN = {"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen",
          "params": {"_meta": META, "notifications": {"toolsListChanged": True, "promptsListChanged": True,
                                                      "resourcesListChanged": True,
                                                      "resourceSubscriptions": ["llm://models"]}}}
INITIALIZE = {"jsonrpc": "2.0", "id": 0, "method": "initialize",
              "params": {"protocolVersion": "2025-11-25", "capabilities": {},
                         "clientInfo": {"name": "bench", "version": "1"}}}
LEGACY = ("Accept: application/json, text/event-stream",)


def must_answer(server, tool):
    """One call by hand, since the load generator looks at the status only."""
    headers = dict(header.split(": ", 1) for header in modern_headers("tools/call", tool))
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}/mcp", json.dumps(modern_call(tool)).encode(),
                                     {"Content-Type": "application/json", **headers})
    with urllib.request.urlopen(request) as response:
        text = response.read()
    if b'"result"' not in text or b'"isError":true' in text:
        sys.exit(f"bench: {tool.name} over HTTP: {text[:300]!r}")


def run(work, sdk, arguments, targets):
    # The canned engine parses next to nothing: what HTTP over a socket costs whoever answers.
    servers = {"floor": (Upstream(work, SERVER_CORE), ECHO, 60_000),
               "llm-mcp serve": (Gateway(work, NO_ENGINE), HELP, 60_000)}
    fixture = find_fixture()
    if fixture:
        servers["src/mcp alone"] = (FixtureHttp(work, fixture), FIXTURE_ECHO, 60_000)
    servers[sdk.title] = (SdkHttp(work, sdk), ECHO, 6_000)
    load, results = Load(work), {}
    for server, tool, calls in servers.values():
        if not isinstance(server, Upstream):
            must_answer(server, tool)
        load.run(server.port, modern_call(tool), 32, int(calls * arguments.scale) // 4, path="/mcp",
                 headers=modern_headers("tools/call", tool))
    for number in range(arguments.rounds):
        for name, (server, tool, calls) in servers.items():
            for connections in CONNECTIONS:
                count = int(calls * arguments.scale) // (1 if connections > 1 else 10)
                result = load.measured(server, modern_call(tool), connections, count, path="/mcp",
                                       headers=modern_headers("tools/call", tool))
                results.setdefault((name, connections), []).append(
                    {"cpu": result["cpu"] / count * 1e6, "p50": result["p50_us"], "p99": result["p99_us"],
                     "rate": count / result["seconds"]})
        measure.note(f"mcp http: round {number + 1} of {arguments.rounds}, "
                     f"{results['llm-mcp serve', 32][-1]['cpu']:.1f} us a call")

    def value(name, connections, key):
        return measure.median([one[key] for one in results[name, connections]])

    table = measure.Table("MCP over HTTP, calls of 2026-07-28 over kept-alive connections", "measured", *servers)
    table.add("tool", *(tool.name for _, tool, _ in servers.values()))
    for connections, key, title in ((1, "p50", "round trip, p50, us"), (1, "p99", "round trip, p99, us"),
                                    (1, "cpu", "CPU per call, 1 connection, us"),
                                    (32, "cpu", "CPU per call, 32 connections, us"),
                                    (32, "rate", "calls per second, 32 connections"),
                                    (32, "p50", "latency of those, p50, us")):
        table.add(title, *(value(name, connections, key) for name in servers))
    table.add("resident at the end, MiB", *(measure.memory_mib(server.pids[0])[0] for server, _, _ in servers.values()))
    table.show()
    targets.most("llm-mcp serve: CPU per MCP call over HTTP, 32 connections", 25, value("llm-mcp serve", 32, "cpu"), "us")


def import_tiny_models(work, names):
    """A model store whose models are there to be removed; nothing runs them."""
    store = work.path / "models"
    config = work.path / "import.yaml"
    config.write_text(f"models: {{directory: {store}}}\n")
    for number, name in enumerate(names):
        file = work.path / f"{name}.gguf"
        subprocess.run([sys.executable, str(ROOT / "tests/tiny_gguf.py"), str(file), "--seed", str(number)], check=True,
                       stdout=subprocess.DEVNULL)
        subprocess.run([find_program(), "import", str(file), "--name", name, "--quiet", "--config", str(config)],
                       env=work.environment("gateway"), check=True, stdout=subprocess.DEVNULL)
    return store


class Listeners:
    """`count` streams of one gateway, held by listen_load."""

    def __init__(self, work, gateway, count):
        headers = [part for header in modern_headers("subscriptions/listen") for part in ("--header", header)]
        command = [work.compile("listen_load"), "--port", str(gateway.port), "--connections", str(count), "--path", "/mcp",
                   *headers, "--match", "notifications/resources/list_changed", "--body",
                   json.dumps(LISTEN, separators=(",", ":"))]
        self.process = subprocess.Popen(measure.pinned(CLIENT_CORE, command), stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.opened = self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit("bench: listen_load has ended")
        return json.loads(line)

    def wave(self, change):
        """What a change brings: seconds from it to the first and to the last stream."""
        self.process.stdin.write("wave\n")
        self.process.stdin.flush()
        self.answer()
        begin = time.clock_gettime(time.CLOCK_MONOTONIC)
        change()
        result = self.answer()
        return result["first"] - begin, result["last"] - result["first"], result["errors"]

    def close(self):
        self.process.stdin.close()
        self.process.wait(60)


def idle_streams(work, arguments, targets, files):
    count = min(int(STREAMS * min(1, arguments.scale)), files - 500)
    names = [f"tiny-{number}" for number in range(max(2, min(5, arguments.rounds)) + 1)]
    gateway = Gateway(work, NO_ENGINE, models=import_tiny_models(work, names),
                      arguments=["--set", f"server.limits.max_connections={count + 1000}"])
    Load(work).run(gateway.port, modern_call(HELP), 32, 5000, path="/mcp", headers=modern_headers("tools/call", HELP))
    before = measure.memory_mib(gateway.process.pid)[0]
    cpu = measure.cpu_seconds(gateway.process.pid)
    listeners = Listeners(work, gateway, count)
    cpu = measure.cpu_seconds(gateway.process.pid) - cpu
    time.sleep(QUIET_SECONDS)
    after = measure.memory_mib(gateway.process.pid)[0]

    def remove(name):
        url = f"http://127.0.0.1:{gateway.port}/api/v1/models/{name}"
        urllib.request.urlopen(urllib.request.Request(url, method="DELETE")).close()

    waves = [listeners.wave(lambda name=name: remove(name)) for name in names[1:]]
    idle = measure.cpu_seconds(gateway.process.pid)
    time.sleep(20)  # longer than the silence after which a comment is sent
    idle = (measure.cpu_seconds(gateway.process.pid) - idle) / 20
    told = measure.memory_mib(gateway.process.pid)[0]
    listeners.close()
    table = measure.Table(f"{count} idle subscriptions/listen streams of one gateway", "measured", "value")
    table.add("resident before, MiB", before)
    table.add("resident with the streams idle, MiB", after)
    table.add("the streams, MiB", after - before)
    table.add("a stream, KiB", (after - before) * 1024 / count)
    table.add("the streams, after the changes below, MiB", told - before)
    table.add("CPU to open one, us", cpu / count * 1e6)
    table.add("a change to the first stream told of it, ms (the gateway looks every two seconds)",
              measure.median([wave[0] for wave in waves]) * 1000)
    table.add("from the first stream told to the last, ms", measure.median([wave[1] for wave in waves]) * 1000)
    table.add("CPU of the idle streams, us per second (comments that keep them alive)", idle * 1e6)
    table.add("streams that broke", f"{sum(wave[2] for wave in waves) + listeners.opened['errors']}")
    table.show()
    targets.most(f"{count} idle listen streams", 100 * count / STREAMS, after - before, "MiB")


def many_sessions(work, arguments, most):
    """Resident memory as sessions are opened, with room for `most` of them; the statuses must all be 200."""
    gateway = Gateway(work, NO_ENGINE, name=f"sessions-{most}", arguments=["--set", f"mcp.http.max_sessions={most}"])
    load = Load(work)
    count = int(SESSIONS * arguments.scale)
    load.run(gateway.port, INITIALIZE, 32, 100, path="/mcp", headers=LEGACY)
    sizes, cpu = [measure.memory_mib(gateway.process.pid)[0]], 0
    for _ in range(4):
        result = load.measured(gateway, INITIALIZE, 32, count // 4, path="/mcp", headers=LEGACY)
        cpu += result["cpu"]
        sizes.append(measure.memory_mib(gateway.process.pid)[0])
    work.stop(gateway.process)
    return count // 4 * 4, sizes, cpu


def sessions(work, arguments):
    count = int(SESSIONS * arguments.scale)
    cases = {"default (1000)": many_sessions(work, arguments, 1000),
             f"{count + 1000}": many_sessions(work, arguments, count + 1000)}
    table = measure.Table(f"{count} sessions of 2025-11-25 opened and left, by mcp.http.max_sessions", "measured", *cases)
    parts = ("before", "after a quarter", "after half", "after three quarters", "after all")
    for at, part in enumerate(parts):
        table.add(f"resident {part}, MiB", *(sizes[at] for _, sizes, _ in cases.values()))
    table.add("CPU to open one, us", *(cpu / opened * 1e6 for opened, _, cpu in cases.values()))
    table.show()


def run_crowds(work, arguments, targets, files):
    idle_streams(work, arguments, targets, files)
    with Workplace() as other:
        sessions(other, arguments)
