"""An MCP server made with the official Python SDK, for the bridge to talk to: `bridge_peer.py stdio` or `bridge_peer.py
http PORT-FILE`, which writes the port it was given into that file."""
import os
import pathlib
import socket
import sys

import uvicorn
from mcp.server.mcpserver import Context, Image, MCPServer
from mcp.types import ToolAnnotations
from pydantic import BaseModel

server = MCPServer("peer")
PIXEL = bytes.fromhex("89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
                      "0000000d49444154789c6360000002000001e221bc330000000049454e44ae426082")


class Sum(BaseModel):
    total: int


@server.tool(title="Add numbers", annotations=ToolAnnotations(read_only_hint=True, open_world_hint=False))
def add(a: int, b: int) -> Sum:
    """Adds two numbers."""
    return Sum(total=a + b)


@server.tool()
def pixel() -> Image:
    """An image."""
    return Image(data=PIXEL, format="png")


@server.tool()
async def steps(ctx: Context) -> str:
    """Tells its progress."""
    for step in (1, 2, 3):
        await ctx.report_progress(step, 3, f"step {step}")
    return "walked"


@server.tool()
def broken() -> str:
    """Fails."""
    raise ValueError("this tool is broken")


@server.tool()
def variable(name: str) -> str:
    """A variable of this process's environment."""
    return os.environ.get(name, "")


@server.tool()
def die() -> str:
    """Ends the server in the middle of the call."""
    os._exit(3)


if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        server.run("stdio")
    else:
        listener = socket.create_server(("127.0.0.1", 0))
        pathlib.Path(sys.argv[2]).write_text(str(listener.getsockname()[1]))
        uvicorn.Server(uvicorn.Config(server.streamable_http_app(), log_level="warning")).run(sockets=[listener])
