#!/usr/bin/env python3
"""A stand-in for a model hub (the Hugging Face Hub's API as far as `llm-mcp pull` uses it), for tests.

    hub_standin.py ROOT [--exit-with-parent]

ROOT/<owner>/<repo>/<file...> are the repositories; every revision shows the same files. Prints one line of JSON with
its two ports: {"port": P, "cdn_port": C}. Both listen on 127.0.0.1; the second one plays the storage that the hub
redirects to (another origin).

    GET /api/models/O/R/revision/REV?blobs=true   list of files with sizes and SHA-256
    GET /api/models/O/R/tree/REV?recursive=true   the files once more, a page at a time (Link: rel="next"), each with
                                                  Git's hash of it, large ones with their SHA-256
    GET /api/models?search=S&author=A&limit=N     the repositories whose names fit
    GET /api/whoami-v2                            {"name": "tester"}
    GET /O/R/resolve/REV/FILE                     302 to the storage, with X-Linked-Etag (the SHA-256)
    GET /files/O/R/FILE                           the file itself, no redirect, ETag but no SHA-256
    GET /_set?KEY=VALUE&...                       changes the behaviour (below); answers the settings as JSON
    GET /_log                                     every request so far: [{"port","path","authorization","range","if_range"}]
    GET /_reset                                   default behaviour, empty log

Behaviour (numbers; 0 = off):
    cut_after=N    close the connection after N bytes of a file ...
    cuts=K         ... for the first K answers that have more
    ignore_range   answer 200 with the whole file to a Range request
    no_etag        no ETag;  weak_etag: W/"..."
    etag=N         another ETag for each N: the file "changed"
    wrong_hash     the listing names a SHA-256 that the files do not have
    corrupt        one byte of each file differs from what the listing hashed
    no_hash        no SHA-256 anywhere
    status=S       hub requests answer S;  gated=1: with the code of a gated repository
    fail_files=K   the first K file answers are 503
    token=T        hub requests without this bearer token answer 401 (text)
    stall_after=N  stop sending after N bytes, keeping the connection open, until the stand-in ends
    loop           redirect a file to itself for ever;  downgrade=URL: redirect there instead
    chunked        no Content-Length, end of file = end of connection
    page=N         N files on each page of a tree (default 1000);  far=1: the next page is at the storage
    together=N     no file is sent before N of them are asked for at the same time
    license=L, license_name=L, license_link=A     what the model card says (default mit)
Large files (LFS on the real hub) are .gguf, .safetensors and .bin; for others no SHA-256 is ever named.
"""
import hashlib
import http.server
import json
import os
import pathlib
import sys
import threading
import urllib.parse

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def is_large(path):
    return path.suffix in (".gguf", ".safetensors", ".bin")


