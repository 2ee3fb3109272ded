// What check_vllm() finds before anything starts.
#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <set>

#include "base/strings.h"
#include "containers/docker_client.h"
#include "engines/vllm/vllm_arguments.h"
#include "engines/vllm/vllm_settings.h"
#include "net/address.h"

namespace llm::engines {
namespace {

std::unexpected<Error> wrong(std::string message, std::string pointer) {
  return fail(ErrorCode::kInvalidArgument, std::move(message), std::move(pointer));
}

bool only(std::string_view text, std::string_view others) {
  return std::ranges::all_of(text, [others](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           others.find(c) != std::string_view::npos;
  });
}

bool has_control(std::string_view text) {
  return std::ranges::any_of(text, [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

bool is_absolute(std::string_view path) {
  return path.starts_with('/') && !path.contains("/../") && !path.ends_with("/..");
}

// OWNER/NAME or NAME, as the Hugging Face Hub allows.
bool is_repository(std::string_view text) {
  const auto parts = split(text, '/');
  return parts.size() <= 2 && std::ranges::all_of(parts, [](std::string_view part) {
           return !part.empty() && only(part, "._-") && part.front() != '.' && part.front() != '-' &&
                  !part.contains("..");
         });
}

Result<void> check_text(std::string_view text, const char* pointer) {
  if (has_control(text)) return wrong("expected a text without control characters", pointer);
  return {};
}

// A value that follows an option must not look like one itself.
Result<void> check_word(std::string_view text, const char* pointer) {
  if (text.starts_with('-')) return wrong(fmt::format("expected no \"-\" at the beginning, got \"{}\"", text), pointer);
  return check_text(text, pointer);
}

Result<void> check_model(const VllmSettings& s) {
  if (s.model.empty()) return wrong("missing required key \"model\"", "");
  std::string_view name = s.model;
  const bool stored = name.starts_with("store:");
  if (stored) name.remove_prefix(6);
  const bool good = name.starts_with('/') ? is_absolute(name) && !stored : stored ? !name.empty() : is_repository(name);
  if (!good || has_control(name)) {
    return wrong(fmt::format("expected OWNER/NAME, an absolute folder, or store:NAME, got \"{}\"", s.model), "/model");
  }
  if (!s.revision.empty() && (!is_repository(s.model) || s.model.starts_with('/'))) {
    return wrong("only a Hugging Face repository has revisions", "/revision");
  }
  return {};
}

Result<void> check_trust(const VllmSettings& s) {
  if (!s.trust_remote_code) return {};
  const std::string_view owner = std::string_view(s.model).substr(0, s.model.find('/'));
  for (const auto& allowed : s.trusted_models) {
    if (allowed == s.model || (s.model.contains('/') && allowed == fmt::format("{}/*", owner))) return {};
  }
  return wrong(fmt::format("code of \"{}\" may only run when trusted_models names it", s.model), "/trust_remote_code");
}

Result<void> check_words(const VllmSettings& s) {
  const auto words = std::to_array<std::pair<std::string_view, const char*>>({
      {s.revision, "/revision"},
      {s.served_name, "/served_name"},
      {s.dtype, "/dtype"},
      {s.quantization, "/quantization"},
      {s.kv_cache_dtype, "/kv_cache_dtype"},
      {s.tool_call_parser, "/tool_call_parser"},
      {s.reasoning_parser, "/reasoning_parser"},
      {s.chat_template, "/chat_template"},
  });
  for (const auto& [text, pointer] : words) {
    if (auto checked = check_word(text, pointer); !checked) return checked;
  }
  if (s.served_name.contains('#')) return wrong("a model's name holds no \"#\"", "/served_name");
  if (!(s.gpu_memory_utilization > 0 && s.gpu_memory_utilization <= 1)) {
    return wrong(fmt::format("expected a number above 0 and at most 1, got {}", s.gpu_memory_utilization),
                 "/gpu_memory_utilization");
  }
  if (s.max_model_len != 0 && s.max_num_batched_tokens != 0 && s.chunked_prefill == Toggle::kOff &&
      s.max_num_batched_tokens < s.max_model_len) {
    return wrong(fmt::format("without chunked prefill a step must hold a whole prompt: expected at least max_model_len "
                             "({}), got {}",
                             s.max_model_len, s.max_num_batched_tokens),
                 "/max_num_batched_tokens");
  }
  return {};
}

Result<void> check_docker_hosts(const VllmSettings& s) {
  const auto& nodes = s.multi_node;
  if (nodes.docker_hosts.empty()) return {};
  constexpr std::string_view kPointer = "/multi_node/docker_hosts";
  if (s.runtime != VllmRuntime::kContainer) {
    return wrong("the workers are containers: it needs runtime: container", std::string(kPointer));
  }
  const std::size_t workers = nodes.hosts.empty() ? 0 : nodes.hosts.size() - 1;
  if (nodes.docker_hosts.size() != workers) {
    return wrong(
        fmt::format("expected one for each of hosts but the first: {}, got {}", workers, nodes.docker_hosts.size()),
        std::string(kPointer));
  }
  for (std::size_t i = 0; i < nodes.docker_hosts.size(); ++i) {
    const auto daemon = containers::parse_docker_host(nodes.docker_hosts[i]);
    if (!daemon) return wrong(daemon.error().message, fmt::format("{}/{}", kPointer, i));
  }
  return {};
}

Result<void> check_nodes(const VllmSettings& s) {
  const auto& nodes = s.multi_node;
  if (nodes.backend != "ray" && nodes.backend != "mp") {
    return wrong(fmt::format("expected ray or mp, got \"{}\"", nodes.backend), "/multi_node/backend");
  }
  std::set<std::string_view> seen;
  for (std::size_t i = 0; i < nodes.hosts.size(); ++i) {
    const std::string& host = nodes.hosts[i];
    const std::string pointer = fmt::format("/multi_node/hosts/{}", i);
    if (!only(host, ".-:_") || host.starts_with('-')) {
      return wrong(fmt::format("expected a host name or an address, got \"{}\"", host), pointer);
    }
    if (!seen.insert(host).second) return wrong(fmt::format("{} is there twice", host), pointer);
    if (nodes.hosts.size() > 1 && net::is_loopback(host)) {
      return wrong("other machines cannot reach a loopback address", pointer);
    }
  }
  if (auto checked = check_docker_hosts(s); !checked) return checked;
  if (nodes.hosts.size() > 1 && s.runtime == VllmRuntime::kContainer && s.port == 0) {
    return wrong("containers of several machines share the host's network: choose the port", "/port");
  }
  if (nodes.hosts.size() > 1 && s.replicas > 1) {
    return wrong("several machines serve one replica; make an entry for each group of machines", "/replicas");
  }
  if (nodes.hosts.size() > 1 && s.data_parallel_size > 1) {
    return wrong(
        "over several machines use tensor_parallel_size and pipeline_parallel_size, and an entry for each copy",
        "/data_parallel_size");
  }
  return {};
}

Result<void> check_gpus(const VllmSettings& s) {
  const std::uint64_t all = std::uint64_t{s.tensor_parallel_size} * s.pipeline_parallel_size * s.data_parallel_size;
  const std::uint64_t nodes = std::max<std::size_t>(1, s.multi_node.hosts.size());
  if (all % nodes != 0) {
    return wrong(fmt::format("{} GPUs cannot be shared out evenly over {} machines", all, nodes), "/multi_node/hosts");
  }
  const std::uint64_t need = all / nodes;
  const std::string sizes = nodes == 1 ? "tensor x pipeline x data parallel" : "the parallel sizes on each machine";
  if (s.gpu_count != 0 && s.gpu_count != need) {
    return wrong(fmt::format("{} needs {} GPUs, got {}", sizes, need, s.gpu_count), "/gpu_count");
  }
  const bool asks = s.runtime != VllmRuntime::kContainer || s.container.gpus;
  if (!asks && s.gpu_count != 0) return wrong("container.gpus is false", "/gpu_count");
  if (s.gpus.empty()) return {};
  if (!asks) return wrong("container.gpus is false", "/gpus");
  std::set<std::string_view> seen;
  for (std::size_t i = 0; i < s.gpus.size(); ++i) {
    const std::string pointer = fmt::format("/gpus/{}", i);
    const std::string& gpu = s.gpus[i];
    const bool uuid = gpu.starts_with("GPU-") || gpu.starts_with("MIG-");
    if (!(uuid && only(gpu, "-/")) && !parse_number<std::uint32_t>(gpu)) {
      return wrong(fmt::format("expected an index such as \"0\" or a UUID such as \"GPU-…\", got \"{}\"", gpu),
                   pointer);
    }
    if (!seen.insert(gpu).second) return wrong(fmt::format("GPU {} is there twice", gpu), pointer);
  }
  if (s.gpus.size() != need * s.replicas) {
    return wrong(fmt::format("{} needs {} GPUs{}, got {}", sizes, need * s.replicas,
                             s.replicas > 1 ? fmt::format(" for {} replicas", s.replicas) : "", s.gpus.size()),
                 "/gpus");
  }
  return {};
}

Result<void> check_adapters(const VllmSettings& s) {
  constexpr auto kRanks = std::to_array<std::uint32_t>({0, 1, 8, 16, 32, 64, 128, 256, 320, 512});
  if (std::ranges::find(kRanks, s.max_lora_rank) == kRanks.end()) {
    return wrong(fmt::format("expected one of 8, 16, 32, 64, 128, 256, 320, 512, got {}", s.max_lora_rank),
                 "/max_lora_rank");
  }
  std::set<std::string_view> seen;
  for (std::size_t i = 0; i < s.lora_modules.size(); ++i) {
    const auto& [name, path] = s.lora_modules[i];
    const std::string at = fmt::format("/lora_modules/{}", i);
    if (!only(name, "._-") || name.starts_with('-')) {
      return wrong(fmt::format("expected a name of letters, digits, \".\", \"_\" and \"-\", got \"{}\"", name),
                   at + "/name");
    }
    if (!seen.insert(name).second || name == s.served_name) {
      return wrong(fmt::format("the name \"{}\" is taken", name), at + "/name");
    }
    if (!is_absolute(path) && !is_repository(path)) {
      return wrong(fmt::format("expected an absolute folder or OWNER/NAME, got \"{}\"", path), at + "/path");
    }
    // "name=path" is the one spelling that every version reads; it knows no quoting.
    if (path.find_first_of("=,") != std::string::npos || has_control(path)) {
      return wrong("the path of an adapter holds no \"=\", no \",\" and no control characters", at + "/path");
    }
  }
  return {};
}

Result<void> check_environment(const VllmSettings& s) {
  const auto placed = [](Result<void> checked, std::string at) -> Result<void> {
    if (checked) return checked;
    return wrong(std::move(checked.error().message), std::move(at));
  };
  for (const auto& [name, text] : s.environment) {
    const std::string at = json::pointer_join("/environment", name);
    if (auto checked = placed(check_vllm_variable(name), at); !checked) return checked;
    if (text.contains('\0')) return wrong("the value of a variable holds no NUL", at);
  }
  for (std::size_t i = 0; i < s.pass_environment.size(); ++i) {
    const std::string at = fmt::format("/pass_environment/{}", i);
    if (auto checked = placed(check_vllm_variable(s.pass_environment[i]), at); !checked) return checked;
    if (s.environment.contains(s.pass_environment[i])) {
      return wrong(fmt::format("{} is under environment too; keep one of them", s.pass_environment[i]), at);
    }
  }
  return {};
}

// Names of volumes, as Docker allows them, or absolute host paths.
Result<void> check_volume(std::string_view text, const char* pointer) {
  if (text.empty() || (is_absolute(text) && text != "/" && !text.contains(':') && !has_control(text))) return {};
  if (!text.starts_with('/') && only(text, "_.-") && only(text.substr(0, 1), "") && text.size() > 1) return {};
  return wrong(fmt::format("expected an absolute folder or the name of a volume, got \"{}\"", text), pointer);
}

Result<void> check_mount(std::string_view mount, const std::string& socket, std::set<std::string_view>& targets,
                         const std::string& pointer) {
  const auto parts = split(mount, ':');
  const bool shaped = (parts.size() == 2 || (parts.size() == 3 && (parts[2] == "ro" || parts[2] == "rw"))) &&
                      is_absolute(parts[0]) && is_absolute(parts[1]) && !has_control(mount);
  if (!shaped) {
    return wrong(fmt::format("expected /host/path:/container/path[:ro|:rw], got \"{}\"", mount), pointer);
  }
  const bool whole = parts[0] == "/" || parts[0] == "/proc" || parts[0] == "/sys" || parts[0] == "/dev";
  if (whole || parts[0] == socket) {
    return wrong(fmt::format("{} would give the container this machine", parts[0]), pointer);
  }
  if (parts[1] == "/") return wrong("nothing can be mounted over the container's root", pointer);
  if (!targets.insert(parts[1]).second) return wrong(fmt::format("{} is mounted twice", parts[1]), pointer);
  return {};
}

Result<void> check_container(const VllmContainerSettings& c) {
  const bool image = !c.image.empty() && only(c.image, "._-/:@") && only(c.image.substr(0, 1), "") &&
                     !c.image.contains("//") && !c.image.contains("..");
  if (!image) {
    return wrong(fmt::format("expected an image such as vllm/vllm-openai:0.10.1, got \"{}\"", c.image),
                 "/container/image");
  }
  if (!c.docker_host.starts_with("unix:/")) {
    return wrong(fmt::format("expected unix:/PATH, got \"{}\"", c.docker_host), "/container/docker_host");
  }
  if (!c.registry_auth.empty() && !c.registry_auth.contains(':')) {
    return wrong("expected USER:PASSWORD", "/container/registry_auth");
  }
  if (!only(c.gpu_runtime, "_.-")) {
    return wrong(fmt::format("expected the name of a runtime, got \"{}\"", c.gpu_runtime), "/container/gpu_runtime");
  }
  if (auto checked = check_volume(c.model_cache, "/container/model_cache"); !checked) return checked;
  if (auto checked = check_volume(c.compile_cache, "/container/compile_cache"); !checked) return checked;
  std::set<std::string_view> targets;
  const std::string socket = c.docker_host.substr(5);
  for (std::size_t i = 0; i < c.mounts.size(); ++i) {
    auto checked = check_mount(c.mounts[i], socket, targets, fmt::format("/container/mounts/{}", i));
    if (!checked) return checked;
  }
  return {};
}

Result<void> check_process(const VllmProcessSettings& p) {
  if (!p.python.empty() && !is_absolute(p.python)) {
    return wrong(fmt::format("expected an absolute path, got \"{}\"", p.python), "/process/python");
  }
  if (!p.program.empty() && !is_absolute(p.program)) {
    return wrong(fmt::format("expected an absolute path, got \"{}\"", p.program), "/process/program");
  }
  return {};
}

Result<void> check_life(const VllmSettings& s) {
  if (s.sleep_mode && s.runtime == VllmRuntime::kRemote) {
    return wrong("somebody else starts a remote engine: whether it can sleep is found out by asking", "/sleep_mode");
  }
  if (s.idle_action != IdleAction::kStop && !s.sleep_mode) {
    return wrong("sleeping needs sleep_mode: true", "/idle_action");
  }
  if (s.keep_running && s.runtime != VllmRuntime::kContainer) {
    return wrong("only containers can be left running", "/keep_running");
  }
  if (s.port != 0 && std::uint32_t{s.port} + s.replicas - 1 > 65'535) {
    return wrong(fmt::format("there are not {} ports from {} on", s.replicas, s.port), "/port");
  }
  if (s.api_key.find_first_of("\r\n\0 ", 0, 4) != std::string::npos) {
    return wrong("a key holds no spaces and no line breaks", "/api_key");
  }
  return {};
}

Result<void> check_remote(const VllmSettings& s) {
  if (s.base_url.empty()) return wrong("missing required key \"base_url\"", "");
  const bool http = s.base_url.starts_with("http://") || s.base_url.starts_with("https://");
  if (!http && !s.base_url.starts_with("unix:/")) {
    return wrong(fmt::format("expected a URL such as http://127.0.0.1:8000/v1, got \"{}\"", s.base_url), "/base_url");
  }
  if (auto endpoint = net::parse_endpoint(s.base_url); !endpoint) {
    return wrong(endpoint.error().message, "/base_url");
  }
  if (s.replicas > 1) return wrong("a remote engine is one; make an entry for each", "/replicas");
  if (s.autostart) return wrong("somebody else starts a remote engine", "/autostart");
  return {};
}

}  // namespace

Result<void> check_vllm(const VllmSettings& settings) {
  const bool remote = settings.runtime == VllmRuntime::kRemote;
  if (!remote && !settings.base_url.empty()) {
    return wrong("an address belongs to runtime: remote; what the gateway starts itself listens where it says",
                 "/base_url");
  }
  for (auto* check : {&check_words, &check_life, remote ? &check_remote : &check_model}) {
    if (auto checked = check(settings); !checked) return checked;
  }
  if (remote) return {};
  for (auto* check : {&check_trust, &check_nodes, &check_gpus, &check_adapters, &check_environment}) {
    if (auto checked = check(settings); !checked) return checked;
  }
  if (auto checked = check_vllm_args(settings.extra_args); !checked) return checked;
  if (settings.runtime == VllmRuntime::kProcess) return check_process(settings.process);
  return check_container(settings.container);
}

}  // namespace llm::engines
