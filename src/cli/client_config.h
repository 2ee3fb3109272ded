#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/paths.h"
#include "cli/client_config_edit.h"
#include "json/json.h"

// The MCP clients that `llm-mcp install` knows: where each keeps its servers and in what form.
namespace llm::cli {

enum class System { kLinux, kMac };
#ifdef __APPLE__
inline constexpr System kThisSystem = System::kMac;
#else
inline constexpr System kThisSystem = System::kLinux;
#endif

enum class ClientFormat { kJson, kToml };

struct Client {
  std::string_view id;         // "claude-desktop"
  std::string_view title;      // "Claude Desktop"
  std::string_view container;  // the member of its file that holds the servers
  ClientFormat format = ClientFormat::kJson;
  json::object extra{};                         // what its entries have beside command, args and env
  std::filesystem::path file{};                 // its configuration, there or not
  std::vector<std::filesystem::path> traces{};  // one of these is there if the client is
  std::string_view reload{};                    // what makes it read the file again
};

// The identifiers alone, in the order of the table.
std::vector<std::string> client_ids();

// All clients with their files in this user's home. kNotFound without HOME.
Result<std::vector<Client>> find_clients(const EnvLookup& env, System system = kThisSystem);

// By identifier; kInvalidArgument names the nearest ones.
Result<Client> choose_client(const std::vector<Client>& clients, std::string_view id);

bool is_present(const Client& client);

// How a client starts the server.
struct ServerCommand {
  std::string program;  // absolute
  std::vector<std::string> arguments;
  std::vector<std::pair<std::string, std::string>> environment;
};

json::object entry_of(const Client& client, const ServerCommand& command);

// 1 to 64 letters, digits, "-" and "_": what every client takes, since names become parts of tool names.
Result<void> check_server_name(std::string_view name);

// client_config_edit.h by the client's format.
Result<std::string> set_entry(const Client& client, std::string_view text, std::string_view name,
                              const json::object& entry);
Result<std::string> remove_entry(const Client& client, std::string_view text, std::string_view name);
Result<std::optional<json::object>> find_entry(const Client& client, std::string_view text, std::string_view name);
std::string entry_snippet(const Client& client, std::string_view name, const json::object& entry);

}  // namespace llm::cli
