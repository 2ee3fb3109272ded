#!/usr/bin/env python3
"""A stand-in for vLLM's server, for tests: its HTTP, its log, its flags and its habits, without a model.

    vllm_standin.py serve MODEL [vLLM's flags]      as `vllm serve`
    vllm_standin.py --model MODEL [vLLM's flags]    as the image's entry point
    vllm_standin.py --version
    vllm_standin.py serve --help=all

Only Python's standard library, 3.9 or newer. What it cannot do is an error, as in vLLM: an unknown flag ends it with
status 2, an unknown path is 404. Tokens are words; the answer counts them up ("w0 w1 w2 ...").

Environment:
    VLLM_STANDIN_VERSION      0.10.1 (default) or a newer one such as 0.33.0: endpoints, flags and metrics follow
    VLLM_STANDIN_FAIL         oom, kv_cache, no_gpu, no_driver, gated, bad_token, arch, port, shm, dtype, kill9: how the
                              start ends;  crash_after_start: the first request after the gateway's probe ends it;
                              crash_mid_stream: dies in the third event of a stream;  hang: answers /health and never a
                              generation;  never_ready: prints its log up to the graphs and never listens
    VLLM_STANDIN_FAIL_ONCE    a file: the failure happens only while it does not exist, and makes it
    VLLM_STANDIN_START_DELAY  seconds between two phases of the start (default 0)
    VLLM_STANDIN_GATES        a folder: each phase (download, weights, compile, graphs, serve) waits for a file of its
                              name there; progress can then be looked at without a clock
    VLLM_STANDIN_TOKEN_DELAY  seconds before each token (default 0)
    VLLM_STANDIN_HOLD         1: generations that ask for more than one token stop after two, until POST
                              /standin/set {"hold": false} or the client leaves
    VLLM_STANDIN_CORE         1: a second process beside the server's, as vLLM's EngineCore; like that it does not notice
                              when the first one is killed
    VLLM_SERVER_DEV_MODE, VLLM_ALLOW_RUNTIME_LORA_UPDATING, VLLM_API_KEY: as in vLLM

For tests: GET /standin/state tells what it saw (requests, aborted, finished, running, cache_salts, sleeping, adapters,
argv, names of the environment's variables, paths that were asked for, pids); POST /standin/set changes hold, token_delay,
fail while it runs; POST /standin/crash ends it with what {"fail": NAME} means.
"""
import argparse
import json
import os
import pathlib
import re
import select
import signal
import socket
import sys
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

VERSION = os.environ.get("VLLM_STANDIN_VERSION") or "0.10.1"


def numbers(version):
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


NEW = numbers(VERSION) > (0, 11, 0)
CORE = 0  # pid of the second process

# Flags by what follows them. Those of one version only stand apart.
SWITCHES = """--enable-prefix-caching --no-enable-prefix-caching --enable-chunked-prefill --no-enable-chunked-prefill
 --enable-lora --enable-auto-tool-choice --trust-remote-code --enable-sleep-mode --enable-prompt-tokens-details
 --enforce-eager --enable-expert-parallel --headless --enable-tokenizer-info-endpoint --disable-log-stats
 --enable-server-load-tracking --disable-log-requests --enable-log-requests --disable-uvicorn-access-log""".split()
VALUES = """--host --port --revision --tokenizer --tensor-parallel-size --pipeline-parallel-size --data-parallel-size
 --dtype --quantization --gpu-memory-utilization --max-model-len --max-num-seqs --max-num-batched-tokens
 --kv-cache-dtype --speculative-config --max-loras --max-lora-rank --tool-call-parser --reasoning-parser
 --chat-template --cpu-offload-gb --api-key --seed --load-format --download-dir --task --runner --block-size
 --distributed-executor-backend --data-parallel-size-local --data-parallel-address --data-parallel-rpc-port
 --data-parallel-start-rank --api-server-count --root-path --uvicorn-log-level --kv-transfer-config
 --compilation-config --limit-mm-per-prompt --hf-overrides --override-generation-config --max-cpu-loras
 --prefix-caching-hash-algo --code-revision --tokenizer-mode --guided-decoding-backend --model""".split()
LISTS = ["--served-model-name", "--lora-modules", "--middleware"]
OLD_VALUES = ["--swap-space"]
NEW_VALUES = """--shutdown-timeout --nnodes --node-rank --master-addr --master-port --max-num-queued-reqs
 --kv-offloading-backend --kv-offloading-size --custom-histogram-buckets --max-num-queued-tokens""".split()
NEW_SWITCHES = ["--enable-fault-tolerance"]


