#include "tools/bridge_settings.h"

#include <algorithm>
#include <fmt/format.h>

#include "access/permission.h"
#include "base/strings.h"
#include "mcp/client/http_link.h"

namespace llm {

using json::field;
using json::Table;
using tools::BridgeSettings;

const Table<BridgeSettings>& json::Fields<BridgeSettings>::table() {
  using S = BridgeSettings;
  static const Table<S> table{
      "bridge",
      {
          field("enabled", &S::enabled, {.description = "false keeps the entry without using it."}),
          field("command", &S::command,
                {.description = "Program of a server that speaks MCP over stdio: a path, or a name in PATH. No shell.",
                 .max_length = 4096}),
          field("args", &S::args, {.description = "Its arguments.", .max_length = 65'536, .max_items = 1000}),
          field("env", &S::env,
                {.description = "Variables of its environment, beside PATH, HOME and the locale.",
                 .max_length = 65'536,
                 .max_items = 1000,
                 .secret = true}),
          field("pass_env", &S::pass_env,
                {.description = "Names of variables that are passed on from this program's environment.",
                 .min_length = 1,
                 .max_length = 255,
                 .max_items = 1000}),
          field("cwd", &S::cwd, {.description = "Its working directory. Empty: this program's.", .max_length = 4096}),
          field("url", &S::url,
                {.description = "Endpoint of a server that speaks MCP over Streamable HTTP, instead of command: "
                                "https://host/mcp or unix:/path/to.sock:/mcp.",
                 .max_length = 4096}),
          field("headers", &S::headers,
                {.description = "HTTP header fields sent with every request.",
                 .max_length = 8192,
                 .max_items = 50,
                 .secret = true}),
          field("token_env", &S::token_env,
                {.description = "Name of the environment variable that holds the bearer token.", .max_length = 255}),
          field("token_file", &S::token_file,
                {.description = "File that holds the bearer token, instead of token_env; read at each connect.",
                 .max_length = 4096}),
          field("prefix", &S::prefix,
                {.description = "Goes before its tools' names, with '_' between. Default: the bridge's name; empty: "
                                "nothing.",
                 .max_length = 32}),
          field("include", &S::include,
                {.description = "Its tools that are offered, by their own names; '*' stands for any characters. Empty: "
                                "all.",
                 .min_length = 1,
                 .max_length = 128,
                 .max_items = 1000}),
          field("exclude", &S::exclude,
                {.description = "Its tools that are not offered, written like include; wins over it.",
                 .min_length = 1,
                 .max_length = 128,
                 .max_items = 1000}),
          field("timeout", &S::timeout,
                {.description = "How long a call may take without a sign of progress.",
                 .minimum = 100,
                 .maximum = 24.0 * 3'600'000}),
          field("permission", &S::permission,
                {.description = "What a caller needs to see and use its tools, where access control is on: generate, "
                                "models:write, admin …",
                 .max_length = 64}),
      }};
  return table;
}

namespace tools {
namespace {

constexpr std::size_t kMaxName = 32;

std::unexpected<Error> wrong(std::string message, std::string pointer) {
  return fail(ErrorCode::kInvalidArgument, std::move(message), std::move(pointer));
}

bool is_name(std::string_view text) {
  return std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
}

Result<void> check_address(const BridgeSettings& bridge, const std::string& at) {
  const auto address = mcp::parse_http_address(bridge.url);
  if (!address) return wrong(address.error().message, at + "/url");
  if (!bridge.token_env.empty() && !bridge.token_file.empty()) {
    return wrong("token_env and token_file are both set; keep one of them", at + "/token_file");
  }
  const auto& endpoint = address->endpoint;
  const bool safe = endpoint.tls || !endpoint.unix_path.empty() || net::is_loopback(endpoint.host);
  if (!safe && !(bridge.token_env.empty() && bridge.token_file.empty())) {
    return wrong("a token would cross the network unprotected; use an https:// address", at + "/url");
  }
  return {};
}

Result<void> check_bridge(const std::string& name, const BridgeSettings& bridge, const std::string& at) {
  if (name.empty() || name.size() > kMaxName || !is_name(name)) {
    return wrong(fmt::format("expected a name of 1 to {} letters, digits, '_' or '-', got \"{}\"", kMaxName, name), at);
  }
  if (bridge.prefix && !is_name(*bridge.prefix)) {
    return wrong("expected letters, digits, '_' or '-'", at + "/prefix");
  }
  if (!access::permission_by_name(bridge.permission)) {
    return wrong(fmt::format("\"{}\" is no permission; take generate, models:read, models:write, engines:read or admin",
                             bridge.permission),
                 at + "/permission");
  }
  if (bridge.command.empty() == bridge.url.empty()) {
    return wrong(
        bridge.url.empty() ? "a bridge needs a command or a url" : "command and url are both set; keep one of them",
        at + "/command");
  }
  if (!bridge.url.empty()) return check_address(bridge, at);
  if (!bridge.token_env.empty() || !bridge.token_file.empty() || !bridge.headers.empty()) {
    return wrong("tokens and headers belong to a url; a command takes its secrets from env or pass_env", at);
  }
  return {};
}

// A name from an address: "localhost-8080".
std::string name_of(const net::Endpoint& endpoint) {
  std::string name = endpoint.unix_path.empty() ? fmt::format("{}-{}", endpoint.host, endpoint.port)
                                                : endpoint.unix_path.substr(endpoint.unix_path.rfind('/') + 1);
  for (char& c : name) {
    if (!is_name({&c, 1})) c = '-';
  }
  return name.substr(0, kMaxName - 3);
}

}  // namespace

Result<void> check_bridges(const BridgeMap& bridges, const std::string& at) {
  for (const auto& [name, bridge] : bridges) {
    if (auto checked = check_bridge(name, bridge, json::pointer_join(at, name)); !checked) return checked;
  }
  return {};
}

Result<void> add_bridge_urls(BridgeMap& bridges, std::string_view urls) {
  std::map<std::string, int> made;
  std::string text(urls);
  std::ranges::replace(text, ';', ',');
  for (std::string_view entry : split(text, ',')) {
    entry = trim(entry);
    if (entry.empty()) continue;
    // A name holds neither ':' nor '/', so an '=' in a query is none that ends one.
    const auto equals = entry.find_first_of("=:/");
    const bool named = equals != std::string_view::npos && entry[equals] == '=';
    BridgeSettings bridge;
    bridge.url = named ? trim(entry.substr(equals + 1)) : entry;
    const auto address = mcp::parse_http_address(bridge.url);
    if (!address) return wrong(fmt::format("MCP_BRIDGE_URLS: '{}': {}", entry, address.error().message), {});
    std::string name = named ? std::string(trim(entry.substr(0, equals))) : name_of(address->endpoint);
    if (const int count = ++made[name]; count > 1) name += fmt::format("-{}", count);
    if (auto checked = check_bridge(name, bridge, {}); !checked) {
      return wrong(fmt::format("MCP_BRIDGE_URLS: '{}': {}", entry, checked.error().message), {});
    }
    bridges.try_emplace(std::move(name), std::move(bridge));
  }
  return {};
}

}  // namespace tools
}  // namespace llm
