"""(b) Tokens per second and time to first token: through the gateway, against its own engine process reached directly."""
import pathlib
import subprocess
import sys

from . import measure
from .servers import ROOT, Gateway, Load, Workplace, find_program

MODEL = "smollm2"
STREAMS = (1, 4, 16)
TOKENS = 64
CONFIG = """\
  llama_server: {engine}"""


def last_line(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip().splitlines()[-1]


def prompt(tokens):
    # The prompt stays in the engine's cache after the first request, so the time to first token is short and the
    # gateway's part in it shows. No end-of-text token: every answer has the same length.
    return {"model": MODEL, "stream": True, "max_tokens": tokens, "temperature": 0, "ignore_eos": True,
            "messages": [{"role": "user", "content": "Tell me a long story about a fox and a dog."}]}


def engine_of(process):
    """The llama-server below a process: its pid and the path of its socket."""
    for children in pathlib.Path(f"/proc/{process.pid}/task").glob("*/children"):
        for pid in children.read_text().split():
            words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            for word, value in zip(words, words[1:]):
                if word == "--host" and value.endswith(".sock"):
                    return int(pid), value
    return None


class Direct:
    def __init__(self, gateway):
        found = engine_of(gateway.process)
        if found is None:
            sys.exit("bench: the gateway has started no engine on a Unix socket")
        self.pids, self.port = [found[0]], found[1]


def start(work):
    engine = pathlib.Path(last_line([str(ROOT / "scripts/build-llama")])) / "llama-server"
    model = last_line([str(ROOT / "scripts/fetch-sample-model")])
    store = work.path / "models"
    config = work.path / "import.yaml"
    config.write_text(f"models: {{directory: {store}}}\n")
    subprocess.run([find_program(), "import", model, "--name", MODEL, "--hardlink", "--quiet", "--config", str(config)],
                   env=work.environment("gateway"), check=True, stdout=subprocess.DEVNULL)
    settings = f"{MODEL}: {{context: 512, parallel: 16, threads: 1, threads_batch: 1}}"
    return Gateway(work, CONFIG.format(engine=engine), models=f"{store}, settings: {{{settings}}}", core=None)


def run(arguments, targets):
    with Workplace() as work:
        gateway = start(work)
        load = Load(work)
        load.run(gateway.port, prompt(4), core=None)  # loads the model
        servers = {"direct": Direct(gateway), "gateway": gateway}
        results = {}
        for number in range(arguments.rounds):
            for streams in STREAMS:
                requests = max(streams, int(max(4, streams * 2) * arguments.scale))
                order = list(servers.items())
                for name, server in order if number % 2 == 0 else reversed(order):
                    result = load.measured(server, prompt(TOKENS), connections=streams, requests=requests, core=None)
                    results.setdefault((streams, name), []).append(
                        {"rate": requests * TOKENS / result["seconds"], "first": result["first_p50_us"] / 1000,
                         "cpu": result["cpu"] / result["events"] * 1e6})
            for name, server in servers.items():
                result = load.measured(server, prompt(2), requests=int(30 * arguments.scale) + 1, core=None)
                results.setdefault(("first", name), []).append({"first": result["first_p50_us"] / 1000})
            measure.note(f"engine: round {number + 1} of {arguments.rounds}, "
                         f"{results[1, 'gateway'][-1]['rate']:.0f} tokens/s")
        show(results, targets)


def show(results, targets):
    def value(key, server, what):
        return measure.median([one[what] for one in results[key, server]])

    def ratio(key):
        return measure.median([ours["rate"] / theirs["rate"] for ours, theirs in
                               zip(results[key, "gateway"], results[key, "direct"])])

    table = measure.Table("Engine: tokens per second and time to first token (ms), direct and through the gateway",
                          "streams", "direct, tokens/s", "gateway, tokens/s", "ratio", "direct, first", "gateway, first",
                          "gateway's CPU per event, us")
    for streams in STREAMS:
        table.add(str(streams), value(streams, "direct", "rate"), value(streams, "gateway", "rate"),
                  f"{ratio(streams):.3f}", value(streams, "direct", "first"), value(streams, "gateway", "first"),
                  value(streams, "gateway", "cpu"))
    short = {name: value("first", name, "first") for name in ("direct", "gateway")}
    table.add("1, 2 tokens", "", "", "", short["direct"], short["gateway"], "")
    table.show()
    added = measure.median([ours["first"] - theirs["first"] for ours, theirs in
                            zip(results["first", "gateway"], results["first", "direct"])])
    for streams in STREAMS:
        targets.least(f"tokens/s of the engine's own, {streams} streams", 98, ratio(streams) * 100, "%")
    targets.most("added to the median time to first token", 1, added, "ms")
