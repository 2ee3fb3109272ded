"""`llm-mcp stdio` as a process that is spoken to line by line, without an SDK between."""
import json
import subprocess

from harness import PROGRAM


class Stdio:
    def __init__(self, home, *arguments, program_arguments=()):
        self.process = subprocess.Popen([str(PROGRAM), *program_arguments, "stdio", *arguments], env=home.env,
                                        cwd=home.path, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=open(home.path / "stdio.err", "ab"), bufsize=0)
        self.answered = {}  # by id
        self.notifications = []

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(30)
            finally:
                self.process.kill()
        self.process.stdout.close()

    def send(self, message):
        self.process.stdin.write((message if isinstance(message, str) else json.dumps(message)).encode() + b"\n")

    def request(self, method, params=None, number=1):
        self.send({"jsonrpc": "2.0", "id": number, "method": method, **({} if params is None else {"params": params})})

    def notify(self, method, params=None):
        self.send({"jsonrpc": "2.0", "method": method, **({} if params is None else {"params": params})})

    def receive(self):
        """The next message; every line has to be one."""
        line = self.process.stdout.readline()
        assert line.endswith(b"\n"), f"the end instead of a message: {line!r}"
        message = json.loads(line)
        assert message["jsonrpc"] == "2.0"
        if "method" in message:
            self.notifications.append(message)
        else:
            assert message["id"] not in self.answered, f"answered twice: {message}"
            self.answered[message["id"]] = message
        return message

    def answer(self, number):
        while number not in self.answered:
            self.receive()
        return self.answered[number]

    def call(self, method, params=None, number=1):
        self.request(method, params, number)
        return self.answer(number)

    def initialize(self, version="2025-11-25"):
        answer = self.call("initialize", {"protocolVersion": version, "capabilities": {},
                                          "clientInfo": {"name": "lines", "version": "1"}}, number="init")
        self.notify("notifications/initialized")
        return answer["result"]
