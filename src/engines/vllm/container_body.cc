#include "engines/vllm/container_body.h"

#include <fmt/format.h>

#include "engines/vllm/plan.h"

namespace llm::engines {
namespace {

json::object& child(json::object& parent, std::string_view name) {
  json::value& value = parent[name];
  if (!value.is_object()) value = json::object();
  return value.get_object();
}

void bind_to_loopback(json::object& host, const LaunchPlan& plan) {
  if (!host.contains("PortBindings")) return;
  for (auto& port : child(host, "PortBindings")) {
    port.value() = json::array{
        json::object{{"HostIp", "127.0.0.1"}, {"HostPort", plan.port == 0 ? "" : std::to_string(plan.port)}}};
  }
}

std::string lettered(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!letter && c != '.' && c != '_' && c != '-') c = '-';
  }
  return out;
}

}  // namespace

json::object container_body(const LaunchPlan& plan, const ContainerLauncherSettings& settings) {
  json::object body = plan.container;
  body["Image"] = plan.image;
  json::array environment;
  for (const auto& [name, value] : plan.environment) environment.emplace_back(fmt::format("{}={}", name, value));
  body["Env"] = std::move(environment);
  json::object& labels = child(body, "Labels");
  labels[kEngineLabel] = plan.engine;
  labels[kHashLabel] = plan.hash;
  labels[kGatewayLabel] = settings.gateway;
  labels[kRunLabel] = settings.run;
  json::object& host = child(body, "HostConfig");
  host["RestartPolicy"] = json::object{{"Name", "no"}};
  host["AutoRemove"] = false;  // else nobody could read how it ended
  bind_to_loopback(host, plan);
  if (!host.contains("LogConfig")) {
    host["LogConfig"] =
        json::object{{"Type", "json-file"}, {"Config", json::object{{"max-size", "8m"}, {"max-file", "2"}}}};
  }
  return body;
}

std::string published_port(const LaunchPlan& plan) {
  const auto* host = json::find(plan.container, "HostConfig");
  if (!host || !host->is_object()) return {};
  const auto* bindings = json::find(host->get_object(), "PortBindings");
  if (!bindings || !bindings->is_object() || bindings->get_object().empty()) return {};
  return std::string(bindings->get_object().begin()->key());
}

std::string launched_name(std::string_view engine, std::string_view gateway) {
  return fmt::format("llm-mcp-{}-{}", lettered(engine), lettered(gateway.substr(0, 8)));
}

}  // namespace llm::engines
