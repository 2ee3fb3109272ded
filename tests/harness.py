"""What the end-to-end tests stand on: a home of its own for each gateway, the gateway process, and a look at its engines."""
import contextlib
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import httpx

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = pathlib.Path(os.environ.get("LLM_MCP_TEST_PROGRAM") or ROOT / "build/release/llm-mcp").resolve()


def find_engine():
    """The llama-server under test: LLM_MCP_TEST_ENGINE (file or its folder), beside the program, or the build cache."""
    given = os.environ.get("LLM_MCP_TEST_ENGINE")
    cache = os.environ.get("LLM_MCP_BUILD_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "llm-mcp-build")
    candidates = [pathlib.Path(given), pathlib.Path(given) / "llama-server"] if given else [
        PROGRAM.parent / "libexec/llm-mcp/llama-server",
        *sorted(pathlib.Path(cache).glob("llama.cpp-*/llama-server"), key=os.path.getmtime, reverse=True)]
    for candidate in candidates:
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return candidate.resolve()
    raise FileNotFoundError(f"no llama-server among {[str(c) for c in candidates]}; scripts/build-llama makes one")


def wait_until(condition, what, timeout=30):
    """The first true value of `condition()`. Fails with `what` after `timeout` seconds, which only bounds a hang."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"waited {timeout} s in vain: {what}"
        time.sleep(0.01)


def processes_naming(text):
    """Pids of living processes whose command line holds `text`; zombies have none."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if os.fsencode(text) in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
    return found


def alive(pid):
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def rss_bytes(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def error_of(response):
    """The `error` object of an answer, which every failure has, in OpenAI's shape."""
    error = response.json()["error"]
    assert {"message", "type", "code", "param"} <= error.keys(), error
    assert error["message"]
    return error


def sse_payloads(lines):
    """Texts of the `data:` events among the lines of a body."""
    return [line[len("data: "):] for line in lines if line.startswith("data: ")]


class Home:
    """Private XDG directories, with short paths because Unix sockets lie in them, and the program run inside them."""

    def __init__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="lm", dir="/tmp"))
        self.runtime = self.path / "r/llm-mcp"
        self.store = self.path / "d/llm-mcp/models"
        self.config_file = self.path / "c/llm-mcp/llm-mcp.yaml"
        for name in "rcda":
            (self.path / name).mkdir(mode=0o700)
        self.config_file.parent.mkdir()
        self.env = {"PATH": os.environ["PATH"], "HOME": str(self.path), "LC_ALL": "C.UTF-8",
                    "XDG_RUNTIME_DIR": str(self.path / "r"), "XDG_CONFIG_HOME": str(self.path / "c"),
                    "XDG_DATA_HOME": str(self.path / "d"), "XDG_CACHE_HOME": str(self.path / "a")}
        for name in ("LD_LIBRARY_PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"):
            if name in os.environ:
                self.env[name] = os.environ[name]

    def write_config(self, settings=None, models=()):
        """The configuration file: any free port, the engine under test, one thread for each model, then `settings`."""
        small = {"threads": 1, "threads_batch": 1, "parallel": 2, "context": 2048, "cache_ram": 0}
        config = {"server": {"port": 0, "drain_timeout": "5s"}, "engines": {"llama_server": str(find_engine())},
                  "models": {"settings": {name: dict(small) for name in models}}}
        merge(config, settings or {})
        self.config_file.write_text(json.dumps(config))  # JSON is YAML

    def run(self, *arguments, timeout=120, **options):
        """Runs the program to its end; stdout and stderr as text."""
        options.setdefault("stdin", subprocess.DEVNULL if "input" not in options else None)
        if "input" in options:
            del options["stdin"]
        return subprocess.run([str(PROGRAM), *map(str, arguments)], env=self.env, cwd=self.path, text=True,
                              capture_output=True, timeout=timeout, **options)

    def must(self, *arguments, **options):
        done = self.run(*arguments, **options)
        assert done.returncode == 0, f"{arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def import_model(self, file, name, *arguments):
        return self.must("import", file, "--name", name, *arguments)

    def state(self):
        """What the running gateway has written about itself, or None."""
        with contextlib.suppress(OSError, ValueError):
            return json.loads((self.runtime / "gateway.json").read_text())
        return None

    def engine_pids(self):
        return processes_naming(f"{self.runtime}/")

    def remove(self):
        for pid in self.engine_pids():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.path, ignore_errors=True)


