// Launch plans as shell lines and as the container engine's own documents.
#include <algorithm>
#include <fmt/format.h>

#include "engines/vllm/document_text.h"
#include "engines/vllm/plan_parts.h"

namespace llm::engines {
namespace {

std::string text_at(const json::value& value) {
  return std::string(value.as_string());
}

// NAME=VALUE words in front of a command; a secret is taken from the shell's own variable.
std::string assignments(const LaunchPlan& plan, const VllmSettings& settings) {
  std::string out;
  for (const auto& [name, value] : plan.environment) {
    out += is_secret_variable(name, settings) ? fmt::format("{}=\"${}\" ", name, name)
                                              : fmt::format("{}={} ", name, shell_word(value));
  }
  return out;
}

std::string volume_word(const json::object& mount) {
  return fmt::format("{}:{}{}", text_at(mount.at("Source")), text_at(mount.at("Target")),
                     mount.at("ReadOnly").as_bool() ? ":ro" : "");
}

std::vector<std::string> gpu_words(const json::object& host) {
  const auto* requests = json::find(host, "DeviceRequests");
  if (!requests) return {};
  const auto& request = requests->as_array().at(0).as_object();
  std::vector<std::string> out;
  if (const auto* ids = json::find(request, "DeviceIDs")) {
    std::string list;
    for (const auto& id : ids->as_array()) list += (list.empty() ? "" : ",") + text_at(id);
    // The quotes are part of the value, which is CSV.
    out = {"--gpus", fmt::format("\"device={}\"", list)};
  } else {
    out = {"--gpus", json::write(request.at("Count"))};
  }
  if (const auto* runtime = json::find(host, "Runtime")) out.insert(out.end(), {"--runtime", text_at(*runtime)});
  return out;
}

// `docker run` for what the plan's container body says.
std::vector<std::string> docker_words(const VllmPlanInput& input, const LaunchPlan& plan, std::string_view name) {
  const auto& host = plan.container.at("HostConfig").as_object();
  std::vector<std::string> out{"docker", "run", "--rm", "--name", std::string(name)};
  const auto add = [&out](std::string_view option, std::string value) {
    out.emplace_back(option);
    out.push_back(std::move(value));
  };
  for (const auto& [label, value] : plan.container.at("Labels").as_object()) {
    add("--label", fmt::format("{}={}", std::string_view(label), text_at(value)));
  }
  const auto gpus = gpu_words(host);
  out.insert(out.end(), gpus.begin(), gpus.end());
  add("--shm-size", json::write(host.at("ShmSize")));
  for (const auto& mount : host.at("Mounts").as_array()) add("--volume", volume_word(mount.as_object()));
  if (json::find(host, "NetworkMode")) {
    out.insert(out.end(), {"--network", "host", "--cap-add", "IPC_LOCK", "--ulimit", "memlock=-1"});
  } else {
    add("--publish", fmt::format("127.0.0.1:{}:{}", plan.port == 0 ? "" : fmt::format("{}", plan.port), kVllmPort));
  }
  add("--security-opt", "no-new-privileges");
  for (const auto& [variable, value] : plan.environment) {
    add("--env", is_secret_variable(variable, input.settings) ? variable : fmt::format("{}={}", variable, value));
  }
  std::vector<std::string> arguments;
  if (const auto* entry = json::find(plan.container, "Entrypoint")) {
    const auto& words = entry->as_array();
    add("--entrypoint", text_at(words.at(0)));
    for (std::size_t i = 1; i < words.size(); ++i) arguments.push_back(text_at(words[i]));
  }
  out.push_back(plan.image);
  out.insert(out.end(), arguments.begin(), arguments.end());
  out.insert(out.end(), plan.argv.begin(), plan.argv.end());
  return out;
}

std::string heading(const VllmPlanInput& input, const NodePlan& node) {
  if (!node.host.empty()) return fmt::format("# {} ({})\n", node.host, node.role);
  return input.settings.replicas > 1 ? fmt::format("# replica {}\n", input.replica) : "";
}

std::string argv_text(const VllmPlanInput& input, const NodePlan& node) {
  std::string out = heading(input, node);
  if (input.settings.runtime == VllmRuntime::kContainer) {
    return out + shell_line(docker_words(input, node.plan, container_name(input))) + "\n";
  }
  for (const auto& command : node.commands) {
    const bool server = command == node.plan.argv;
    const std::string host = node.host.empty() ? "" : fmt::format("VLLM_HOST_IP={} ", node.host);
    out += (server ? assignments(node.plan, input.settings) : host) + shell_line(command);
    if (server && node.plan.port == 0 && node.role == "head") out += "  # and --port: the one that is free";
    out += '\n';
  }
  return out;
}

// The body of POST /containers/create as it is sent, but for the values of secrets.
json::object printable_body(const VllmPlanInput& input, const LaunchPlan& plan) {
  json::object body = plan.container;
  json::array environment;
  for (const auto& [name, value] : plan.environment) {
    environment.emplace_back(is_secret_variable(name, input.settings) ? fmt::format("{}=${}", name, name)
                                                                      : fmt::format("{}={}", name, value));
  }
  body["Env"] = std::move(environment);
  return body;
}

Result<std::string> render_docker(const VllmPlanInput& input) {
  json::array bodies;
  for (const auto& replica : replicas_of(as_container(input))) {
    auto nodes = make_node_plans(replica);
    if (!nodes) return fail(std::move(nodes.error()));
    for (const auto& node : *nodes) {
      json::object body = printable_body(replica, node.plan);
      if (node.host.empty()) {
        bodies.push_back(std::move(body));
      } else {
        bodies.push_back(json::object{{"host", node.host}, {"role", node.role}, {"container", std::move(body)}});
      }
    }
  }
  return indented_json(bodies.size() == 1 ? bodies[0] : json::value(bodies));
}

Result<std::string> render_argv(const VllmPlanInput& input) {
  std::string out;
  for (const auto& replica : replicas_of(input)) {
    auto nodes = make_node_plans(replica);
    if (!nodes) return fail(std::move(nodes.error()));
    for (const auto& node : *nodes) out += argv_text(replica, node);
  }
  return out;
}

}  // namespace

Result<std::string> render_plan(const VllmPlanInput& given, PlanFormat format) {
  VllmPlanInput input = given;
  // A key is always asked for; which one is nobody's business here.
  if (input.api_key.empty()) input.api_key = "made up at each start";
  for (const auto& name : input.settings.pass_environment) {
    if (input.environment && input.environment(name)) continue;
    input.settings.environment.emplace(name, "");  // printed by its name alone
  }
  switch (format) {
    case PlanFormat::kArgv:
      return render_argv(input);
    case PlanFormat::kDocker:
      return render_docker(input);
    case PlanFormat::kCompose:
      return render_compose(as_container(std::move(input)));
    case PlanFormat::kKubernetes:
      return render_kubernetes(as_container(std::move(input)));
  }
  return fail(ErrorCode::kInvalidArgument, "no such format", "/format");
}

}  // namespace llm::engines
