#pragma once

#include <memory>
#include <string>

#include "cli/arguments.h"

namespace CLI {
class App;
}

namespace llm::cli {

// Everything the parser writes to.
struct Parsed {
  GlobalArguments global;
  bool version = false;
  std::string tcp;
  HelpArguments help;
  ServeArguments serve;
  StdioArguments stdio;
  ChatArguments chat;
  PullArguments pull;
  ImportArguments import;
  ShowArguments show;
  RemoveArguments remove;
  AliasArguments alias;
  VersionsArguments versions;
  PromoteArguments promote;
  RollbackArguments rollback;
  ExportArguments export_model;
  GcArguments gc;
  LoadArguments load;
  UnloadArguments unload;
  InstallArguments install;
  UninstallArguments uninstall;
  AccessArguments keys{.kind = "keys"};
  AccessArguments projects{.kind = "projects"};
  AccessArguments users{.kind = "users"};
  AccessArguments roles{.kind = "roles"};
  UsageArguments usage;
  AuditArguments audit;
  ProvidersArguments providers;
  EngineArguments engine;
  DoctorArguments doctor;
  ConfigArguments config;
  CompletionArguments completion;
};

// The program's commands and options, as CLI11 knows them.
class CommandTree {
 public:
  CommandTree();
  ~CommandTree();
  CommandTree(const CommandTree&) = delete;
  CommandTree& operator=(const CommandTree&) = delete;
  CLI::App& app();
  Parsed& parsed();  // what app().parse() wrote

 private:
  class Definition;
  std::unique_ptr<Definition> definition_;
};

}  // namespace llm::cli
