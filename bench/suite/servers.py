"""The programs under measurement: our gateway, nginx, the canned upstream, and the load generator."""
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request

from . import measure

HERE = pathlib.Path(__file__).resolve().parent.parent
ROOT = HERE.parent
KEY = "bench-0123456789abcdef"  # what clients present; nginx checks it by a map
SERVER_CORE = 0
CLIENT_CORE = 1

GATEWAY_CONFIG = """\
server: {{port: {port}, io_threads: 1}}
models: {{directory: {models}}}
engines:
{engines}
observe: {{log_format: json, log_level: info, log_file: {log}}}
{more}"""

NGINX_CONFIG = """\
daemon off;
worker_processes 1;
pid {work}/nginx.pid;
error_log {work}/nginx-error.log warn;
events {{ worker_connections 4096; }}
http {{
  access_log {work}/nginx-access.log;
  client_body_temp_path {work}/body;
  proxy_temp_path {work}/proxy;
  fastcgi_temp_path {work}/fastcgi;
  uwsgi_temp_path {work}/uwsgi;
  scgi_temp_path {work}/scgi;
  client_max_body_size 32m;
  client_body_buffer_size 64k;
  keepalive_requests 10000000;
  map $http_authorization $allowed {{
    "Bearer {key}" 1;
    default 0;
  }}
  upstream engine {{
    server 127.0.0.1:{upstream};
    keepalive 256;
    keepalive_requests 10000000;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    location / {{
      if ($allowed = 0) {{ return 401; }}
      proxy_pass http://engine;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_set_header X-Request-Id $request_id;
      proxy_buffering off;
      proxy_read_timeout 600s;
    }}
  }}
}}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return response.status == 200
    except OSError:
        return False


def find_program():
    """The program under test: $LLM_MCP, or the release build."""
    program = os.environ.get("LLM_MCP") or str(ROOT / "build/release/llm-mcp")
    if not os.access(program, os.X_OK):
        sys.exit(f"bench: there is no program at {program}; build it with ./run --build-only, or set LLM_MCP")
    return program


class Workplace:
    """A folder for everything a run writes, and the processes it started; both go at the end."""

    def __init__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="llm-mcp-bench."))
        self.processes = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            self.stop(process)
        shutil.rmtree(self.path, ignore_errors=True)

    def compile(self, name):
        program = self.path / name
        if not program.exists():
            compiler = os.environ.get("LLM_MCP_CC", "clang-19")
            subprocess.run([compiler, "-O2", "-Wall", "-Wextra", "-o", program, HERE / f"{name}.c"], check=True)
        return str(program)

    def spawn(self, command, core=None, **options):
        command = measure.pinned(core, command)
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, **options)
        self.processes.append(process)
        return process

    def stop(self, process):
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def environment(self, name):
        """Directories of its own for one gateway, which so meets no other."""
        home = self.path / name
        environment = dict(os.environ)
        for variable in ("CONFIG", "DATA", "STATE", "CACHE", "RUNTIME"):
            place = home / variable.lower()
            place.mkdir(parents=True, exist_ok=True)
            place.chmod(0o700)
            environment[f"XDG_{variable}_{'DIR' if variable == 'RUNTIME' else 'HOME'}"] = str(place)
        return environment


class Upstream:
    def __init__(self, work, core=CLIENT_CORE):
        self.process = work.spawn([work.compile("upstream"), "0"], core, stdout=subprocess.PIPE)
        self.port = int(self.process.stdout.readline())
        self.pids = [self.process.pid]

    def spin(self, on):
        os.kill(self.process.pid, signal.SIGUSR1 if on else signal.SIGUSR2)


class Nginx:
    def __init__(self, work, upstream):
        program = shutil.which("nginx") or "/usr/sbin/nginx"
        if not os.access(program, os.X_OK):
            sys.exit("bench: nginx is not installed (scripts/install-deps --test --bench)")
        self.port = free_port()
        config = work.path / "nginx.conf"
        config.write_text(NGINX_CONFIG.format(work=work.path, key=KEY, upstream=upstream.port, port=self.port))
        self.process = work.spawn([program, "-e", str(work.path / "nginx-error.log"), "-c", str(config)], SERVER_CORE)
        measure.wait_until("nginx", lambda: len(self.workers()) == 1, process=self.process)
        self.pids = self.workers()

    def workers(self):
        path = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]


class Gateway:
    """`engines` and `more`: lines of its configuration; `arguments`: for its command line."""

    def __init__(self, work, engines, more="", core=SERVER_CORE, name="gateway", models=None, arguments=()):
        self.environment = work.environment(name)
        self.port = free_port()
        config = work.path / f"{name}.yaml"
        config.write_text(GATEWAY_CONFIG.format(port=self.port, engines=engines, more=more,
                                                models=models or work.path / f"{name}-models",
                                                log=work.path / f"{name}.log"))
        self.config = config
        self.command = [find_program(), "serve", "--config", str(config), *arguments]
        self.process = work.spawn(self.command, core, env=self.environment, stdout=subprocess.DEVNULL,
                                  stderr=open(work.path / f"{name}.err", "w"))
        measure.wait_until("the gateway", lambda: answers(f"http://127.0.0.1:{self.port}/health"),
                           process=self.process)
        self.pids = [self.process.pid]


class Load:
    def __init__(self, work):
        self.program = work.compile("load")

    def run(self, target, body, connections=1, requests=1000, stagger_us=0, core=CLIENT_CORE, spin=False,
            path="/v1/chat/completions", headers=(), bearer=KEY):
        """`target`: a port or the path of a Unix socket. `bearer`: None sends no Authorization. The client's figures as a
        dictionary."""
        place = ["--unix", target] if isinstance(target, str) else ["--port", str(target)]
        command = [self.program, *place, "--connections", str(connections), "--requests", str(requests),
                   "--stagger-us", str(stagger_us), "--spin", str(int(spin)),
                   *(("--header", f"Authorization: Bearer {bearer}") if bearer else ()),
                   "--path", path, *(part for header in headers for part in ("--header", header)),
                   "--body", json.dumps(body, separators=(",", ":"))]
        command = measure.pinned(core, command)
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        result = json.loads(done.stdout)
        if result["errors"]:
            print(f"bench: {result['errors']} of {result['requests']} requests failed", file=sys.stderr)
        return result

    def measured(self, server, *arguments, **options):
        """The same, with the CPU seconds that the server's processes took meanwhile."""
        before = sum(measure.cpu_seconds(pid) for pid in server.pids)
        result = self.run(server.port, *arguments, **options)
        result["cpu"] = sum(measure.cpu_seconds(pid) for pid in server.pids) - before
        return result
