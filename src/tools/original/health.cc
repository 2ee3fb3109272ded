// llm_health.
#include <utility>

#include "tools/original/arguments.h"
#include "tools/original/model_work.h"
#include "tools/original/original_tools.h"
#include "tools/original/tool_texts.h"
#include "tools/results.h"

namespace llm::tools::original {
namespace {

constexpr mcp::ToolHints kReadsOnly{.read_only = true, .destructive = false, .idempotent = true, .open_world = false};

Task<Result<StatusOutput>> read(OriginalContext context, mcp::ToolCall call) {
  const auto api = context.tools.api(call);
  auto status = co_await api->status();
  if (!status) co_return fail(std::move(status.error()));
  auto engines = co_await api->engines();
  if (!engines) co_return fail(std::move(engines.error()));
  co_return read_status(*status, *engines);
}

Task<Result<Answer>> health_check(OriginalContext context, HealthArguments, mcp::ToolCall call) {
  auto status = co_await read(std::move(context), std::move(call));
  if (!status) co_return fail(std::move(status.error()));
  const auto failed = std::ranges::count(status->engines, "failed", &EngineEntry::state);
  std::string message = fmt::format("the gateway is {}: {} models, {} engines ready", status->status,
                                    status->models.value_or(0), status->engines_ready.value_or(0));
  if (failed > 0) message += fmt::format(", {} failed", failed);
  co_return Answer{std::move(message), json::encode(*status)};
}

Task<Result<Answer>> provider_check(OriginalContext context, HealthArguments, mcp::ToolCall call) {
  const auto api = context.tools.api(call);
  auto answer = co_await api->list_models();
  if (!answer) co_return fail(std::move(answer.error()));
  const ModelList models = read_model_list(*answer);
  const auto external =
      std::ranges::count_if(models.models, [](const ModelEntry& model) { return model.external.value_or(false); });
  const auto own = static_cast<std::ptrdiff_t>(models.models.size()) - external;
  json::array providers{json::object{{"name", "llama.cpp"}, {"available", true}, {"models", own}},
                        json::object{{"name", "external"}, {"available", external > 0}, {"models", external}}};
  // Each provider of the configuration, as it is now. Who may not see engines hears of none.
  auto listed = co_await api->operate("provider.list", {}, {}, call.cancel);
  const json::value* configured = listed ? json::find(*listed, "providers") : nullptr;
  if (configured != nullptr && configured->is_array()) {
    for (const json::value& value : configured->get_array()) {
      if (!value.is_object()) continue;
      json::object one = value.get_object();
      one["available"] = json::bool_or(one, "reachable", json::string_or(one, "breaker") != "open");
      providers.push_back(std::move(one));
    }
  }
  co_return Answer{fmt::format("llama.cpp has {} models, external servers have {}", own, external),
                   {{"providers", std::move(providers)}}};
}

Task<Result<Answer>> tools(OriginalContext context, HealthArguments arguments, mcp::ToolCall call) {
  co_return list_tools(context, *call.caller, arguments.detail < 2);
}
Task<Result<Answer>> help(OriginalContext context, HealthArguments arguments, mcp::ToolCall call) {
  co_return tool_help(context, *call.caller, arguments.tool_name);
}
Task<Result<Answer>> search(OriginalContext context, HealthArguments arguments, mcp::ToolCall call) {
  co_return search_tools(context, *call.caller, arguments.query);
}
Task<Result<Answer>> signature(OriginalContext context, HealthArguments arguments, mcp::ToolCall call) {
  co_return tool_signature(context, *call.caller, arguments.tool_name);
}

Task<Result<Answer>> hardware_requirements(OriginalContext context, HealthArguments arguments, mcp::ToolCall call) {
  const auto api = context.tools.api(call);
  auto status = co_await api->status();
  if (!status) co_return fail(std::move(status.error()));
  json::object machine;
  for (const std::string_view part : {"memory", "cpu", "gpus"}) {
    if (const json::value* value = json::find(*status, part)) machine[part] = *value;
  }
  if (!arguments.name || arguments.name->empty()) {
    auto models = co_await api->list_models();
    if (!models) co_return fail(std::move(models.error()));
    json::array sizes;
    for (const ModelEntry& model : read_model_list(*models).models) {
      json::object one{{"name", model.name}};
      if (model.size) one["size_bytes"] = *model.size;
      sizes.push_back(std::move(one));
    }
    co_return Answer{"a model needs a little more memory than its file; name one to know its estimate",
                     {{"machine", std::move(machine)}, {"models", std::move(sizes)}}};
  }
  auto info = co_await api->model_info(*arguments.name);
  if (!info) {
    Error error = std::move(info.error());
    error.pointer = "/name";
    co_return fail(std::move(error));
  }
  const json::value* estimate = json::find(*info, "estimate");
  co_return Answer{fmt::format("what {} needs, beside what this machine has", *arguments.name),
                   {{"machine", std::move(machine)},
                    {"model", *arguments.name},
                    {"estimate", estimate != nullptr ? *estimate : json::value(json::object())}}};
}

Task<Result<Answer>> service_status(OriginalContext context, HealthArguments, mcp::ToolCall call) {
  auto status = co_await read(std::move(context), std::move(call));
  if (!status) co_return fail(std::move(status.error()));
  json::object whole = json::encode(*status);
  co_return Answer{fmt::format("the gateway is {}, with {} engines", status->status, status->engines.size()),
                   {{"status", status->status}, {"engines", whole["engines"]}}};
}

Task<Result<Answer>> system_info(OriginalContext context, HealthArguments, mcp::ToolCall call) {
  auto status = co_await read(std::move(context), std::move(call));
  if (!status) co_return fail(std::move(status.error()));
  json::object whole = json::encode(*status);
  json::object data;
  for (const std::string_view part : {"version", "memory", "cpu", "gpus"}) {
    if (const json::value* value = json::find(whole, part)) data[part] = *value;
  }
  co_return Answer{fmt::format("llm-mcp {}", status->version), std::move(data)};
}

// Current numbers by the names that /metrics would give them a reader by.
json::object numbers_of(const StatusOutput& status) {
  json::object out;
  const auto put = [&](std::string_view name, const auto& value) {
    if (value) out[name] = *value;
  };
  put("uptime_s", status.uptime_s);
  put("models", status.models);
  put("engines_ready", status.engines_ready);
  put("requests_in_flight", status.requests_in_flight);
  if (status.memory) put("memory_total_bytes", status.memory->total);
  if (status.memory) put("memory_available_bytes", status.memory->available);
  std::int64_t engines = 0;
  for (const EngineEntry& engine : status.engines) engines += engine.memory_bytes.value_or(0);
  out["engines_memory_bytes"] = engines;
  return out;
}

Task<Result<Answer>> get_metrics(OriginalContext context, HealthArguments arguments, mcp::ToolCall call) {
  auto status = co_await read(std::move(context), std::move(call));
  if (!status) co_return fail(std::move(status.error()));
  json::object numbers = numbers_of(*status);
  if (arguments.name && !arguments.name->empty()) {
    std::vector<std::string> names;
    for (const auto& number : numbers) names.emplace_back(number.key());
    const json::value* one = numbers.if_contains(*arguments.name);
    if (one == nullptr) {
      co_return fail(ErrorCode::kNotFound, fmt::format("there is no such number; there are {}", fmt::join(names, ", ")),
                     "/name");
    }
    numbers = json::object{{*arguments.name, *one}};
  }
  co_return Answer{"numbers of this moment; GET /metrics of the gateway has them all for Prometheus",
                   {{"metrics", std::move(numbers)}}};
}

std::unexpected<Error> not_here(std::string_view message) {
  return fail(ErrorCode::kUnsupported, std::string(message), "/operation");
}

Task<Result<Answer>> get_metric_stats(OriginalContext, HealthArguments, mcp::ToolCall) {
  co_return not_here(
      "the gateway keeps no history of its numbers: let Prometheus read GET /metrics; get_metrics has "
      "those of this moment");
}

Task<Result<Answer>> set_log_level(OriginalContext, HealthArguments, mcp::ToolCall) {
  co_return not_here(
      "the log's level is a setting of the gateway's owner: observe.log_level in the configuration, or "
      "llm-mcp serve --log-level");
}

Task<Result<Answer>> shutdown(OriginalContext, HealthArguments arguments, mcp::ToolCall) {
  if (!arguments.confirm) {
    co_return fail(ErrorCode::kInvalidArgument, "shutdown needs \"confirm\": true", "/confirm");
  }
  co_return not_here(
      "all clients of this user share the gateway, so none of them ends it: llm-mcp stop does, and by "
      "itself it ends when nobody has used it for a while");
}

using enum access::Permission;

constexpr Operation<HealthArguments> kOperations[] = {
    {"health_check", "is all well?", kEnginesRead, health_check},
    {"provider_check", "which engines there are", kEnginesRead, provider_check},
    {"list_tools", "the tools of this server (detail)", kAuthenticated, tools},
    {"tool_help", "about one tool (tool_name)", kAuthenticated, help},
    {"search_tools", "tools by words (query)", kAuthenticated, search},
    {"tool_signature", "schemas of one tool (tool_name)", kAuthenticated, signature},
    {"hardware_requirements", "what models need and what the machine has (name)", kEnginesRead, hardware_requirements},
    {"system_info", "the machine", kEnginesRead, system_info},
    {"service_status", "the engines", kEnginesRead, service_status},
    {"server_health", "the same as health_check", kEnginesRead, health_check},
    {"get_metrics", "numbers of this moment (name)", kEnginesRead, get_metrics},
    {"collect_metrics", "the same as get_metrics", kEnginesRead, get_metrics},
    {"get_metric_stats", "not possible here", kEnginesRead, get_metric_stats},
    {"set_log_level", "not possible here", kAdmin, set_log_level},
    {"shutdown", "not possible here (confirm)", kAdmin, shutdown},
};

}  // namespace

Result<void> add_health(mcp::Server& server, const ToolContext& context) {
  return add_portmanteau<HealthArguments>(server, context,
                                          {{.name = "llm_health",
                                            .title = "Health of the local LLM gateway",
                                            .description = "State of the gateway and the machine, and its tools.",
                                            .hints = kReadsOnly,
                                            .picture = Picture::kStatus},
                                           {"llm_health_tool", "health_check"}},
                                          kOperations);
}

}  // namespace llm::tools::original
