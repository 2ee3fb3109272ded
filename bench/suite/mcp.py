"""(c) MCP over stdio against the least program that can answer: first reply, latency, throughput, CPU time per ping."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

from . import measure
from .servers import ROOT, Gateway, Workplace, find_program

WINDOW = 64
INITIALIZE = {"jsonrpc": "2.0", "id": 0, "method": "initialize",
              "params": {"protocolVersion": "2025-11-25", "capabilities": {},
                         "clientInfo": {"name": "bench", "version": "1"}}}


def line(message):
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


class Server:
    """A stdio server after its `initialize`; `first_ms` is the time from exec to the reply."""

    def __init__(self, command, environment):
        begin = time.perf_counter()
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, env=environment)
        self.process.stdin.write(line(INITIALIZE))
        self.process.stdin.flush()
        reply = self.process.stdout.readline()
        self.first_ms = (time.perf_counter() - begin) * 1000
        if b'"result"' not in reply:
            sys.exit(f"bench: {command[0]} answers initialize with {reply[:200]!r}")
        self.process.stdin.write(line({"jsonrpc": "2.0", "method": "notifications/initialized"}))
        self.process.stdin.flush()

    def pings(self, count, window):
        """CPU microseconds and seconds of wall time for one ping, `window` of them in flight."""
        batch = b"".join(line({"jsonrpc": "2.0", "id": i + 1, "method": "ping"}) for i in range(window))
        before, begin = measure.cpu_seconds(self.process.pid), time.perf_counter()
        for _ in range(count // window):
            self.process.stdin.write(batch)
            self.process.stdin.flush()
            for _ in range(window):
                self.process.stdout.readline()
        seconds = time.perf_counter() - begin
        cpu = measure.cpu_seconds(self.process.pid) - before
        done = count // window * window
        return cpu / done * 1e6, seconds / done

    def close(self):
        self.process.stdin.close()
        self.process.wait(20)


def shared_bench():
    place = pathlib.Path(os.environ.get("LLM_MCP_SHARED") or ROOT.parent / "shared") / "tools/mcp-bench"
    if not (place / "bench.mjs").is_file() or not shutil.which("node"):
        return None
    return place


def tool_calls(place, command, tool, environment, scale):
    """What mcp-bench says about calls of a tool."""
    done = subprocess.run(["node", str(place / "bench.mjs"), "--tool", tool, "--args", "{}", "--n", str(int(500 * scale)),
                           "--pipe", str(int(4000 * scale)), "--starts", "3", "--json", "--", *command],
                          stdout=subprocess.PIPE, env=environment)
    return json.loads(done.stdout)


def compile_floor(work, place):
    program = work.path / "floor"
    subprocess.run([os.environ.get("LLM_MCP_CC", "clang-19"), "-O2", "-w", "-o", program, place / "floor.c"], check=True)
    return [str(program)]


def run(arguments, targets):
    place = shared_bench()
    if place is None:
        sys.exit("bench: mcp needs node and the folder tools/mcp-bench under LLM_MCP_SHARED (default ../shared)")
    with Workplace() as work:
        gateway = Gateway(work, "  llama_server: \"\"", core=None)
        commands = {"floor": compile_floor(work, place), "llm-mcp": [find_program(), "stdio", "--config",
                                                                    str(gateway.config)]}
        tools = {"floor": "echo", "llm-mcp": "llm_list_models"}
        results = {}
        for number in range(arguments.rounds):
            for name, command in commands.items():
                server = Server(command, gateway.environment)
                count = int(20000 * arguments.scale)
                server.pings(WINDOW * 4, WINDOW)
                piped, _ = server.pings(count, WINDOW)
                single, wall = server.pings(count // 10, 1)
                server.close()
                calls = tool_calls(place, command, tools[name], gateway.environment, arguments.scale)
                if calls["errors"]:
                    sys.exit(f"bench: {name}: {calls['errors']} tool calls failed: {calls['firstError']}")
                results.setdefault(name, []).append(
                    {"first": server.first_ms, "piped": piped, "single": single, "wall": wall * 1e6,
                     "p50": calls["sequentialMs"]["p50"] * 1000, "rate": calls["pipelined"]["callsPerSec"],
                     "call": calls["pipelined"]["serverCpuUsPerCall"], "rss": calls["serverRssMiB"]})
            measure.note(f"mcp: round {number + 1} of {arguments.rounds}, {results['llm-mcp'][-1]['piped']:.1f} us a ping")
        show(results, targets)


def show(results, targets):
    table = measure.Table("MCP over stdio, a gateway running (floor: no JSON parser, no tools, no gateway)", "measured",
                          "floor", "llm-mcp", "ratio")
    rows = {"first": "first reply after exec, ms", "piped": f"CPU per ping, {WINDOW} in flight, us",
            "single": "CPU per ping, one at a time, us", "wall": "round trip of a ping, us",
            "p50": "round trip of a tool call, p50, us (llm_list_models; floor: echo)",
            "rate": f"tool calls per second, {WINDOW} in flight", "call": "CPU per tool call, us (10 ms ticks)",
            "rss": "resident memory, MiB"}
    value = {name: {key: measure.median([one[key] for one in results[name]]) for key in rows} for name in results}
    for key, title in rows.items():
        floor, ours = value["floor"][key], value["llm-mcp"][key]
        table.add(title, floor, ours, ours / floor if floor else "")
    table.show()
    targets.most("stdio: first reply when a gateway runs", 20, value["llm-mcp"]["first"], "ms")
    targets.most("stdio: CPU per ping", 10, value["llm-mcp"]["piped"], "us")
