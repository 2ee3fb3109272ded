#include <cerrno>
#include <chrono>
#include <fmt/format.h>
#include <fstream>
#include <poll.h>
#include <signal.h>

#include "base/strings.h"
#include "cli/commands/commands.h"
#include "cli/commands/exit_status.h"
#include "cli/commands/format.h"
#include "cli/commands/gateway_probe.h"
#include "cli/commands/session.h"
#include "cli/text_table.h"

namespace llm::cli {
namespace {

Error no_gateway() {
  return {ErrorCode::kUnavailable,
          "no gateway is running; `llm-mcp serve` starts one, and so does any command that needs one",
          {},
          {},
          0};
}

// Empty: nothing is loaded or being loaded, and nothing has failed.
std::string engine_table(const json::array& engines, const Terminal& terminal) {
  TextTable table({{"MODEL"},
                   {"STATE"},
                   {"MEMORY", Align::kRight},
                   {"CONTEXT", Align::kRight},
                   {"SLOTS", Align::kRight},
                   {"BUSY", Align::kRight},
                   {"IDLE", Align::kRight},
                   {"KEPT", Align::kRight}});
  for (const json::value& item : engines) {
    if (!item.is_object()) continue;
    const json::object& engine = item.get_object();
    std::string state = text_of(engine, "state");
    if (state == "stopped") continue;
    if (state == "starting") state += fmt::format(" {:.0f}%", json::number_or(engine, "progress") * 100);
    const bool busy = json::int_or(engine, "in_flight") > 0;
    table.add({text_of(engine, "model"), std::move(state),
               bytes_text(engine, json::int_or(engine, "memory_bytes") > 0 ? "memory_bytes" : "memory_estimate_bytes"),
               number_text(engine, "context"), number_text(engine, "slots"),
               fmt::to_string(json::int_or(engine, "in_flight")),
               busy ? "" : seconds_text(json::number_or(engine, "idle_s")),
               seconds_text(json::number_or(engine, "keep_alive_s", -1))});
  }
  return table.empty() ? std::string() : table.text(terminal);
}

// Failed engines say why, below the table.
std::string engine_errors(const json::array& engines) {
  std::string out;
  for (const json::value& item : engines) {
    if (!item.is_object()) continue;
    const json::value* error = json::find(item.get_object(), "error");
    if (!error || !error->is_object()) continue;
    out += fmt::format("{}: {}\n", text_of(item.get_object(), "model"), text_of(error->get_object(), "message"));
  }
  return out;
}

std::string status_page(const json::object& status, const Installation& installation, const Terminal& terminal) {
  std::vector<std::pair<std::string, std::string>> pairs{
      {"Gateway", fmt::format("{}, version {}", text_of(status, "status"), text_of(status, "version"))},
      {"Up for", seconds_text(json::number_or(status, "uptime_s"))},
      {"Models", fmt::format("{}, {} loaded", json::int_or(status, "models"), json::int_or(status, "engines_ready"))},
      {"Requests", fmt::format("{} running", json::int_or(status, "requests_in_flight"))},
  };
  std::ifstream state_file(installation.state_file);
  const std::string text(std::istreambuf_iterator<char>(state_file), {});
  if (const auto state = json::parse(text); state && state->is_object()) {
    pairs.insert(pairs.begin() + 1, {"Address", text_of(state->get_object(), "url")});
    pairs.insert(pairs.begin() + 2, {"Process", number_text(state->get_object(), "pid")});
  }
  pairs.emplace_back("Socket", installation.socket.string());
  if (const json::value* memory = json::find(status, "memory"); memory && memory->is_object()) {
    pairs.emplace_back("Memory", fmt::format("{} of {} free", bytes_text(memory->get_object(), "available"),
                                             bytes_text(memory->get_object(), "total")));
  }
  if (const json::value* cpu = json::find(status, "cpu"); cpu && cpu->is_object()) {
    pairs.emplace_back("Processors", fmt::format("{} usable cores, threads of an engine now: {}",
                                                 json::int_or(cpu->get_object(), "cores"),
                                                 json::int_or(cpu->get_object(), "threads")));
  }
  if (const json::value* gpus = json::find(status, "gpus"); gpus && gpus->is_array()) {
    for (const json::value& gpu : gpus->get_array()) {
      if (gpu.is_object()) pairs.emplace_back("GPU", text_of(gpu.get_object(), "name"));
    }
  }
  return key_values(pairs, terminal);
}

std::optional<pid_t> read_pid(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::string text;
  in >> text;
  const auto pid = parse_number<pid_t>(text);
  return pid && *pid > 1 ? pid : std::nullopt;
}

bool has_ended(const Installation& installation, pid_t pid) {
  if (::kill(pid, 0) != 0 && errno == ESRCH) return true;
  // One that nobody has reaped yet still counts as a process: its files are gone then.
  std::error_code error;
  return !probe_gateway(installation.socket).answers && !std::filesystem::exists(installation.pid_file, error);
}

}  // namespace

Result<int> run_command(CommandContext& context, const EnginesArguments&) {
  auto setup = load_setup(context);
  if (!setup) return fail(std::move(setup.error()));
  auto gateway = GatewaySession::attach(*setup);
  json::object answer{{"engines", json::array()}};
  if (gateway) {
    auto engines = gateway->call([](inference::ModelApi& api, CancelToken) { return api.engines(); });
    if (!engines) return fail(std::move(engines.error()));
    answer = std::move(*engines);
  }
  if (context.terminal.json()) {
    context.terminal.result(answer);
    return kExitSuccess;
  }
  const json::value* engines = json::find(answer, "engines");
  const json::array list = engines && engines->is_array() ? engines->get_array() : json::array();
  const std::string table = engine_table(list, context.terminal);
  if (table.empty()) {
    context.terminal.note(gateway ? "No model is loaded." : "No gateway is running, so no model is loaded.");
    return kExitSuccess;
  }
  context.terminal.out(table + engine_errors(list));
  return kExitSuccess;
}

Result<int> run_command(CommandContext& context, const LoadArguments& arguments) {
  auto setup = load_setup(context);
  if (!setup) return fail(std::move(setup.error()));
  auto gateway = GatewaySession::attach_or_start(context, *setup);
  if (!gateway) return fail(std::move(gateway.error()));
  json::object request{{"model", arguments.model}};
  if (!arguments.keep_alive.empty()) {
    // "90" is text on a command line and a number in a request.
    const auto number = parse_number<std::int64_t>(arguments.keep_alive);
    request["keep_alive"] = number ? json::value(*number) : json::value(arguments.keep_alive);
  }
  Interrupt interrupt;
  ProgressBar bar(context.terminal, "loading " + printable(arguments.model));
  auto loaded = (*gateway)->call(
      [&](inference::ModelApi& api, CancelToken cancel) {
        const auto show = [&bar](const json::object& event) -> Result<void> {
          bar.event(event);
          return {};
        };
        return api.load_model(request, sink_of(show), cancel);
      },
      &interrupt);
  bar.clear();
  if (!loaded) return fail(std::move(loaded.error()));
  if (context.terminal.json()) {
    context.terminal.result(*loaded);
  } else if (!context.terminal.quiet()) {
    std::string memory = bytes_text(*loaded, "memory_bytes");
    if (!memory.empty()) memory = ", " + memory;
    context.terminal.line(fmt::format("{} is ready after {} ({} tokens of context, {} slots{})",
                                      text_of(*loaded, "model"), seconds_text(json::number_or(*loaded, "seconds")),
                                      json::int_or(*loaded, "context"), json::int_or(*loaded, "slots"), memory));
  }
  return kExitSuccess;
}

Result<int> run_command(CommandContext& context, const UnloadArguments& arguments) {
  auto setup = load_setup(context);
  if (!setup) return fail(std::move(setup.error()));
  auto gateway = GatewaySession::attach(*setup);
  if (!gateway) return fail(no_gateway());
  auto done = gateway->call([&](inference::ModelApi& api, CancelToken) {
    return api.unload_model({{"model", arguments.model}, {"force", arguments.force}});
  });
  if (!done) return fail(std::move(done.error()));
  if (context.terminal.json()) {
    context.terminal.result(*done);
  } else if (!context.terminal.quiet()) {
    const bool was_loaded = json::bool_or(*done, "was_loaded", true);
    context.terminal.line(fmt::format("{} {}", text_of(*done, "model"), was_loaded ? "is unloaded" : "was not loaded"));
  }
  return kExitSuccess;
}

Result<int> run_command(CommandContext& context, const StatusArguments&) {
  auto setup = load_setup(context);
  if (!setup) return fail(std::move(setup.error()));
  auto gateway = GatewaySession::attach(*setup);
  if (!gateway) {
    if (!context.terminal.json()) return fail(no_gateway());
    context.terminal.result({{"status", "stopped"}});
    return kExitUnavailable;
  }
  auto status = gateway->call([](inference::ModelApi& api, CancelToken) { return api.status(); });
  if (!status) return fail(std::move(status.error()));
  if (context.terminal.json()) {
    context.terminal.result(*status);
  } else {
    context.terminal.out(status_page(*status, setup->installation, context.terminal));
  }
  return kExitSuccess;
}

Result<int> run_command(CommandContext& context, const StopArguments&) {
  auto setup = load_setup(context);
  if (!setup) return fail(std::move(setup.error()));
  const Installation& installation = setup->installation;
  const GatewayProbe probe = probe_gateway(installation.socket);
  if (!probe.answers) {
    if (context.terminal.json()) {
      context.terminal.result({{"stopped", false}});
    } else {
      context.terminal.note("No gateway is running.");
    }
    return kExitSuccess;
  }
  // Who listens is certain; the file is for systems that do not tell.
  const auto pid = probe.pid ? probe.pid : read_pid(installation.pid_file);
  if (!pid) {
    return fail(ErrorCode::kUnavailable,
                fmt::format("a gateway answers on {}, but neither the system nor {} says which "
                            "process it is; end it where it was started",
                            installation.socket.string(), installation.pid_file.string()));
  }
  if (::kill(*pid, SIGTERM) != 0 && errno != ESRCH) {
    return fail(errno_error(errno, fmt::format("cannot end the gateway (process {})", *pid)));
  }
  const auto patience =
      std::chrono::milliseconds(setup->config.settings.server.drain_timeout.ms) + std::chrono::seconds(15);
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (!has_ended(installation, *pid)) {
    if (std::chrono::steady_clock::now() >= deadline) {
      return fail(ErrorCode::kTimeout,
                  fmt::format("the gateway (process {}) was told to end and still runs; `kill -9 {}` "
                              "ends it at once",
                              *pid, *pid));
    }
    ::poll(nullptr, 0, 20);
  }
  if (context.terminal.json()) {
    context.terminal.result({{"stopped", true}, {"pid", *pid}});
  } else if (!context.terminal.quiet()) {
    context.terminal.line(fmt::format("the gateway (process {}) has ended", *pid));
  }
  return kExitSuccess;
}

}  // namespace llm::cli
