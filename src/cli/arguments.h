#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/error.h"
#include "cli/config.h"
#include "cli/serve_command.h"

// The command line as plain values. Its one definition (names, values, descriptions) is in arguments.cc; help texts and
// completion scripts are made from that.
namespace llm::cli {

// Valid with every command, before or after its name.
struct GlobalArguments {
  std::string config{};  // --config; empty: the default file, if there is one
  bool json = false;
  bool quiet = false;
  bool no_color = false;
  std::vector<Flag> settings{};  // --set and the flags of `serve`
};

struct HelpArguments {
  std::string command{};  // empty: the program
};
struct VersionArguments {};
struct ServeArguments {
  TcpListen tcp = TcpListen::kRequired;
};
struct StdioArguments {
  bool standalone = false;
};
struct ChatArguments {
  std::string model{};
  std::vector<std::string> prompt{};  // empty: a conversation
  std::optional<std::string> system{};
  std::optional<std::int64_t> max_tokens{};
  std::optional<double> temperature{};
  std::optional<std::int64_t> seed{};
  bool raw = false;
};
struct PullArguments {
  std::string source{};
  std::string name{};
  bool replace = false;
  std::string format{};  // auto, gguf, repository
  std::string notes{};
  bool pickles = false;
  bool code = false;
};
struct ImportArguments {
  std::string file{};  // a folder: a bundle
  std::string name{};
  std::string sha256{};
  bool if_missing = false;
  bool move = false;
  bool hardlink = false;
  bool replace = false;
};
struct ListArguments {};
struct ShowArguments {
  std::string model{};
};
struct RemoveArguments {
  std::vector<std::string> models{};
  bool yes = false;
};
// alias [list], alias set NAME MODEL[=WEIGHT]..., alias rm NAME; NAME MODEL and --remove NAME are the short forms.
struct AliasArguments {
  std::string name{};                 // the first word
  std::vector<std::string> models{};  // the others
  std::vector<std::string> shadow{};  // MODEL[=SHARE]
  bool remove = false;
};
struct VersionsArguments {
  std::string model{};
};
struct PromoteArguments {
  std::string from{};
  std::string to{};  // empty: the tag that the version is of
};
struct RollbackArguments {
  std::string name{};
};
struct ExportArguments {
  std::string model{};
  std::string directory{};
};
struct GcArguments {
  bool dry_run = false;
  bool versions = false;
  bool partial = false;
};
struct EnginesArguments {};
struct LoadArguments {
  std::string model{};
  std::string keep_alive{};
};
struct UnloadArguments {
  std::string model{};
  bool force = false;
};
struct StatusArguments {};
struct StopArguments {};
struct InstallArguments {
  std::string client{};  // empty: with `list`
  bool list = false;
  std::string name = "local-llm";
  std::string config_file{};               // the client's own, instead of the usual one
  bool print = false;                      // show the entry, touch nothing
  bool dry_run = false;                    // say what would be done
  std::vector<std::string> arguments{};    // for llm-mcp, behind `stdio`
  std::vector<std::string> environment{};  // NAME=VALUE
};
struct UninstallArguments {
  std::string client{};
  std::string name = "local-llm";
  std::string config_file{};
  bool dry_run = false;
};
// keys, projects, users, roles: what does not belong to the kind or the action is refused by the command.
struct AccessArguments {
  std::string kind{};    // "keys", "projects", "users", "roles"
  std::string action{};  // create, list, show, update, rotate, revoke, disable, enable, remove
  std::string id{};      // of what exists; of what is created: its name or id
  std::optional<std::string> name{};
  std::optional<std::string> role{};
  std::optional<std::string> project{};
  std::optional<std::string> user{};
  std::optional<std::string> user_kind{};
  std::optional<std::string> description{};
  std::optional<std::string> expires{};
  std::optional<std::string> overlap{};
  std::optional<std::string> limits{};  // JSON
  std::optional<std::string> priority{};
  std::optional<double> weight{};
  std::optional<std::string> audit_prompts{};  // on, off
  std::optional<std::string> locality{};       // any, local_only
  std::vector<std::string> scopes{};
  std::vector<std::string> models{};
  std::vector<std::string> addresses{};
  std::vector<std::string> rules{};  // PERMISSION[,PERMISSION][=MODEL[,MODEL]]
  bool all = false;                  // revoked keys too
  bool force = false;
};
struct UsageArguments {
  std::string from{};
  std::string to{};
  std::vector<std::string> by{};
  std::string project{};
  std::string key{};
  std::string model{};
  bool csv = false;
};
// Servers that somebody else runs; what does not belong to the action is refused by the command.
struct ProvidersArguments {
  std::string action{};  // list, health, discover, models, pull, load, unload, delete
  std::string name{};
  std::string model{};
  std::vector<std::string> ports{};  // discover
  std::string keep_alive{};          // load
  std::optional<std::int64_t> context{};
  bool yes = false;  // delete
};
struct AuditArguments {
  std::string action{};     // verify, list
  std::string directory{};  // verify: other than the configured one
  std::string from{};
  std::string to{};
  std::string principal{};
  std::string what{};  // a prefix of the action
  std::optional<std::int64_t> limit{};
};
// vLLM engines that the gateway runs; what does not belong to the action is refused by the command.
struct EngineArguments {
  std::string action{};                 // list, plan, start, stop, sleep, wake, logs, adapters, metrics, info, gpus
  std::string name{};                   // entry of engines.vllm, or a model
  std::string format{};                 // plan: argv, docker, compose, kubernetes
  std::optional<std::int64_t> level{};  // sleep
  std::string keep_alive{};             // start
  std::string load{};                   // adapters: NAME=PATH
  std::string unload{};                 // adapters
  bool force = false;                   // stop
};
struct DoctorArguments {
  bool verify = false;
};
struct ConfigArguments {
  std::string action{};  // show, reference, schema, path
};
struct CompletionArguments {
  std::string shell{};  // bash, zsh, fish
};

using CommandArguments =
    std::variant<HelpArguments, VersionArguments, ServeArguments, StdioArguments, ChatArguments, PullArguments,
                 ImportArguments, ListArguments, ShowArguments, RemoveArguments, AliasArguments, VersionsArguments,
                 PromoteArguments, RollbackArguments, ExportArguments, GcArguments, EnginesArguments, LoadArguments,
                 UnloadArguments, StatusArguments, StopArguments, InstallArguments, UninstallArguments, AccessArguments,
                 UsageArguments, AuditArguments, ProvidersArguments, EngineArguments, DoctorArguments, ConfigArguments,
                 CompletionArguments>;

struct Invocation {
  GlobalArguments global;
  CommandArguments command;
};

// `arguments` without the program's name. kInvalidArgument says what is wrong and what was probably meant.
Result<Invocation> parse_arguments(std::span<const std::string> arguments);

// One option or positional argument, as the parser knows it.
struct ArgumentSpec {
  std::vector<std::string> names{};  // "--name", "-n"; of a positional the name alone
  std::string value{};               // "FILE", "MODEL", "bash|zsh|fish"; empty: a switch
  std::string description{};
  bool positional = false;
  bool required = false;
  bool repeats = false;

  std::vector<std::string> choices() const;  // of a value like "bash|zsh|fish"
};

struct CommandSpec {
  std::string name{};
  std::vector<std::string> aliases{};
  std::string summary{};
  std::vector<ArgumentSpec> arguments{};
  std::vector<CommandSpec> commands{};
};

// The program with its commands; built from the parser itself.
CommandSpec describe_arguments();

}  // namespace llm::cli
