"""(c) MCP over stdio and over HTTP: the product beside the least program that can answer and the TypeScript SDK."""
import resource

from . import mcp_http, mcp_stdio
from .mcp_servers import Sdk
from .servers import Workplace


def run(arguments, targets):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # for the gateway that holds the streams, too
    with Workplace() as work:
        sdk = Sdk(work)
        mcp_stdio.run(work, sdk, arguments, targets)
    with Workplace() as work:
        mcp_http.run(work, Sdk(work), arguments, targets)
    with Workplace() as work:
        mcp_http.run_crowds(work, arguments, targets, hard)
