#!/usr/bin/env python3
"""OpenAI-compatible engines that misbehave on command, with answers that show whether they were mixed or repeated.

As a program: `chaos_upstream.py REPLICAS` serves that many engines, each on a port of its own, in one process. Its
first line of output is the list of ports; then it obeys lines of JSON on standard input, one answer line each, until
that is closed:

    {"fault": "hang", "replica": 2}    from now on; "none" heals
    {"state": true}                    what each replica has seen and what it is still busy with

As a module: `tokens(identity)` is the answer to the prompt `prompt(identity)`.
"""
import asyncio
import hashlib
import json
import random
import socket
import struct
import sys

# kill: connections are reset, the port refuses. refuse: the port refuses, running answers go on. hang: requests are read
# and never answered, running answers stop. half_open: nothing is read, written or closed any more. slow: long pauses.
# corrupt: what is sent is no HTTP, no JSON or no answer. die: reset in the middle. error, busy: 500 and 503.
FAULTS = ("kill", "refuse", "hang", "half_open", "slow", "corrupt", "die", "error", "busy")
PACE, SLOW_PACE = 0.004, 0.1  # seconds between tokens


def prompt(identity):
    return f"id={identity}\n"


def tokens(identity):
    """The answer: every token names the prompt and its place, the last one has the sum of all."""
    digest = hashlib.sha256(identity.encode()).hexdigest()
    middle = [f"{identity}:{i}:{digest[i * 2:i * 2 + 4]} " for i in range(4 + int(digest[:2], 16) % 10)]
    return [*middle, "sum=" + hashlib.sha256("".join(middle).encode()).hexdigest()[:16]]


class Refused(Exception):
    """The request is wrong; its text is the message."""


def rest_of_answer(body):
    """The tokens that are still to come, for a prompt that may hold the beginning of its answer."""
    if "prompt" in body:
        text = body["prompt"]
    else:
        text = "".join(message["content"] for message in body["messages"])
    head, newline, begun = text.partition("\n")
    if not newline or not head.startswith("id="):
        raise Refused(f"a prompt that is none: {text[:80]!r}")
    whole = tokens(head.removeprefix("id="))
    while begun:
        if not whole or not begun.startswith(whole[0]):
            raise Refused(f"not the beginning of this prompt's answer: {begun[:80]!r}")
        begun = begun[len(whole.pop(0)):]
    return whole


class Replica:
    def __init__(self, index):
        self.index = index
        self.port = 0
        self.server = None
        self.fault = "none"
        self.random = random.Random(index)
        self.connections = set()
        self.active = 0  # requests that were read and are not over
        self.received = 0
        self.refused = []  # what was wrong with requests

    async def listen(self):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        self.server = await asyncio.get_running_loop().create_server(lambda: Connection(self), sock=listener,
                                                                     backlog=512)

    async def set_fault(self, fault):
        self.fault = fault
        if fault in ("kill", "refuse") and self.server:
            self.server.close()
            self.server = None
            for connection in list(self.connections):
                if fault == "kill":
                    connection.reset()
                elif not connection.task:
                    connection.transport.close()
        elif fault not in ("kill", "refuse") and not self.server:
            await self.listen()
        for connection in self.connections:
            connection.freeze(fault == "half_open")

    def state(self):
        return {"active": self.active, "received": self.received, "connections": len(self.connections),
                "refused": self.refused}


