// The way to the engine and back: what Service::exchange sends, and how the answer is read.
#include <array>
#include <fmt/format.h>

#include "inference/assemble.h"
#include "inference/flight.h"
#include "inference/stream_scan.h"
#include "net/sse.h"

namespace llm::inference {
namespace {

constexpr std::size_t kMostErrorBytes = 1024 * 1024;
constexpr std::chrono::milliseconds kEndPatience{1'000};

std::string_view engine_path(Operation operation, bool llama_server) {
  switch (operation) {
    case Operation::kChat:
      return "/chat/completions";
    case Operation::kCompletion:
      return "/completions";
    case Operation::kEmbedding:
      return "/embeddings";
    case Operation::kRerank:
      return "/rerank";
    case Operation::kTokenize:
      return llama_server ? "/../tokenize" : "/tokenize";
    case Operation::kDetokenize:
      return llama_server ? "/../detokenize" : "/detokenize";
  }
  return "/";
}

// An external base URL ends in the API's version ("…/v1"); the child has its API under /v1 and its own calls at the
// root.
std::string target_of(Operation operation, const engines::EngineInfo& info) {
  const std::string_view path = engine_path(operation, info.is_llama_server);
  if (!info.is_llama_server) return std::string(path);
  return path.starts_with("/..") ? std::string(path.substr(3)) : "/v1" + std::string(path);
}

// Usage, timings and finish reason of a whole answer. The document is gone at the end, so its memory comes off the
// stack.
Result<void> read_answer(std::string_view body, Outcome& outcome) {
  std::array<unsigned char, 8192> memory;
  boost::json::monotonic_resource resource(memory.data(), memory.size());
  const auto answer = json::parse(body, {.max_depth = 256}, &resource);
  if (!answer || !answer->is_object()) return fail(ErrorCode::kEngineFailed, "the engine's answer is not JSON");
  const auto& object = answer->get_object();
  outcome.usage = usage_of(object);
  if (const auto* timings = json::find(object, "timings")) outcome.timings = *timings;
  if (const auto* choices = json::find(object, "choices");
      choices && choices->is_array() && !choices->get_array().empty() && choices->get_array()[0].is_object()) {
    outcome.finish_reason = json::string_or(choices->get_array()[0].get_object(), "finish_reason");
  }
  return {};
}

// Leaves what a stream has used where the end of the request finds it, by whatever way the stream ends.
class PartialUsage {
 public:
  PartialUsage(const StreamScan& scan, Usage& out) : scan_(scan), out_(out) {}
  ~PartialUsage() { out_ = scan_.used(); }
  PartialUsage(const PartialUsage&) = delete;
  PartialUsage& operator=(const PartialUsage&) = delete;

 private:
  const StreamScan& scan_;
  Usage& out_;
};

}  // namespace

Task<Result<void>> Service::exchange(Flight& flight, bool stream) {
  const Request& request = flight.request;
  const engines::EngineInfo& info = flight.lease.info();
  const std::string body = json::write(request.body);
  const std::string target = target_of(request.operation, info);
  const std::string authorization = info.api_key.empty() ? std::string() : "Bearer " + info.api_key;
  net::ClientRequest upstream{.method = "POST",
                              .target = target,
                              .content_type = "application/json",
                              .body = body,
                              .head_timeout = info.request_timeout};
  if (!authorization.empty()) upstream.headers.emplace_back("Authorization", authorization);
  upstream.headers.emplace_back("X-Request-Id", request.request_id);
  // A connection kept alive would hold one of its threads; a new one costs microseconds on a Unix socket.
  if (info.is_llama_server && !info.external) upstream.headers.emplace_back("Connection", "close");
  if (settings_.log_prompts) log_.info("prompt", {{"request_id", request.request_id}, {"body", body}});
  const auto follow = flight.cancel.on_cancel([&flight] { flight.give_up.cancel(); });
  // What goes wrong with the connection is for the supervisor to explain; an answer speaks for itself.
  flight.broken = true;
  auto response = co_await client_of(flight.loop).send(info.endpoint, std::move(upstream), flight.give_up.token());
  if (!response) co_return fail(response.error());
  if (response->status() != 200) {
    auto text = co_await response->read_all(kMostErrorBytes);
    if (!text) co_return fail(text.error());
    flight.broken = false;
    co_return fail(engine_error(response->status(), *text, flight.entry->spec->model));
  }
  if (stream) co_return co_await receive_stream(flight, *response);
  co_return co_await receive_whole(flight, *response);
}

Task<Result<void>> Service::receive_whole(Flight& flight, net::ClientResponse& response) {
  auto body = co_await response.read_all();
  if (!body) co_return fail(body.error());
  flight.broken = false;
  flight.first_token = flight.seconds();
  const auto first = body->find_first_not_of(" \t\r\n");
  if (first == std::string::npos || ((*body)[first] != '{' && (*body)[first] != '[')) {
    co_return fail(
        ErrorCode::kEngineFailed,
        fmt::format("the engine of model \"{}\" answered with something else than JSON", flight.outcome.model));
  }
  // Only the tail of the answer is of interest here, and answers without usage (tokenize) need no parsing at all.
  if (body->find("\"usage\"") != std::string::npos) {
    if (auto read = read_answer(*body, flight.outcome); !read) co_return read;
  }
  flight.booking.add_answer(*body);
  flight.outcome.body = std::move(*body);
  co_return Result<void>();
}

Task<Result<void>> Service::receive_stream(Flight& flight, net::ClientResponse& response) {
  net::SseParser parser({.max_event_bytes = 16 * 1024 * 1024});
  StreamScan scan(flight.request.operation, flight.choices, flight.several, flight.request.usage_wanted,
                  flight.entry->spec->model, flight.hide_progress);
  // However this ends, what was used until then is known.
  const PartialUsage counted(scan, flight.partial);
  Assembler assembler(flight.request.operation == Operation::kChat);
  std::vector<std::string_view> payloads;
  std::vector<std::pair<std::size_t, std::size_t>> spans;  // of the payloads that lie in `copies`
  std::string copies;
  bool done = false;
  Result<void> failure;
  while (!done) {
    flight.broken = true;
    auto bytes = co_await response.read();
    if (!bytes) co_return fail(bytes.error());
    if (bytes->empty()) {
      // Whole by its framing; some engines send no [DONE].
      if (!scan.finish_reason().empty()) break;
      co_return fail(ErrorCode::kEngineFailed, "the engine ended its answer without finishing it");
    }
    flight.broken = false;  // what fails below is no matter of the connection
    // Events end inside this loop, so what they point to (the chunk, the parser's own copy) is handed on at once.
    copies.clear();
    payloads.clear();
    spans.clear();
    const auto chunk = *bytes;
    const auto fed = parser.feed(chunk, [&](const net::SseEvent& event) {
      if (done || !failure) return;  // nothing counts after the end
      std::string_view payload = event.data;
      switch (scan.look(payload)) {
        case StreamScan::Verdict::kDone:
          done = true;
          return;
        case StreamScan::Verdict::kError:
          failure = fail(scan.error());
          return;
        case StreamScan::Verdict::kDrop:
          return;
        case StreamScan::Verdict::kReplace:
          payload = scan.replacement();
          break;
        case StreamScan::Verdict::kForward:
          break;
      }
      const bool in_chunk =
          payload.data() >= chunk.data() && payload.data() + payload.size() <= chunk.data() + chunk.size();
      if (in_chunk) {
        payloads.push_back(payload);
        spans.emplace_back(std::string::npos, 0);
      } else {
        spans.emplace_back(copies.size(), payload.size());
        copies.append(payload);
        payloads.emplace_back();
      }
    });
    if (!fed) co_return fail(ErrorCode::kEngineFailed, "the engine's stream is malformed: " + fed.error().message);
    for (std::size_t i = 0; i < payloads.size(); ++i) {
      if (spans[i].first != std::string::npos)
        payloads[i] = std::string_view(copies).substr(spans[i].first, spans[i].second);
    }
    if (flight.booking.keeps_answer()) {
      for (const auto payload : payloads) flight.booking.add_answer(payload);
    }
    if (flight.first_token == 0 && scan.saw_text()) flight.first_token = flight.seconds();
    if (flight.assemble) {
      for (const auto payload : payloads) {
        if (auto added = assembler.add(payload); !added) co_return added;
      }
    } else if (!payloads.empty() && flight.sink) {
      if (auto taken = co_await flight.sink->on_events(payloads); !taken) co_return taken;
    }
    if (!failure) co_return failure;
  }
  // The end of the body frees the connection for the next request. It comes with the last event or right after it; an
  // engine that lets us wait for it loses the connection instead.
  Deadline patience([&flight] { flight.give_up.cancel(); });
  flight.loop.wheel().arm(patience, kEndPatience);
  if (done) (void)co_await response.read();
  patience.clear();
  flight.outcome.usage = scan.usage();
  flight.outcome.finish_reason = scan.finish_reason();
  flight.outcome.timings = scan.timings();
  if (flight.assemble) {
    json::object answer = std::move(assembler).finish();
    const Usage& usage = flight.outcome.usage;
    answer["usage"] = json::object{{"prompt_tokens", usage.prompt_tokens},
                                   {"completion_tokens", usage.completion_tokens},
                                   {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
                                   {"prompt_tokens_details", json::object{{"cached_tokens", usage.cached_tokens}}}};
    if (!flight.outcome.timings.is_null()) answer["timings"] = flight.outcome.timings;
    flight.outcome.body = json::write(answer);
  } else if (const auto last = scan.final_usage(); last && flight.sink) {
    const std::string_view payload = *last;
    co_return co_await flight.sink->on_events({&payload, 1});
  }
  co_return Result<void>();
}

}  // namespace llm::inference
