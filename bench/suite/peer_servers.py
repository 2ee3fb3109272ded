"""The gateways of others, installed by package name and set up as their documents say, each with a key check where it has
one, each in front of the same upstream."""
import json
import os
import pathlib
import shutil
import subprocess
import time
import urllib.error
import urllib.request

from . import measure
from .gateway import ENGINES, chat
from .servers import SERVER_CORE, Gateway, Nginx, free_port

PLACE = pathlib.Path(os.environ.get("LLM_MCP_BUILD_CACHE") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "llm-mcp-build")) / "peers"
SECRET = "sk-bench-0123456789abcdef"
PYTHON = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else "python3"  # built with optimisation

LITELLM_CONFIG = """\
model_list:
  - model_name: canned
    litellm_params: {{model: openai/canned, api_base: "http://127.0.0.1:{upstream}/v1", api_key: none}}
  - model_name: paced
    litellm_params: {{model: openai/paced, api_base: "http://127.0.0.1:{upstream}/v1", api_key: none}}
general_settings: {{master_key: {secret}}}
litellm_settings: {{num_retries: 0, telemetry: false}}
"""
LLAMA_SWAP_CONFIG = """\
logLevel: error
models:
  canned: {{cmd: "sleep infinity", proxy: "http://127.0.0.1:{upstream}", checkEndpoint: none, concurrencyLimit: 1000}}
  paced: {{cmd: "sleep infinity", proxy: "http://127.0.0.1:{upstream}", checkEndpoint: none, concurrencyLimit: 1000}}
groups:
  all: {{swap: false, members: [canned, paced]}}
"""


def sh(*command, **options):
    environment = {**os.environ, **options.pop("env", {})}
    done = subprocess.run(command, env=environment, text=True, capture_output=True, **options)
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise RuntimeError(f"{' '.join(map(str, command[:4]))}: {' '.join(lines[-2:])[:300]}")


class Peer:
    """`install()` puts it below PLACE, once; `start()` serves `upstream` on `self.port`."""
    name = ""
    what = ""        # version, how it checks keys
    headers = ()     # that each request needs
    bearer = SECRET

    def __init__(self, work, upstream):
        self.work = work
        self.port = free_port()
        self.upstream = upstream.port
        self.process = None

    @classmethod
    def folder(cls):
        return PLACE / cls.name

    @classmethod
    def installed(cls):
        return (cls.folder() / "installed").exists()

    @classmethod
    def ensure(cls):
        """Nothing, or why it cannot be had."""
        if cls.installed():
            return None
        try:
            cls.folder().mkdir(parents=True, exist_ok=True)
            cls.install()
            (cls.folder() / "installed").touch()
        except (RuntimeError, OSError) as error:
            return str(error)
        return None

    def command(self):
        raise NotImplementedError

    def environment(self):
        return {}

    def spawn(self):
        log = open(self.work.path / f"{self.name}.log", "w")
        self.process = self.work.spawn(self.command(), SERVER_CORE, env={**os.environ, **self.environment()}, stdout=log,
                                       stderr=log, cwd=self.folder() if self.folder().exists() else self.work.path)

    def start(self):
        """Seconds from exec to the first good answer."""
        begin = time.perf_counter()
        self.spawn()
        measure.wait_until(self.name, self.answers, 120, self.process)
        return time.perf_counter() - begin

    def answers(self):
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.bearer}"}
        headers.update(header.split(": ", 1) for header in self.headers)
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/v1/chat/completions", method="POST",
                                         data=json.dumps(chat("canned")).encode(), headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=5) as response:
                return response.status == 200
        except (OSError, urllib.error.URLError):
            return False

    @property
    def pids(self):
        """Its whole tree."""
        found, todo = [], [self.process.pid]
        while todo:
            pid = todo.pop()
            try:
                for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                    todo += [int(child) for child in (task / "children").read_text().split()]
                found.append(pid)
            except OSError:
                pass
        return found

    def memory(self):
        return sum(measure.memory_mib(pid)[1] for pid in self.pids)


class Ours(Peer):
    name = "llm-mcp"
    what = "this program; API key in its store, access log, metrics, usage booked"

    @classmethod
    def ensure(cls):
        return None

    def start(self):
        begin = time.perf_counter()
        self.gateway = Gateway(self.work, ENGINES.format(port=self.upstream), name=self.name)
        self.port, self.process = self.gateway.port, self.gateway.process
        self.bearer = None  # its own user, until there is a key
        measure.wait_until(self.name, self.answers, 60, self.process)
        seconds = time.perf_counter() - begin
        command = [self.gateway.command[0], "keys", "create", "--name", "bench", "--json", "--config",
                   str(self.gateway.config)]
        done = subprocess.run(command, env=self.gateway.environment, check=True, capture_output=True)
        self.bearer = json.loads(done.stdout)["key"]
        return seconds

    def answers(self):
        if self.bearer:
            return super().answers()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/v1/chat/completions", method="POST",
                                         data=json.dumps(chat("canned")).encode(),
                                         headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=5) as response:
                return response.status == 200
        except OSError:
            return False


