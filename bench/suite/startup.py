"""(d) From exec to the first answered /health, to the first MCP reply, and memory when idle."""
import socket
import subprocess
import time

from . import measure
from .mcp_stdio import first_replies
from .servers import Gateway, Workplace, find_program, free_port

REQUEST = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
IDLE_SECONDS = 2  # until what start-up touched is counted and nothing more is coming


def health(port):
    """Tries until /health is answered; the time of the answer."""
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                connection.sendall(REQUEST)
                if connection.recv(64).startswith(b"HTTP/1.1 200"):
                    return time.perf_counter()
        except OSError:
            pass
        time.sleep(0.0002)


def start_once(work, name):
    environment = work.environment(name)
    port = free_port()
    config = work.path / f"{name}.yaml"
    config.write_text(f"server: {{port: {port}}}\nobserve: {{log_file: {work.path / name}.log}}\n")
    begin = time.perf_counter()
    process = work.spawn([find_program(), "serve", "--config", str(config)], env=environment,
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seconds = health(port) - begin
    time.sleep(IDLE_SECONDS)
    rss, pss = measure.memory_mib(process.pid)
    cpu = measure.cpu_seconds(process.pid)
    begin = time.perf_counter()
    work.stop(process)
    return {"health": seconds * 1000, "rss": rss, "pss": pss, "cpu": cpu * 1000,
            "stop": (time.perf_counter() - begin) * 1000}


def run(arguments, targets):
    with Workplace() as work:
        results = [start_once(work, f"start-{number}") for number in range(arguments.rounds)]
        gateway = Gateway(work, "  llama_server: \"\"", core=None)
        first = first_replies(work, [find_program(), "stdio", "--config", str(gateway.config)], gateway.environment,
                              arguments.rounds * 2)
        before = measure.cpu_seconds(gateway.process.pid)
        time.sleep(IDLE_SECONDS)
        idle = (measure.cpu_seconds(gateway.process.pid) - before) / IDLE_SECONDS
        measure.note(f"startup: {arguments.rounds} starts")

    def value(key):
        return measure.median([one[key] for one in results])

    table = measure.Table("Start-up and memory", "measured", "median", "best", "worst")
    for key, title in {"health": "exec to the first answered /health, ms", "cpu": "CPU time of that and two idle seconds, ms",
                       "rss": "resident when idle, MiB", "pss": "the same, shared pages shared out, MiB",
                       "stop": "SIGTERM to the end, ms"}.items():
        every = [one[key] for one in results]
        table.add(title, value(key), min(every), max(every))
    table.add("stdio: exec to the reply to initialize, gateway running, ms", measure.median(first), min(first), max(first))
    table.add("CPU of an idle gateway, us per second", idle * 1e6, "", "")
    table.show()
    targets.most("exec to the first answered /health", 50, value("health"), "ms")
    targets.most("resident when idle", 30, value("rss"), "MiB")
    targets.most("stdio: exec to the first reply, gateway running", 20, measure.median(first), "ms")
