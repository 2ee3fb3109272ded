"""MCP over stdio: first reply, round trips, pipelined calls, CPU time and memory, for each server in turn."""
import json
import os
import subprocess
import sys

from . import measure
from .mcp_servers import ECHO, FIXTURE_ECHO, HELP, NO_ENGINE, Tool, compile_floor, find_fixture
from .servers import CLIENT_CORE, SERVER_CORE, Gateway, find_program

WINDOW = 64
STARTS = 5
ERAS = {"modern": "2026-07-28", "legacy": "2025-11-25"}
LIST = Tool("llm_list_models", {})


class Client:
    """Runs stdio_load, which starts the server itself."""

    def __init__(self, work):
        self.program = work.compile("stdio_load")

    def run(self, command, environment, tool=None, era="legacy", starts=0, sequential=0, pipelined=0, warm_up=0):
        called = ["--tool", tool.name, "--arguments", json.dumps(tool.arguments)] if tool else ["--method", "ping"]
        pin = ["--server-core", str(SERVER_CORE)] if len(os.sched_getaffinity(0)) > 1 else []
        options = [self.program, *pin, *called, "--era", era, "--window", str(WINDOW), "--starts", str(starts),
                   "--sequential", str(sequential), "--pipelined", str(pipelined), "--warm-up", str(warm_up)]
        done = subprocess.run(measure.pinned(CLIENT_CORE, [*options, "--", *command]), stdout=subprocess.PIPE,
                              env=environment, check=True)
        result = json.loads(done.stdout)
        if result["errors"]:
            sys.exit(f"bench: {' '.join(command)}: {result['errors']} calls failed: {result['first_error']}")
        return result


def first_replies(work, command, environment, starts):
    """Milliseconds from exec to the reply to `initialize`, of each start."""
    return Client(work).run(command, environment, starts=starts)["first_ms"]


class Servers:
    """name -> (command, tool, environment, pipelined calls)."""

    def __init__(self, work, sdk):
        gateway = Gateway(work, NO_ENGINE, core=None)
        attached = [find_program(), "stdio", "--config", str(gateway.config)]
        self.all = {"floor": (compile_floor(work), ECHO, None, 400_000),
                    "llm-mcp": (attached, HELP, gateway.environment, 200_000),
                    "standalone": ([*attached, "--standalone"], HELP, work.environment("standalone"), 200_000)}
        fixture = find_fixture()
        if fixture:
            self.all["library"] = ([fixture, "stdio"], FIXTURE_ECHO, None, 400_000)
        self.all["sdk"] = (sdk.stdio(), ECHO, None, 20_000)
        self.titles = {"floor": "floor", "llm-mcp": "llm-mcp stdio", "standalone": "the same --standalone",
                       "library": "src/mcp alone", "sdk": sdk.title}


def run(work, sdk, arguments, targets):
    servers, client = Servers(work, sdk), Client(work)
    scale, results = arguments.scale, {}

    def keep(name, kind, result):
        results.setdefault((name, kind), []).append(result)

    for number in range(arguments.rounds):
        for name, (command, tool, environment, calls) in servers.all.items():
            for era in ERAS:
                keep(name, era, client.run(command, environment, tool, era, STARTS, int(4000 * scale), int(calls * scale),
                                           int(calls * scale) // 20))
            keep(name, "ping", client.run(command, environment, None, "legacy", 0, int(4000 * scale), int(calls * scale),
                                          int(calls * scale) // 20))
        command, _, environment, calls = servers.all["llm-mcp"]
        keep("llm-mcp", "list", client.run(command, environment, LIST, "legacy", 0, int(500 * scale),
                                           int(10_000 * scale), 100))
        measure.note(f"mcp stdio: round {number + 1} of {arguments.rounds}, "
                     f"{results['llm-mcp', 'modern'][-1]['cpu_us']:.1f} us a call")
    show(servers, results, targets)


ROWS = {("modern", "first_ms"): "exec to the first reply (server/discover), ms",
        ("legacy", "first_ms"): "the same (initialize), ms",
        ("modern", "p50_us"): "round trip of a tool call, p50, us", ("modern", "p99_us"): "the same, p99, us",
        ("modern", "above_us"): "the same, p50, above the floor, us",
        ("modern", "sequential_cpu_us"): "CPU per call, one at a time, us",
        ("modern", "calls_per_second"): f"calls per second, {WINDOW} in flight",
        ("modern", "cpu_us"): "CPU per call of those, us",
        ("legacy", "calls_per_second"): "calls per second, session of 2025-11-25",
        ("legacy", "cpu_us"): "CPU per call of those, us",
        ("legacy", "p50_us"): "round trip, session of 2025-11-25, p50, us",
        ("ping", "cpu_us"): f"CPU per ping, {WINDOW} in flight, us",
        ("ping", "sequential_cpu_us"): "CPU per ping, one at a time, us",
        ("modern", "rss_mib"): "resident after tools/list, MiB",
        ("modern", "pss_mib"): "the same, shared pages shared out, MiB",
        ("modern", "rss_after_mib"): "resident after all calls, MiB", ("modern", "reply_bytes"): "bytes of a reply"}


def show(servers, results, targets):
    def value(name, kind, key):
        every = results.get((name, kind), [])
        if key == "first_ms":
            return measure.median([ms for one in every for ms in one["first_ms"]])
        if key == "above_us":
            return measure.median([one["p50_us"] - floor["p50_us"] for one, floor in zip(every, results["floor", kind])])
        return measure.median([one[key] for one in every])

    names = list(servers.all)
    table = measure.Table("MCP over stdio, calls of 2026-07-28 unless said otherwise", "measured",
                          *(servers.titles[name] for name in names))
    table.add("tool", *(servers.all[name][1].name for name in names))
    for (kind, key), title in ROWS.items():
        table.add(title, *(value(name, kind, key) for name in names))
    table.show()
    table = measure.Table("MCP over stdio: a call that asks the gateway (llm_list_models)", "measured", "llm-mcp stdio")
    table.add("round trip, p50, us", value("llm-mcp", "list", "p50_us"))
    table.add("CPU of the stdio process per call, us", value("llm-mcp", "list", "cpu_us"))
    table.show()
    for name in ("llm-mcp", "standalone"):
        title = servers.titles[name] if name == "llm-mcp" else "llm-mcp stdio --standalone"
        targets.most(f"{title}: first reply", 10, value(name, "legacy", "first_ms"), "ms")
        targets.most(f"{title}: round trip p50 above the floor", 30, value(name, "modern", "above_us"), "us")
        targets.least(f"{title}: calls per second, schemas checked", 80_000, value(name, "modern", "calls_per_second"),
                      "/s")
        targets.most(f"{title}: CPU per call, schemas checked", 10, value(name, "modern", "cpu_us"), "us")
    targets.most("llm-mcp stdio --standalone: resident before a model", 12, value("standalone", "modern", "rss_mib"), "MiB")
    targets.most("llm-mcp stdio: CPU per ping", 10, value("llm-mcp", "ping", "cpu_us"), "us")
