"""The official MCP conformance suite: runs of it, and what they found."""
import dataclasses
import json
import re
import subprocess

import node_clients
from harness import ROOT

FIXTURE_NAME = "mcp_fixture"
BRIDGE = (ROOT / "../shared/tools/stdio2http.mjs").resolve()
WAIT = 120  # seconds; only bounds a hang


def program():
    return str(node_clients.package("@modelcontextprotocol/conformance") / "dist/index.js")


def suite(*arguments):
    return [node_clients.node(), program(), *map(str, arguments)]


def required(revision):
    """The server scenarios of a revision: (scored, unscored)."""
    text = subprocess.run(suite("list", "--server", "--requirements", revision), text=True, capture_output=True,
                          check=True, timeout=WAIT).stdout
    scored, _, rest = text.partition("Client scenarios")
    unscored = rest.partition("never scored:")[2]
    return (set(re.findall(r"^  - (\S+)$", scored, re.M)),
            set(re.findall(r"^ +- (\S+) \[server\]$", unscored, re.M)))


@dataclasses.dataclass(frozen=True)
class Finding:
    """One check that was not passed."""
    scenario: str
    check: str
    status: str
    message: str

    def __str__(self):
        return f"{self.status} {self.scenario} {self.check}: {self.message}"


class Run:
    """The suite at work against one server: `--requirements REVISION`, or `--scenario NAME --spec-version REVISION`."""

    def __init__(self, url, folder, *arguments):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.log = folder / "output"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(suite("server", "--url", url, *arguments, "-o", folder),
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def finish(self):
        """The findings; `self.scenarios` tells what was run at all, `self.passed` which (scenario, check) went well."""
        try:
            self.process.wait(WAIT)
        finally:
            self.process.kill()
            self.process.wait()
        self.scenarios = set()
        self.passed = set()
        findings = []
        for file in sorted(self.folder.glob("server-*/checks.json")):
            # server-NAME-2026-11-22T18-26-57-738Z
            scenario = re.fullmatch(r"server-(.+)-\d{4}-\d\d-\d\dT[\d-]+Z", file.parent.name)[1]
            self.scenarios.add(scenario)
            for check in json.loads(file.read_text()):
                if check["status"] == "SUCCESS":
                    self.passed.add((scenario, check["id"]))
                elif check["status"] != "INFO":
                    findings.append(Finding(scenario, check["id"], check["status"],
                                            check.get("errorMessage") or json.dumps(check.get("details"))))
        return findings

    def tail(self):
        return self.log.read_text(errors="replace")[-3000:]
