#include "engines/llama_server.h"

#include <cstdlib>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <fstream>
#include <sstream>
#include <unistd.h>

#include "async/event.h"
#include "base/random.h"
#include "engines/llama_log.h"
#include "engines/oom_kills.h"
#include "json/json.h"

namespace llm::engines {
namespace {

constexpr std::uint64_t kDefaultContext = 8192;
constexpr std::chrono::milliseconds kReapPatience{1'000};

// llama-server gives every connection a thread, and starts one too few when several come at once: the last of them then
// waits until an earlier one ends, be it the health check. So its fixed threads are enough for all that the gateway
// ever opens: the requests it hands over, and probes, scrapes and people beside them.
constexpr std::uint32_t kSpareHttpThreads = 8;

// As many again as are at work wait inside the engine, so that a slot that becomes free never waits for the gateway.
std::uint32_t capacity_of(std::uint32_t slots) {
  return 2 * slots + 2;
}

std::string_view flash_text(FlashAttention flash) {
  switch (flash) {
    case FlashAttention::kAuto:
      return "auto";
    case FlashAttention::kOn:
      return "on";
    case FlashAttention::kOff:
      return "off";
  }
  return "auto";
}

// The child gets what it needs and nothing of ours: no LLAMA_ARG_* settings, no tokens.
std::vector<std::pair<std::string, std::string>> child_environment(const std::vector<std::uint32_t>& gpus) {
  std::vector<std::pair<std::string, std::string>> environment{{"LC_ALL", "C"}};
  for (const char* name : {"PATH", "HOME", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES",
                           "GGML_VK_VISIBLE_DEVICES", "TMPDIR"}) {
    if (const char* value = std::getenv(name)) environment.emplace_back(name, value);
  }
  if (gpus.empty()) return environment;
  std::erase_if(environment, [](const auto& entry) { return entry.first == "CUDA_VISIBLE_DEVICES"; });
  environment.emplace_back("CUDA_DEVICE_ORDER", "PCI_BUS_ID");  // the order of NVML's indexes
  environment.emplace_back("CUDA_VISIBLE_DEVICES", fmt::format("{}", fmt::join(gpus, ",")));
  return environment;
}

class LlamaServer final : public Driver {
 public:
  LlamaServer(Loop& control, net::HttpClient& client, LlamaServerSettings settings, EngineSpec spec)
      : control_(control),
        client_(client),
        settings_(std::move(settings)),
        spec_(std::move(spec)),
        ended_(control.executor()) {}

  ~LlamaServer() override {
    child_.reset();
    remove_socket();
  }

  Task<Result<EngineInfo>> start(OnProgress on_progress, OnExit on_exit, CancelToken cancel) override {
    on_progress_ = std::move(on_progress);
    on_exit_ = std::move(on_exit);
    // A path of a Unix socket has at most 108 bytes, so the name is short; the folder is private, so it may be guessed.
    socket_ = settings_.socket_dir / (unique_id().substr(16) + ".sock");
    oom_before_ = oom_kills();
    const CpuBudget budget = cpu_budget(read_cpu_facts(), spec_.own_load);
    threads_ = spec_.settings.threads > 0 ? spec_.settings.threads : static_cast<std::uint32_t>(budget.threads);
    auto args = llama_server_args(settings_, spec_, budget, socket_.string());
    if (!args) co_return fail(args.error());
    auto child = ChildProcess::start(
        control_.executor(), ChildSpec{std::move(*args), child_environment(spec_.gpus), "/", true},
        [this](std::string_view line) { on_line(line); }, [this](ExitStatus status) { on_end(status); });
    if (!child) {
      // Not its own code: a missing program is no missing model to whoever asked for a completion.
      co_return fail(ErrorCode::kEngineFailed,
                     fmt::format("the engine of model \"{}\" cannot be started: {}. The setting engines.llama_server "
                                 "names the program; llm-mcp doctor checks it",
                                 spec_.key, child.error().message));
    }
    child_ = std::move(*child);
    Result<EngineInfo> ready = co_await wait_until_ready(cancel);
    on_progress_ = nullptr;  // the log says "model loaded" later than the engine serves
    if (ready && exit_) ready = fail(explain());
    if (!ready) {
      co_await stop();
      co_return ready;
    }
    serving_ = true;
    co_return ready;
  }

  Task<void> stop() override {
    serving_ = false;
    on_progress_ = nullptr;
    if (child_ && !exit_) {
      child_->terminate();
      Deadline last([this] {
        if (child_) child_->kill();
      });
      control_.wheel().arm(last, settings_.stop_timeout);
      while (!exit_) co_await ended_.wait();
    }
    child_.reset();
    client_.forget(endpoint());
    remove_socket();
  }

  std::uint64_t memory_bytes() const override {
    if (!child_ || exit_) return 0;
    std::ifstream status(fmt::format("/proc/{}/status", child_->pid()));
    std::string line;
    while (std::getline(status, line)) {
      if (!line.starts_with("VmRSS:")) continue;
      std::istringstream fields(line.substr(6));
      std::uint64_t kib = 0;
      fields >> kib;
      return kib * 1024;
    }
    return 0;
  }

  std::vector<std::string> last_log_lines() const override { return log_.last_lines(); }

 private:
  net::Endpoint endpoint() const {
    net::Endpoint endpoint;
    endpoint.unix_path = socket_.string();
    return endpoint;
  }

  void remove_socket() {
    std::error_code ignored;
    if (!socket_.empty()) std::filesystem::remove(socket_, ignored);
  }

  void on_line(std::string_view line) {
    const double before = log_.progress().fraction;
    log_.add(line);
    if (on_progress_ && log_.progress().fraction > before) on_progress_(log_.progress());
  }

  void on_end(ExitStatus status) {
    exit_ = status;
    ended_.notify();
    if (std::exchange(serving_, false) && on_exit_) on_exit_(explain());
  }

  Error explain() const { return log_.explain(spec_.key, exit_, oom_kills() > oom_before_); }

  // The better reason for what a request to the engine saw: a connection breaks a moment before the child is reaped.
  Task<Error> cause(Error seen) {
    const bool broken = seen.code == ErrorCode::kEngineFailed || seen.code == ErrorCode::kUnavailable;
    bool waiting = broken && !exit_;
    Deadline patience([&] {
      waiting = false;
      ended_.notify();
    });
    if (waiting) control_.wheel().arm(patience, kReapPatience);
    while (waiting && !exit_) co_await ended_.wait();
    co_return exit_ ? explain() : seen;
  }

  // Health first, then the engine's own description, then one real request: only that proves that it can serve.
  Task<Result<EngineInfo>> wait_until_ready(CancelToken cancel) {
    bool late = false;
    Deadline deadline([&] { late = true; });
    control_.wheel().arm(deadline, settings_.start_timeout);
    auto pause = std::chrono::milliseconds(5);
    while (true) {
      if (cancel.cancelled()) co_return fail(ErrorCode::kCancelled, "the load was cancelled");
      if (exit_) co_return fail(explain());
      if (late) {
        co_return fail(ErrorCode::kEngineTimeout,
                       fmt::format("the engine of model \"{}\" was not ready after {} s (last phase: {}); raise "
                                   "engines.start_timeout if the model is large",
                                   spec_.key, settings_.start_timeout.count() / 1000, log_.progress().phase));
      }
      if (auto health = co_await get("/health", cancel); health) break;
      co_await sleep_for(pause);
      pause = std::min(pause * 2, std::chrono::milliseconds(100));
    }
    auto props = co_await get("/props", cancel);
    if (!props) co_return fail(co_await cause(props.error()));
    EngineInfo info = describe(*props);
    if (auto probed = co_await probe(info, cancel); !probed) co_return fail(co_await cause(probed.error()));
    co_return info;
  }

  EngineInfo describe(const json::object& props) const {
    EngineInfo info;
    info.endpoint = endpoint();
    info.upstream_model = spec_.model;
    info.mode = effective_mode(spec_.settings, spec_.facts);
    info.is_llama_server = true;
    info.slots = static_cast<std::uint32_t>(json::int_or(props, "total_slots"));
    info.capacity = capacity_of(info.slots);
    if (const auto* defaults = json::find(props, "default_generation_settings"); defaults && defaults->is_object()) {
      info.context = static_cast<std::uint32_t>(json::int_or(defaults->get_object(), "n_ctx"));
    }
    if (const auto* caps = json::find(props, "chat_template_caps"); caps && caps->is_object()) {
      info.supports_tools = json::bool_or(caps->get_object(), "supports_tools");
    }
    if (const auto* modalities = json::find(props, "modalities"); modalities && modalities->is_object()) {
      info.supports_images = json::bool_or(modalities->get_object(), "vision");
    }
    info.threads = threads_;
    info.pid = child_ ? static_cast<int>(child_->pid()) : 0;
    return info;
  }

  Task<Result<void>> probe(EngineInfo info, CancelToken cancel) {
    std::string_view target = "/v1/completions";
    std::string_view body = R"({"prompt":"a","max_tokens":1,"cache_prompt":false})";
    if (info.mode == EngineMode::kEmbedding) {
      target = "/v1/embeddings";
      body = R"({"input":"a"})";
    } else if (info.mode == EngineMode::kRerank) {
      target = "/v1/rerank";
      body = R"({"query":"a","documents":["a"]})";
    }
    net::ClientRequest request{.method = "POST", .target = target, .content_type = "application/json", .body = body};
    request.head_timeout = request.stall_timeout = settings_.start_timeout;
    auto response = co_await client_.send(info.endpoint, request, cancel);
    if (!response) co_return fail(response.error());
    auto text = co_await response->read_all();
    if (!text) co_return fail(text.error());
    if (response->status() == 200) co_return Result<void>();
    co_return fail(ErrorCode::kEngineFailed,
                   fmt::format("the engine of model \"{}\" answered its first request with status {}: {}", spec_.key,
                               response->status(), text->substr(0, 300)));
  }

  Task<Result<json::object>> get(std::string_view target, CancelToken cancel) {
    net::ClientRequest request{.target = target};
    request.head_timeout = request.stall_timeout = settings_.probe_timeout;
    auto response = co_await client_.send(endpoint(), request, cancel);
    if (!response) co_return fail(response.error());
    auto text = co_await response->read_all();
    if (!text) co_return fail(text.error());
    if (response->status() != 200) co_return fail(ErrorCode::kUnavailable, "the engine is not ready");
    auto document = json::parse(*text);
    if (!document || !document->is_object())
      co_return fail(ErrorCode::kEngineFailed, "the engine's answer is not JSON");
    co_return std::move(document->get_object());
  }

  Loop& control_;
  net::HttpClient& client_;
  LlamaServerSettings settings_;
  EngineSpec spec_;
  std::filesystem::path socket_;
  LlamaLog log_;
  OnProgress on_progress_;
  OnExit on_exit_;
  std::unique_ptr<ChildProcess> child_;
  std::optional<ExitStatus> exit_;
  Event ended_;
  bool serving_ = false;
  std::uint32_t threads_ = 0;
  std::uint64_t oom_before_ = 0;
};

}  // namespace

std::uint32_t wanted_context(const ModelSettings& settings, const models::GgufFacts& facts) {
  if (settings.context > 0) return settings.context;
  const std::uint64_t own = facts.context_length > 0 ? facts.context_length : kDefaultContext;
  return static_cast<std::uint32_t>(std::min(own, kDefaultContext));
}

EngineMode effective_mode(const ModelSettings& settings, const models::GgufFacts& facts) {
  if (settings.mode != EngineMode::kAuto) return settings.mode;
  switch (facts.mode) {
    case models::ModelMode::kGeneration:
      return EngineMode::kGeneration;
    case models::ModelMode::kEmbedding:
      return EngineMode::kEmbedding;
    case models::ModelMode::kRerank:
      return EngineMode::kRerank;
  }
  return EngineMode::kGeneration;
}

Result<std::vector<std::string>> llama_server_args(const LlamaServerSettings& settings, const EngineSpec& spec,
                                                   const CpuBudget& budget, const std::string& socket) {
  const ModelSettings& model = spec.settings;
  if (auto checked = check_extra_args(model.extra_args); !checked) return fail(checked.error());
  const std::uint32_t context = wanted_context(model, spec.facts);
  const EngineMode mode = effective_mode(model, spec.facts);
  const auto number = [](auto value) { return std::to_string(value); };
  std::vector<std::string> args{
      settings.program.string(),
      "--model",
      spec.file.string(),
      "--alias",
      spec.model,
      "--host",
      socket,
      // What the gateway does itself or must not happen behind its back.
      "--no-ui",
      "--offline",
      "--cors-origins",
      "http://localhost",
      "--metrics",
      "--log-colors",
      "off",
      // Every slot has the whole context: one long request can then never fail the others.
      "--ctx-size",
      number(std::uint64_t{context} * model.parallel),
      "--parallel",
      number(model.parallel),
      "--threads",
      number(model.threads > 0 ? model.threads : budget.threads),
      "--threads-batch",
      number(model.threads_batch > 0 ? model.threads_batch : budget.threads_batch),
      "--threads-http",
      number(capacity_of(model.parallel) + kSpareHttpThreads),
      "--flash-attn",
      std::string(flash_text(model.flash_attention)),
      "--cache-type-k",
      model.cache_type_k,
      "--cache-type-v",
      model.cache_type_v,
      "--cache-ram",
      number(model.cache_ram.bytes / (1024 * 1024)),
  };
  // Non-causal models compute the whole prompt in one step.
  const std::uint32_t ubatch = mode == EngineMode::kGeneration ? model.ubatch : std::max(model.ubatch, context);
  args.insert(args.end(), {"--batch-size", number(std::max(model.batch, ubatch)), "--ubatch-size", number(ubatch)});
  if (model.gpu_layers >= 0) args.insert(args.end(), {"--gpu-layers", number(model.gpu_layers)});
  if (!model.chat_template.empty()) {
    const bool file = model.chat_template.starts_with('/');
    args.insert(args.end(), {file ? "--chat-template-file" : "--chat-template", model.chat_template});
  }
  if (mode == EngineMode::kEmbedding) {
    args.emplace_back("--embeddings");
    if (!spec.facts.pooling_type) args.insert(args.end(), {"--pooling", "mean"});
  }
  if (mode == EngineMode::kRerank) args.emplace_back("--reranking");
  args.insert(args.end(), model.extra_args.begin(), model.extra_args.end());
  return args;
}

std::unique_ptr<Driver> make_llama_server(Loop& control, net::HttpClient& client, LlamaServerSettings settings,
                                          EngineSpec spec) {
  return std::make_unique<LlamaServer>(control, client, std::move(settings), std::move(spec));
}

}  // namespace llm::engines
