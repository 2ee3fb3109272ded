#include "containers/docker_documents.h"

#include <array>
#include <fmt/format.h>

#include "base/strings.h"

namespace llm::containers {
namespace {

// The API we are written against. Daemons that no longer speak it are spoken to in the oldest one they have.
constexpr std::array<int, 2> kOurApi{1, 41};

const json::object& object_of(const json::value& document) {
  static const json::object kNone;
  return document.is_object() ? document.get_object() : kNone;
}

const json::object& child(const json::object& parent, std::string_view name) {
  const auto* found = json::find(parent, name);
  static const json::value kNothing;
  return object_of(found ? *found : kNothing);
}

std::map<std::string, std::string> strings_of(const json::object& object) {
  std::map<std::string, std::string> out;
  for (const auto& member : object) {
    if (member.value().is_string()) out.emplace(member.key(), member.value().get_string().c_str());
  }
  return out;
}

std::uint64_t bytes_of(const json::object& object, std::string_view name) {
  const double value = json::number_or(object, name);
  return value > 0 && value < 9e18 ? static_cast<std::uint64_t>(value) : 0;
}

std::array<int, 2> api_of(std::string_view text) {
  const auto dot = text.find('.');
  if (dot == std::string_view::npos) return {0, 0};
  const auto major = parse_number<int>(text.substr(0, dot));
  const auto minor = parse_number<int>(text.substr(dot + 1));
  return major && minor ? std::array{*major, *minor} : std::array{0, 0};
}

std::string without_slash(std::string_view name) {
  return std::string(name.starts_with('/') ? name.substr(1) : name);
}

// The port on the host that a port of the container is published on; of several the first.
std::uint16_t host_port(const json::value& bindings) {
  if (!bindings.is_array()) return 0;
  for (const auto& one : bindings.get_array()) {
    const auto number = parse_number<std::uint16_t>(json::string_or(object_of(one), "HostPort"));
    if (number && *number > 0) return *number;
  }
  return 0;
}

}  // namespace

DaemonVersion read_version(const json::value& document) {
  const auto& object = object_of(document);
  DaemonVersion out;
  out.version = json::string_or(object, "Version");
  const auto newest = api_of(json::string_or(object, "ApiVersion"));
  const auto oldest = api_of(json::string_or(object, "MinAPIVersion"));
  auto chosen = newest == std::array{0, 0} ? kOurApi : std::min(newest, kOurApi);
  chosen = std::max(chosen, oldest);
  out.api = fmt::format("{}.{}", chosen[0], chosen[1]);
  if (const auto* components = json::find(object, "Components"); components && components->is_array()) {
    for (const auto& one : components->get_array()) {
      if (json::string_or(object_of(one), "Name").starts_with("Podman")) out.podman = true;
    }
  }
  return out;
}

DaemonInfo read_info(const json::value& document) {
  const auto& object = object_of(document);
  DaemonInfo out;
  for (const auto& member : child(object, "Runtimes")) out.runtimes.emplace_back(member.key());
  out.operating_system = json::string_or(object, "OperatingSystem");
  out.memory = bytes_of(object, "MemTotal");
  return out;
}

ContainerDetails read_details(const json::value& document) {
  const auto& object = object_of(document);
  const auto& state = child(object, "State");
  const auto& config = child(object, "Config");
  ContainerDetails out;
  out.id = json::string_or(object, "Id");
  out.name = without_slash(json::string_or(object, "Name"));
  out.image = json::string_or(config, "Image");
  out.running = json::bool_or(state, "Running");
  out.out_of_memory = json::bool_or(state, "OOMKilled");
  out.exit_code = static_cast<int>(json::int_or(state, "ExitCode"));
  out.pid = static_cast<int>(json::int_or(state, "Pid"));
  out.failure = json::string_or(state, "Error");
  out.terminal = json::bool_or(config, "Tty");
  out.labels = strings_of(child(config, "Labels"));
  for (const auto& port : child(child(object, "NetworkSettings"), "Ports")) {
    if (const auto number = host_port(port.value()); number > 0) out.ports.emplace(port.key(), number);
  }
  return out;
}

std::vector<ContainerSummary> read_list(const json::value& document) {
  std::vector<ContainerSummary> out;
  if (!document.is_array()) return out;
  for (const auto& one : document.get_array()) {
    const auto& object = object_of(one);
    ContainerSummary summary;
    summary.id = json::string_or(object, "Id");
    if (summary.id.empty()) continue;
    summary.state = json::string_or(object, "State");
    summary.labels = strings_of(child(object, "Labels"));
    const auto* names = json::find(object, "Names");
    if (names && names->is_array() && !names->get_array().empty() && names->get_array()[0].is_string()) {
      summary.name = without_slash(std::string_view(names->get_array()[0].get_string()));
    }
    out.push_back(std::move(summary));
  }
  return out;
}

std::uint64_t read_memory(const json::value& document) {
  const auto& memory = child(object_of(document), "memory_stats");
  const auto& stats = child(memory, "stats");
  const std::uint64_t usage = bytes_of(memory, "usage");
  // cgroup version 1 and 2 name them differently.
  const std::uint64_t pages =
      stats.contains("total_inactive_file") ? bytes_of(stats, "total_inactive_file") : bytes_of(stats, "inactive_file");
  return usage > pages ? usage - pages : usage;
}

}  // namespace llm::containers