def make_parser():
    parser = argparse.ArgumentParser(prog="vllm serve", add_help=False, allow_abbrev=False)
    parser.add_argument("model_tag", nargs="?")
    for name in SWITCHES + (NEW_SWITCHES if NEW else []):
        parser.add_argument(name, action="store_true")
    for name in VALUES + (NEW_VALUES if NEW else OLD_VALUES):
        parser.add_argument(name)
    for name in LISTS:
        parser.add_argument(name, nargs="+")
    return parser


class Vllm:
    """What the server holds: the model's names, adapters, sleep, and what it has seen."""

    def __init__(self, args):
        self.args = args
        self.model = args.model_tag or args.model or "Qwen/Qwen3-0.6B"
        self.names = args.served_model_name or [self.model]
        self.max_model_len = int(args.max_model_len or 4096)
        self.key = args.api_key or os.environ.get("VLLM_API_KEY") or ""
        self.dev = os.environ.get("VLLM_SERVER_DEV_MODE") == "1"
        self.runtime_lora = os.environ.get("VLLM_ALLOW_RUNTIME_LORA_UPDATING", "").lower() in ("1", "true")
        self.fail = os.environ.get("VLLM_STANDIN_FAIL", "")
        self.hold = os.environ.get("VLLM_STANDIN_HOLD") == "1"
        self.token_delay = float(os.environ.get("VLLM_STANDIN_TOKEN_DELAY") or 0)
        self.adapters = {}
        self.changed = threading.Condition()
        self.requests = self.aborted = self.finished = self.running = self.generations = self.asleep_requests = 0
        self.prompt_tokens = self.generation_tokens = 0
        self.cache_salts = []
        self.paths = []
        self.sleep_level = 0
        self.awake_tags = set()
        self.weights = True
        self.rpc = []
        self.engine_dead = False
        for module in args.lora_modules or []:
            name, _, path = module.partition("=")
            self.adapters[name] = path

    def fails(self, name):
        """Is this the failure to show? With VLLM_STANDIN_FAIL_ONCE, once."""
        if self.fail != name:
            return False
        once = os.environ.get("VLLM_STANDIN_FAIL_ONCE")
        if once:
            if os.path.exists(once):
                return False
            pathlib.Path(once).touch()
        return True

    def state(self):
        with self.changed:
            return {"version": VERSION, "requests": self.requests, "generations": self.generations,
                    "aborted": self.aborted, "finished": self.finished, "running": self.running,
                    "requests_while_asleep": self.asleep_requests, "cache_salts": self.cache_salts,
                    "sleeping": self.sleep_level, "weights": self.weights, "collective_rpc": self.rpc,
                    "adapters": self.adapters, "argv": sys.argv, "environment": sorted(os.environ), "pid": os.getpid(),
                    "core": CORE, "paths": self.paths}


# ---- the log ----

MODEL_LEN_ADVICE = ("ValueError: To serve at least one request with the models's max seq len (131072), (16.00 GiB KV "
                    "cache is needed, which is larger than the available KV cache memory (5.21 GiB). Based on the "
                    "available memory, the estimated maximum model length is 42672. Try increasing "
                    "`gpu_memory_utilization` or decreasing `max_model_len` when initializing the engine.")
CAUSES = {
    "oom": ["torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.32 GiB. GPU 0 has a total capacity of "
            "23.64 GiB of which 1.10 GiB is free. Including non-PyTorch memory, this process has 22.53 GiB memory in "
            "use."],
    "kv_cache": [MODEL_LEN_ADVICE],
    "no_gpu": ["RuntimeError: Failed to infer device type, please set the environment variable "
               "`VLLM_LOGGING_LEVEL=DEBUG` to turn on verbose logging to help debug the issue."],
    "no_driver": ["RuntimeError: Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU and "
                  "installed a driver from http://www.nvidia.com/Download/index.aspx"],
    "gated": ["OSError: You are trying to access a gated repo.",
              "Make sure to have access to it at https://huggingface.co/acme/secret.",
              "401 Client Error. (Request ID: Root=1-0)",
              "Access to model acme/secret is restricted. You must have access to it and be authenticated to access "
              "it. Please log in."],
    "bad_token": ["OSError: There was a specific connection error when trying to load acme/secret:",
                  "401 Client Error: Unauthorized for url: https://huggingface.co/acme/secret/resolve/main/config.json",
                  "Invalid credentials in Authorization header"],
    "arch": ["ValueError: Model architectures ['NovelForCausalLM'] are not supported for now. Supported architectures: "
             "dict_keys(['LlamaForCausalLM', 'Qwen2ForCausalLM'])"],
    "port": ["OSError: [Errno 98] Address already in use"],
    "shm": ["RuntimeError: unable to write to file </torch_77_1234_0>: No space left on device (28)",
            "OSError: [Errno 28] No space left on device: '/dev/shm/psm_0815'"],
    "dtype": ["ValueError: Bfloat16 is only supported on GPUs with compute capability of at least 8.0. Your Tesla T4 "
              "GPU has compute capability 7.5. You can use float16 instead by explicitly setting the `dtype` flag in "
              "CLI, for example: --dtype=half."],
}


