#include "engines/vllm/plan.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/strings.h"
#include "engines/vllm/plan_parts.h"
#include "models/digest.h"

namespace llm::engines {
namespace {

// "0.10.1.1" -> {0, 10, 1}; nullopt if it does not begin like that.
std::optional<std::array<std::uint32_t, 3>> numbers_of(std::string_view version) {
  std::array<std::uint32_t, 3> out{};
  for (auto& number : out) {
    std::size_t digits = 0;
    while (digits < version.size() && version[digits] >= '0' && version[digits] <= '9') ++digits;
    const auto parsed = parse_number<std::uint32_t>(version.substr(0, digits));
    if (!parsed) return std::nullopt;
    number = *parsed;
    version.remove_prefix(digits);
    if (&number == &out.back()) break;
    if (!version.starts_with('.')) return std::nullopt;
    version.remove_prefix(1);
  }
  return out;
}

json::value sorted(const json::value& in) {
  if (in.is_array()) {
    json::array out;
    for (const auto& item : in.get_array()) out.push_back(sorted(item));
    return out;
  }
  if (!in.is_object()) return in;
  std::vector<std::string_view> keys;
  for (const auto& member : in.get_object()) keys.push_back(member.key());
  std::ranges::sort(keys);
  json::object out;
  for (const auto key : keys) out.emplace(key, sorted(in.get_object().at(key)));
  return out;
}

json::array strings(const std::vector<std::string>& list) {
  json::array out;
  for (const auto& item : list) out.emplace_back(item);
  return out;
}

std::string program_of(const VllmProcessSettings& process) {
  if (!process.program.empty()) return process.program;
  if (process.python.empty()) return "vllm";
  const std::filesystem::path python(process.python);
  const bool interpreter = python.filename().string().starts_with("python");
  return (interpreter ? python.parent_path() : python / "bin") / "vllm";
}

json::object host_settings(const VllmPlanInput& input, bool several) {
  const auto& c = input.settings.container;
  json::array mounts;
  for (const auto& mount : mounts_of(input)) {
    mounts.push_back(json::object{{"Type", mount.volume() ? "volume" : "bind"},
                                  {"Source", mount.source},
                                  {"Target", mount.target},
                                  {"ReadOnly", mount.read_only}});
  }
  json::object host{{"Mounts", std::move(mounts)},
                    {"ShmSize", c.shared_memory.bytes},
                    {"RestartPolicy", {{"Name", "no"}}},
                    {"SecurityOpt", json::array{"no-new-privileges"}}};
  if (several) {
    host["NetworkMode"] = "host";  // NCCL and Ray choose ports of their own
    host["CapAdd"] = json::array{"IPC_LOCK"};
    host["Ulimits"] = json::array{json::object{{"Name", "memlock"}, {"Soft", -1}, {"Hard", -1}}};
  } else {
    const auto port = host_port(input);
    host["PortBindings"] = json::object{
        {fmt::format("{}/tcp", kVllmPort),
         json::array{json::object{{"HostIp", "127.0.0.1"}, {"HostPort", port == 0 ? "" : fmt::format("{}", port)}}}}};
  }
  if (uses_gpus(input.settings)) {
    json::array capabilities;  // any of these lists
    capabilities.push_back(json::array{"gpu"});
    json::object request{{"Driver", ""}, {"Capabilities", std::move(capabilities)}};
    if (const auto names = gpu_names(input); !names.empty()) {
      request["DeviceIDs"] = strings(names);
    } else {
      request["Count"] = gpus_each(input.settings);
    }
    host["DeviceRequests"] = json::array{std::move(request)};
    if (!c.gpu_runtime.empty()) host["Runtime"] = c.gpu_runtime;
  }
  return host;
}

json::object container_body(const VllmPlanInput& input, const std::vector<std::string>& arguments, bool several) {
  json::object body{{"Image", input.settings.container.image},
                    {"Cmd", strings(arguments)},
                    {"Labels", {{kEngineLabel, engine_name(input)}}},
                    {"StopTimeout", (input.settings.stop_timeout.ms + 999) / 1000}};
  if (!several) body["ExposedPorts"] = json::object{{fmt::format("{}/tcp", kVllmPort), json::object{}}};
  body["HostConfig"] = host_settings(input, several);
  return body;
}

std::vector<std::string> with_address(std::vector<std::string> arguments, std::string_view host, std::uint16_t port) {
  if (!host.empty()) arguments.insert(arguments.end(), {"--host", std::string(host)});
  if (port != 0) arguments.insert(arguments.end(), {"--port", fmt::format("{}", port)});
  return arguments;
}

// Of the machine with that rank. Its hash is still missing.
LaunchPlan unhashed(const VllmPlanInput& input, const VllmFeatures& features, std::uint32_t rank) {
  const VllmSettings& s = input.settings;
  const NodePlace place = place_of(s, rank);
  const bool several = place.count > 1;
  const std::string host = several ? s.multi_node.hosts[rank] : std::string();
  LaunchPlan plan;
  plan.engine = engine_name(input);
  plan.environment = environment_of(input, host);
  plan.api_key = input.api_key;
  plan.port = host_port(input);
  plan.stop_timeout = std::chrono::milliseconds(s.stop_timeout.ms);
  if (s.runtime == VllmRuntime::kProcess) {
    const auto folder = model_folder(input);
    auto arguments = serve_arguments(input, folder.empty() ? s.model : folder.string(), features, place);
    if (rank == 0) arguments = with_address(std::move(arguments), "127.0.0.1", plan.port);
    arguments.insert(arguments.begin(), {program_of(s.process), "serve"});
    plan.argv = std::move(arguments);
    if (several && s.multi_node.backend == "ray") {
      plan.environment["RAY_ADDRESS"] = fmt::format("{}:{}", place.head, s.multi_node.port);
    }
    return plan;
  }
  // The entry points of old and new images both take --model.
  plan.argv = serve_arguments(input, container_model(input), features, place);
  const bool ray = several && s.multi_node.backend == "ray";
  if (!ray) plan.argv.insert(plan.argv.begin(), "--model");
  if (rank == 0) {
    plan.argv = with_address(std::move(plan.argv), several ? "127.0.0.1" : "0.0.0.0", several ? plan.port : kVllmPort);
  }
  if (ray && rank > 0) plan.argv.clear();
  plan.container = container_body(input, plan.argv, several);
  if (ray) {
    const std::string script =
        rank == 0 ? ray_head_script(host, s.multi_node.port) : ray_worker_script(place.head, host, s.multi_node.port);
    plan.container["Entrypoint"] = json::array{"/bin/sh", "-c", script, "vllm"};
  }
  plan.image = s.container.image;
  plan.docker_host = s.container.docker_host;
  plan.registry_auth = s.container.registry_auth;
  plan.pull = s.container.pull;
  return plan;
}

// What is wanted, without what differs from start to start: a made-up key, and GPUs that nobody named.
std::string hash_of(const VllmPlanInput& input, const VllmFeatures& features) {
  VllmPlanInput wanted = input;
  wanted.gpus.clear();
  wanted.gpu_uuids.clear();
  wanted.api_key = input.settings.api_key;
  const LaunchPlan plan = unhashed(wanted, features, 0);
  json::object environment;
  for (const auto& [name, value] : plan.environment) environment[name] = models::sha256_of(value).hex();
  return canonical_hash(json::object{{"format", 1},
                                     {"engine", plan.engine},
                                     {"argv", strings(plan.argv)},
                                     {"environment", std::move(environment)},
                                     {"container", plan.container},
                                     {"port", plan.port}});
}

// What runs on another machine: of this one's GPUs it knows nothing.
VllmPlanInput seen_from_elsewhere(VllmPlanInput input) {
  input.gpus.clear();
  input.gpu_uuids.clear();
  return input;
}

LaunchPlan worker_plan(const VllmPlanInput& input, const VllmFeatures& features, std::uint32_t rank,
                       const std::string& head) {
  LaunchPlan plan = unhashed(seen_from_elsewhere(input), features, rank);
  plan.engine = fmt::format("{}@{}", plan.engine, rank);
  plan.docker_host = input.settings.multi_node.docker_hosts[rank - 1];
  plan.hash = canonical_hash(
      json::object{{"head", head}, {"rank", rank}, {"argv", strings(plan.argv)}, {"container", plan.container}});
  return plan;
}

Result<void> check_plannable(const VllmPlanInput& input, const VllmFeatures& features) {
  const VllmSettings& s = input.settings;
  if (s.runtime == VllmRuntime::kRemote) {
    return fail(
        ErrorCode::kInvalidArgument,
        fmt::format("the engine \"{}\" runs elsewhere, at {}: there is nothing to start", input.name, s.base_url),
        "/runtime");
  }
  if (s.model.starts_with("store:") && input.model_folder.empty()) {
    return fail(ErrorCode::kNotFound,
                fmt::format("the model store holds no folder for \"{}\"; pull the whole repository first", s.model),
                "/model");
  }
  if (s.multi_node.hosts.size() > 1 && s.multi_node.backend == "mp" && !features.nodes) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("vLLM {} joins machines by ray only; use backend: ray or a newer image",
                            input.known.version.empty() ? "of this installation" : input.known.version),
                "/multi_node/backend");
  }
  return {};
}

}  // namespace

