// providers: servers that somebody else runs.
#include <fmt/format.h>
#include <unistd.h>

#include "base/strings.h"
#include "cli/commands/commands.h"
#include "cli/commands/exit_status.h"
#include "cli/commands/format.h"
#include "cli/commands/session.h"
#include "cli/text_table.h"
#include "inference/operations/provider_calls.h"

namespace llm::cli {
namespace {

std::unexpected<Error> usage(std::string_view message) {
  return fail(ErrorCode::kInvalidArgument, fmt::format("providers: {}", message));
}

const json::array& list_of(const json::object& answer, std::string_view key) {
  static const json::array none;
  const json::value* list = json::find(answer, key);
  return list != nullptr && list->is_array() ? list->get_array() : none;
}

void show_providers(CommandContext& context, const json::object& answer) {
  TextTable table({{"NAME"}, {"KIND"}, {"ADDRESS"}, {"LOCALITY"}, {"STATE"}, {"MODELS"}});
  std::string errors;
  for (const json::value& item : list_of(answer, "providers")) {
    const json::object& one = item.get_object();
    std::string state = text_of(one, "breaker") == "open" ? "breaker open" : "";
    if (one.contains("reachable")) state = json::bool_or(one, "reachable") ? "up" : "down";
    if (text_of(one, "key") == "missing") state = "no key";
    table.add({text_of(one, "name"), text_of(one, "title"), text_of(one, "address"), text_of(one, "locality"), state,
               list_text(one, "models")});
    if (const auto error = text_of(one, "error"); !error.empty()) {
      errors += fmt::format("{}: {}\n", text_of(one, "name"), error);
    }
  }
  if (table.empty()) {
    context.terminal.note("No provider is configured. \"llm-mcp providers discover\" shows what runs here.");
    return;
  }
  context.terminal.out(table.text(context.terminal) + errors);
}

void show_found(CommandContext& context, const json::object& answer) {
  for (const json::value& item : list_of(answer, "found")) {
    const json::object& one = item.get_object();
    context.terminal.line(text_of(one, "message"));
    if (const auto name = text_of(one, "configured_as"); !name.empty()) {
      context.terminal.line(fmt::format("  in the configuration as {}", name));
    } else {
      context.terminal.out(printable(json::string_or(one, "configuration")));
    }
  }
  if (list_of(answer, "found").empty()) context.terminal.note("No server that we know runs on this machine.");
}

void show_models(CommandContext& context, const json::object& answer) {
  TextTable table({{"MODEL"}, {"SIZE", Align::kRight}, {"PARAMETERS"}, {"QUANTISATION"}, {"LOADED"}});
  for (const json::value& item : list_of(answer, "models")) {
    const json::object& one = item.get_object();
    std::string loaded = json::bool_or(one, "loaded") ? "yes" : "";
    if (const auto memory = bytes_text(one, "memory_bytes"); !memory.empty()) loaded = memory;
    table.add({text_of(one, "name"), bytes_text(one, "size_bytes"), text_of(one, "parameters"),
               text_of(one, "quantisation"), std::move(loaded)});
  }
  if (table.empty()) {
    context.terminal.note("It has no models.");
    return;
  }
  context.terminal.out(table.text(context.terminal));
}

void show(CommandContext& context, const std::string& action, const json::object& answer) {
  if (context.terminal.json()) {
    context.terminal.result(answer);
  } else if (action == "list" || action == "health") {
    show_providers(context, answer);
  } else if (action == "discover") {
    show_found(context, answer);
  } else if (action == "models") {
    show_models(context, answer);
  } else if (!context.terminal.quiet()) {
    context.terminal.line(
        fmt::format("{}: {} is {}", text_of(answer, "provider"), text_of(answer, "model"), text_of(answer, "state")));
  }
}

// What the options say, in the words of the operation.
Result<json::object> body_of(const ProvidersArguments& arguments) {
  const std::string& action = arguments.action;
  const bool of_model = action == "pull" || action == "load" || action == "unload" || action == "delete";
  const bool of_one = of_model || action == "models" || action == "health";
  json::object body;
  if (!arguments.ports.empty() && action != "discover") return usage("--port belongs to discover");
  if (!arguments.keep_alive.empty() && action != "load") return usage("--keep-alive belongs to load");
  if (arguments.context && action != "load") return usage("--context belongs to load");
  if (arguments.name.empty() && of_one && action != "health") return usage(action + ": NAME is missing");
  if (arguments.model.empty() && of_model) return usage(action + ": MODEL is missing");
  if (!arguments.name.empty() && !of_one) return usage(action + " takes no NAME");
  if (!arguments.model.empty() && !of_model) return usage(action + " takes no MODEL");
  if (!arguments.name.empty()) body["name"] = arguments.name;
  if (!arguments.model.empty()) body["model"] = arguments.model;
  if (!arguments.keep_alive.empty()) body["keep_alive"] = arguments.keep_alive;
  if (arguments.context) body["context"] = *arguments.context;
  json::array ports;
  for (const std::string& text : arguments.ports) {
    const auto port = parse_number<std::uint16_t>(text);
    if (!port || *port == 0) return usage(fmt::format("expected a port from 1 to 65535, got \"{}\"", text));
    ports.emplace_back(*port);
  }
  if (!ports.empty()) body["ports"] = std::move(ports);
  if (action == "delete" && !arguments.yes) {
    return usage("delete: the model's file goes for good; say --yes to delete without asking");
  }
  return body;
}

// Discovery needs no gateway: this machine is asked from here.
Result<json::object> discover_here(const Setup& setup, json::object body) {
  auto request = json::decode<inference::DiscoverRequest>(body);
  if (!request) return fail(std::move(request.error()));
  Loop loop("cli");
  Interrupt interrupt;
  const CancelSource cancel;
  return run_until_done(
      loop, inference::discover(loop, std::move(*request), all_providers(setup.config.settings), cancel.token()),
      &interrupt, cancel);
}

}  // namespace

Result<int> run_command(CommandContext& context, const ProvidersArguments& arguments) {
  auto body = body_of(arguments);
  if (!body) return fail(std::move(body.error()));
  auto setup = load_setup(context);
  if (!setup) return fail(std::move(setup.error()));
  Result<json::object> answer;
  if (arguments.action == "discover") {
    answer = discover_here(*setup, std::move(*body));
  } else {
    auto gateway = GatewaySession::attach_or_start(context, *setup);
    if (!gateway) return fail(std::move(gateway.error()));
    Interrupt interrupt;
    ProgressBar bar(context.terminal, fmt::format("{} {}", arguments.action, printable(arguments.model)));
    answer = (*gateway)->call(
        [&](inference::ModelApi& api, CancelToken cancel) {
          const auto shown = [&bar](const json::object& event) -> Result<void> {
            bar.event(event);
            return {};
          };
          return api.operate("provider." + arguments.action, *body, sink_of(shown), cancel);
        },
        &interrupt);
    bar.clear();
  }
  if (!answer) return fail(std::move(answer.error()));
  show(context, arguments.action, *answer);
  return kExitSuccess;
}

}  // namespace llm::cli