def prefix(who):
    if not NEW and who == "EngineCore":
        who = "EngineCore_0"
    return f"({who} pid={os.getpid()}) "


def say(line, who="EngineCore", source="gpu_model_runner.py:1953"):
    stamp = time.strftime("%m-%d %H:%M:%S")
    print(f"{prefix(who)}INFO {stamp} [{source}] {line}", file=sys.stderr, flush=True)


def raw(line):
    print(line, file=sys.stderr, flush=True)


def bar(line, done, total):
    print(f"\r{line} {done}/{total} [00:00<00:00,  9.00it/s]", end="\n" if done == total else "", file=sys.stderr,
          flush=True)


def error(lines):
    stamp = time.strftime("%m-%d %H:%M:%S")
    for line in ["EngineCore failed to start.", "Traceback (most recent call last):", *lines]:
        print(f"{prefix('EngineCore')}ERROR {stamp} [core.py:700] {line}", file=sys.stderr, flush=True)


def start_core():
    global CORE
    if os.environ.get("VLLM_STANDIN_CORE") == "1":
        CORE = os.fork()
        if CORE == 0:
            while True:
                time.sleep(3600)


def end(status):
    """With the second process first, as vLLM does when it ends by itself."""
    sys.stderr.flush()
    if CORE:
        os.kill(CORE, signal.SIGKILL)
        os.waitpid(CORE, 0)
    os._exit(status)


def die(name):
    """Ends as vLLM ends for that reason."""
    if name == "kill9":
        os.kill(os.getpid(), signal.SIGKILL)
    error(CAUSES.get(name, ["RuntimeError: the stand-in was told to end"]))
    if name in ("oom", "kv_cache", "shm", "dtype"):
        raw(f"{prefix('APIServer')}RuntimeError: Engine core initialization failed. See root cause above. Failed core "
            "proc(s): {}")
    end(1)


def phase(name):
    gates = os.environ.get("VLLM_STANDIN_GATES")
    while gates and not os.path.exists(os.path.join(gates, name)):
        time.sleep(0.005)
    time.sleep(float(os.environ.get("VLLM_STANDIN_START_DELAY") or 0))


def show_start(vllm):
    """The log of a start, phase by phase."""
    raw(f"INFO {time.strftime('%m-%d %H:%M:%S')} [__init__.py:241] Automatically detected platform cuda.")
    if vllm.fails("no_gpu"):
        die("no_gpu")
    say(f"vLLM API server version {VERSION}", "APIServer", "api_server.py:1805")
    for name in ("gated", "bad_token", "arch", "dtype"):
        if vllm.fails(name):
            die(name)
    say("Resolved architecture: Qwen2ForCausalLM", "APIServer", "__init__.py:711")
    say(f"Using max model len {vllm.max_model_len}", "APIServer", "__init__.py:1750")
    say(f"Initializing a V1 LLM engine (v{VERSION}) with config: model='{vllm.model}'", source="core.py:74")
    for name in ("no_driver", "shm"):
        if vllm.fails(name):
            die(name)
    say(f"Starting to load model {vllm.model}...")
    if not vllm.model.startswith("/"):
        say("Using model weights format ['*.safetensors']", source="weight_utils.py:296")
        phase("download")
        say(f"Time spent downloading weights for {vllm.model}: 12.500000 seconds", source="weight_utils.py:312")
    phase("weights")
    for done in range(5):
        bar(f"Loading safetensors checkpoint shards: {done * 25:3}% Completed |", done, 4)
    for name in ("oom", "kill9"):
        if vllm.fails(name):
            die(name)
    say("Loading weights took 1.89 seconds", source="default_loader.py:262")
    say("Model loading took 14.2488 GiB and 2.532961 seconds")
    phase("compile")
    say("Using cache directory: /root/.cache/vllm/torch_compile_cache/0/rank_0_0/backbone for vLLM's torch.compile",
        source="backends.py:548")
    say("Dynamo bytecode transform time: 6.34 s", source="backends.py:559")
    say("Compiling a graph for dynamic shape takes 25.21 s" if not NEW else
        "Compiling a graph for compile range (1, 2048) takes 25.21 s", source="backends.py:215")
    say("torch.compile takes 31.55 s in total", source="monitor.py:34")
    say("Available KV cache memory: 55.50 GiB", source="gpu_worker.py:276")
    if vllm.fails("kv_cache"):
        die("kv_cache")
    say("GPU KV cache size: 1,039,248 tokens", source="kv_cache_utils.py:849")
    say(f"Maximum concurrency for {vllm.max_model_len:,} tokens per request: 31.72x", source="kv_cache_utils.py:853")
    phase("graphs")
    for done in range(0, 68, 6 if vllm.fail == "never_ready" else 1):
        bar(f"Capturing CUDA graphs (mixed prefill-decode, PIECEWISE): {done * 100 // 67:3}%|###|", done, 67)
    if vllm.fails("never_ready"):
        while True:
            time.sleep(3600)
    say("Graph capturing finished in 3 secs, took 0.55 GiB", source="gpu_model_runner.py:2708")
    say("init engine (profile, create kv cache, warmup model) took 45.12 seconds", source="core.py:214")
    phase("serve")
    if vllm.fails("port"):
        die("port")