def merge(target, changes):
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(target.get(key), dict):
            merge(target[key], value)
        else:
            target[key] = value


class Gateway:
    """A running `llm-mcp serve` in its home, and a client of it."""

    def __init__(self, home, *arguments):
        self.home = home
        self.drain = 5
        self.stderr_file = home.path / "stderr"
        with open(self.stderr_file, "ab") as log:
            self.process = subprocess.Popen([str(PROGRAM), "serve", "--config", str(home.config_file), *arguments],
                                            env=home.env, cwd=home.path, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, start_new_session=True)
        self.pid = self.process.pid
        self.state = wait_until(self._ready, "the gateway's state file")
        self.url = self.state["url"]
        self.client = httpx.Client(base_url=self.url, timeout=120)
        self.expected_exit = 0
        self.stopped = False

    def _ready(self):
        assert self.process.poll() is None, f"the gateway ended: {self.process.returncode}\n{self.stderr()}"
        state = self.home.state()
        return state if state and state["pid"] == self.pid else None

    @property
    def address(self):
        return "127.0.0.1", self.state["port"]

    def stderr(self):
        return self.stderr_file.read_text(errors="replace")

    def log(self, message=None):
        """The log's entries, those with that message if one is given."""
        entries = []
        for line in self.stderr().splitlines():
            with contextlib.suppress(ValueError):
                entry = json.loads(line)
                if message is None or message in entry.values():
                    entries.append(entry)
        return entries

    def get(self, path, **options):
        return self.client.get(path, **options)

    def post(self, path, body=None, **options):
        return self.client.post(path, json={} if body is None else body, **options)

    def delete(self, path, **options):
        return self.client.delete(path, **options)

    def stream(self, path, body):
        """Payloads of a streamed answer, [DONE] included."""
        with self.client.stream("POST", path, json={**body, "stream": True}) as response:
            if response.status_code != 200:
                response.read()
            assert response.status_code == 200, response.text
            assert response.headers["content-type"].startswith("text/event-stream")
            return sse_payloads(response.iter_lines())

    def engine(self, model):
        """The engine's line of /api/v1/engines, or None."""
        return next((e for e in self.get("/api/v1/engines").json()["engines"] if e["model"] == model), None)

    def engine_state(self, model):
        engine = self.engine(model)
        return engine["state"] if engine else "stopped"

    def load(self, model):
        answer = self.post(f"/api/v1/models/{model}/load")
        assert answer.status_code == 200, answer.text
        return self.engine(model)

    def slots(self, model):
        """The engine's own slots, asked on its socket without the gateway."""
        connection = http.client.HTTPConnection("engine")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(30)
        connection.sock.connect(self.engine(model)["endpoint"].removeprefix("unix:"))
        try:
            connection.request("GET", "/slots")
            response = connection.getresponse()
            assert response.status == 200
            return json.loads(response.read())
        finally:
            connection.close()

    def busy_slots(self, model):
        return sum(slot["is_processing"] for slot in self.slots(model))

    def wait_busy(self, model, count=1):
        wait_until(lambda: self.busy_slots(model) >= count, f"{count} busy slots of {model}")

    def wait_idle(self, model):
        wait_until(lambda: self.busy_slots(model) == 0, f"idle slots of {model}")

    def kill(self, number=signal.SIGKILL):
        self.process.send_signal(number)

    def stop(self):
        """SIGTERM if it still runs; checks that it ends in time, with the right status, and leaves nothing behind."""
        if self.stopped:
            return
        self.stopped = True
        self.client.close()
        if self.process.poll() is None:
            self.process.terminate()
        try:
            status = self.process.wait(self.drain + 15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"SIGTERM did not end the gateway\n{self.stderr()[-4000:]}") from None
        finally:
            sys.stderr.write(self.stderr()[-4000:])  # pytest shows it with a failure
        assert status == self.expected_exit, f"exit {status}"
        if status == 0:
            assert not self.home.engine_pids(), "engines outlive the gateway"
            left = [path.name for path in self.home.runtime.iterdir() if path.suffix in (".sock", ".json", ".pid")]
            assert not left, left
        wait_until(lambda: not self.home.engine_pids(), "the end of the engines")
