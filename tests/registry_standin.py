"""A stand-in for a container registry (OCI distribution specification, as far as a pull uses it), in the test's process.

One image under any name and tag that `images` lists. `account` asks for a user and password; `gate` holds the second
half of every layer back until it is set, so that a pull can be looked at in the middle without a clock.
"""
import base64
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Registry:
    def __init__(self, manifest, blobs):
        self.manifest, self.blobs = manifest, blobs
        self.images = {("acme/vllm", "1")}
        self.account = None  # "user:password"
        self.gate = threading.Event()
        self.gate.set()
        self.seen = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.host = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        self.gate.set()
        self.server.shutdown()
        self.server.server_close()

    def answer(self, path):
        """(status, type, body) for a path without /v2/."""
        name, _, rest = path.rpartition("/manifests/")
        if name:
            known = (name, rest) in self.images or rest == self._digest()
            return (200, "application/vnd.docker.distribution.manifest.v2+json", self.manifest) if known else (
                404, "application/json", b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}')
        blob = self.blobs.get(path.rpartition("/blobs/")[2])
        if blob is not None:
            return 200, "application/octet-stream", blob
        return 404, "application/json", b'{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown"}]}'

    def _digest(self):
        return "sha256:" + hashlib.sha256(self.manifest).hexdigest()

    def _handler(registry):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self.reply()

            def do_HEAD(self):
                self.reply()

            def log_message(self, *_):
                pass

            def reply(self):
                registry.seen.append(f"{self.command} {self.path}")
                account = registry.account
                if account:
                    wanted = "Basic " + base64.b64encode(account.encode()).decode()
                    if self.headers.get("Authorization") != wanted:
                        self.send(401, "application/json",
                                  b'{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}')
                        return
                path = self.path.split("?")[0].removeprefix("/v2/")
                self.send(*(registry.answer(path) if path else (200, "application/json", b"{}")))

            def send(self, status, kind, body):
                self.send_response(status)
                self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
                if status == 401:
                    self.send_header("WWW-Authenticate", 'Basic realm="test"')
                if kind.endswith("manifest.v2+json"):
                    self.send_header("Docker-Content-Digest", registry._digest())
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "HEAD":
                    return
                half = len(body) // 2 if len(body) > 1_000_000 else 0
                self.wfile.write(body[:half])
                if half:
                    registry.gate.wait()
                self.wfile.write(body[half:])

        return Handler
