// An MCP client of the TypeScript SDKs, driven line by line: the first line of stdin says how to connect, each further
// one is a command; stdout gets one line for each reply and event. tests/node_clients.py is the other side.
//
//   {"sdk": "v1" | "v2", "era": "legacy" | "auto" | "2026-07-28",
//    "stdio": {"command", "args", "env", "cwd"} | "url": "http://…", "session": "…", "headers": {…}}
//   {"id": 1, "do": "call", …} → {"id": 1, "result": …} | {"id": 1, "error": "…"}
import { createInterface } from "node:readline";

const say = (message) => process.stdout.write(JSON.stringify(message) + "\n");
const names = (items, key = "name") => items.map((item) => item[key]);
const info = { name: "talk", version: "1.0.0" };

// What differs between the two lines of the SDK.
async function connectV1({ stdio, url, session, headers }) {
  const { Client } = await import("@modelcontextprotocol/sdk/client/index.js");
  const { StdioClientTransport } = await import("@modelcontextprotocol/sdk/client/stdio.js");
  const { StreamableHTTPClientTransport } = await import("@modelcontextprotocol/sdk/client/streamableHttp.js");
  const types = await import("@modelcontextprotocol/sdk/types.js");
  const client = new Client(info);
  const transport = stdio
    ? new StdioClientTransport(stdio)
    : new StreamableHTTPClientTransport(new URL(url), { sessionId: session, requestInit: { headers } });
  client.setNotificationHandler(types.ResourceUpdatedNotificationSchema, ({ params }) =>
    say({ event: "updated", uri: params.uri }),
  );
  await client.connect(transport);
  return {
    client,
    transport,
    version: transport.protocolVersion ?? types.LATEST_PROTOCOL_VERSION,
    call: (params, options) => client.callTool(params, undefined, options),
    // callTool would first ask for the tool's schema; a resumed call is only listened to.
    resume: (params, options) => client.request({ method: "tools/call", params }, types.CallToolResultSchema, options),
    subscribe: (uri) => client.subscribeResource({ uri }),
  };
}

async function connectV2({ stdio, url, era, session, headers }) {
  const { Client, StreamableHTTPClientTransport } = await import("@modelcontextprotocol/client");
  const { StdioClientTransport } = await import("@modelcontextprotocol/client/stdio");
  const mode = /^\d/.test(era) ? { pin: era } : era;
  const client = new Client(info, { versionNegotiation: { mode } });
  const transport = stdio
    ? new StdioClientTransport(stdio)
    : new StreamableHTTPClientTransport(new URL(url), { sessionId: session, requestInit: { headers } });
  client.setNotificationHandler("notifications/resources/updated", ({ params }) =>
    say({ event: "updated", uri: params.uri }),
  );
  await client.connect(transport);
  return {
    client,
    transport,
    version: client.getNegotiatedProtocolVersion(),
    call: (params, options) => client.callTool(params, options),
    subscribe: async (uri) => {
      if (client.getProtocolEra() === "legacy") return client.subscribeResource({ uri });
      const { honoredFilter } = await client.listen({ resourceSubscriptions: [uri] });
      return honoredFilter;
    },
  };
}

function commands({ client, transport, version, call, resume, subscribe }) {
  const running = new Map();
  let lastEventId;
  const options = (id) => {
    const abort = new AbortController();
    running.set(id, abort);
    return {
      signal: abort.signal,
      timeout: 600_000,
      onresumptiontoken: (token) => (lastEventId = token),
    };
  };
  return {
    about: () => ({ version }),
    ping: () => client.ping(),
    list: async () => ({
      tools: names((await client.listTools()).tools),
      resources: names((await client.listResources()).resources, "uri"),
      templates: names((await client.listResourceTemplates()).resourceTemplates, "uriTemplate"),
      prompts: (await client.listPrompts()).prompts,
    }),
    call: ({ id, name, arguments: given, progress }) => {
      const onprogress = (heard) => say({ event: "progress", ...heard });
      return call({ name, arguments: given }, { ...options(id), ...(progress ? { onprogress } : {}) });
    },
    abort: ({ call }) => running.get(call).abort("enough"),
    read: ({ uri }) => client.readResource({ uri }),
    prompt: ({ name, arguments: given }) => client.getPrompt({ name, arguments: given }),
    complete: ({ ref, argument }) => client.complete({ ref, argument }),
    subscribe: ({ uri }) => subscribe(uri),
    // Goes without saying goodbye, and tells what one needs to come back.
    leave: async () => {
      const left = { session: transport.sessionId, token: lastEventId };
      await client.close();
      return left;
    },
    resume: ({ id, name, arguments: given, token }) =>
      resume({ name, arguments: given }, { ...options(id), resumptionToken: token }),
    end: async () => {
      await transport.terminateSession?.();
      await client.close();
    },
  };
}

const lines = createInterface({ input: process.stdin });
let known;
for await (const line of lines) {
  const message = JSON.parse(line);
  if (!known) {
    try {
      known = commands(await (message.sdk === "v1" ? connectV1 : connectV2)(message));
      say({ id: 0, result: {} });
    } catch (error) {
      say({ id: 0, error: String(error?.stack ?? error) });
      process.exit(1);
    }
    continue;
  }
  Promise.resolve()
    .then(() => known[message.do](message))
    .then((result) => say({ id: message.id, result: result ?? {} }))
    .catch((error) => say({ id: message.id, error: String(error?.message ?? error) }));
}
process.exit(0);
