#include "dialects/dialect.h"

#include <array>
#include <fmt/format.h>

#include "dialects/anthropic_answer.h"
#include "dialects/anthropic_request.h"
#include "dialects/anthropic_stream.h"
#include "dialects/openai_answer.h"
#include "dialects/openai_like.h"

namespace llm::dialects {
namespace {

class OpenAiDialect final : public Dialect {
 public:
  explicit OpenAiDialect(const OpenAiRules& rules) : rules_(rules) {}

  Result<Outgoing> request(Call call, json::object body, const OutgoingFacts& facts) const override {
    return openai_request(rules_, call, std::move(body), facts);
  }
  std::unique_ptr<StreamTranslator> stream(Call call) const override { return openai_stream(rules_, call); }
  Result<std::string> answer(Call call, std::string body) const override {
    return mend_answer(rules_, call, std::move(body));
  }
  std::optional<Error> error(int status, std::string_view body) const override {
    return openai_error(rules_, status, body);
  }

 private:
  const OpenAiRules& rules_;
};

class AnthropicDialect final : public Dialect {
 public:
  Result<Outgoing> request(Call call, json::object body, const OutgoingFacts& facts) const override {
    if (call != Call::kChat) {
      return fail(ErrorCode::kUnsupported, "Anthropic's API has chats only: no completions, vectors or tokens",
                  "/model");
    }
    auto messages = to_messages_request(body);
    if (!messages) return fail(std::move(messages.error()));
    return Outgoing{.path = "/messages",
                    .headers = credential_headers(ProviderKind::kAnthropic, facts.api_key),
                    .body = std::move(*messages)};
  }
  std::unique_ptr<StreamTranslator> stream(Call) const override { return std::make_unique<MessagesStream>(); }
  Result<std::string> answer(Call, std::string body) const override { return to_chat_completion(body); }
  std::optional<Error> error(int status, std::string_view body) const override { return anthropic_error(status, body); }
};

template <std::size_t... kind>
const Dialect& openai_dialect(std::size_t wanted, std::index_sequence<kind...>) {
  static const std::array<OpenAiDialect, sizeof...(kind)> all{
      OpenAiDialect(rules_of(static_cast<ProviderKind>(kind)))...};
  return all[wanted];
}

}  // namespace

std::vector<std::pair<std::string, std::string>> credential_headers(ProviderKind kind, std::string_view api_key) {
  std::vector<std::pair<std::string, std::string>> headers;
  const bool anthropic = kind == ProviderKind::kAnthropic;
  if (anthropic) headers.emplace_back("anthropic-version", "2023-06-01");
  if (!api_key.empty() && anthropic) headers.emplace_back("x-api-key", api_key);
  if (!api_key.empty() && !anthropic) headers.emplace_back("Authorization", fmt::format("Bearer {}", api_key));
  return headers;
}

const Dialect& dialect_of(ProviderKind kind) {
  static const AnthropicDialect anthropic;
  if (kind == ProviderKind::kAnthropic) return anthropic;
  return openai_dialect(static_cast<std::size_t>(kind), std::make_index_sequence<kProviderKinds>());
}

}  // namespace llm::dialects
