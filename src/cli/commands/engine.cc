// engine: vLLM engines that the gateway runs.
#include <fmt/format.h>

#include "base/strings.h"
#include "cli/commands/commands.h"
#include "cli/commands/exit_status.h"
#include "cli/commands/format.h"
#include "cli/commands/session.h"
#include "cli/text_table.h"
#include "engines/vllm/plan.h"
#include "inference/operations/engine_calls.h"

namespace llm::cli {
namespace {

std::unexpected<Error> usage(std::string_view message) {
  return fail(ErrorCode::kInvalidArgument, fmt::format("engine: {}", message));
}

const json::array& list_of(const json::object& answer, std::string_view key) {
  static const json::array none;
  const json::value* list = json::find(answer, key);
  return list != nullptr && list->is_array() ? list->get_array() : none;
}

// An option that its action does not know is a mistake, not something to pass over.
Result<void> check_usage(const EngineArguments& arguments) {
  const std::string& action = arguments.action;
  struct Rule {
    bool given;
    std::string_view option;
    std::string_view action;
  };
  for (const Rule& rule :
       {Rule{!arguments.format.empty(), "--format", "plan"}, Rule{arguments.level.has_value(), "--level", "sleep"},
        Rule{!arguments.keep_alive.empty(), "--keep-alive", "start"},
        Rule{!arguments.load.empty(), "--load", "adapters"}, Rule{!arguments.unload.empty(), "--unload", "adapters"},
        Rule{arguments.force, "--force", "stop"}}) {
    if (rule.given && rule.action != action) return usage(fmt::format("{} belongs to {}", rule.option, rule.action));
  }
  if (!arguments.load.empty() && !arguments.unload.empty()) return usage("either --load or --unload");
  const bool named = action != "list" && action != "gpus";
  if (named && arguments.name.empty()) return usage(fmt::format("{} needs the NAME of an engine", action));
  if (!named && !arguments.name.empty()) return usage(fmt::format("{} takes no NAME", action));
  return {};
}

// From the configuration alone; nothing has to run.
Result<json::object> plan(const Setup& setup, const EngineArguments& arguments) {
  const auto& entries = setup.config.settings.engines.vllm;
  const auto entry = entries.find(arguments.name);
  if (entry == entries.end()) {
    std::vector<std::string> names;
    for (const auto& [name, settings] : entries) names.push_back(name);
    return fail(ErrorCode::kNotFound,
                fmt::format("engines.vllm has no entry \"{}\"{}", arguments.name,
                            names.empty() ? "" : fmt::format("; there is {}", fmt::join(names, ", "))));
  }
  const auto format = json::enum_value<engines::PlanFormat>(arguments.format).value_or(engines::PlanFormat::kArgv);
  engines::VllmPlanInput input{.name = entry->first, .settings = entry->second};
  input.known.version = engines::version_of_image(entry->second.container.image);
  if (constexpr std::string_view kStored = "store:"; entry->second.model.starts_with(kStored)) {
    auto store = open_store(setup);
    if (!store) return fail(std::move(store.error()));
    const auto model = (*store)->find(std::string_view(entry->second.model).substr(kStored.size()));
    if (!model) return fail(model.error());
    auto folder = (*store)->repository_path(*model);
    if (!folder) return fail(std::move(folder.error()));
    input.model_folder = std::move(*folder);
  }
  auto text = engines::render_plan(input, format);
  if (!text) return fail(std::move(text.error()));
  return json::object{{"name", entry->first}, {"format", json::enum_name(format)}, {"text", std::move(*text)}};
}

json::object configured_engines(const Settings& settings) {
  json::array list;
  for (const auto& [name, entry] : settings.engines.vllm) {
    list.push_back(inference::engine_entry_json(name, entry, {}));
  }
  return {{"engines", std::move(list)}};
}

struct Operation {
  std::string name;
  json::object arguments;
};

Result<Operation> operation_of(const EngineArguments& arguments) {
  Operation out{"engine." + arguments.action, {{"name", arguments.name}}};
  if (arguments.action == "list" || arguments.action == "gpus") {
    return Operation{arguments.action == "gpus" ? "gpu.list" : "engine.list", {}};
  }
  if (arguments.level) out.arguments["level"] = *arguments.level;
  if (arguments.force) out.arguments["force"] = true;
  if (!arguments.keep_alive.empty()) {
    const auto number = parse_number<std::int64_t>(arguments.keep_alive);
    out.arguments["keep_alive"] = number ? json::value(*number) : json::value(arguments.keep_alive);
  }
  if (!arguments.load.empty()) {
    const auto equals = arguments.load.find('=');
    if (equals == 0 || equals == std::string::npos) return usage("expected --load NAME=PATH");
    out.name = "engine.adapter_load";
    out.arguments["adapter"] = arguments.load.substr(0, equals);
    out.arguments["path"] = arguments.load.substr(equals + 1);
  }
  if (!arguments.unload.empty()) {
    out.name = "engine.adapter_unload";
    out.arguments["adapter"] = arguments.unload;
  }
  return out;
}

std::string states_of(const json::object& entry) {
  std::string out;
  for (const json::value& item : list_of(entry, "replicas")) {
    if (!item.is_object()) continue;
    const json::object& replica = item.get_object();
    std::string state = text_of(replica, "state");
    if (state == "starting") {
      state += fmt::format(" {:.0f}% {}", json::number_or(replica, "progress") * 100, text_of(replica, "phase"));
    }
    out += (out.empty() ? "" : ", ") + state;
  }
  return out.empty() ? "stopped" : out;
}

void show_list(CommandContext& context, const json::object& answer) {
  TextTable table({{"NAME"}, {"MODEL"}, {"RUNTIME"}, {"SOURCE"}, {"REPLICAS", Align::kRight}, {"STATE"}});
  for (const json::value& item : list_of(answer, "engines")) {
    if (!item.is_object()) continue;
    const json::object& entry = item.get_object();
    table.add({text_of(entry, "name"), text_of(entry, "model"), text_of(entry, "runtime"), text_of(entry, "source"),
               number_text(entry, "wanted_replicas"), states_of(entry)});
  }
  if (table.empty()) {
    context.terminal.note("The configuration has no entry under engines.vllm.");
    return;
  }
  context.terminal.out(table.text(context.terminal));
}

void show_gpus(CommandContext& context, const json::object& answer) {
  TextTable table({{"GPU", Align::kRight},
                   {"NAME"},
                   {"MEMORY", Align::kRight},
                   {"USED", Align::kRight},
                   {"BUSY", Align::kRight},
                   {"UUID"}});
  for (const json::value& item : list_of(answer, "gpus")) {
    if (!item.is_object()) continue;
    const json::object& gpu = item.get_object();
    const bool busy = gpu.contains("utilization_percent");
    table.add({fmt::to_string(json::int_or(gpu, "index")), text_of(gpu, "name"), bytes_text(gpu, "memory_total"),
               bytes_text(gpu, "memory_used"), busy ? fmt::format("{}%", json::int_or(gpu, "utilization_percent")) : "",
               text_of(gpu, "uuid")});
  }
  if (table.empty()) {
    context.terminal.note("No GPU is known: NVIDIA's management library finds none, and engines.gpus is empty.");
    return;
  }
  context.terminal.out(table.text(context.terminal));
}

// What comes back for each replica, as "key: value" lines.
void show_replicas(CommandContext& context, const json::object& answer) {
  const auto& replicas = list_of(answer, "replicas");
  for (const json::value& item : replicas) {
    if (!item.is_object()) continue;
    std::vector<std::pair<std::string, std::string>> pairs;
    for (const auto& [key, value] : item.get_object()) {
      if (key == "replica" && replicas.size() == 1) continue;
      const bool text = value.is_string();
      pairs.emplace_back(key, printable(text ? std::string(value.get_string()) : json::write(value)));
    }
    context.terminal.out(key_values(pairs, context.terminal));
  }
}

void show(CommandContext& context, const EngineArguments& arguments, const json::object& answer) {
  const std::string& action = arguments.action;
  Terminal& terminal = context.terminal;
  if (terminal.json()) {
    terminal.result(answer);
  } else if (action == "plan") {
    terminal.out(json::string_or(answer, "text"));
  } else if (action == "list") {
    show_list(context, answer);
  } else if (action == "gpus") {
    show_gpus(context, answer);
  } else if (action == "logs") {
    for (const json::value& line : list_of(answer, "lines")) {
      if (line.is_string()) terminal.line(printable(line.get_string()));
    }
  } else if (action == "stop") {
    const bool ran = json::int_or(answer, "stopped") > 0;
    if (!terminal.quiet())
      terminal.line(fmt::format("{} {}", printable(arguments.name), ran ? "has stopped" : "did not run"));
  } else {
    show_replicas(context, answer);
  }
}

Result<json::object> run(CommandContext& context, const Setup& setup, const EngineArguments& arguments) {
  if (arguments.action == "plan") return plan(setup, arguments);
  const auto operation = operation_of(arguments);
  if (!operation) return fail(operation.error());
  auto gateway = GatewaySession::attach(setup);
  if (!gateway && arguments.action == "list") return configured_engines(setup.config.settings);
  if (!gateway && arguments.action == "gpus") {
    return inference::gpus_json(engines::GpuInventory(setup.config.settings.engines.gpus));
  }
  if (!gateway && arguments.action == "start") {
    auto started = GatewaySession::attach_or_start(context, setup);
    if (!started) return fail(std::move(started.error()));
    gateway = std::move(*started);
  }
  if (!gateway) {
    return fail(ErrorCode::kUnavailable,
                "no gateway is running, so no engine of its own is; `llm-mcp engine start` "
                "starts both");
  }
  if (arguments.action == "logs") {
    return gateway->call([&](inference::ModelApi& api, CancelToken) { return api.engine_logs(arguments.name); });
  }
  Interrupt interrupt;
  ProgressBar bar(context.terminal, "starting " + printable(arguments.name));
  auto answer = gateway->call(
      [&](inference::ModelApi& api, CancelToken cancel) {
        const auto show_event = [&bar](const json::object& event) -> Result<void> {
          bar.event(event);
          return {};
        };
        return api.operate(operation->name, operation->arguments,
                           arguments.action == "start" ? sink_of(show_event) : inference::EventSink(), cancel);
      },
      &interrupt);
  bar.clear();
  return answer;
}

}  // namespace

Result<int> run_command(CommandContext& context, const EngineArguments& arguments) {
  if (auto checked = check_usage(arguments); !checked) return fail(checked.error());
  auto setup = load_setup(context);
  if (!setup) return fail(std::move(setup.error()));
  auto answer = run(context, *setup, arguments);
  if (!answer) return fail(std::move(answer.error()));
  show(context, arguments, *answer);
  return kExitSuccess;
}

}  // namespace llm::cli
