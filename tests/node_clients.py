"""Programs of the Node world: where they are, and MCP clients of the TypeScript SDKs, driven line by line."""
import functools
import json
import os
import pathlib
import queue
import subprocess
import threading

from harness import ROOT

SCRIPTS = ROOT / "tests/node"
WAIT = 120  # seconds; only bounds a hang


@functools.cache
def folder():
    """What scripts/install-node-tools installs; raises with its words where it cannot."""
    done = subprocess.run([str(ROOT / "scripts/install-node-tools")], text=True, capture_output=True)
    if done.returncode != 0:
        raise RuntimeError(f"scripts/install-node-tools: {done.stderr}")
    return pathlib.Path(done.stdout.splitlines()[-1])


def node():
    return str(folder() / "bin/node")


def package(name):
    return folder() / "node_modules" / name


class NodeClient:
    """tests/node/talk.mjs. `start` sends a command, `result` waits for its reply, `do` is both."""

    def __init__(self, sdk, era, **transport):
        environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "NO_COLOR": "1",
                       "LLM_MCP_NODE_TOOLS": str(folder())}
        self.process = subprocess.Popen(
            [node(), "--import", str(SCRIPTS / "use_tools.mjs"), str(SCRIPTS / "talk.mjs")], env=environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.messages = queue.Queue()
        self.replies = {}
        self.events = []
        self.next_id = 1
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self._send({"sdk": sdk, "era": era, **transport})
        self.result(0)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.stdin.close()
        try:
            self.process.wait(30)
        finally:
            self.process.kill()
            self.process.wait()
            self.reader.join(10)
            self.process.stdout.close()

    def _read(self):
        for line in self.process.stdout:
            self.messages.put(json.loads(line))
        self.messages.put(None)

    def _send(self, message):
        self.process.stdin.write(json.dumps(message) + "\n")

    def _receive(self):
        message = self.messages.get(timeout=WAIT)
        assert message is not None, "the Node client has ended"
        if "event" in message:
            self.events.append(message)
        else:
            self.replies[message["id"]] = message

    def start(self, command, **arguments):
        number, self.next_id = self.next_id, self.next_id + 1
        self._send({"id": number, "do": command, **arguments})
        return number

    def result(self, number):
        reply = self.reply(number)
        assert "error" not in reply, reply["error"]
        return reply["result"]

    def reply(self, number):
        while number not in self.replies:
            self._receive()
        return self.replies.pop(number)

    def do(self, command, **arguments):
        return self.result(self.start(command, **arguments))

    def abort(self, number):
        self.do("abort", call=number)

    def subscribe(self, uri):
        self.do("subscribe", uri=uri)

    def event(self, kind):
        """The next event of that kind, also one that has come already."""
        while True:
            for position, event in enumerate(self.events):
                if event["event"] == kind:
                    return self.events.pop(position)
            self._receive()
