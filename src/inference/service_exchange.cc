// The way to the engine and back: what Service::exchange sends, and how the answer is read.
#include <algorithm>
#include <array>
#include <fmt/format.h>

#include "base/strings.h"
#include "dialects/dialect.h"
#include "inference/flight.h"
#include "inference/stream_scan.h"
#include "net/sse.h"

namespace llm::inference {
namespace {

constexpr std::size_t kMostErrorBytes = 1024 * 1024;

}  // namespace

dialects::Call call_of(Operation operation) {
  switch (operation) {
    case Operation::kChat:
      return dialects::Call::kChat;
    case Operation::kCompletion:
      return dialects::Call::kCompletion;
    case Operation::kEmbedding:
      return dialects::Call::kEmbedding;
    case Operation::kRerank:
      return dialects::Call::kRerank;
    case Operation::kTokenize:
      return dialects::Call::kTokenize;
    case Operation::kDetokenize:
      return dialects::Call::kDetokenize;
  }
  return dialects::Call::kChat;
}

namespace {

// Of the engine that the gateway runs itself.
std::string_view embedded_target(Operation operation) {
  switch (operation) {
    case Operation::kChat:
      return "/v1/chat/completions";
    case Operation::kCompletion:
      return "/v1/completions";
    case Operation::kEmbedding:
      return "/v1/embeddings";
    case Operation::kRerank:
      return "/v1/rerank";
    case Operation::kTokenize:
      return "/tokenize";
    case Operation::kDetokenize:
      return "/detokenize";
  }
  return "/";
}

// Keeps tenants' prompts apart in an engine's prefix cache, where their timing would tell one what another asked; tells
// the engine nothing about who they are.
std::string cache_salt(std::string_view project) {
  return fmt::format("{:016x}", router::stable_hash("llm-mcp prefix cache", project));
}

// Usage, timings and finish reason of a whole answer, which is refused where it is none: cut off, or not what was asked
// for. The document is gone at the end, so its memory comes off the stack.
Result<void> read_answer(Operation operation, std::string_view body, Outcome& outcome) {
  std::array<unsigned char, 8192> memory;
  boost::json::monotonic_resource resource(memory.data(), memory.size());
  const auto answer = json::parse(body, {.max_depth = 256}, &resource);
  const bool generation = operation == Operation::kChat || operation == Operation::kCompletion;
  if (!answer || (!answer->is_object() && (generation || !answer->is_array()))) {
    return fail(ErrorCode::kEngineFailed,
                fmt::format("the engine of model \"{}\" answered with something else than JSON", outcome.model));
  }
  if (!answer->is_object()) return {};
  const auto& object = answer->get_object();
  outcome.usage = usage_of(object);
  if (const auto* timings = json::find(object, "timings")) outcome.timings = *timings;
  const auto* choices = json::find(object, "choices");
  const bool chosen =
      choices && choices->is_array() && !choices->get_array().empty() && choices->get_array()[0].is_object();
  if (chosen) outcome.finish_reason = json::string_or(choices->get_array()[0].get_object(), "finish_reason");
  if (generation && !chosen) {
    return fail(ErrorCode::kEngineFailed,
                fmt::format("the engine of model \"{}\" sent an answer without choices", outcome.model));
  }
  return {};
}

}  // namespace

// How long the provider is asked to keep the model, where a request can say so. The entry's rule, not the caller's:
// the memory is its owner's.
std::optional<std::int64_t> keep_alive_of(const engines::EngineSpec& spec) {
  if (!spec.external || !spec.external->keep_alive) return std::nullopt;
  const json::Duration& keep = *spec.external->keep_alive;
  return keep.never() ? -1 : keep.ms / 1000;
}

// What goes to the engine.
struct Service::Upstream {
  net::Endpoint endpoint;
  std::string target;
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
};

Result<Service::Upstream> Service::make_upstream(Flight& flight, Attempt& attempt, bool stream) {
  const Request& request = flight.request;
  const engines::EngineInfo& info = attempt.lease.info();
  const bool embedded = info.is_llama_server && !info.external;
  Upstream out{.endpoint = info.endpoint, .target = {}, .body = {}, .headers = {}};
  const bool continued = flight.sent && flight.continuation;
  const bool generation = request.operation == Operation::kChat || request.operation == Operation::kCompletion;
  // Later attempts want the request as it came, so only the members that are ours to set are touched.
  json::object& body = flight.request.body;
  const std::string& adapter = attempt.replica.entry->spec->adapter;
  body["model"] = adapter.empty() ? info.upstream_model : adapter;
  if (generation) {
    body["stream"] = stream;
  } else {
    body.erase("stream");
  }
  if (stream) {
    body["stream_options"] = json::object{{"include_usage", true}};
  } else {
    body.erase("stream_options");
  }
  // Only its progress tells what a request has used that is cancelled before its end.
  const bool progress_is_ours = flight.asks_progress;
  if (stream && info.is_llama_server && flight.booking.counts_partial() &&
      (progress_is_ours || !body.contains("return_progress"))) {
    body["return_progress"] = true;
    flight.asks_progress = true;
    attempt.hide_progress = true;
  } else if (progress_is_ours) {
    body.erase("return_progress");
    flight.asks_progress = false;
  }
  if (embedded) {
    out.target = embedded_target(request.operation);
    out.body = json::write(continued ? flight.continuation->body(body, info.kind, info.is_llama_server) : body);
    if (!info.api_key.empty()) out.headers.emplace_back("Authorization", "Bearer " + info.api_key);
  } else {
    // Copied only if somebody else may want it after this engine.
    const bool last = flight.plan.steps.size() == 1 && flight.plan.steps.front()->replicas.size() == 1;
    json::object sent = continued ? flight.continuation->body(body, info.kind, info.is_llama_server)
                        : last    ? std::move(body)
                                  : body;
    const std::string salt = info.kind == dialects::ProviderKind::kVllm ? cache_salt(request.principal.project()) : "";
    auto outgoing = dialects::dialect_of(info.kind).request(
        call_of(request.operation), std::move(sent),
        {.api_key = info.api_key, .cache_salt = salt, .keep_alive_s = keep_alive_of(*attempt.replica.spec)});
    if (!outgoing) return fail(outgoing.error());
    out.target = std::move(outgoing->path);
    if (out.target.starts_with("//")) {
      out.target.erase(0, 1);
      out.endpoint.base_path.clear();
    }
    out.headers = std::move(outgoing->headers);
    out.body = json::write(outgoing->body);
  }
  out.headers.emplace_back("X-Request-Id", request.request_id);
  // A gateway behind this one knows how long the answer is of use.
  if (flight.end) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(*flight.end - std::chrono::steady_clock::now());
    out.headers.emplace_back("X-LLM-Timeout-Ms", std::to_string(std::max<std::int64_t>(1, left.count())));
  }
  // A connection kept alive would hold one of its threads; a new one costs microseconds on a Unix socket.
  if (embedded) out.headers.emplace_back("Connection", "close");
  return out;
}

