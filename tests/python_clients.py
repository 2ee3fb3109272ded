"""MCP clients of Python (`mcp`, `fastmcp`) behind the face of node_clients.NodeClient."""
import contextlib
import queue

import anyio.from_thread
import fastmcp
import mcp
from fastmcp.client.transports import StdioTransport, StreamableHttpTransport
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import listen
from mcp.shared._httpx_utils import create_mcp_http_client

WAIT = 120  # seconds; only bounds a hang


def plain(model):
    return model.model_dump(by_alias=True, mode="json", exclude_none=True)


class PythonClient:
    """`kind` is "mcp" or "fastmcp". The client lives in a thread of its own; `start` sends a command, `result` waits
    for its reply, `do` is both. Results are as JSON has them on the wire."""

    def __init__(self, kind, era, stdio=None, url=None, headers=None):
        self.kind, self.era = kind, era
        self.events = queue.Queue()
        self.early = []
        self.running = {}
        self.next_id = 1
        self.stack = contextlib.ExitStack()
        try:
            self.portal = self.stack.enter_context(anyio.from_thread.start_blocking_portal())
            self.client = self.stack.enter_context(self.portal.wrap_async_context_manager(self._make(stdio, url, headers)))
        except BaseException:
            self.stack.close()
            raise

    def _make(self, stdio, url, headers):
        if self.kind == "mcp":
            server = mcp.StdioServerParameters(**stdio) if stdio else url
            if headers:
                server = streamable_http_client(url, http_client=create_mcp_http_client(headers=headers))
            return mcp.Client(server, mode=self.era, message_handler=self._heard)
        transport = StdioTransport(**stdio, keep_alive=False) if stdio else StreamableHttpTransport(url, headers=headers)
        return fastmcp.Client(transport, mode=self.era, message_handler=self._heard)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.stack.close()

    async def _heard(self, message):
        message = getattr(message, "root", message)
        if getattr(message, "method", None) == "notifications/resources/updated":
            self.events.put({"event": "updated", "uri": str(message.params.uri)})

    async def _progress(self, progress, total, message):
        self.events.put({"event": "progress", "progress": progress, "total": total, "message": message})

    async def _about(self):
        return {"version": self.client.protocol_version}

    async def _list(self):
        found = [await listing() for listing in (self.client.list_tools, self.client.list_resources,
                                                 self.client.list_resource_templates, self.client.list_prompts)]
        if self.kind == "mcp":
            found = [page.tools if hasattr(page, "tools") else page.resources if hasattr(page, "resources") else
                     page.resource_templates if hasattr(page, "resource_templates") else page.prompts
                     for page in found]
        tools, resources, templates, prompts = found
        return {"tools": [tool.name for tool in tools], "resources": [str(one.uri) for one in resources],
                "templates": [one.uri_template for one in templates], "prompts": [plain(one) for one in prompts]}

    async def _call(self, name, arguments, progress=False):
        heard = self._progress if progress else None
        if self.kind == "mcp":
            return plain(await self.client.call_tool(name, arguments, progress_callback=heard))
        return plain(await self.client.call_tool_mcp(name, arguments, progress_handler=heard))

    async def _read(self, uri):
        if self.kind == "mcp":
            return plain(await self.client.read_resource(uri))
        return {"contents": [plain(part) for part in await self.client.read_resource(uri)]}

    async def _prompt(self, name, arguments):
        return plain(await self.client.get_prompt(name, arguments))

    def subscribe(self, uri):
        if self.client.protocol_version < "2026":
            self.portal.call(self.client.session.subscribe_resource, uri)
        else:
            self.stack.enter_context(self._listening(uri))

    @contextlib.contextmanager
    def _listening(self, uri):
        async def run(*, task_status):
            async with listen(self.client.session, resource_subscriptions=[uri]) as subscription:
                task_status.started()
                async for event in subscription:
                    self.events.put({"event": "updated", "uri": str(event.uri)})

        future, _ = self.portal.start_task(run)
        try:
            yield
        finally:
            future.cancel()

    def start(self, command, **arguments):
        number, self.next_id = self.next_id, self.next_id + 1
        self.running[number] = self.portal.start_task_soon(lambda: getattr(self, "_" + command)(**arguments))
        return number

    def result(self, number):
        return self.running.pop(number).result(WAIT)

    def do(self, command, **arguments):
        return self.result(self.start(command, **arguments))

    def abort(self, number):
        self.running.pop(number).cancel()

    def event(self, kind):
        """The next event of that kind, also one that has come already."""
        for position, event in enumerate(self.early):
            if event["event"] == kind:
                return self.early.pop(position)
        while True:
            event = self.events.get(timeout=WAIT)
            if event["event"] == kind:
                return event
            self.early.append(event)
