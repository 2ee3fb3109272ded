"""The MCP servers under measurement: the least program, the product, its library alone, and the TypeScript SDK."""
import dataclasses
import json
import os
import pathlib
import socket
import subprocess
import sys

from . import measure
from .servers import ROOT, SERVER_CORE, find_program, free_port

NO_ENGINE = "  llama_server: \"\""
META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {}}


@dataclasses.dataclass
class Tool:
    """What is called. `headers`: what HTTP repeats of the arguments."""
    name: str
    arguments: dict
    headers: tuple = ()


ECHO = Tool("echo", {"message": "hello"})
# The product's one tool that asks nobody, with its shortest topic: arguments and answer are checked against schemas.
HELP = Tool("llm_help", {"topic": "vectors"})
# The fixture's echo: one required string, as the SDK's.
FIXTURE_ECHO = Tool("test_x_mcp_header", {"region": "hello"}, ("Mcp-Param-Region: hello",))


def find_fixture():
    """The program around src/mcp/ alone; built with the tests, beside the program under test."""
    program = os.environ.get("LLM_MCP_FIXTURE") or str(pathlib.Path(find_program()).parent / "mcp_fixture")
    return program if os.access(program, os.X_OK) else None


def shared_bench():
    place = pathlib.Path(os.environ.get("LLM_MCP_SHARED") or ROOT.parent / "shared") / "tools/mcp-bench"
    if not (place / "floor.c").is_file():
        sys.exit("bench: mcp needs the folder tools/mcp-bench under LLM_MCP_SHARED (default ../shared)")
    return place


def compile_floor(work):
    program = work.path / "floor"
    compiler = os.environ.get("LLM_MCP_CC", "clang-19")
    subprocess.run([compiler, "-O2", "-w", "-o", program, shared_bench() / "floor.c"], check=True)
    return [str(program)]


class Sdk:
    """The echo servers of mcp-bench, copied to where Node finds the packages of scripts/install-node-tools."""

    def __init__(self, work):
        done = subprocess.run([str(ROOT / "scripts/install-node-tools")], stdout=subprocess.PIPE, text=True)
        if done.returncode != 0:
            sys.exit("bench: mcp compares with the TypeScript SDK, which could not be installed")
        tools = pathlib.Path(done.stdout.strip().splitlines()[-1])
        self.node = str(tools / "bin/node")
        self.place = work.path / "sdk"
        self.place.mkdir()
        (self.place / "node_modules").symlink_to(tools / "node_modules")
        version = json.loads((tools / "node_modules/@modelcontextprotocol/server/package.json").read_text())["version"]
        self.title = f"SDK {version}"

    def stdio(self):
        return self.script("echo-v2.mjs")

    def http(self, port):
        return self.script("http-echo-v2.mjs", lambda text: text.replace("3020", str(port)))

    def script(self, name, change=lambda text: text):
        path = self.place / name
        path.write_text(change((shared_bench() / name).read_text()))
        return [self.node, str(path)]


class SdkHttp:
    def __init__(self, work, sdk):
        self.port = free_port()
        self.process = work.spawn(sdk.http(self.port), SERVER_CORE, stderr=subprocess.DEVNULL)
        measure.wait_until("the SDK's server", lambda: connects(self.port), process=self.process)
        self.pids = [self.process.pid]


class FixtureHttp:
    def __init__(self, work, program):
        self.port = free_port()
        self.process = work.spawn([program, "http", "--port", str(self.port)], SERVER_CORE, stdout=subprocess.DEVNULL)
        measure.wait_until("mcp_fixture", lambda: connects(self.port), process=self.process)
        self.pids = [self.process.pid]


def connects(port):
    """Does anybody listen there?"""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
        return True
    except OSError:
        return False


def modern_call(tool):
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {"name": tool.name, "arguments": tool.arguments, "_meta": META}}


def modern_headers(method, tool=None):
    headers = ["Accept: application/json, text/event-stream", "MCP-Protocol-Version: 2026-07-28", f"Mcp-Method: {method}"]
    return headers + ([f"Mcp-Name: {tool.name}", *tool.headers] if tool else [])
