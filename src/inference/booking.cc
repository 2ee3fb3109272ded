#include "inference/booking.h"

#include <algorithm>
#include <fmt/format.h>

#include "inference/demand.h"
#include "inference/guards.h"

namespace llm::inference {
namespace {

bool generates(Operation operation) {
  return operation == Operation::kChat || operation == Operation::kCompletion;
}

}  // namespace

Result<void> Booking::check_caps() {
  if (auto harmless = refuse_steering(request_.body); !harmless) return harmless;
  if (!access_) return {};
  const access::Caps& caps = access_->caps_of(request_.principal);
  if (auto within = inference::check_caps(request_.body, request_.operation, caps); !within) return within;
  // Who does not say how much it wants gets no more than who does.
  if (caps.max_tokens > 0 && generates(request_.operation)) {
    limit_tokens(request_.body, request_.operation, caps.max_tokens);
  }
  return {};
}

Task<Result<void>> Booking::reserve(std::string_view model, Loop& loop, CancelToken cancel) {
  input_bound_ = input_token_bound(request_.body);
  const bool writes = generates(request_.operation);
  const std::int64_t count = writes ? answers(request_.body, request_.operation) : 0;
  const auto asked = writes ? asked_tokens(request_.body) : std::optional<std::int64_t>(0);
  output_bound_ = asked.value_or(0) * count;
  if (!access_) co_return Result<void>();
  const access::Principal& principal = request_.principal;
  if (!asked) {
    if (const auto most = access_->limiter.output_limited(principal, model)) {
      const std::int64_t each = std::max<std::int64_t>(1, *most / count);
      limit_tokens(request_.body, request_.operation, each);
      output_bound_ = each * count;
    }
  }
  if (principal.identity && principal.identity->project->audit_prompts && access_->audit_requests) {
    keeps_answer_ = true;
    prompt_ = json::write(request_.body);
  }
  const access::Demand demand{.input_tokens = input_bound_, .output_tokens = output_bound_};
  access::LimitReport report;
  auto reserved = access_->limiter.try_reserve(principal, model, demand, &report);
  if (!reserved) {
    reserved = co_await access_->limiter.reserve(principal, model, demand, &report, loop, std::move(cancel));
  }
  if (request_.options.on_limits) request_.options.on_limits(report);
  if (!*reserved) {
    refused_ = true;
    co_return fail(reserved->error());
  }
  reservation_ = std::move(**reserved);
  co_return Result<void>();
}

Claim Booking::claim() const {
  Claim claim;
  claim.project = request_.principal.project();
  claim.key = request_.principal.key_id();
  // A quarter of the bytes: what a token is on average. The truth comes with the settlement.
  claim.cost = std::max<std::int64_t>(1, input_bound_ / 4 + output_bound_);
  if (const auto& identity = request_.principal.identity) {
    claim.project_weight = identity->project->weight;
    claim.key_weight = identity->weight;
    claim.priority = identity->priority;
  }
  // OpenAI's name for work that may wait.
  if (json::string_or(request_.body, "service_tier") == "flex") claim.priority = access::Priority::kBatch;
  return claim;
}

void Booking::add_answer(std::string_view payload) {
  if (!keeps_answer_) return;
  if (!answer_.empty()) answer_ += ',';
  answer_ += payload;
}

Task<Result<void>> Booking::settle(std::string_view model, const Usage& usage, const Result<void>& result, Loop& loop) {
  if (!access_) co_return Result<void>();
  const bool used = usage.prompt_tokens > 0 || usage.completion_tokens > 0;
  const bool cancelled = !result && result.error().code == ErrorCode::kCancelled;
  if (begun_ && (result || used || cancelled)) {
    reservation_.settle(usage.prompt_tokens, usage.completion_tokens);
  } else {
    reservation_ = {};  // what came to nothing through no fault of the caller costs nothing
  }
  audit(model, usage, result);
  if (refused_) co_return Result<void>();
  access_->usage.add(request_.principal, model,
                     {.requests = 1,
                      .failed = result ? 0 : 1,
                      .input_tokens = usage.prompt_tokens,
                      .cached_tokens = usage.cached_tokens,
                      .output_tokens = usage.completion_tokens});
  if (access_->usage.durability() != access::UsageDurability::kStrict) co_return Result<void>();
  co_return co_await access_->usage.settled(loop);
}

void Booking::audit(std::string_view model, const Usage& usage, const Result<void>& result) {
  if (!access_->audit_requests) return;
  const access::Principal& principal = request_.principal;
  access::AuditEvent event{.request_id = request_.request_id,
                           .principal = principal.id,
                           .project = std::string(principal.project()),
                           .user = principal.identity ? principal.identity->user : std::string(),
                           .address = principal.address,
                           .action = std::string(to_string(request_.operation)),
                           .target = std::string(model),
                           .outcome = std::string(result ? "ok" : describe(result.error().code).name),
                           .message = result ? std::string() : result.error().message,
                           .input_tokens = usage.prompt_tokens,
                           .output_tokens = usage.completion_tokens};
  if (keeps_answer_) {
    if (auto prompt = json::parse(prompt_)) event.prompt = std::move(*prompt);
    if (auto answer = json::parse("[" + answer_ + "]", {.max_depth = 256})) event.answer = std::move(*answer);
  }
  access_->audit.record(std::move(event));
}

}  // namespace llm::inference
