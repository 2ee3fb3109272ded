"""The stand-in of a model hub as a process of the test."""
import json
import pathlib
import subprocess
import sys

import httpx


class Hub:
    def __init__(self, root):
        self.process = subprocess.Popen([sys.executable, str(pathlib.Path(__file__).with_name("hub_standin.py")),
                                         str(root), "--exit-with-parent"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        ports = json.loads(self.process.stdout.readline())
        self.url = f"http://127.0.0.1:{ports['port']}"
        self.cdn_port = ports["cdn_port"]

    def set(self, **behaviour):
        httpx.get(self.url + "/_set", params=behaviour).raise_for_status()

    def reset(self):
        httpx.get(self.url + "/_reset").raise_for_status()

    def log(self):
        return httpx.get(self.url + "/_log").json()

    def downloads(self):
        """Requests for files, not for listings and redirects."""
        return [entry for entry in self.log() if entry["port"] == self.cdn_port or
                entry["path"].startswith("/files/")]

    def close(self):
        self.process.stdin.close()
        self.process.wait(30)
