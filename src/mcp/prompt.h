#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "access/permission.h"
#include "async/task.h"
#include "base/error.h"
#include "json/json.h"
#include "mcp/context.h"
#include "mcp/icon.h"
#include "mcp/resource.h"

namespace llm::mcp {

struct PromptCall : Context {
  std::map<std::string, std::string, std::less<>> arguments;  // all required ones are there
};

struct PromptMessage {
  std::string role;      // "user" or "assistant"
  json::object content;  // a ContentBlock (mcp/content.h)
};

struct PromptResult {
  std::string description = {};
  std::vector<PromptMessage> messages = {};
  std::optional<InputRequired> input_required = {};
};

struct PromptArgument {
  std::string name = {};
  std::string title = {};
  std::string description = {};
  bool required = false;
  Completer complete = {};  // may be empty
};

struct Prompt {
  std::string name = {};
  std::string title = {};
  std::string description = {};
  std::vector<PromptArgument> arguments = {};
  std::function<Task<Result<PromptResult>>(PromptCall)> handler = {};
  std::vector<Icon> icons = {};
  access::Permission permission = access::Permission::kAdmin;  // what its user needs; who lacks it does not see it
};

}  // namespace llm::mcp