VllmFeatures features_of(const VllmKnown& known) {
  VllmFeatures features;
  if (!known.options.empty()) {
    const auto knows = [&known](std::string_view name) {
      return std::ranges::find(known.options, name) != known.options.end();
    };
    return {knows("--shutdown-timeout"), knows("--swap-space"), knows("--nnodes")};
  }
  const auto version = numbers_of(known.version);
  if (!version) return features;
  // Seen: 0.10.1 has --swap-space alone; 0.32 has the two others alone.
  features.nodes = *version > std::array<std::uint32_t, 3>{0, 10, 1};
  features.shutdown_timeout = *version >= std::array<std::uint32_t, 3>{0, 32, 0};
  features.swap_space = *version < std::array<std::uint32_t, 3>{0, 32, 0};
  return features;
}

std::string version_of_image(std::string_view image) {
  image = image.substr(0, image.find('@'));
  const auto colon = image.rfind(':');
  if (colon == std::string_view::npos || image.find('/', colon) != std::string_view::npos) return {};
  std::string_view tag = image.substr(colon + 1);
  if (tag.starts_with('v')) tag.remove_prefix(1);
  if (!numbers_of(tag)) return {};
  const auto end = tag.find_first_not_of("0123456789.");
  return std::string(tag.substr(0, end));
}