# ---- HTTP ----

def error_body(message, kind, status):
    return {"error": {"message": message, "type": kind, "param": None, "code": status}}


def routes_of(vllm):
    """{path: methods} as /openapi.json lists them."""
    get, post = ["get"], ["post"]
    routes = {"/health": get, "/load": get, "/ping": ["get", "post"], "/version": get, "/metrics": get,
              "/tokenize": post, "/detokenize": post, "/v1/models": get, "/v1/chat/completions": post,
              "/v1/completions": post, "/v1/responses": post, "/v1/responses/{response_id}": get,
              "/v1/embeddings": post, "/pooling": post, "/classify": post, "/score": post, "/v1/score": post,
              "/v1/audio/transcriptions": post, "/rerank": post, "/v1/rerank": post, "/v2/rerank": post,
              "/invocations": post}
    if NEW:
        routes.update({"/v1/messages": post, "/v1/messages/count_tokens": post, "/v1/chat/completions/batch": post,
                       "/v2/embed": post})
    if vllm.dev:
        routes.update({"/sleep": post, "/wake_up": post, "/is_sleeping": get, "/server_info": get,
                       "/reset_prefix_cache": post, "/collective_rpc": post})
        if NEW:
            routes.update({"/reset_mm_cache": post, "/reset_encoder_cache": post, "/pause": post, "/resume": post,
                           "/is_paused": get, "/abort_requests": post})
    if vllm.runtime_lora and vllm.args.enable_lora:
        routes.update({"/v1/load_lora_adapter": post, "/v1/unload_lora_adapter": post})
    return routes


def prompt_text(body):
    if "messages" in body:
        parts = []
        for message in body["messages"]:
            content = message.get("content")
            if isinstance(content, list):
                content = " ".join(part.get("text", "") for part in content if isinstance(part, dict))
            parts.append(content or "")
        return " ".join(parts)
    prompt = body.get("prompt", body.get("input", ""))
    if isinstance(prompt, list):
        prompt = " ".join(str(item) for item in prompt)
    return str(prompt)


