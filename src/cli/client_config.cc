#include "cli/client_config.h"

#include <algorithm>
#include <fmt/format.h>
#include <fstream>

#include "base/strings.h"

namespace llm::cli {
namespace {

namespace fs = std::filesystem;

// The places that the files below are found from.
struct Places {
  fs::path home;
  fs::path config;       // XDG_CONFIG_HOME
  fs::path application;  // where desktop programs keep theirs: `config`, or ~/Library/Application Support
  EnvLookup env;

  // An absolute path from the environment, else a default.
  fs::path from(const std::string& variable, fs::path otherwise) const {
    const auto value = env(variable);
    return value && fs::path(*value).is_absolute() ? fs::path(*value) : std::move(otherwise);
  }
};

bool there(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

// Since version 3.4x Cline's editor extension and its command line share one file; before, the extension had its own,
// which a newer one takes over when it starts.
fs::path cline_file(const Places& places) {
  constexpr std::string_view name = "cline_mcp_settings.json";
  const fs::path data = places.from("CLINE_DATA_DIR", places.from("CLINE_DIR", places.home / ".cline") / "data");
  const fs::path shared = places.from("CLINE_MCP_SETTINGS_PATH", data / "settings" / name);
  const fs::path own = places.application / "Code/User/globalStorage/saoudrizwan.claude-dev/settings" / name;
  return !there(shared) && there(own) ? own : shared;
}

// LM Studio writes down where its home is; older ones were in the cache folder.
fs::path lm_studio_home(const Places& places) {
  std::ifstream pointer(places.home / ".lmstudio-home-pointer");
  std::string line;
  if (std::getline(pointer, line)) {
    const fs::path home = std::string(trim(line.substr(0, line.find('\r'))));
    if (home.is_absolute() && there(home)) return home;
  }
  const fs::path old = places.home / ".cache/lm-studio";
  return !there(places.home / ".lmstudio") && there(old) ? old : places.home / ".lmstudio";
}

const json::object& typed_stdio() {
  static const json::object extra{{"type", "stdio"}};
  return extra;
}

constexpr std::string_view kRestart = "Quit it and start it again.";
constexpr std::string_view kByItself = "It notices by itself.";
constexpr std::string_view kNextSession = "Its next session uses it.";

using Rows = std::vector<Client>;

void add_desktop_clients(Rows& rows, const Places& at) {
  const fs::path claude = at.application / "Claude";
  rows.push_back({.id = "claude-desktop",
                  .title = "Claude Desktop",
                  .container = "mcpServers",
                  .file = claude / "claude_desktop_config.json",
                  .traces = {claude},
                  .reload = kRestart});
  const fs::path lm_studio = lm_studio_home(at);
  rows.push_back({.id = "lm-studio",
                  .title = "LM Studio",
                  .container = "mcpServers",
                  .file = lm_studio / "mcp.json",
                  .traces = {lm_studio},
                  .reload = kByItself});
}

void add_editors(Rows& rows, const Places& at) {
  rows.push_back({.id = "cursor",
                  .title = "Cursor",
                  .container = "mcpServers",
                  .file = at.home / ".cursor/mcp.json",
                  .traces = {at.home / ".cursor"},
                  .reload = kByItself});
  for (const auto& [id, title, folder] :
       {std::tuple{"vscode", "Visual Studio Code", "Code"},
        std::tuple{"vscode-insiders", "Visual Studio Code Insiders", "Code - Insiders"}}) {
    rows.push_back({.id = id,
                    .title = title,
                    .container = "servers",
                    .extra = typed_stdio(),
                    .file = at.application / folder / "User/mcp.json",
                    .traces = {at.application / folder},
                    .reload = "Run \"MCP: List Servers\" in it to start the server."});
  }
  rows.push_back({.id = "windsurf",
                  .title = "Windsurf",
                  .container = "mcpServers",
                  .file = at.home / ".codeium/windsurf/mcp_config.json",
                  .traces = {at.home / ".codeium/windsurf"},
                  .reload = "Press the refresh button of its MCP panel."});
  // The same place on macOS. "source" is what versions before 2025-11 need and later ones ignore.
  rows.push_back({.id = "zed",
                  .title = "Zed",
                  .container = "context_servers",
                  .extra = {{"source", "custom"}},
                  .file = at.config / "zed/settings.json",
                  .traces = {at.config / "zed"},
                  .reload = kByItself});
  rows.push_back({.id = "kiro",
                  .title = "Kiro",
                  .container = "mcpServers",
                  .file = at.home / ".kiro/settings/mcp.json",
                  .traces = {at.home / ".kiro"},
                  .reload = kByItself});
  const fs::path extensions = at.application / "Code/User/globalStorage";
  const fs::path cline = cline_file(at);
  rows.push_back({.id = "cline",
                  .title = "Cline",
                  .container = "mcpServers",
                  .file = cline,
                  .traces = {cline, at.home / ".cline", extensions / "saoudrizwan.claude-dev"},
                  .reload = kByItself});
  const fs::path roo = extensions / "rooveterinaryinc.roo-cline";
  rows.push_back({.id = "roo-code",
                  .title = "Roo Code",
                  .container = "mcpServers",
                  .file = roo / "settings/mcp_settings.json",
                  .traces = {roo},
                  .reload = kByItself});
  const fs::path continue_home = at.from("CONTINUE_GLOBAL_DIR", at.home / ".continue");
  rows.push_back({.id = "continue",
                  .title = "Continue",
                  .container = "mcpServers",
                  .file = continue_home / "mcpServers/llm-mcp.json",
                  .traces = {continue_home},
                  .reload = "Reload its configuration."});
}

void add_terminal_clients(Rows& rows, const Places& at) {
  const auto claude = at.env("CLAUDE_CONFIG_DIR");
  const fs::path claude_home = at.from("CLAUDE_CONFIG_DIR", at.home);
  rows.push_back({.id = "claude-code",
                  .title = "Claude Code",
                  .container = "mcpServers",
                  .extra = typed_stdio(),
                  .file = claude_home / ".claude.json",
                  .traces = {claude_home / ".claude.json", claude ? claude_home : at.home / ".claude"},
                  .reload = kNextSession});
  rows.push_back({.id = "gemini-cli",
                  .title = "Gemini CLI",
                  .container = "mcpServers",
                  .file = at.home / ".gemini/settings.json",
                  .traces = {at.home / ".gemini"},
                  .reload = kNextSession});
  const fs::path codex = at.from("CODEX_HOME", at.home / ".codex");
  rows.push_back({.id = "codex",
                  .title = "Codex",
                  .container = "mcp_servers",
                  .format = ClientFormat::kToml,
                  .file = codex / "config.toml",
                  .traces = {codex},
                  .reload = kNextSession});
  const fs::path copilot = at.from("COPILOT_HOME", at.home / ".copilot");
  rows.push_back({.id = "copilot-cli",
                  .title = "GitHub Copilot CLI",
                  .container = "mcpServers",
                  .extra = {{"type", "local"}, {"tools", {"*"}}},
                  .file = copilot / "mcp-config.json",
                  .traces = {copilot},
                  .reload = kNextSession});
}

std::vector<Client> clients_at(const Places& places) {
  std::vector<Client> rows;
  add_desktop_clients(rows, places);
  add_editors(rows, places);
  add_terminal_clients(rows, places);
  std::ranges::sort(rows, {}, &Client::id);
  return rows;
}

EntryPlace place_of(const Client& client, std::string_view name) {
  return {client.container, name};
}

}  // namespace

std::vector<std::string> client_ids() {
  std::vector<std::string> ids;
  const Places nowhere{"/", "/", "/", [](const std::string&) { return std::nullopt; }};
  for (const Client& client : clients_at(nowhere)) ids.emplace_back(client.id);
  return ids;
}

Result<std::vector<Client>> find_clients(const EnvLookup& env, System system) {
  const auto home = env("HOME");
  if (!home || !fs::path(*home).is_absolute()) {
    return fail(ErrorCode::kNotFound,
                "HOME is not set, so there is no place to look for clients; --config-file names one");
  }
  Places places{.home = *home, .config = {}, .application = {}, .env = env};
  places.config = places.from("XDG_CONFIG_HOME", places.home / ".config");
  places.application = system == System::kMac ? places.home / "Library/Application Support" : places.config;
  if (system == System::kMac) places.config = places.home / ".config";
  return clients_at(places);
}

Result<Client> choose_client(const std::vector<Client>& clients, std::string_view id) {
  const auto found = std::ranges::find(clients, id, &Client::id);
  if (found != clients.end()) return *found;
  const auto near = nearest(id, client_ids());
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("there is no client \"{}\"{}; llm-mcp install --list shows them all", id,
                          near.empty() ? std::string() : fmt::format("; did you mean {}?", fmt::join(near, " or "))));
}

bool is_present(const Client& client) {
  return std::ranges::any_of(client.traces, there);
}

json::object entry_of(const Client& client, const ServerCommand& command) {
  json::object entry = client.extra;
  entry["command"] = command.program;
  json::array& arguments = entry["args"].emplace_array();
  for (const std::string& argument : command.arguments) arguments.emplace_back(argument);
  if (!command.environment.empty()) {
    json::object& environment = entry["env"].emplace_object();
    for (const auto& [name, value] : command.environment) environment[name] = value;
  }
  return entry;
}

Result<void> check_server_name(std::string_view name) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  };
  if (!name.empty() && name.size() <= 64 && std::ranges::all_of(name, allowed)) return {};
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("--name: expected 1 to 64 letters, digits, \"-\" and \"_\", got \"{}\"", name));
}

Result<std::string> set_entry(const Client& client, std::string_view text, std::string_view name,
                              const json::object& entry) {
  const auto place = place_of(client, name);
  return client.format == ClientFormat::kToml ? set_toml_entry(text, place, entry) : set_json_entry(text, place, entry);
}

Result<std::string> remove_entry(const Client& client, std::string_view text, std::string_view name) {
  const auto place = place_of(client, name);
  return client.format == ClientFormat::kToml ? remove_toml_entry(text, place) : remove_json_entry(text, place);
}

Result<std::optional<json::object>> find_entry(const Client& client, std::string_view text, std::string_view name) {
  const auto place = place_of(client, name);
  return client.format == ClientFormat::kToml ? find_toml_entry(text, place) : find_json_entry(text, place);
}

std::string entry_snippet(const Client& client, std::string_view name, const json::object& entry) {
  const auto place = place_of(client, name);
  return client.format == ClientFormat::kToml ? toml_snippet(place, entry) : json_snippet(place, entry);
}

}  // namespace llm::cli
