#pragma once

#include <string>

#include "base/error.h"

namespace llm::dialects {

// An error as the OpenAI API's streams say it: {"error":{"message","type","code"}}, `code` being the status that it
// would have had before the stream.
std::string error_payload(const Error& error);

}  // namespace llm::dialects
