"""Gateways side by side: each in front of the same upstream, in interleaved rounds, measured alike."""
import json
import resource
import subprocess
import sys
import time

from . import measure
from .gateway import chat
from .peer_servers import PEERS, Ours
from .servers import CLIENT_CORE, Gateway, Load, Upstream, Workplace

PACED = chat("paced", stream=True, max_tokens=50)  # half a second
STREAMS = 16
IDLE = 10_000


class TimedLoad(Load):
    """So long instead of so many: the slowest is a thousand times slower than the fastest."""

    def ask(self, peer, body, connections, seconds=0.0, requests=0, stagger_us=0):
        command = [self.program, "--port", str(peer.port), "--connections", str(connections), "--path",
                   "/v1/chat/completions", "--stagger-us", str(stagger_us), "--requests", str(requests or 1 << 40),
                   "--seconds", str(seconds), "--body", json.dumps(body, separators=(",", ":"))]
        bearer = (f"Authorization: Bearer {peer.bearer}",) if peer.bearer else ()
        for header in (*bearer, *peer.headers):
            command += ["--header", header]
        before = sum(measure.cpu_seconds(pid) for pid in peer.pids)
        done = subprocess.run(measure.pinned(CLIENT_CORE, command), stdout=subprocess.PIPE, check=True, timeout=300)
        result = json.loads(done.stdout)
        result["cpu"] = sum(measure.cpu_seconds(pid) for pid in peer.pids) - before
        if result["errors"]:
            print(f"bench: {peer.name}: {result['errors']} of {result['requests']} requests failed", file=sys.stderr)
        return result


class Direct:
    """The upstream without anything in front of it."""
    name, headers, bearer, what = "upstream direct", (), None, "the floor"

    def __init__(self, upstream):
        self.port, self.pids, self.started, self.idle = upstream.port, upstream.pids, None, None

    def memory(self):
        return sum(measure.memory_mib(pid)[1] for pid in self.pids)


CASES = {f"c{count}": count for count in (1, 32, 128)}


def one_round(load, peer, seconds):
    figures = {}
    for case, connections in CASES.items():
        result = load.ask(peer, chat("canned"), connections, seconds)
        answers = max(1, result["requests"] - result["errors"])
        figures[case] = {"cpu": result["cpu"] / answers * 1e6, "p50": result["p50_us"], "p99": result["p99_us"],
                         "rate": answers / result["seconds"], "errors": result["errors"]}
    result = load.ask(peer, PACED, STREAMS, requests=STREAMS, stagger_us=617)
    figures["event"] = {"cpu": result["cpu"] / max(1, result["events"]) * 1e6}
    result = load.ask(peer, chat("canned", stream=True, max_tokens=1), 1, seconds / 2)
    figures["first"] = {"p50": result["first_p50_us"]}
    return figures


def run(arguments, targets):
    chosen = [kind for kind in PEERS if not arguments.only or kind.name in arguments.only]
    with Workplace() as work:
        upstream = Upstream(work)
        peers, missing = [Direct(upstream)], []
        for kind in chosen:
            reason = kind.ensure()
            if reason:
                missing.append((kind.name, reason))
                continue
            peer = kind(work, upstream)
            peer.started = peer.start()
            time.sleep(1)
            peer.idle = peer.memory()
            peers.append(peer)
            measure.note(f"peers: {peer.name} answers after {peer.started:.2f} s, {peer.idle:.0f} MiB")
        load = TimedLoad(work)
        results = {peer.name: [] for peer in peers}
        for peer in peers:  # warms caches and compilers
            load.ask(peer, chat("canned"), 32, 2)
        for number in range(arguments.rounds):
            for peer in peers[number % len(peers):] + peers[:number % len(peers)]:
                results[peer.name].append(one_round(load, peer, arguments.seconds))
            measure.note(f"peers: round {number + 1} of {arguments.rounds}")
        show(peers, results, missing, targets)
    idle_streams(arguments, targets)


def value(results, name, case, key):
    return measure.median([one[case][key] for one in results[name]])


def against(results, name, other, case, key):
    return measure.median([mine[case][key] / theirs[case][key] for mine, theirs in zip(results[name], results[other])])


