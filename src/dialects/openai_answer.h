#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "dialects/openai_like.h"

// Answers of servers of the OpenAI API that differ from it in details: reasoning under another name, finish reasons of
// their own, arguments of tools as an object instead of text, an error with status 200.
namespace llm::dialects {

Result<std::string> mend_answer(const OpenAiRules& rules, Call call, std::string body);

// Null where the rules say that nothing needs mending.
std::unique_ptr<StreamTranslator> openai_stream(const OpenAiRules& rules, Call call);

// Error bodies that are not in the OpenAI API's words, or whose status says less than they do.
std::optional<Error> openai_error(const OpenAiRules& rules, int status, std::string_view body);

}  // namespace llm::dialects
