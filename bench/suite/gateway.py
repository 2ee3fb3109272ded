"""(a) The gateway in front of a canned upstream, against that upstream direct and against nginx as a plain proxy."""
from . import measure
from .servers import Gateway, Load, Nginx, Upstream, Workplace

ENGINES = """\
  external:
    canned: {{base_url: "http://127.0.0.1:{port}/v1", models: [canned, paced], health_path: /models}}"""
FILLER = "The quick brown fox jumps over the lazy dog. "


def chat(model, **fields):
    """A request of 1 KB."""
    body = {"model": model, "messages": [{"role": "system", "content": "You are a helpful assistant."},
                                         {"role": "user", "content": (FILLER * 30)[:850]}],
            "max_tokens": 64, "temperature": 0.7}
    return {**body, **fields}


class Case:
    """One load: how it is made, and what one operation of it is."""

    def __init__(self, name, body, connections, requests, operation, **options):
        self.name, self.body, self.connections, self.requests = name, body, connections, requests
        self.operation, self.options = operation, options

    def run(self, load, server, upstream):
        upstream.spin(self.options.get("spin", False))
        result = load.measured(server, self.body, connections=self.connections, requests=self.requests, **self.options)
        count = result["requests"] if self.operation == "request" else result["events"]
        return {"cpu_us": result["cpu"] / count * 1e6, "p50": result["p50_us"], "p99": result["p99_us"],
                "first": result["first_p50_us"], "rate": count / result["seconds"]}


def cases(scale):
    def count(n):
        return max(8, int(n * scale))

    paced = chat("paced", stream=True, max_tokens=100)
    burst = chat("canned", stream=True, max_tokens=2000)
    first = chat("canned", stream=True, max_tokens=1)
    return [
        Case("1 KB, 1 connection", chat("canned"), 1, count(4000), "request"),
        Case("1 KB, 32 connections", chat("canned"), 32, count(30000), "request"),
        Case("1 KB, 32 connections, peers never sleep", chat("canned"), 32, count(30000), "request", spin=True),
        Case("1 KB, 128 connections", chat("canned"), 128, count(30000), "request"),
        Case("events 10 ms apart, 1 stream", paced, 1, 1, "event"),
        Case("events 10 ms apart, 16 streams", paced, 16, 16, "event", stagger_us=617),
        Case("events in bursts, 1 stream", burst, 1, count(60), "event"),
        Case("events in bursts, 16 streams", burst, 16, count(120), "event"),
        Case("first event, 1 client", first, 1, count(2000), "request"),
    ]


def run(arguments, targets):
    with Workplace() as work:
        upstream = Upstream(work)
        servers = {"direct": upstream, "nginx": Nginx(work, upstream),
                   "gateway": Gateway(work, ENGINES.format(port=upstream.port))}
        load = Load(work)
        results = {}
        for server in servers.values():  # loads the engine, warms caches
            load.run(server.port, chat("canned"), connections=32, requests=2000)
            load.run(server.port, chat("paced", stream=True, max_tokens=2))
        for number in range(arguments.rounds):
            for case in cases(arguments.scale):
                for name, server in servers.items():
                    results.setdefault((case.name, name), []).append(case.run(load, server, upstream))
            here = results["1 KB, 32 connections", "gateway"][-1]["cpu_us"]
            measure.note(f"gateway: round {number + 1} of {arguments.rounds}, {here:.1f} us per request")
        show(results, servers, targets, cases(arguments.scale))


def show(results, servers, targets, all_cases):
    def value(case, server, key):
        return measure.median([one[key] for one in results[case, server]])

    table = measure.Table("Gateway: CPU time of the server for one operation", "load", "operation", "upstream itself, us",
                          "nginx, us", "gateway, us", "gateway / nginx", "spread")
    for case in all_cases:
        cpu = {name: value(case.name, name, "cpu_us") for name in servers}
        ratio = measure.median([ours["cpu_us"] / theirs["cpu_us"] for ours, theirs in
                                zip(results[case.name, "gateway"], results[case.name, "nginx"])])
        spread = measure.spread([one["cpu_us"] for one in results[case.name, "gateway"]])
        table.add(case.name, case.operation, cpu["direct"], cpu["nginx"], cpu["gateway"], ratio, f"{spread:.0%}")
    table.show()
    table = measure.Table("Gateway: latency in microseconds, p50 / p99, and operations per second", "load", "direct",
                          "nginx", "gateway")
    for case in all_cases:
        cells = [f"{value(case.name, name, 'p50'):.0f} / {value(case.name, name, 'p99'):.0f} "
                 f"({value(case.name, name, 'rate'):.0f}/s)" for name in servers]
        table.add(case.name, *cells)
    table.show()
    table = measure.Table("Gateway: time to the first event of a single client, microseconds (median)", "load", "direct",
                          "nginx", "gateway", "nginx adds", "gateway adds")
    first = {name: value("first event, 1 client", name, "first") for name in servers}
    table.add("first event, 1 client", *(f"{time:.0f}" for time in first.values()),
              f"{first['nginx'] - first['direct']:.0f}", f"{first['gateway'] - first['direct']:.0f}")
    table.show()

    whole = "1 KB, 32 connections"
    ratio = {case.name: measure.median([ours["cpu_us"] / theirs["cpu_us"] for ours, theirs in
                                        zip(results[case.name, "gateway"], results[case.name, "nginx"])])
             for case in all_cases}
    targets.most("CPU per 1 KB request, 32 connections", 35, value(whole, "gateway", "cpu_us"), "us")
    targets.most("the same, against nginx", 1.5, ratio[whole], "x")
    awake = "1 KB, 32 connections, peers never sleep"
    targets.most("CPU per 1 KB request, peers never sleep", 35, value(awake, "gateway", "cpu_us"), "us")
    targets.most("the same, against nginx", 1.5, ratio[awake], "x")
    targets.most("CPU per event 10 ms apart, 1 stream, against nginx", 1, ratio["events 10 ms apart, 1 stream"], "x")
    targets.most("CPU per event 10 ms apart, 16 streams, against nginx", 1, ratio["events 10 ms apart, 16 streams"], "x")
    targets.most("CPU per event in bursts, 16 streams", 3, value("events in bursts, 16 streams", "gateway", "cpu_us"), "us")
    targets.most("added to the first event of a single client", 200, first["gateway"] - first["direct"], "us")
