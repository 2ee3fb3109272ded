#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/paths.h"
#include "cli/settings.h"
#include "json/json.h"

// The configuration: defaults, then llm-mcp.yaml, then the environment, then flags; later wins.
namespace llm::cli {

// A flag of the command line that sets one setting.
struct Flag {
  std::string name;  // as the user wrote it, for messages: "--port"
  std::string path;  // "server.port"; names with dots in quotes: models.settings."qwen2.5".context
  std::string text;  // the value
};

struct Sources {
  std::optional<std::filesystem::path> file;  // must exist
  // All variables of the process, or any part of them. LLM_MCP_<SECTION>__<KEY> counts, with "__" between the names of
  // every level and names lower-cased (names of models and engines match those in the file whatever their case and
  // punctuation). A text, choice, duration or size is taken as it is; a list is items between commas or YAML; all else
  // is a YAML value. Other LLM_MCP_ variables are left alone.
  std::map<std::string, std::string> environment;
  std::vector<Flag> flags;  // values are read as those of the environment
};

struct LoadedConfig {
  Settings settings;
  json::object document;  // what all sources together say; secrets included
  // By JSON Pointer: who set it: "llm-mcp.yaml:12:5", "environment variable LLM_MCP_SERVER__PORT", "--port".
  std::map<std::string, std::string> sources;
  std::vector<std::string> warnings;  // worth a log line: a misspelt variable, a readable file that holds secrets

  // Who set the value at this pointer; empty: nobody, it is the default.
  std::string source_of(const std::string& pointer) const;
};

// Errors name the place: `llm-mcp.yaml:12:5: server.prot: unknown key "prot"; did you mean "port"?`,
// `environment variable LLM_MCP_SERVER__PORT: expected an integer between 0 and 65535, got 70000`, `--port: ...`.
// kNotFound or kIo if the file cannot be read, kMalformed for its syntax, kInvalidArgument for what it says.
Result<LoadedConfig> load_config(const Sources& sources);

// The file to read when no flag names one: $LLM_MCP_CONFIG, else llm-mcp.yaml in the configuration directory if there
// is one.
std::optional<std::filesystem::path> default_config_file(const EnvLookup& env);

// Every variable of this process that may matter to load_config.
std::map<std::string, std::string> config_environment();

// The effective settings as YAML, secrets as "***"; a comment names the source of each value that is set.
std::string config_show(const LoadedConfig& config);

// Every setting as commented YAML: description, type, bounds, default. It is a valid configuration that sets nothing.
std::string config_reference();

// JSON Schema 2020-12 of llm-mcp.yaml, for editors.
json::object config_schema();

// Names of the levels of a setting <-> JSON Pointer (RFC 6901) <-> dotted path for people.
std::vector<std::string> pointer_tokens(std::string_view pointer);
std::string dotted_path(std::string_view pointer);
Result<std::vector<std::string>> parse_dotted_path(std::string_view path);

}  // namespace llm::cli
