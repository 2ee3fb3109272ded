#pragma once

#include <initializer_list>
#include <span>
#include <string_view>
#include <utility>

#include "dialects/dialect.h"

namespace llm::dialects {

// How a server of the OpenAI API spells or lacks what others of that API have. One row of a table for each kind.
struct OpenAiRules {
  ProviderKind kind;
  std::span<const std::pair<std::string_view, std::string_view>> renames = {};  // field as others call it -> as here
  std::span<const std::string_view> unknown = {};  // fields that only tune an answer and that it refuses or mistakes
  bool one_choice = false;                         // `n` above 1 is not done
  bool free_tool_choice = false;                   // the model always chooses; `tool_choice` is not read
  bool inline_images = false;                      // images by data: URL only
  bool system_role = false;                        // does not know the role developer
  bool cache_salt = false;                         // takes `cache_salt`
  bool ttl = false;                                // takes `ttl`, in seconds
  bool usage_by_request = false;                   // `usage: {"include": true}` asks for complete figures
  bool value_schema = false;                       // response_format is {"type":"json","value":SCHEMA}
  std::string_view reasoning = {};  // what it calls `reasoning_content` in answers, and in messages it is given
  bool mends_answers = false;       // answers need a look: see openai_answer.h
  bool reranks = false;
  bool embeds = true;
  enum class Tokenizer { kNone, kEither, kContent, kPrompt, kInputs } tokenizer = Tokenizer::kNone;
};
const OpenAiRules& rules_of(ProviderKind kind);

// Dialect::request for such a server.
Result<Outgoing> openai_request(const OpenAiRules& rules, Call call, json::object body, const OutgoingFacts& facts);

}  // namespace llm::dialects
