"""The official MCP conformance suite: against the fixture over HTTP and over stdio, and against the gateway itself."""
import os
import pathlib
import re
import socket
import subprocess

import pytest

import conformance
import node_clients
from harness import PROGRAM

REVISIONS = ["2025-11-25", "2026-07-28"]
FIXTURE = pathlib.Path(os.environ.get("LLM_MCP_TEST_FIXTURE") or PROGRAM.parent / conformance.FIXTURE_NAME)

# (scenario, check) that the suite itself leaves out, whatever the server does.
SKIPPED_BY_THE_SUITE = {
    "2025-11-25": set(),
    # waits for its rewrite for subscriptions/listen
    "2026-07-28": {("tasks-status-notifications", "tasks-status-notifications")},
}

# What the bridge answers itself (its own head says so): rules about HTTP headers, Host and Origin. All else must be the
# same as over HTTP.
NOT_CARRIED_BY_THE_BRIDGE = {
    "2025-11-25": {
        ("dns-rebinding-protection", "localhost-host-rebinding-rejected"),
    },
    "2026-07-28": {
        ("dns-rebinding-protection", "localhost-host-rebinding-rejected"),
        ("http-custom-header-server-validation", "sep-2243-server-reject-invalid-param-chars"),
        ("http-custom-header-server-validation", "sep-2243-server-reject-param-mismatch"),
        ("http-custom-header-server-validation", "sep-2243-server-validate-param-match"),
        ("http-header-validation", "sep-2243-server-reject-error-code"),
        ("http-header-validation", "sep-2243-server-reject-invalid-headers"),
        ("server-stateless", "sep-2575-http-server-header-mismatch-400"),
        ("tasks-request-headers", "sep-2663-server-rejects-mismatched-mcp-name-on-tasks-get"),
        ("tasks-request-headers", "tasks-headers-reject-mismatched-method"),
    },
}

# Scenarios that any server can be asked, whatever its tools are called.
GENERIC = {
    "2025-11-25": ["server-initialize", "ping", "logging-set-level", "tools-list", "resources-list", "prompts-list",
                   "dns-rebinding-protection", "server-session-lifecycle"],
    "2026-07-28": ["server-stateless", "tools-list", "resources-list", "prompts-list", "dns-rebinding-protection",
                   "caching", "sep-2164-resource-not-found", "input-required-result-unsupported-methods",
                   "http-header-validation"],
}

# (scenario, check) among them that need a tool of the fixture after all.
NEEDS_THE_FIXTURE = {
    ("server-stateless", "sep-2575-http-server-no-independent-requests-on-stream"),
    ("server-stateless", "sep-2575-missing-capability-http-400"),
    ("server-stateless", "sep-2575-server-no-log-without-loglevel"),
    ("server-stateless", "sep-2575-server-rejects-undeclared-capability"),
    ("server-stateless", "sep-2575-server-sends-prompts-list-changed-on-subscription"),
    ("server-stateless", "sep-2575-server-sends-tools-list-changed-on-subscription"),
}


class Server:
    """A process that prints its URL on `stream`, and ends with 0 at SIGTERM."""

    def __init__(self, command, stream="stdout"):
        self.process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, text=True,
                                        **{stream: subprocess.PIPE})
        self.stream = getattr(self.process, stream)
        line = self.stream.readline()
        found = re.search(r"http://\S+", line)
        if not found:
            self.process.kill()
            self.process.wait()
            raise OSError(f"{command}: no URL but {line!r}{self.stream.read()}")
        # The suite wants the name localhost for its checks of the Host header.
        self.url = found[0].replace("127.0.0.1", "localhost")

    def stop(self):
        self.process.terminate()
        try:
            assert self.process.wait(30) == 0
        finally:
            self.process.kill()
            self.process.wait()
            self.stream.close()


def bridged(command):
    """The bridge with that command behind it. It has to be told its port: a free one, which somebody else may take
    before it does."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
        try:
            return Server([node_clients.node(), conformance.BRIDGE, port, "--", *command], "stderr")
        except OSError as error:
            if "EADDRINUSE" not in str(error):
                raise


@pytest.fixture(scope="module")
def runs(node_tools, tmp_path_factory):
    """All runs against the fixture, side by side, each with a server of its own: they mostly wait."""
    folder = tmp_path_factory.mktemp("conformance")
    started = {}
    servers = []
    try:
        for revision in REVISIONS:
            for transport, server in (("http", Server([FIXTURE, "http"])), ("stdio", bridged([FIXTURE, "stdio"]))):
                servers.append(server)
                started[transport, revision] = conformance.Run(server.url, folder / f"{transport}-{revision}",
                                                               "--requirements", revision)
        yield started
    finally:
        for run in started.values():
            run.process.kill()
            run.process.wait()
        for server in servers:
            server.stop()


def judge(run, expected):
    """The checks that were not passed (warnings and skipped ones too) must be those of `expected`: (scenario, check)."""
    findings = run.finish()
    unexpected = [finding for finding in findings if (finding.scenario, finding.check) not in expected]
    assert not unexpected, "\n".join(map(str, unexpected))
    assert run.passed, run.tail()
    assert {(finding.scenario, finding.check) for finding in findings} == expected, "some have come to pass"


@pytest.mark.parametrize("revision", REVISIONS)
def test_over_http(runs, revision):
    run = runs["http", revision]
    judge(run, SKIPPED_BY_THE_SUITE[revision])
    assert run.process.returncode == 0
    scored, unscored = conformance.required(revision)
    assert len(scored) >= 30 and unscored
    assert run.scenarios == scored | unscored


def test_streams_are_resumed(runs):
    """The suite only remarks (INFO) on a server whose streams are never closed under a client."""
    run = runs["http", "2025-11-25"]
    run.finish()
    assert ("server-sse-polling", "server-sse-disconnect-resume") in run.passed


@pytest.mark.parametrize("revision", REVISIONS)
def test_over_stdio(runs, revision):
    run = runs["stdio", revision]
    judge(run, SKIPPED_BY_THE_SUITE[revision] | NOT_CARRIED_BY_THE_BRIDGE[revision])
    scored, unscored = conformance.required(revision)
    assert run.scenarios == scored | unscored


@pytest.mark.parametrize("revision, scenario",
                         [(revision, scenario) for revision in REVISIONS for scenario in GENERIC[revision]])
def test_the_gateway(node_tools, tiny, tmp_path, revision, scenario):
    url = tiny.url.replace("127.0.0.1", "localhost") + "/mcp"
    run = conformance.Run(url, tmp_path, "--scenario", scenario, "--spec-version", revision)
    judge(run, {finding for finding in NEEDS_THE_FIXTURE if finding[0] == scenario})
    assert run.scenarios == {scenario}
