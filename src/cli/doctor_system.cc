// Checks of what the machine offers: engine, memory, processors, GPUs, the port.
#include <fmt/format.h>
#include <fstream>
#include <unistd.h>

#include "base/strings.h"
#include "cli/doctor.h"
#include "engines/cpu_budget.h"
#include "engines/memory_ledger.h"
#include "net/address.h"

namespace llm::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kGetEngine =
    "build it with scripts/build-llama, or set engines.llama_server to a llama-server of llama.cpp";
constexpr std::uint64_t kLittleMemory = 1ULL << 30;  // a model of 135 million parameters takes 300 MiB
constexpr std::uint64_t kTooLittleMemory = 256ULL << 20;

// The line "version: 0.5.0-dev (build 1, …)" of `llama-server --version`.
std::string version_line(const std::string& output) {
  for (const std::string_view line : split(output, '\n')) {
    if (line.starts_with("version: ")) return std::string(trim(line.substr(9)));
  }
  return {};
}

Settings settings_of(const DoctorSubject& subject) {
  return subject.config ? subject.config->settings : Settings{};
}

// The port that the running gateway says it has; 0: none.
std::uint16_t announced_port(const DoctorSubject& subject) {
  std::ifstream in(subject.installation.state_file);
  const std::string text(std::istreambuf_iterator<char>(in), {});
  const auto state = json::parse(text);
  if (!state || !state->is_object()) return 0;
  const auto port = json::int_or(state->get_object(), "port");
  return port > 0 && port <= 65'535 ? static_cast<std::uint16_t>(port) : std::uint16_t{0};
}

std::vector<std::string> nvidia_cards(const fs::path& root) {
  std::vector<std::string> cards;
  std::error_code error;
  for (const auto& card : fs::directory_iterator(root / "proc/driver/nvidia/gpus", error)) {
    std::ifstream information(card.path() / "information");
    std::string line;
    std::string name = card.path().filename();
    while (std::getline(information, line)) {
      if (line.starts_with("Model:")) name = trim(std::string_view(line).substr(6));
    }
    cards.push_back(std::move(name));
  }
  return cards;
}

}  // namespace

std::vector<Finding> check_engine(const DoctorSubject& subject) {
  const fs::path engine = find_engine(subject.program_dir, settings_of(subject));
  if (engine.empty()) {
    return {{Verdict::kFail, "engine",
             fmt::format("no llama-server beside {}", (subject.program_dir / "llm-mcp").string()),
             std::string(kGetEngine)}};
  }
  const auto output = subject.run_program({engine.string(), "--version"});
  if (!output) {
    return {{Verdict::kFail, "engine", fmt::format("{} does not run: {}", engine.string(), output.error().message),
             std::string(kGetEngine)}};
  }
  const std::string version = version_line(*output);
  if (version.empty()) {
    return {{Verdict::kWarn, "engine", fmt::format("{} does not say its version", engine.string()),
             fmt::format("llama-server {} is what this program was tested with", kEngineRelease)}};
  }
  if (!version.contains(kEngineRelease.substr(1))) {
    return {{Verdict::kWarn, "engine",
             fmt::format("{} has version {}, tested is {}", engine.string(), version, kEngineRelease),
             "if loading fails, use the pinned version (scripts/build-llama)"}};
  }
  return {{Verdict::kOk, "engine", fmt::format("{}, {}", engine.string(), version), {}}};
}

Finding check_memory(const DoctorSubject& subject) {
  const auto memory = engines::read_system_memory();
  const std::uint64_t limit = settings_of(subject).engines.memory_limit.bytes;
  std::string message = fmt::format("{} of {} free", format_bytes(memory.available), format_bytes(memory.total));
  if (limit > 0) message += fmt::format("; engines may use {} (engines.memory_limit)", format_bytes(limit));
  if (limit > memory.total) {
    return {Verdict::kWarn, "memory", message, "engines.memory_limit is more than the machine has; lower it"};
  }
  if (memory.available < kTooLittleMemory) {
    return {Verdict::kFail, "memory", message, "no model fits; end other programs or raise the container's limit"};
  }
  if (memory.available < kLittleMemory) {
    return {Verdict::kWarn, "memory", message, "only the smallest models fit; end other programs"};
  }
  return {Verdict::kOk, "memory", message, {}};
}

Finding check_processors(const DoctorSubject& subject) {
  const auto facts = engines::read_cpu_facts(subject.root);
  const auto budget = engines::cpu_budget(facts);
  std::string message = fmt::format("{} of {} cores usable; threads for an engine now: {} ({})", facts.usable_cores,
                                    facts.online_cores, budget.threads, budget.reason);
  if (facts.quota_cores) message += fmt::format("; the control group allows {:.2g} cores", *facts.quota_cores);
  if (facts.quota_cores && *facts.quota_cores < 1) {
    return {Verdict::kWarn, "processors", message,
            "answers will be slow; raise the container's CPU limit to 1 or more"};
  }
  return {Verdict::kOk, "processors", message, {}};
}

Finding check_gpu(const DoctorSubject& subject) {
  std::error_code error;
  const auto cards = nvidia_cards(subject.root);
  const bool device = fs::exists(subject.root / "dev/nvidia0", error);
  if (cards.empty() && !device) {
    if (fs::exists(subject.root / "dev/kfd", error)) {
      return {Verdict::kInfo, "gpu", "an AMD GPU; the embedded engine does not use it",
              "run an engine that does and name it under engines.external"};
    }
    return {Verdict::kInfo, "gpu", "none; models run on the processors", {}};
  }
  const auto listed = subject.run_program({"nvidia-smi", "-L"});
  if (!listed && listed.error().code != ErrorCode::kNotFound) {
    return {Verdict::kWarn, "gpu", fmt::format("the NVIDIA driver does not answer: {}", listed.error().message),
            "check the driver's installation; until then models run on the processors"};
  }
  std::string names = fmt::format("{}", fmt::join(cards, ", "));
  if (names.empty() && listed) names = trim(*listed);
  return {Verdict::kOk, "gpu", names.empty() ? "NVIDIA" : names, {}};
}

Finding check_port(const DoctorSubject& subject) {
  const ServerSettings server = settings_of(subject).server;
  if (server.port == 0) return {Verdict::kOk, "port", "any free one is taken (server.port is 0)", {}};
  const std::string address = fmt::format("{}:{}", server.host, server.port);
  if (announced_port(subject) == server.port && subject.gateway_status()) {
    return {Verdict::kOk, "port", fmt::format("{} is served by the gateway that runs", address), {}};
  }
  const auto fd = net::listen_tcp(server.host, server.port);
  if (!fd) {
    return {Verdict::kWarn, "port", fd.error().message,
            "end that program, or set server.port; a gateway in the background does without the port"};
  }
  ::close(*fd);
  return {Verdict::kOk, "port", fmt::format("{} is free", address), {}};
}

}  // namespace llm::cli