class State:
    def __init__(self, root):
        self.root = pathlib.Path(root).resolve()
        self.lock = threading.Lock()
        self.stop = threading.Event()
        self.ports = [0, 0]
        self.reset()

    def reset(self):
        self.settings = {}
        self.log = []
        self.barrier = None

    def number(self, key):
        return int(self.settings.get(key, 0))

    def take(self, key):
        """One of a limited number of bad answers."""
        with self.lock:
            left = self.number(key)
            if left > 0:
                self.settings[key] = str(left - 1)
            return left > 0

    def file(self, owner, repo, name):
        path = (self.root / owner / repo / name).resolve()
        return path if path.is_file() and path.is_relative_to(self.root) else None


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # buffered: headers and body leave together
    disable_nagle_algorithm = True

    def log_message(self, *args):
        pass

    @property
    def state(self):
        return self.server.state

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        parts = [urllib.parse.unquote(part) for part in url.path.strip("/").split("/")]
        if parts[0].startswith("_"):
            return self.control(parts[0], urllib.parse.parse_qsl(url.query))
        with self.state.lock:
            self.state.log.append({"port": self.server.server_address[1], "path": self.path,
                                   "authorization": self.headers.get("Authorization", ""),
                                   "range": self.headers.get("Range", ""),
                                   "if_range": self.headers.get("If-Range", "")})
        if self.server.server_address[1] == self.state.ports[0] and not self.allowed():
            return None
        if parts in (["api", "models"], ["api", "whoami-v2"]):
            return self.search(dict(urllib.parse.parse_qsl(url.query))) if parts[1] == "models" else self.whoami()
        if parts[0] == "api" and len(parts) >= 6 and parts[4] == "revision":
            return self.listing(parts[2], parts[3], parts[5])
        if parts[0] == "api" and len(parts) >= 6 and parts[4] == "tree":
            return self.tree(parts[2], parts[3], dict(urllib.parse.parse_qsl(url.query)))
        if len(parts) >= 5 and parts[2] == "resolve":
            return self.resolve(parts[0], parts[1], "/".join(parts[4:]))
        if parts[0] in ("files", "storage") and len(parts) >= 4:
            path = self.state.file(parts[1], parts[2], "/".join(parts[3:]))
            return self.send_file(path) if path else self.answer(404, {"error": "Entry not found"})
        return self.answer(404, {"error": "Not found"})

    def control(self, command, pairs):
        with self.state.lock:
            if command == "_log":
                return self.answer(200, self.state.log)
            if command == "_reset":
                self.state.reset()
            self.state.settings.update(pairs)
            return self.answer(200, self.state.settings)

    def allowed(self):
        state = self.state
        if state.number("status"):
            code = {"X-Error-Code": "GatedRepo"} if state.number("gated") else {}
            self.answer(state.number("status"), {"error": "no"}, code)
            return False
        token = state.settings.get("token")
        if token and self.headers.get("Authorization") != "Bearer " + token:
            self.answer(401, {"error": "Invalid username or password."}, {"X-Error-Code": "RepoNotFound"})
            return False
        return True

    def answer(self, status, document, headers=None):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, content in (headers or {}).items():
            self.send_header(name, content)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def digest(self, path):
        content = path.read_bytes() + (b"!" if self.state.number("wrong_hash") else b"")
        return hashlib.sha256(content).hexdigest()

    def search(self, query):
        found = [f"{folder.parent.name}/{folder.name}" for folder in sorted(self.state.root.glob("*/*")) if folder.is_dir()]
        found = [name for name in found if query.get("search", "").lower() in name.lower()]
        found = [name for name in found if query.get("author") in (None, name.split("/")[0])]
        return self.answer(200, [{"id": name, "downloads": 1} for name in found[:int(query.get("limit", 20))]])

    def whoami(self):
        return self.answer(200, {"name": "tester"})

    def listing(self, owner, repo, revision):
        folder = self.state.root / owner / repo
        if not folder.is_dir():
            return self.answer(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        if revision == "missing":
            return self.answer(404, {"error": "Invalid rev id"}, {"X-Error-Code": "RevisionNotFound"})
        siblings = []
        for path in sorted(folder.rglob("*")):
            if not path.is_file():
                continue
            entry = {"rfilename": str(path.relative_to(folder)), "size": path.stat().st_size}
            if is_large(path) and not self.state.number("no_hash"):
                entry["lfs"] = {"sha256": self.digest(path), "size": path.stat().st_size, "pointerSize": 134}
            siblings.append(entry)
        card = {"license": "mit"}
        card.update({key: value for key, value in self.state.settings.items() if key.startswith("license")})
        return self.answer(200, {"id": f"{owner}/{repo}", "sha": COMMIT, "cardData": card, "siblings": siblings})

    def tree(self, owner, repo, query):
        folder = self.state.root / owner / repo
        if not folder.is_dir():
            return self.answer(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        entries = []
        for path in sorted(folder.rglob("*")):
            name = str(path.relative_to(folder))
            if path.is_dir():
                entries.append({"type": "directory", "oid": "0" * 40, "size": 0, "path": name})
                continue
            content = path.read_bytes()
            entry = {"type": "file", "oid": hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest(),
                     "size": len(content), "path": name}
            if is_large(path):
                entry["lfs"] = {"oid": self.digest(path), "size": len(content), "pointerSize": 134}
            entries.append(entry)
        start, size = int(query.get("cursor", 0)), self.state.number("page") or 1000
        headers = {}
        if start + size < len(entries):
            port = self.state.ports[1 if self.state.number("far") else 0]
            next_page = f"http://127.0.0.1:{port}{self.path.split('?')[0]}?recursive=true&cursor={start + size}"
            headers["Link"] = f'<{next_page}>; rel="next"'
        return self.answer(200, entries[start:start + size], headers)

    def resolve(self, owner, repo, name):
        path = self.state.file(owner, repo, name)
        if not path:
            return self.answer(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"})
        target = f"http://127.0.0.1:{self.state.ports[1]}/storage/{owner}/{repo}/{urllib.parse.quote(name)}?sig=secret"
        if self.state.number("loop"):
            target = self.path
        target = self.state.settings.get("downgrade", target)
        headers = {"Location": target}
        if is_large(path) and not self.state.number("no_hash"):
            headers["X-Linked-Etag"] = f'"{self.digest(path)}"'
        return self.answer(302, {}, headers)

    def send_file(self, path):
        state = self.state
        if state.take("fail_files"):
            return self.answer(503, {"error": "busy"})
        if state.number("together"):
            with state.lock:
                state.barrier = state.barrier or threading.Barrier(state.number("together"), timeout=30)
            try:
                state.barrier.wait()
            except threading.BrokenBarrierError:
                return self.answer(400, {"error": "asked for one after the other"})
        content = path.read_bytes()
        etag = hashlib.md5(content).hexdigest() + state.settings.get("etag", "")
        etag = f'W/"{etag}"' if state.number("weak_etag") else f'"{etag}"'
        if state.number("corrupt"):
            content = content[:-1] + bytes([content[-1] ^ 1])
        total, start, status = len(content), 0, 200
        asked = self.headers.get("Range", "")
        fresh = self.headers.get("If-Range") in (None, etag)
        if asked.startswith("bytes=") and fresh and not state.number("ignore_range"):
            start, status = int(asked[6:].rstrip("-")), 206
            if start >= total:
                return self.answer(416, {}, {"Content-Range": f"bytes */{total}"})
        self.send_response(status)
        if not state.number("no_etag"):
            self.send_header("ETag", etag)
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        if state.number("chunked"):
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", str(total - start))
        self.end_headers()
        return self.send_body(content[start:])

    def send_body(self, body):
        state = self.state
        if len(body) > state.number("cut_after") > 0 and state.take("cuts"):
            body, self.close_connection = body[:state.number("cut_after")], True
        stall = state.number("stall_after")
        try:
            self.wfile.write(body[:stall] if stall else body)
            self.wfile.flush()
            if stall:
                state.stop.wait()
        except OSError:
            self.close_connection = True
        if state.number("chunked"):
            self.close_connection = True


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, state):
        super().__init__(("127.0.0.1", 0), Handler)
        self.state = state

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)  # clients that go away are what is being tested


def main(argv):
    if len(argv) < 2:
        sys.exit(__doc__)
    state = State(argv[1])
    servers = [Server(state), Server(state)]
    state.ports = [server.server_address[1] for server in servers]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"port": state.ports[0], "cdn_port": state.ports[1]}), flush=True)
    if "--exit-with-parent" in argv:
        sys.stdin.read()  # ends when the parent closes the pipe, also by dying
        os._exit(0)
    state.stop.wait()


if __name__ == "__main__":
    main(sys.argv)