class NginxPeer(Peer):
    name = "nginx"
    what = "1 worker, key by a map, access log, buffering off"

    @classmethod
    def ensure(cls):
        return None if shutil.which("nginx") or os.path.exists("/usr/sbin/nginx") else "not installed (Debian: nginx)"

    def start(self):
        begin = time.perf_counter()
        upstream = type("Upstream", (), {"port": self.upstream})
        server = Nginx(self.work, upstream)
        self.port, self.process = server.port, server.process
        self.bearer = "bench-0123456789abcdef"
        measure.wait_until(self.name, self.answers, 60, self.process)
        return time.perf_counter() - begin


class LiteLlm(Peer):
    name = "litellm"
    what = "PyPI litellm[proxy] 1.106.2, 1 worker, master key"

    @classmethod
    def install(cls):
        sh(PYTHON, "-m", "venv", cls.folder())
        sh(cls.folder() / "bin/pip", "install", "-q", "litellm[proxy]==1.106.2")

    def command(self):
        config = self.work.path / "litellm.yaml"
        config.write_text(LITELLM_CONFIG.format(upstream=self.upstream, secret=SECRET))
        return [str(self.folder() / "bin/litellm"), "--config", str(config), "--host", "127.0.0.1", "--port",
                str(self.port), "--num_workers", "1"]

    def environment(self):
        return {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_TELEMETRY": "False",
                "NO_PROXY": "127.0.0.1"}


class Portkey(Peer):
    name = "portkey"
    what = "npm @portkey-ai/gateway 1.15.2, @hono/node-server 1.14.0 (newer ones cannot stream); checks no key"

    def __init__(self, work, upstream):
        super().__init__(work, upstream)
        self.headers = ("x-portkey-provider: openai", f"x-portkey-custom-host: http://127.0.0.1:{self.upstream}/v1")

    @classmethod
    def install(cls):
        sh("npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", cls.folder(),
           "@portkey-ai/gateway@1.15.2", "@hono/node-server@1.14.0")
        inner = cls.folder() / "node_modules/@portkey-ai/gateway/node_modules/@hono/node-server"
        if inner.exists():
            shutil.rmtree(inner)

    def command(self):
        return ["node", str(self.folder() / "node_modules/@portkey-ai/gateway/build/start-server.js"),
                f"--port={self.port}", "--headless"]

    def environment(self):
        return {"TRUSTED_CUSTOM_HOSTS": "127.0.0.1", "NODE_ENV": "production"}


class SglangRouter(Peer):
    name = "sglang-router"
    what = "PyPI sglang-router 0.3.2 (Rust), API key"

    @classmethod
    def install(cls):
        sh(PYTHON, "-m", "venv", cls.folder())
        sh(cls.folder() / "bin/pip", "install", "-q", "sglang-router==0.3.2")

    def command(self):
        return [str(self.folder() / "bin/python"), "-m", "sglang_router.launch_router", "--worker-urls",
                f"http://127.0.0.1:{self.upstream}", "--host", "127.0.0.1", "--port", str(self.port), "--policy",
                "round_robin", "--api-key", SECRET, "--prometheus-port", str(free_port()), "--log-level", "error"]


class GoPeer(Peer):
    """A Go program, built from the module proxy by the ordinary command."""
    module = ""

    @classmethod
    def install(cls):
        if not shutil.which("go"):
            raise RuntimeError("there is no Go compiler")
        sh("go", "install", cls.module, env={"GOBIN": str(cls.folder() / "bin"), "CGO_ENABLED": "1"})

    def program(self):
        return str(self.folder() / "bin" / self.module.split("@")[0].rpartition("/")[2])


class LlamaSwap(GoPeer):
    name = "llama-swap"
    what = "Go module, 1000 requests a model; checks no key"
    module = "github.com/mostlygeek/llama-swap@v250"

    def command(self):
        config = self.work.path / "llama-swap.yaml"
        config.write_text(LLAMA_SWAP_CONFIG.format(upstream=self.upstream))
        return [self.program(), "--config", str(config), "--listen", f"127.0.0.1:{self.port}"]


class Bifrost(GoPeer):
    name = "bifrost"
    what = "Go module, SQLite off; checks no key"
    module = "github.com/maximhq/bifrost/transports/bifrost-http@latest"

    def command(self):
        folder = self.work.path / "bifrost"
        folder.mkdir(exist_ok=True)
        provider = {"keys": [{"value": "none", "models": [], "weight": 1}],
                    "network_config": {"base_url": f"http://127.0.0.1:{self.upstream}"}}
        (folder / "config.json").write_text(json.dumps({"providers": {"openai": provider}}))
        return [self.program(), "-app-dir", str(folder), "-host", "127.0.0.1", "-port", str(self.port), "-log-level",
                "error"]


PEERS = [NginxPeer, Ours, SglangRouter, Bifrost, LlamaSwap, Portkey, LiteLlm]
