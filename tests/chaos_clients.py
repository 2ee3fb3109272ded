"""Clients that know the answer, and notes of how each of their requests ended."""
import asyncio
import collections
import json
import random

import chaos_upstream

PATIENCE = 30  # seconds; bounds a hang, which is a fault by itself


class Wrong(AssertionError):
    """An answer that nobody may get."""


class Reader:
    """The body of an HTTP/1.1 answer, whatever its framing."""

    def __init__(self, reader):
        self.reader = reader
        self.status = 0
        self.headers = {}

    async def head(self):
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        self.status = int(lines[0].split(" ")[1])
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}

    async def pieces(self):
        if "content-length" in self.headers:
            yield await self.reader.readexactly(int(self.headers["content-length"]))
            return
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            yield (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readuntil(b"\r\n")

    async def body(self):
        return b"".join([piece async for piece in self.pieces()])

    async def payloads(self):
        """Texts of the `data:` lines of an event stream as they come."""
        rest = b""
        async for piece in self.pieces():
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                if line.startswith(b"data: "):
                    yield line.removeprefix(b"data: ").decode()
        if rest:
            raise Wrong(f"an event stream ends in the middle of a line: {rest[:100]!r}")


def text_of(choice):
    part = choice.get("delta") or choice.get("message") or choice
    return part.get("content", part.get("text")) or ""


class Client:
    """One caller, who asks one thing after the other on connections of its own."""

    def __init__(self, address, number, seed, outcomes, patient=False):
        self.address = address
        self.number = number
        self.random = random.Random(f"{seed}/{number}")
        self.outcomes = outcomes  # a Counter
        self.patient = patient    # never goes away in the middle
        self.asked = 0

    async def run(self, until):
        """Asks until that moment of the loop's clock."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self.random.random() * 0.5)
        while loop.time() < until:
            await self.ask()
            await asyncio.sleep(0.2 + self.random.random() * 0.5)  # makes the load, decides nothing

    async def ask(self):
        """One request, which has exactly one outcome."""
        identity = f"c{self.number}q{self.asked}"
        self.asked += 1
        stream = self.random.random() < 0.7
        chat = self.random.random() < 0.5
        leave_after = self.random.randrange(8) if self.random.random() < 0.1 and not self.patient else None
        try:
            async with asyncio.timeout(PATIENCE):
                outcome = await self.exchange(identity, stream, chat, leave_after)
        except TimeoutError:
            raise Wrong(f"{identity}: no end after {PATIENCE} s") from None
        except (asyncio.IncompleteReadError, ConnectionError, ValueError) as error:
            raise Wrong(f"{identity}: the gateway broke its own answer: {error!r}") from error
        self.outcomes[outcome] += 1

    async def exchange(self, identity, stream, chat, leave_after):
        text = chaos_upstream.prompt(identity)
        asks = {"messages": [{"role": "user", "content": text}]} if chat else {"prompt": text}
        body = json.dumps({"model": "pool", **asks, "max_tokens": 100, "stream": stream, "temperature": 0.5}).encode()
        path = "/v1/chat/completions" if chat else "/v1/completions"
        reader, writer = await asyncio.open_connection(*self.address)
        try:
            writer.write(f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                         f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            answer = Reader(reader)
            if leave_after == 0:
                return "left"
            await answer.head()
            if answer.status != 200:
                return self.refused(identity, answer.status, await answer.body())
            if stream:
                return await self.streamed(identity, answer, leave_after)
            return self.whole(identity, json.loads(await answer.body()))
        finally:
            writer.transport.abort()

    def refused(self, identity, status, body):
        if status < 400 or not json.loads(body)["error"]["message"]:
            raise Wrong(f"{identity}: {status} {body[:200]!r}")
        return f"error {status}"

    def whole(self, identity, document):
        self.expect(identity, text_of(document["choices"][0]), "".join(chaos_upstream.tokens(identity)))
        if len(document["choices"]) != 1 or document["choices"][0]["finish_reason"] != "stop":
            raise Wrong(f"{identity}: {document}")
        return "whole"

    async def streamed(self, identity, answer, leave_after):
        if not answer.headers["content-type"].startswith("text/event-stream"):
            raise Wrong(f"{identity}: a stream as {answer.headers['content-type']}")
        expected = "".join(chaos_upstream.tokens(identity))
        text, finishes, failed, done = "", 0, False, False
        ids = set()
        count = 0
        async for payload in answer.payloads():
            if done:
                raise Wrong(f"{identity}: {payload[:100]} after [DONE]")
            if payload == "[DONE]":
                done = True
                continue
            event = json.loads(payload)
            if failed:
                raise Wrong(f"{identity}: {payload[:200]} after an error")
            if "error" in event:
                failed = True
                continue
            ids.add(event["id"])
            for choice in event["choices"]:
                text += text_of(choice)
                finishes += choice["finish_reason"] is not None
            if not expected.startswith(text):
                raise Wrong(f"{identity}: {text!r} is no beginning of {expected!r}")
            count += 1
            if count == leave_after:
                return "left"
        if failed:
            if finishes:
                raise Wrong(f"{identity}: an error after the end")
            return "broken after text" if text else "broken"
        self.expect(identity, text, expected)
        if finishes != 1 or not done or len(ids) != 1:
            raise Wrong(f"{identity}: {finishes} finish reasons, [DONE]: {done}, ids: {ids}")
        return "streamed"

    def expect(self, identity, text, expected):
        if text != expected:
            raise Wrong(f"{identity}: {text!r} instead of {expected!r}")


async def crowd(address, count, seed, seconds, patient=False, alongside=None):
    """So many clients for so long, and `alongside` meanwhile. How their requests ended, by outcome."""
    outcomes = collections.Counter()
    clients = [Client(address, number, seed, outcomes, patient) for number in range(count)]
    until = asyncio.get_running_loop().time() + seconds
    async with asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(client.run(until))
        if alongside:
            group.create_task(alongside(until))
    assert sum(outcomes.values()) == sum(client.asked for client in clients), "each request exactly one outcome"
    return outcomes
