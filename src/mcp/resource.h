#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "access/permission.h"
#include "access/principal.h"
#include "async/task.h"
#include "base/error.h"
#include "json/json.h"
#include "mcp/context.h"
#include "mcp/icon.h"

namespace llm::mcp {

struct ResourceRead : Context {
  std::string uri;
  std::map<std::string, std::string, std::less<>> variables;  // of the template that matched, decoded
};

// One part of what a resource holds: text, or bytes.
struct ResourcePart {
  std::string uri;
  std::string mime_type = {};
  std::string data = {};
  bool binary = false;
};

struct ResourceContents {
  std::vector<ResourcePart> parts = {};
  std::optional<InputRequired> input_required = {};
};

// An error of kNotFound is told as "no such resource", with its URI; others with their text.
using ResourceReader = std::function<Task<Result<ResourceContents>>(ResourceRead)>;

// Values for an argument or variable of a prompt or template that begin like `value`, best first; `chosen` are the
// arguments filled in already. At most 100 reach the client.
struct CompletionRequest : Context {
  std::string argument;
  std::string value;
  std::map<std::string, std::string, std::less<>> chosen;
};
using Completer = std::function<Task<Result<std::vector<std::string>>>(CompletionRequest)>;

// What resources/list says about one.
struct Resource {
  std::string uri = {};
  std::string name = {};
  std::string title = {};
  std::string description = {};
  std::string mime_type = {};
  std::optional<std::uint64_t> size = {};  // bytes
  std::vector<Icon> icons = {};
  access::Permission permission = access::Permission::kAdmin;  // what a reader needs; who lacks it does not see it
};

// RFC 6570 level 1: "llm://models/{name}"; a variable matches one or more characters without '/', "{+path}" any.
using UriVariables = std::map<std::string, std::string, std::less<>>;

struct ResourceTemplate {
  std::string uri_template = {};
  std::string name = {};
  std::string title = {};
  std::string description = {};
  std::string mime_type = {};
  std::vector<Icon> icons = {};
  access::Permission permission = access::Permission::kAdmin;
  // May this caller hear of the one that the variables name? Readers find out themselves. Empty: whoever has the
  // permission.
  std::function<bool(const access::Principal& caller, const UriVariables& variables)> watchable = {};
};

}  // namespace llm::mcp
