// How a streamed answer is read: Service::receive_stream.
#include <algorithm>

#include "dialects/dialect.h"
#include "inference/assemble.h"
#include "inference/event_batch.h"
#include "inference/flight.h"
#include "inference/stream_scan.h"
#include "net/sse.h"

namespace llm::inference {
namespace {

constexpr std::chrono::milliseconds kEndPatience{1'000};

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

json::object usage_member(const Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
          {"prompt_tokens_details", json::object{{"cached_tokens", usage.cached_tokens}}}};
}

}  // namespace

// One streamed answer of one engine, as far as it came.
struct Service::Reading {
  Reading(Flight& of, Attempt& by)
      : flight(of),
        attempt(by),
        continued(of.sent && of.continuation.has_value()),
        scan(of.request.operation, of.choices, of.several, of.request.usage_wanted && !continued,
             by.replica.spec->model, by.hide_progress),
        counted(scan, by.partial),
        assembler(of.request.operation == Operation::kChat),
        translator(dialects::dialect_of(by.lease.info().kind).stream(call_of(of.request.operation))) {}

  Flight& flight;
  Attempt& attempt;
  const bool continued;  // it goes on where another engine stopped
  net::SseParser parser{{.max_event_bytes = 16 * 1024 * 1024}};
  StreamScan scan;
  const PartialUsage counted;  // however this ends, what was used until then is known
  Assembler assembler;
  std::unique_ptr<dialects::StreamTranslator> translator;
  std::vector<std::string> translated;
  EventBatch batch;
  bool done = false;
  Result<void> failure;

  // The client has the whole answer, though perhaps not its usage. Of several completions some may be missing.
  bool finished() const { return !flight.several && !scan.finish_reason().empty(); }

  // Events end inside the parser's call, so what they point to is handed on at once.
  Result<void> feed(std::string_view chunk) {
    batch.begin(chunk);
    auto fed = parser.feed(chunk, [this](const net::SseEvent& event) {
      if (done || !failure) return;  // nothing counts after the end
      if (!translator) return take(event.data);
      translated.clear();
      if (auto understood = translator->on_event(event.event, event.data, translated); !understood) {
        failure = fail(understood.error());
        return;
      }
      for (const auto& payload : translated) {
        if (!done && failure) take(payload);
      }
    });
    if (!fed) return fail(ErrorCode::kEngineFailed, "the engine's stream is malformed: " + fed.error().message);
    return {};
  }

  void take(std::string_view payload) {
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
    if (!continued) {
      batch.add(payload);
    } else if (const auto rewritten = flight.continuation->rewrite(payload)) {
      batch.add(*rewritten);
    }
  }
};

// What arrived together goes on together.
Task<Result<void>> Service::pass_on(Reading& reading) {
  Flight& flight = reading.flight;
  Attempt& attempt = reading.attempt;
  const auto payloads = reading.batch.payloads();
  for (const auto payload : payloads) {
    if (flight.booking.keeps_answer()) flight.booking.add_answer(payload);
    if (flight.continuation) flight.continuation->saw(payload);
    if (!attempt.assemble) keep_event(flight, payload);
  }
  if (reading.scan.saw_text()) {
    if (flight.first_token == 0) flight.first_token = flight.seconds();
    if (!std::exchange(attempt.spoke, true)) attempt.pick.first_token(attempt.seconds());
  }
  if (attempt.assemble) {
    for (const auto payload : payloads) {
      if (auto added = reading.assembler.add(payload); !added) co_return added;
    }
  } else if (!payloads.empty() && flight.sink) {
    // What was asked is of no more use once nobody else can be asked.
    if (!std::exchange(flight.sent, true) && !flight.continuation) flight.request.body = json::object();
    if (auto taken = co_await flight.sink->on_events(payloads); !taken) {
      attempt.engine_fault = false;  // it is the client who does not take it
      co_return taken;
    }
  }
  co_return Result<void>();
}

Task<Result<void>> Service::receive_stream(Flight& flight, Attempt& attempt, net::ClientResponse& response) {
  Reading reading(flight, attempt);
  const auto stall = flight.plan.stall_timeout.value_or(attempt.lease.info().stall_timeout);
  while (!reading.done) {
    attempt.broken = true;
    auto bytes = co_await response.read();
    if (!bytes) {
      // Broken behind its last word: nobody misses anything, and an error now would be a second end.
      if (reading.finished() && !flight.stop.cancelled()) break;
      co_return fail(bytes.error());
    }
    if (bytes->empty()) {
      // Whole by its framing; some engines send no [DONE].
      if (!reading.scan.finish_reason().empty()) break;
      co_return fail(ErrorCode::kEngineFailed, "the engine ended its answer without finishing it");
    }
    attempt.broken = false;  // what fails below is no matter of the connection
    attempt.pace.clear();
    if (auto fed = reading.feed(*bytes); !fed) co_return fed;
    if (auto passed = co_await pass_on(reading); !passed) co_return passed;
    if (!reading.failure) co_return reading.failure;
    // Not while the client is being waited for: how fast it reads says nothing about the engine.
    if (attempt.spoke && stall.count() > 0) {
      flight.loop.wheel().arm(attempt.pace, stall);
    } else if (!attempt.spoke) {
      arm_first_token(flight, attempt);
    }
  }
  attempt.pace.clear();
  // The end of the body frees the connection for the next request. It comes with the last event or right after it; an
  // engine that lets us wait for it loses the connection instead.
  Deadline patience([&attempt] { attempt.give_up.cancel(); });
  flight.loop.wheel().arm(patience, kEndPatience);
  if (reading.done) (void)co_await response.read();
  patience.clear();
  co_return co_await finish_stream(reading);
}

Task<Result<void>> Service::finish_stream(Reading& reading) {
  Flight& flight = reading.flight;
  Outcome& outcome = reading.attempt.outcome;
  outcome.usage = reading.scan.usage();
  outcome.finish_reason = reading.scan.finish_reason();
  outcome.timings = reading.scan.timings();
  if (reading.continued) {
    // The text that was taken over is the second engine's prompt; for the client it is part of the answer.
    outcome.usage.prompt_tokens = std::max<std::int64_t>(0, outcome.usage.prompt_tokens - flight.taken_over);
    outcome.usage.completion_tokens += flight.taken_over;
  }
  if (reading.attempt.assemble) {
    json::object answer = std::move(reading.assembler).finish();
    answer["usage"] = usage_member(outcome.usage);
    if (!outcome.timings.is_null()) answer["timings"] = outcome.timings;
    outcome.body = json::write(answer);
    co_return Result<void>();
  }
  if (!flight.sink || !flight.request.usage_wanted) co_return Result<void>();
  std::optional<std::string> last = reading.scan.final_usage();
  if (reading.continued) {
    json::object event = flight.continuation->envelope();
    event["choices"] = json::array();
    event["usage"] = usage_member(outcome.usage);
    last = json::write(event);
  }
  if (!last) co_return Result<void>();
  const std::string_view payload = *last;
  co_return co_await flight.sink->on_events({&payload, 1});
}

}  // namespace llm::inference
