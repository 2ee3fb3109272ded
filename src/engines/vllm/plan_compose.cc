// A compose file (Compose Specification) that starts what the gateway would start.
#include <fmt/format.h>

#include "engines/vllm/document_text.h"
#include "engines/vllm/plan_parts.h"

namespace llm::engines {
namespace {

// "$" begins a variable in a compose file.
std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    out += c;
    if (c == '$') out += c;
  }
  return out;
}

json::array devices(const VllmPlanInput& input) {
  json::object device{{"driver", "nvidia"}, {"capabilities", json::array{"gpu"}}};
  json::array ids;
  for (const auto& name : gpu_names(input)) ids.emplace_back(name);
  if (ids.empty()) {
    device["count"] = gpus_each(input.settings);
  } else {
    device["device_ids"] = std::move(ids);
  }
  return {std::move(device)};
}

json::object environment(const VllmPlanInput& input, const LaunchPlan& plan) {
  json::object out;
  for (const auto& [name, value] : plan.environment) {
    out[name] = is_secret_variable(name, input.settings) ? fmt::format("${{{}}}", name) : escaped(value);
  }
  return out;
}

json::object health_check(const VllmSettings& settings) {
  const std::string check =
      fmt::format("import urllib.request; urllib.request.urlopen('http://127.0.0.1:{}/health', timeout=5)",
                  settings.multi_node.hosts.size() > 1 ? settings.port : kVllmPort);
  return {{"test", json::array{"CMD", "python3", "-c", check}},
          {"interval", "30s"},
          {"timeout", "10s"},
          {"retries", 3},
          {"start_period", fmt::format("{}s", settings.start_timeout.ms / 1000)}};
}

json::object service(const VllmPlanInput& input, const NodePlan& node) {
  const auto& plan = node.plan;
  json::object out{{"image", plan.image}, {"container_name", container_name(input)}};
  if (!node.host.empty()) out["profiles"] = json::array{node.host};
  if (const auto* entry = json::find(plan.container, "Entrypoint")) {
    json::array words;
    for (const auto& word : entry->as_array()) words.emplace_back(escaped(word.as_string()));
    out["entrypoint"] = std::move(words);
  }
  json::array command;
  for (const auto& word : plan.argv) command.emplace_back(escaped(word));
  out["command"] = std::move(command);
  json::object labels;
  for (const auto& [name, value] : plan.container.at("Labels").as_object()) labels[name] = value;
  out["labels"] = std::move(labels);
  out["environment"] = environment(input, plan);
  json::array volumes;
  for (const auto& mount : mounts_of(input)) {
    volumes.push_back(json::object{{"type", mount.volume() ? "volume" : "bind"},
                                   {"source", mount.source},
                                   {"target", mount.target},
                                   {"read_only", mount.read_only}});
  }
  out["volumes"] = std::move(volumes);
  out["shm_size"] = input.settings.container.shared_memory.bytes;
  if (node.host.empty()) {
    const std::string port = plan.port == 0 ? "" : fmt::format("{}", plan.port);
    out["ports"] = json::array{fmt::format("127.0.0.1:{}:{}", port, kVllmPort)};
  } else {
    out["network_mode"] = "host";
    out["cap_add"] = json::array{"IPC_LOCK"};
    out["ulimits"] = {{"memlock", -1}};
  }
  out["security_opt"] = json::array{"no-new-privileges:true"};
  out["restart"] = "no";
  out["stop_grace_period"] = fmt::format("{}s", (input.settings.stop_timeout.ms + 999) / 1000);
  if (node.role == "head") out["healthcheck"] = health_check(input.settings);
  if (!uses_gpus(input.settings)) return out;
  if (!input.settings.container.gpu_runtime.empty()) out["runtime"] = input.settings.container.gpu_runtime;
  out["deploy"] = {{"resources", {{"reservations", {{"devices", devices(input)}}}}}};
  return out;
}

}  // namespace

Result<std::string> render_compose(const VllmPlanInput& input) {
  json::object services;
  json::object volumes;
  std::string head;
  for (const auto& replica : replicas_of(input)) {
    auto nodes = make_node_plans(replica);
    if (!nodes) return fail(std::move(nodes.error()));
    for (std::size_t rank = 0; rank < nodes->size(); ++rank) {
      const auto& node = (*nodes)[rank];
      std::string name = container_name(replica);
      if (rank > 0) name += fmt::format("-worker-{}", rank);
      services[name] = service(replica, node);
      if (!node.host.empty())
        head += fmt::format("#   docker compose --profile {} up  # on {}, the {}\n", node.host, node.host, node.role);
    }
    for (const auto& mount : mounts_of(replica)) {
      if (mount.volume()) volumes[mount.source] = json::object{{"name", mount.source}};
    }
  }
  std::string out = "# Values of secrets come from the environment or a .env file.\n";
  if (!head.empty()) out += "# One file for all machines:\n" + head;
  json::object document{{"services", std::move(services)}};
  if (!volumes.empty()) document["volumes"] = std::move(volumes);
  return out + block_yaml(document);
}

}  // namespace llm::engines
