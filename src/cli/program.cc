#include "cli/program.h"

#include <csignal>
#include <fmt/format.h>
#include <span>
#include <string>
#include <type_traits>
#include <unistd.h>
#include <variant>
#include <vector>

#include "cli/arguments.h"
#include "cli/commands/commands.h"
#include "cli/commands/exit_status.h"
#include "cli/serve_command.h"
#include "cli/standalone_backend.h"
#include "cli/stdio_command.h"

namespace llm::cli {
namespace {

// `llm-mcp stdio` is started by clients that wait for it, so it goes without the parser where its arguments are the
// plain ones. nullopt: not such a call.
std::optional<Invocation> read_stdio_call(std::span<const std::string> arguments) {
  if (arguments.empty() || arguments.front() != "stdio") return std::nullopt;
  Invocation call{{}, StdioArguments{}};
  arguments = arguments.subspan(1);
  while (!arguments.empty()) {
    if (arguments.front() == "--standalone") {
      std::get<StdioArguments>(call.command).standalone = true;
      arguments = arguments.subspan(1);
    } else if (arguments.front() == "--config" && arguments.size() > 1) {
      call.global.config = arguments[1];
      arguments = arguments.subspan(2);
    } else {
      return std::nullopt;
    }
  }
  return call;
}

Result<int> run_command(CommandContext& context, const ServeArguments& arguments) {
  return run_serve_command(
      {.sources = sources_of(context), .tcp = arguments.tcp, .print_banner = !context.terminal.quiet()});
}

Result<int> run_command(CommandContext& context, const StdioArguments& arguments) {
  std::signal(SIGPIPE, SIG_IGN);
  auto setup = load_setup(context);
  if (!setup) return fail(std::move(setup.error()));
  const Settings& settings = setup->config.settings;
  auto log = observe::Log::open(
      {.level = settings.observe.log_level, .format = settings.observe.log_format, .file = settings.observe.log_file});
  if (!log) return fail(std::move(log.error()));
  for (const std::string& warning : setup->config.warnings) (*log)->warn(warning);
  return run_stdio_command(
      {.standalone = arguments.standalone,
       .attach = attach_settings(context, setup->installation),
       .mcp = settings.mcp,
       .hub = {.hub_endpoint = settings.models.hub_endpoint, .hub_token = settings.models.hub_token},
       .tasks_dir = setup->installation.data_dir / "tasks"},
      standalone_backend(settings, setup->installation, **log), **log);
}

// Requests have JSON Pointers, people have flags.
void report(Terminal& terminal, Error error) {
  constexpr std::pair<std::string_view, std::string_view> kFlags[] = {
      {"/keep_alive", "--keep-alive"},
      {"/max_tokens", "--max-tokens"},
      {"/temperature", "--temperature"},
      {"/seed", "--seed"},
      {"/name", "--name"},
  };
  if (error.code == ErrorCode::kCancelled) error.message = "interrupted";
  for (const auto& [pointer, flag] : kFlags) {
    if (error.pointer == pointer) error = {error.code, fmt::format("{}: {}", flag, error.message), {}, {}, 0};
  }
  if (error.pointer == "/model" || error.pointer == "/source") error.pointer.clear();  // the message names it
  terminal.error(error);
}

int run(std::span<const std::string> arguments) {
  const EnvLookup env = process_environment();
  TerminalSettings settings = detect_terminal(env);
  auto invocation = [&]() -> Result<Invocation> {
    if (auto call = read_stdio_call(arguments)) return *call;
    return parse_arguments(arguments);
  }();
  if (!invocation) {
    Terminal terminal(settings);
    report(terminal, invocation.error());
    return kExitUsage;
  }
  const GlobalArguments& global = invocation->global;
  settings.json = global.json;
  settings.quiet = global.quiet;
  if (global.no_color) settings.color_out = settings.color_err = false;
  Terminal terminal(settings);
  CommandContext context{terminal, global, env, ::getuid()};
  auto status = std::visit([&](const auto& command) { return run_command(context, command); }, invocation->command);
  if (status) return *status;
  report(terminal, status.error());
  return exit_status(status.error().code);
}

}  // namespace

int run_program(int argc, char** argv) {
  try {
    return run(std::vector<std::string>(argv + std::min(argc, 1), argv + argc));
  } catch (const std::exception& error) {
    fmt::print(stderr, "llm-mcp: internal error: {}\n", error.what());
    return kExitFailure;
  }
}

}  // namespace llm::cli
