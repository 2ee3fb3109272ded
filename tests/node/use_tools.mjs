// Lets the scripts beside this file import the packages of scripts/install-node-tools, which lie elsewhere:
//   LLM_MCP_NODE_TOOLS=FOLDER node --import ./use_tools.mjs SCRIPT
// Node looks for packages in the folders above the file that imports them; a bare name is looked up from there instead.
import { registerHooks } from "node:module";
import { pathToFileURL } from "node:url";

const tools = pathToFileURL(`${process.env.LLM_MCP_NODE_TOOLS}/`).href;

registerHooks({
  resolve(specifier, context, next) {
    const bare = /^[@a-z]/.test(specifier) && !specifier.includes(":");
    const ours = bare && !context.parentURL?.includes("/node_modules/");
    return next(specifier, ours ? { ...context, parentURL: tools } : context);
  },
});
