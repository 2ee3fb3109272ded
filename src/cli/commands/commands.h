#pragma once

#include "cli/arguments.h"
#include "cli/commands/context.h"

// One function for each command: the exit status, or the error that ended it.
namespace llm::cli {

// chat.cc
Result<int> run_command(CommandContext& context, const ChatArguments& arguments);

// transfer.cc: models on their way into the store
Result<int> run_command(CommandContext& context, const PullArguments& arguments);
Result<int> run_command(CommandContext& context, const ImportArguments& arguments);

// versions.cc
Result<json::object> import_bundle(CommandContext& context, const Setup& setup, const ImportArguments& arguments);
Result<int> run_command(CommandContext& context, const VersionsArguments& arguments);
Result<int> run_command(CommandContext& context, const PromoteArguments& arguments);
Result<int> run_command(CommandContext& context, const RollbackArguments& arguments);
Result<int> run_command(CommandContext& context, const ExportArguments& arguments);
Result<int> run_command(CommandContext& context, const GcArguments& arguments);

// aliases.cc
Result<int> run_command(CommandContext& context, const AliasArguments& arguments);

// models.cc: models in the store
Result<int> run_command(CommandContext& context, const ListArguments& arguments);
Result<int> run_command(CommandContext& context, const ShowArguments& arguments);
Result<int> run_command(CommandContext& context, const RemoveArguments& arguments);

// gateway.cc: the gateway and its engines
Result<int> run_command(CommandContext& context, const EnginesArguments& arguments);
Result<int> run_command(CommandContext& context, const LoadArguments& arguments);
Result<int> run_command(CommandContext& context, const UnloadArguments& arguments);
Result<int> run_command(CommandContext& context, const StatusArguments& arguments);
Result<int> run_command(CommandContext& context, const StopArguments& arguments);

// install.cc: this program in the configuration of MCP clients
Result<int> run_command(CommandContext& context, const InstallArguments& arguments);
Result<int> run_command(CommandContext& context, const UninstallArguments& arguments);

// access.cc: keys, projects, users, roles
Result<int> run_command(CommandContext& context, const AccessArguments& arguments);
// access_records.cc
Result<int> run_command(CommandContext& context, const UsageArguments& arguments);
Result<int> run_command(CommandContext& context, const AuditArguments& arguments);

// engine.cc: vLLM engines that the gateway runs
Result<int> run_command(CommandContext& context, const EngineArguments& arguments);

// providers.cc: servers that somebody else runs
Result<int> run_command(CommandContext& context, const ProvidersArguments& arguments);

// setup.cc
Result<int> run_command(CommandContext& context, const DoctorArguments& arguments);
Result<int> run_command(CommandContext& context, const ConfigArguments& arguments);
Result<int> run_command(CommandContext& context, const CompletionArguments& arguments);
Result<int> run_command(CommandContext& context, const VersionArguments& arguments);
Result<int> run_command(CommandContext& context, const HelpArguments& arguments);

}  // namespace llm::cli