class Connection(asyncio.Protocol):
    """One connection of an engine, one request at a time."""

    def __init__(self, replica):
        self.replica = replica
        self.buffer = b""
        self.task = None
        self.transport = None

    def connection_made(self, transport):
        self.transport = transport
        self.replica.connections.add(self)
        self.freeze(self.replica.fault == "half_open")

    def connection_lost(self, error):
        self.replica.connections.discard(self)
        if self.task:
            self.task.cancel()

    def freeze(self, frozen):
        self.transport.pause_reading() if frozen else self.transport.resume_reading()

    def reset(self):
        """Closes with RST instead of FIN."""
        plug = self.transport.get_extra_info("socket")
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def data_received(self, data):
        self.buffer += data
        if not self.task:
            self.next_request()

    def next_request(self):
        head, blank, rest = self.buffer.partition(b"\r\n\r\n")
        if not blank:
            return
        lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        length = int(headers.get("content-length", 0))
        if len(rest) < length:
            return
        self.buffer = rest[length:]
        method, path, _ = lines[0].split(" ")
        self.task = asyncio.ensure_future(self.handle(method, path, rest[:length]))
        self.task.add_done_callback(self.over)

    def over(self, task):
        self.task = None
        if not task.cancelled() and task.exception():
            print(f"replica {self.replica.index}: {task.exception()!r}", file=sys.stderr, flush=True)
            self.reset()
        elif not self.transport.is_closing():
            self.next_request()

    async def handle(self, method, path, body):
        if method != "POST":
            await self.obey_fault()
            return self.whole(200, {"object": "list", "version": "0.10.1",
                                    "data": [{"id": "m", "object": "model"}]})
        self.replica.received += 1
        self.replica.active += 1
        try:
            await self.answer(path, json.loads(body))
        finally:
            self.replica.active -= 1

    async def obey_fault(self):
        """Ends only where the replica still does its work; a request that meets a hang stays hung."""
        if self.replica.fault in ("hang", "half_open"):
            await asyncio.get_running_loop().create_future()

    async def answer(self, path, body):
        await self.obey_fault()
        fault = self.replica.fault
        if fault in ("error", "busy"):
            status = 500 if fault == "error" else 503
            return self.whole(status, {"error": {"message": "as ordered", "type": "server_error", "code": status}})
        try:
            rest = rest_of_answer(body)
        except Refused as refused:
            self.replica.refused.append(str(refused))
            return self.whole(400, {"error": {"message": str(refused), "type": "invalid_request_error"}})
        chat = "messages" in body
        if fault == "corrupt":
            return await self.corrupt(chat, body, rest)
        end = self.replica.random.randrange(len(rest)) if fault == "die" else None
        if body.get("stream"):
            await self.stream(chat, body, rest, SLOW_PACE if fault == "slow" else PACE, end)
        else:
            await asyncio.sleep((SLOW_PACE if fault == "slow" else PACE) * len(rest))
            await self.obey_fault()
            self.reset() if end is not None else self.whole(200, whole_answer(chat, rest))

    async def stream(self, chat, body, rest, pace, end):
        self.stream_head()
        for event in events(chat, body, rest):
            if end == 0:
                return self.reset()
            end = end and end - 1
            self.chunk(f"data: {json.dumps(event)}\n\n".encode())
            await asyncio.sleep(pace)
            await self.obey_fault()
        self.chunk(b"data: [DONE]\n\n")
        self.transport.write(b"0\r\n\r\n")

    async def corrupt(self, chat, body, rest):
        """Something that nobody can take for the answer."""
        kind = self.replica.random.choice(("status", "html", "chunk", "json", "cut", "array", "unfinished"))
        if kind == "status":
            self.transport.write(b"\x16\x03\x01 this is not HTTP\r\n\r\n")
            return self.transport.close()
        if kind == "html":
            return self.raw(200, "text/html", b"<html><body>Welcome to the router's login page</body></html>")
        if not body.get("stream"):
            text = json.dumps(whole_answer(chat, rest)).encode()
            if kind == "array":
                return self.raw(200, "application/json", b"[" + text + b"]")
            self.raw(200, "application/json", text[:len(text) // 2], len(text) if kind == "cut" else None)
            return self.transport.close() if kind == "cut" else None
        self.stream_head()
        for event in events(chat, body, rest)[:self.replica.random.randrange(1, 4)]:
            self.chunk(f"data: {json.dumps(event)}\n\n".encode())
            await asyncio.sleep(PACE)
        if kind == "json":
            self.chunk(b'data: {"choices":[{"index":0,"delta":{"cont\n\n')
        elif kind == "array":
            self.chunk(b"data: [1,2,3]\n\n")
        elif kind == "chunk":
            self.transport.write(b"zz\r\ndata: {}\n\n\r\n")
        elif kind == "cut":
            self.transport.write(b"ff\r\ndata: {\"choi")
        if kind in ("json", "array", "unfinished"):
            self.transport.write(b"0\r\n\r\n")
        else:
            self.transport.close()

    def stream_head(self):
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                             b"Transfer-Encoding: chunked\r\n\r\n")

    def chunk(self, data):
        self.transport.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def whole(self, status, document):
        self.raw(status, "application/json", json.dumps(document).encode())

    def raw(self, status, kind, data, length=None):
        self.transport.write(f"HTTP/1.1 {status} Any\r\nContent-Type: {kind}\r\n"
                             f"Content-Length: {length or len(data)}\r\n\r\n".encode() + data)


def usage(rest):
    return {"prompt_tokens": 3, "completion_tokens": len(rest), "total_tokens": 3 + len(rest)}


def events(chat, body, rest):
    base = {"id": "x", "object": "chat.completion.chunk" if chat else "text_completion", "created": 1, "model": "m"}

    def event(text, finish=None, role=False):
        part = {"delta": {**({"role": "assistant"} if role else {}), "content": text}} if chat else {"text": text}
        return {**base, "choices": [{"index": 0, **part, "finish_reason": finish}]}

    out = [event("", role=True)] if chat else []
    out += [event(token) for token in rest]
    out.append(event("", "stop"))
    if body.get("stream_options", {}).get("include_usage"):
        out.append({**base, "choices": [], "usage": usage(rest)})
    return out


def whole_answer(chat, rest):
    text = "".join(rest)
    part = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
    return {"id": "x", "object": "chat.completion" if chat else "text_completion", "created": 1, "model": "m",
            "choices": [{"index": 0, **part, "finish_reason": "stop"}], "usage": usage(rest)}


async def main(count):
    replicas = [Replica(index) for index in range(count)]
    for replica in replicas:
        await replica.listen()
    print(json.dumps([replica.port for replica in replicas]), flush=True)
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        order = json.loads(line)
        if "fault" in order:
            await replicas[order["replica"]].set_fault(order["fault"])
        print(json.dumps([replica.state() for replica in replicas]), flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
