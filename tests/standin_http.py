"""What the stand-ins of providers are made of: an HTTP server in the process of the test that notes what it is asked."""
import http.server
import json
import threading


class Reply:
    """What a route answers: JSON, or pieces of text that are sent one by one as a stream."""

    def __init__(self, body=None, status=200, kind="application/json", pieces=None, headers=None):
        self.body, self.status, self.kind, self.pieces, self.headers = body, status, kind, pieces, headers or {}


def sse(events):
    """Pieces of an event stream: (name, object or text); no name: data alone."""
    for name, data in events:
        text = data if isinstance(data, str) else json.dumps(data)
        yield (f"event: {name}\n" if name else "") + f"data: {text}\n\n"


class Request:
    def __init__(self, handler, body):
        self.method = handler.command
        self.path = handler.path.partition("?")[0]
        self.headers = {name.lower(): value for name, value in handler.headers.items()}
        self.text = body.decode()
        self.body = json.loads(body) if body else None


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def log_message(self, *args):
        pass

    def answer(self):
        request = Request(self, self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        with self.server.standin.lock:
            self.server.standin.requests.append(request)
        reply = self.server.standin.reply(request)
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.kind)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.pieces is None:
            body = b"" if reply.body is None else json.dumps(reply.body).encode()
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in reply.pieces:
            data = piece.encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    do_GET = do_POST = do_DELETE = answer


class StandIn:
    """`with StandIn() as provider:` … `provider.url`, `provider.requests`, `provider.asked("/v1/chat/completions")`."""

    def __init__(self, port=0):
        self.lock = threading.Lock()
        self.requests = []
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.server.standin = self
        self.port = self.server.server_address[1]
        self.root = f"http://127.0.0.1:{self.port}"
        self.url = self.root + "/v1"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *error):
        self.server.shutdown()
        self.server.server_close()

    def asked(self, path):
        with self.lock:
            return [request for request in self.requests if request.path == path]

    def reply(self, request):
        raise NotImplementedError
