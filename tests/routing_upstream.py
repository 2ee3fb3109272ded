"""Engines for tests of routing: each is an OpenAI-compatible server in the test's process, whose answers say who gave them."""
import collections
import http.server
import json
import socketserver
import threading


class Engine:
    """One engine. `answer_with` decides what it does: "ok", an HTTP status, or "hold" until release()."""

    def __init__(self, name, port=0):
        self.name = name
        self.port = port
        self.answer_with = "ok"
        self.models_status = 200  # of its list of models, which health checks ask for
        self.retry_after = None
        self.asked = collections.Counter()  # by the model that was asked for
        self.checked = 0                    # health checks
        self.holding = 0
        self.lock = threading.Condition()
        self.released = threading.Event()
        self.server = None
        self.start()

    def start(self):
        """Begins to listen, after the first time on the same port as before."""
        self.server = Server(("127.0.0.1", self.port), Handler)
        self.server.engine = self
        self.port = self.server.server_port
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    def kill(self):
        """The port refuses, and connections are gone."""
        self.server.shutdown()
        self.server.close_connections()
        self.server.server_close()
        self.thread.join()
        self.server = None

    def close(self):
        self.release()
        if self.server:
            self.kill()

    def hold(self):
        self.released.clear()
        self.answer_with = "hold"

    def release(self):
        self.answer_with = "ok"
        self.released.set()

    @property
    def count(self):
        with self.lock:
            return sum(self.asked.values())

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/v1"


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, *arguments):
        self.open = set()
        super().__init__(*arguments)

    def process_request(self, request, client_address):
        self.open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request):
        self.open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request, client_address):
        pass  # a connection that was cut on purpose

    def close_connections(self):
        for connection in list(self.open):
            try:
                connection.shutdown(2)
            except OSError:
                pass


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        engine = self.server.engine
        engine.checked += 1
        self.reply(engine.models_status, {"object": "list", "data": [{"id": "m"}]})

    def do_POST(self):
        engine = self.server.engine
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with engine.lock:
            engine.asked[body["model"]] += 1
        action = engine.answer_with
        if action == "hold":
            engine.holding += 1
            engine.released.wait(60)
            engine.holding -= 1
        elif action != "ok":
            return self.reply(action, {"error": {"message": f"{engine.name} says {action}", "type": "server_error"}},
                              {"Retry-After": engine.retry_after} if engine.retry_after else {})
        if self.path.endswith("/embeddings"):
            return self.reply(200, {"object": "list", "model": body["model"], "usage": {"prompt_tokens": 1},
                                    "data": [{"object": "embedding", "index": 0, "embedding": [1.0]}]})
        self.reply(200, {"id": "1", "object": "chat.completion", "created": 1, "model": body["model"],
                         "choices": [{"index": 0, "finish_reason": "stop",
                                      "message": {"role": "assistant", "content": engine.name}}],
                         "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}})

    def reply(self, status, document, headers=()):
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