class Left(Exception):
    """The client went away."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    vllm = None
    server_version = "uvicorn"
    disable_nagle_algorithm = True

    def log_message(self, form, *arguments):
        raw(f"{prefix('APIServer')}INFO:     127.0.0.1:0 - \"{self.requestline}\" {arguments[1] if len(arguments) > 1 else ''}")

    def send_body(self, status, body, content_type="application/json"):
        data = body if isinstance(body, bytes) else (
            body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def refuse(self, status, message, kind="BadRequestError"):
        self.send_body(status, error_body(message, kind, status))

    def read_json(self):
        length = int(self.headers.get("Content-Length") or 0)
        data = self.rfile.read(length)
        return json.loads(data) if data else {}

    def do_GET(self):
        self.serve("get")

    def do_POST(self):
        self.serve("post")

    def serve(self, method):
        vllm = self.vllm
        url = urllib.parse.urlsplit(self.path)
        self.query = urllib.parse.parse_qs(url.query)
        try:
            body = self.read_json() if method == "post" else {}
        except ValueError as problem:
            return self.refuse(400, f"JSON decode error: {problem}")
        if url.path == "/openapi.json":
            return self.send_body(200, {"openapi": "3.1.0", "info": {"title": "FastAPI", "version": "0.1.0"},
                                        "paths": {path: {verb: {} for verb in verbs}
                                                  for path, verbs in routes_of(vllm).items()}})
        if url.path.startswith("/standin/"):
            return self.standin(url.path, body)
        with vllm.changed:
            vllm.paths.append(f"{method.upper()} {self.path}")
            del vllm.paths[:-200]
        if url.path.startswith(("/v1", "/v2")) and vllm.key and \
                self.headers.get("Authorization") != f"Bearer {vllm.key}":
            return self.send_body(401, {"error": "Unauthorized"})
        known = routes_of(vllm).get(url.path)
        if not known:
            return self.send_body(404, {"detail": "Not Found"})
        if method not in known:
            return self.send_body(405, {"detail": "Method Not Allowed"})
        handler = getattr(self, "on_" + url.path.strip("/").replace("/", "_").replace("-", "_"), None)
        if not handler:
            return self.refuse(400, "The model does not support this API")
        return handler(body)

    # -- tests' own --

    def standin(self, path, body):
        vllm = self.vllm
        if path == "/standin/crash":
            die(body.get("fail", "oom"))
        if path == "/standin/set":
            with vllm.changed:
                for name in ("hold", "token_delay", "fail"):
                    if name in body:
                        setattr(vllm, name, body[name])
                vllm.changed.notify_all()
        return self.send_body(200, vllm.state())

    # -- state --

    def on_health(self, _):
        self.send_body(503 if self.vllm.engine_dead else 200, b"")

    on_ping = on_health

    def on_version(self, _):
        self.send_body(200, {"version": VERSION})

    def on_load(self, _):
        self.send_body(200, {"server_load": self.vllm.running})

    def on_v1_models(self, _):
        vllm = self.vllm
        card = {"object": "model", "created": 1, "owned_by": "vllm", "permission": []}
        data = [{**card, "id": name, "root": vllm.model, "parent": None, "max_model_len": vllm.max_model_len}
                for name in vllm.names]
        data += [{**card, "id": name, "root": path, "parent": vllm.names[0], "max_model_len": None}
                 for name, path in vllm.adapters.items()]
        self.send_body(200, {"object": "list", "data": data})

    def on_metrics(self, _):
        self.send_body(200, metrics_of(self.vllm), "text/plain; version=0.0.4; charset=utf-8")

    # -- tokens --

    def on_tokenize(self, body):
        words = prompt_text(body).split()
        answer = {"count": len(words), "max_model_len": self.vllm.max_model_len,
                  "tokens": [len(word) for word in words]}
        self.send_body(200, {**answer, "token_strs": words if body.get("return_token_strs") else None})

    def on_detokenize(self, body):
        self.send_body(200, {"prompt": " ".join("x" * token for token in body.get("tokens", []))})

    # -- generation --

    def known_model(self, body):
        model = body.get("model")
        if model is None or model in self.vllm.names or model in self.vllm.adapters:
            return True
        self.refuse(404, f"The model `{model}` does not exist.", "NotFoundError")
        return False

    def admit(self, body):
        """Counts a request; False if it was answered already."""
        vllm = self.vllm
        if not self.known_model(body):
            return False
        salt = body.get("cache_salt")
        if salt is not None and (not isinstance(salt, str) or not salt):
            self.refuse(400, "Parameter 'cache_salt' must be a non-empty string if provided.")
            return False
        if vllm.engine_dead:
            self.refuse(500, "EngineCore encountered an issue. See stack trace (above) for the root cause.",
                        "InternalServerError")
            return False
        with vllm.changed:
            vllm.requests += 1
            if salt:
                vllm.cache_salts.append(salt)
            if vllm.sleep_level:
                vllm.asleep_requests += 1
        if vllm.sleep_level:
            self.refuse(500, "the engine is asleep", "InternalServerError")
            return False
        return True

    def client_left(self):
        try:
            readable, _, _ = select.select([self.connection], [], [], 0)
            return bool(readable) and not self.connection.recv(1, socket.MSG_PEEK)
        except OSError:
            return True

    def words(self, body):
        """The words of an answer, as slowly as wished. Left: the client went away."""
        vllm = self.vllm
        most = body.get("max_tokens") or body.get("max_completion_tokens") or 16
        model = body.get("model")
        for index in range(int(most)):
            end = time.monotonic() + vllm.token_delay
            while True:
                if self.client_left():
                    raise Left
                if vllm.engine_dead:
                    raise Left
                with vllm.changed:
                    held = vllm.fail == "hang" or (vllm.hold and index == 2)
                    if not held and time.monotonic() >= end:
                        break
                    vllm.changed.wait(0.01 if held else min(0.01, max(0.0, end - time.monotonic())))
            if not vllm.weights:
                yield "garbage "
            elif model in vllm.adapters:
                yield f"{model}-{index} "
            else:
                yield f"w{index} "

    def generate(self, body, whole, chunk):
        """Answers with `whole(text, usage)` or with a stream of `chunk(index, word)`."""
        vllm = self.vllm
        if not self.admit(body):
            return
        most = int(body.get("max_tokens") or body.get("max_completion_tokens") or 16)
        if vllm.generations >= 1 and vllm.fails("crash_after_start"):
            die("oom")
        prompt = prompt_text(body).split()
        if len(prompt) + most > vllm.max_model_len:
            return self.refuse(400, f"This model's maximum context length is {vllm.max_model_len} tokens. However, you "
                                    f"requested {len(prompt) + most} tokens.")
        with vllm.changed:
            vllm.generations += 1
            vllm.running += 1
        try:
            count = 0
            if body.get("stream"):
                count = self.stream(body, chunk, len(prompt))
            else:
                text = ""
                for word in self.words(body):
                    text += word
                    count += 1
                self.send_body(200, whole(text, usage_of(len(prompt), count)))
            with vllm.changed:
                vllm.finished += 1
                vllm.prompt_tokens += len(prompt)
                vllm.generation_tokens += count
        except (Left, OSError):
            self.close_connection = True
            with vllm.changed:
                vllm.aborted += 1
        finally:
            with vllm.changed:
                vllm.running -= 1
                vllm.changed.notify_all()

    def stream(self, body, chunk, prompt):
        vllm = self.vllm
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        count = 0
        options = body.get("stream_options") or {}
        for index, word in enumerate(self.words(body)):
            if index == 2 and vllm.fails("crash_mid_stream"):
                die("oom")
            event = chunk(index, word)
            if options.get("continuous_usage_stats"):
                event["usage"] = usage_of(prompt, index + 1)
            self.event(event)
            count += 1
        self.event(chunk(count, None))
        if options.get("include_usage"):
            last = chunk(count, None)
            last["choices"] = []
            last["usage"] = usage_of(prompt, count)
            self.event(last)
        self.piece(b"data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")
        return count

    def event(self, event):
        self.piece(f"data: {json.dumps(event)}\n\n".encode())

    def piece(self, data):
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def on_v1_chat_completions(self, body):
        if not isinstance(body.get("messages"), list):
            return self.refuse(400, "[{'type': 'missing', 'loc': ('body', 'messages'), 'msg': 'Field required'}]")
        if body.get("tools") and body.get("tool_choice", "auto") == "auto" and not self.vllm.args.tool_call_parser:
            return self.refuse(400, '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to '
                                    'be set')
        common = {"id": "chatcmpl-1", "created": 1, "model": body.get("model") or self.vllm.names[0]}

        def whole(text, usage):
            return {**common, "object": "chat.completion", "usage": usage, "choices": [
                {"index": 0, "message": {"role": "assistant", "content": text, "tool_calls": []},
                 "finish_reason": "length"}]}

        def chunk(index, word):
            delta = {} if word is None else {"content": word, **({"role": "assistant"} if index == 0 else {})}
            return {**common, "object": "chat.completion.chunk", "choices": [
                {"index": 0, "delta": delta, "finish_reason": "length" if word is None else None}]}

        return self.generate(body, whole, chunk)

    def on_v1_completions(self, body):
        if "prompt" not in body:
            return self.refuse(400, "[{'type': 'missing', 'loc': ('body', 'prompt'), 'msg': 'Field required'}]")
        common = {"id": "cmpl-1", "object": "text_completion", "created": 1,
                  "model": body.get("model") or self.vllm.names[0]}

        def whole(text, usage):
            return {**common, "usage": usage,
                    "choices": [{"index": 0, "text": text, "logprobs": None, "finish_reason": "length"}]}

        def chunk(_, word):
            return {**common, "choices": [{"index": 0, "text": word or "", "logprobs": None,
                                           "finish_reason": "length" if word is None else None}]}

        return self.generate(body, whole, chunk)

    def on_v1_embeddings(self, body):
        if not self.admit(body):
            return
        texts = body.get("input", "")
        texts = texts if isinstance(texts, list) else [texts]
        data = [{"object": "embedding", "index": index, "embedding": [float(len(str(text))), 0.5, -0.5]}
                for index, text in enumerate(texts)]
        tokens = sum(len(str(text).split()) for text in texts)
        with self.vllm.changed:
            self.vllm.finished += 1
        self.send_body(200, {"object": "list", "model": body.get("model"), "data": data,
                             "usage": {"prompt_tokens": tokens, "total_tokens": tokens}})

    def on_v1_rerank(self, body):
        if not self.admit(body):
            return
        query = set(str(body.get("query", "")).split())
        results = [{"index": index, "document": {"text": text},
                    "relevance_score": len(query & set(str(text).split())) / max(1, len(query))}
                   for index, text in enumerate(body.get("documents", []))]
        results.sort(key=lambda result: -result["relevance_score"])
        with self.vllm.changed:
            self.vllm.finished += 1
        self.send_body(200, {"id": "rerank-1", "model": body.get("model"), "usage": {"total_tokens": 1},
                             "results": results[:body.get("top_n") or None]})

    on_rerank = on_v2_rerank = on_v1_rerank

    # -- adapters --

    def on_v1_load_lora_adapter(self, body):
        name, path = body.get("lora_name"), body.get("lora_path")
        if not name or not path:
            return self.refuse(400, "Both 'lora_name' and 'lora_path' must be provided.", "InvalidUserInput")
        with self.vllm.changed:
            if name in self.vllm.adapters and not (NEW and body.get("load_inplace")):
                return self.refuse(400, f"The lora adapter '{name}' has already been loaded.", "InvalidUserInput")
            if not os.path.exists(path):
                return self.refuse(404, f"Loading lora {name} failed: No adapter found for {path}", "NotFoundError")
            self.vllm.adapters[name] = path
        return self.send_body(200, f"Success: LoRA adapter '{name}' added successfully.", "text/plain")

    def on_v1_unload_lora_adapter(self, body):
        name = body.get("lora_name")
        if not name:
            return self.refuse(400, "'lora_name' needs to be provided to unload a LoRA adapter.", "InvalidUserInput")
        with self.vllm.changed:
            if name not in self.vllm.adapters:
                return self.refuse(404, f"The lora adapter '{name}' cannot be found.", "NotFoundError")
            del self.vllm.adapters[name]
        return self.send_body(200, f"Success: LoRA adapter '{name}' removed successfully.", "text/plain")

    # -- development mode --

    def on_sleep(self, _):
        level = int(self.query.get("level", ["1"])[0])
        with self.vllm.changed:
            self.vllm.sleep_level = level
            self.vllm.awake_tags = set()
            if level == 2:
                self.vllm.weights = False
        say("It took 0.412345 seconds to fall asleep.", source="executor_base.py:187")
        self.send_body(200, b"")

    def on_wake_up(self, _):
        with self.vllm.changed:
            self.vllm.awake_tags |= set(self.query.get("tags", ["weights", "kv_cache"]))
            if self.vllm.awake_tags >= {"weights", "kv_cache"}:
                self.vllm.sleep_level = 0
        say("It took 0.112345 seconds to wake up tags {'kv_cache', 'weights'}.", source="executor_base.py:203")
        self.send_body(200, b"")

    def on_is_sleeping(self, _):
        self.send_body(200, {"is_sleeping": self.vllm.sleep_level > 0})

    def on_collective_rpc(self, body):
        if "method" not in body:
            return self.send_body(400, {"detail": "Missing 'method' in request body"})
        with self.vllm.changed:
            self.vllm.rpc.append(body["method"])
            if body["method"] == "reload_weights":
                self.vllm.weights = True
        return self.send_body(200, {"results": [None]})

    def on_reset_prefix_cache(self, _):
        self.send_body(200, b"")

    on_reset_mm_cache = on_reset_encoder_cache = on_reset_prefix_cache

    def on_server_info(self, _):
        self.send_body(200, {"vllm_config": f"model='{self.vllm.model}', max_seq_len={self.vllm.max_model_len}"})


def usage_of(prompt, completion):
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": 0}}


def metrics_of(vllm):
    labels = f'engine="0",model_name="{vllm.names[0]}"'
    out = []

    def series(name, kind, value, more=""):
        out.append(f"# HELP vllm:{name} As vLLM says it.\n# TYPE vllm:{name} {kind}\n"
                   f"vllm:{name}{'_total' if kind == 'counter' else ''}{{{labels}{more}}} {value}")

    def histogram(name, count, total):
        out.append(f"# HELP vllm:{name} As vLLM says it.\n# TYPE vllm:{name} histogram")
        for bound in ("0.1", "1.0", "+Inf"):
            out.append(f'vllm:{name}_bucket{{{labels},le="{bound}"}} {count}')
        out.append(f"vllm:{name}_count{{{labels}}} {count}\nvllm:{name}_sum{{{labels}}} {total}")

    with vllm.changed:
        series("num_requests_running", "gauge", float(vllm.running))
        series("num_requests_waiting", "gauge", 0.0)
        series("kv_cache_usage_perc", "gauge", 0.25)
        series("prefix_cache_queries", "counter", float(vllm.prompt_tokens))
        series("prefix_cache_hits", "counter", float(vllm.prompt_tokens // 2))
        if not NEW:
            series("gpu_cache_usage_perc", "gauge", 0.25)
            series("gpu_prefix_cache_queries", "counter", float(vllm.prompt_tokens))
            series("gpu_prefix_cache_hits", "counter", float(vllm.prompt_tokens // 2))
        series("num_preemptions", "counter", 0.0)
        series("prompt_tokens", "counter", float(vllm.prompt_tokens))
        series("generation_tokens", "counter", float(vllm.generation_tokens))
        series("request_success", "counter", float(vllm.finished), ',finished_reason="length"')
        histogram("time_to_first_token_seconds", vllm.finished, 0.05 * vllm.finished)
        histogram("inter_token_latency_seconds" if NEW else "time_per_output_token_seconds", vllm.generation_tokens,
                  0.01 * vllm.generation_tokens)
        histogram("e2e_request_latency_seconds", vllm.finished, 0.5 * vllm.finished)
        if vllm.args.enable_lora:
            names = ",".join(vllm.adapters)
            out.append("# TYPE vllm:lora_requests_info gauge\n"
                       f'vllm:lora_requests_info{{max_lora="{vllm.args.max_loras or 1}",'
                       f'running_lora_adapters="{names}",waiting_lora_adapters=""}} 1.7e+09')
        if NEW:
            for name, here in (("awake", not vllm.sleep_level), ("weights_offloaded", vllm.sleep_level == 1),
                               ("discard_all", vllm.sleep_level == 2)):
                out.append(f'vllm:engine_sleep_state{{{labels},sleep_state="{name}"}} {1.0 if here else 0.0}')
            series("engine_healthy", "gauge", 1.0)
    return "\n".join(out) + "\n"


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    allow_reuse_address = True

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def on_terminate(vllm, server):
    """As seen on 0.32: without --shutdown-timeout the engine dies at once and the API server waits for ever for its
    open connections; with it what runs may end, for so long."""
    patience = float(getattr(vllm.args, "shutdown_timeout", None) or 0)
    raw(f"{prefix('APIServer')}INFO:     Shutting down")
    threading.Thread(target=server.shutdown, daemon=True).start()
    if patience == 0:
        # The streams stay open and hear nothing more.
        held = vllm.running
        if held:
            raw(f"{prefix('APIServer')}INFO:     Waiting for connections to close. (CTRL+C to force quit)")
            while True:
                time.sleep(3600)
    else:
        with vllm.changed:
            vllm.changed.wait_for(lambda: vllm.running == 0, patience)
    raw(f"{prefix('APIServer')}INFO:     Application shutdown complete.")
    end(0)


def main():
    arguments = sys.argv[1:]
    if arguments == ["--version"]:
        print(VERSION)
        return
    if arguments[:1] == ["serve"]:
        arguments = arguments[1:]
    parser = make_parser()
    if any(argument.startswith("--help") for argument in arguments):
        print("usage: vllm serve [model_tag] [options]\n\n" +
              "\n".join(f"  {action.option_strings[0]}" for action in parser._actions if action.option_strings))
        return
    args, unknown = parser.parse_known_args(arguments)
    if unknown:
        print("usage: vllm [-h] [-v] {chat,complete,serve,bench,collect-env,run-batch} ...", file=sys.stderr)
        print("vllm: error: unrecognized arguments: " + " ".join(unknown), file=sys.stderr)
        sys.exit(2)
    if args.enable_auto_tool_choice and not args.tool_call_parser:
        print("TypeError: Error: --enable-auto-tool-choice requires --tool-call-parser", file=sys.stderr)
        sys.exit(1)
    vllm = Vllm(args)
    terminated = threading.Event()
    start_core()
    signal.signal(signal.SIGTERM, lambda *_: end(0))  # while it loads
    signal.signal(signal.SIGINT, lambda *_: end(0))
    show_start(vllm)
    Handler.vllm = vllm
    if args.headless:  # a worker of several machines: it computes for the head and answers nobody
        while True:
            time.sleep(3600)
    try:
        server = Server((args.host or "0.0.0.0", int(args.port or 8000)), Handler)
    except OSError:
        die("port")
    say(f"Starting vLLM API server 0 on http://{args.host or '0.0.0.0'}:{server.server_address[1]}", "APIServer",
        "api_server.py:1880")
    for path, verbs in routes_of(vllm).items():
        say(f"Route: {path}, Methods: {', '.join(verb.upper() for verb in verbs)}", "APIServer", "launcher.py:37")
    raw(f"{prefix('APIServer')}INFO:     Started server process [{os.getpid()}]")
    raw(f"{prefix('APIServer')}INFO:     Waiting for application startup.")
    raw(f"{prefix('APIServer')}INFO:     Application startup complete.")
    signal.signal(signal.SIGTERM, lambda *_: terminated.set())
    signal.signal(signal.SIGINT, lambda *_: terminated.set())
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    while not terminated.wait(0.5):
        pass
    on_terminate(vllm, server)


if __name__ == "__main__":
    main()