void Service::tell_who_serves(const Flight& flight, const Attempt& attempt) {
  if (!flight.request.options.on_served) return;
  flight.request.options.on_served({.model = attempt.replica.entry->spec->model,
                                    .version = attempt.replica.entry->version,
                                    .engine = attempt.replica.spec->key,
                                    .leaves_machine = attempt.replica.leaves_machine,
                                    .cache = flight.cache_key.empty() ? std::string_view() : std::string_view("miss"),
                                    .attempt = flight.attempts});
}

void Service::arm_first_token(Flight& flight, Attempt& attempt) {
  const auto most = flight.plan.first_token_timeout.value_or(attempt.lease.info().first_token_timeout);
  if (most.count() <= 0) return;
  const auto left =
      most - std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - attempt.begin);
  flight.loop.wheel().arm(attempt.pace, left);
}

Task<Result<void>> Service::exchange(Flight& flight, Attempt& attempt, bool stream) {
  const Request& request = flight.request;
  const engines::EngineInfo& info = attempt.lease.info();
  auto made = make_upstream(flight, attempt, stream);
  if (!made) {
    attempt.engine_fault = false;
    co_return fail(made.error());
  }
  Upstream& out = *made;
  const auto stall = flight.plan.stall_timeout.value_or(info.stall_timeout);
  net::ClientRequest upstream{.method = "POST",
                              .target = out.target,
                              .content_type = "application/json",
                              .body = out.body,
                              .head_timeout = info.request_timeout};
  if (!stream) upstream.stall_timeout = stall;
  for (const auto& [name, value] : out.headers) upstream.headers.emplace_back(name, value);
  if (settings_.log_prompts) log_.info("prompt", {{"request_id", request.request_id}, {"body", out.body}});
  // What goes wrong with the connection is for the supervisor to explain; an answer speaks for itself.
  attempt.broken = true;
  if (stream) arm_first_token(flight, attempt);
  // Whatever comes of it, the request has left the machine.
  if (attempt.replica.leaves_machine) tell_who_serves(flight, attempt);
  auto response = co_await client_of(flight.loop).send(out.endpoint, std::move(upstream), attempt.give_up.token());
  if (!response) co_return fail(response.error());
  std::string().swap(out.body);  // long prompts would stay as long as the answer takes
  if (response->status() != 200) {
    auto text = co_await response->read_all(kMostErrorBytes);
    if (!text) co_return fail(text.error());
    attempt.broken = false;
    attempt.engine_fault = response->status() >= 500 || response->status() == 429;
    const std::string& model = attempt.replica.spec->model;
    auto own = dialects::dialect_of(info.kind).error(response->status(), *text);
    Error error = own ? std::move(*own) : engine_error(response->status(), *text, model);
    if (const auto wait = response->headers().get("retry-after"); wait && error.retry_after_s == 0) {
      if (const auto seconds = parse_number<int>(*wait); seconds && *seconds > 0) error.retry_after_s = *seconds;
    }
    co_return fail(std::move(error));
  }
  tell_who_serves(flight, attempt);
  if (stream) co_return co_await receive_stream(flight, attempt, *response);
  co_return co_await receive_whole(flight, attempt, *response);
}

Task<Result<void>> Service::receive_whole(Flight& flight, Attempt& attempt, net::ClientResponse& response) {
  auto body = co_await response.read_all();
  if (!body) co_return fail(body.error());
  attempt.broken = false;
  flight.first_token = flight.seconds();
  attempt.pick.first_token(attempt.seconds());
  auto translated =
      dialects::dialect_of(attempt.lease.info().kind).answer(call_of(flight.request.operation), std::move(*body));
  if (!translated) co_return fail(translated.error());
  body = std::move(*translated);
  if (auto read = read_answer(flight.request.operation, *body, attempt.outcome); !read) co_return read;
  flight.booking.add_answer(*body);
  attempt.outcome.body = std::move(*body);
  co_return Result<void>();
}

}  // namespace llm::inference