std::string canonical_hash(const json::value& document) {
  return models::sha256_of(json::write(sorted(document))).hex();
}

Result<LaunchPlan> make_launch_plan(const VllmPlanInput& input) {
  const VllmFeatures features = features_of(input.known);
  if (auto checked = check_plannable(input, features); !checked) return fail(std::move(checked.error()));
  LaunchPlan plan = unhashed(input, features, 0);
  plan.hash = hash_of(input, features);
  if (!plan.container.empty()) {
    auto& labels = plan.container["Labels"].get_object();
    labels[kHashLabel] = plan.hash;
    // For the next gateway, which takes it over where it is.
    if (!input.gpus.empty()) labels[kGpusLabel] = fmt::format("{}", fmt::join(input.gpus, ","));
  }
  const auto& elsewhere = input.settings.multi_node.docker_hosts;
  for (std::uint32_t rank = 1; rank <= elsewhere.size(); ++rank) {
    plan.workers.push_back(worker_plan(input, features, rank, plan.hash));
  }
  return plan;
}

Result<std::vector<NodePlan>> make_node_plans(const VllmPlanInput& input) {
  const VllmFeatures features = features_of(input.known);
  auto head = make_launch_plan(input);
  if (!head) return fail(std::move(head.error()));
  const auto& nodes = input.settings.multi_node;
  std::vector<NodePlan> out;
  if (nodes.hosts.size() <= 1) {
    out.push_back({"", "head", {}, std::move(*head)});
    if (!out[0].plan.argv.empty()) out[0].commands.push_back(out[0].plan.argv);
    return out;
  }
  const bool process = input.settings.runtime == VllmRuntime::kProcess;
  const bool ray = nodes.backend == "ray";
  for (std::uint32_t rank = 0; rank < nodes.hosts.size(); ++rank) {
    NodePlan node{nodes.hosts[rank],
                  rank == 0 ? "head" : "worker",
                  {},
                  rank == 0 ? std::move(*head) : unhashed(seen_from_elsewhere(input), features, rank)};
    if (process && ray) {
      const std::filesystem::path program(program_of(input.settings.process));
      const std::string tool = program.has_parent_path() ? (program.parent_path() / "ray").string() : "ray";
      const std::string address = fmt::format("--node-ip-address={}", node.host);
      if (rank == 0) {
        node.commands.push_back({tool, "start", "--head", address, fmt::format("--port={}", nodes.port),
                                 "--include-dashboard=false", "--disable-usage-stats"});
      } else {
        node.commands.push_back({tool, "start", fmt::format("--address={}:{}", nodes.hosts.front(), nodes.port),
                                 address, "--disable-usage-stats", "--block"});
      }
    }
    if (!(process && ray && rank > 0)) node.commands.push_back(node.plan.argv);
    out.push_back(std::move(node));
  }
  return out;
}

}  // namespace llm::engines