def show(peers, results, missing, targets):
    table = measure.Table("Gateways in front of one upstream, 1 KB requests", "gateway", "p50 / p99 c1, us",
                          "p50 / p99 c32, ms", "p50 / p99 c128, ms", "most requests/s", "CPU us/request c1",
                          "c32", "c128", "CPU us/event", "first event, us", "PSS idle, MiB", "after, MiB",
                          "first answer, s", "failed")
    for peer in peers:
        def of(case, key):
            return value(results, peer.name, case, key)
        latency = [f"{of(case, 'p50') / unit:.{digits}f} / {of(case, 'p99') / unit:.{digits}f}"
                   for case, unit, digits in (("c1", 1, 0), ("c32", 1000, 2), ("c128", 1000, 1))]
        table.add(peer.name, *latency, f"{max(of(case, 'rate') for case in CASES):.0f}",
                  *(of(case, "cpu") for case in CASES), of("event", "cpu"), f"{of('first', 'p50'):.0f}",
                  "" if peer.idle is None else f"{peer.idle:.0f}", f"{peer.memory():.0f}",
                  "" if peer.started is None else f"{peer.started:.2f}",
                  str(sum(one[case]["errors"] for one in results[peer.name] for case in CASES)))
    table.show()
    print("\n" + "\n".join(f"- {peer.name}: {peer.what}" for peer in peers))
    for name, reason in missing:
        print(f"- {name}: not measured: {reason}")
    if Ours.name not in results:
        return
    rows = [("CPU per request, 32 connections", "c32", "cpu"), ("CPU per streamed event", "event", "cpu"),
            ("p50, 32 connections", "c32", "p50"), ("p99, 32 connections", "c32", "p99")]
    table = measure.Table("As many times as llm-mcp takes (median of the rounds' ratios; above 1: llm-mcp is ahead)",
                          "measured", *(peer.name for peer in peers[1:] if peer.name != Ours.name))
    for title, case, key in rows:
        table.add(title, *(against(results, peer.name, Ours.name, case, key) for peer in peers[1:]
                           if peer.name != Ours.name))
    table.show()
    if "nginx" in results:
        targets.most("CPU per request at 32 connections, against nginx", 1.5,
                     against(results, Ours.name, "nginx", "c32", "cpu"), "x")


IDLE_HEAD = (b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
IDLE_EVENT = (b'data: {"id":"i","object":"chat.completion.chunk","created":1,"model":"canned","choices":[{"index":0,'
              b'"delta":{"role":"assistant","content":"hold"},"finish_reason":null}]}\n\n')
IDLE_UPSTREAM = """
import asyncio, sys
class Silent(asyncio.Protocol):
    def connection_made(self, transport): self.transport = transport
    def data_received(self, data):
        if data.startswith(b"GET"):
            body = b'{"object":"list","data":[{"id":"canned"}]}'
            self.transport.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body) + body)
        elif data.startswith(b"POST"):
            event = bytes.fromhex(sys.argv[2])
            self.transport.write(bytes.fromhex(sys.argv[1]) + b"%x\\r\\n" % len(event) + event + b"\\r\\n")
async def main():
    server = await asyncio.get_running_loop().create_server(Silent, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


def idle_streams(arguments, targets):
    """Memory of llm-mcp with many chats open whose engine has nothing to say."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(hard, 3 * IDLE), max(hard, 3 * IDLE)))
    except (ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(IDLE, (files - 500) // 2)
    with Workplace() as work:
        upstream = work.spawn([sys.executable, "-c", IDLE_UPSTREAM, IDLE_HEAD.hex(), IDLE_EVENT.hex()], CLIENT_CORE,
                              stdout=subprocess.PIPE)
        port = int(upstream.stdout.readline())
        engine = f'  external:\n    canned: {{base_url: "http://127.0.0.1:{port}/v1", models: [canned]}}'
        more = f"inference: {{max_concurrent: {count + 100}, queue_limit: {count}}}\n"
        gateway = Gateway(work, engine, more, arguments=["--set", f"server.limits.max_connections={count + 1000}"])
        before = measure.memory_mib(gateway.process.pid)[0]
        holder = subprocess.Popen(
            [work.compile("listen_load"), "--port", str(gateway.port), "--connections", str(count), "--path",
             "/v1/chat/completions", "--match", "nothing", "--body", json.dumps(chat("canned", stream=True))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        opened = json.loads(holder.stdout.readline())
        time.sleep(2)
        after = measure.memory_mib(gateway.process.pid)[0]
        holder.stdin.close()
        holder.wait(60)
    table = measure.Table("Idle streams through llm-mcp, each with an engine's connection behind it", "streams", "failed",
                          "resident before, MiB", "with them, MiB", "KiB a stream")
    held = opened["connections"] - opened["errors"]
    table.add(str(held), str(opened["errors"]), before, after, (after - before) * 1024 / max(1, held))
    table.show()
    targets.most(f"{held} idle streams", 150, after, "MiB")
