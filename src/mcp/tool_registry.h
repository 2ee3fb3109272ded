#pragma once

#include <array>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "mcp/protocol.h"
#include "mcp/tool.h"

namespace llm::mcp {

// The tools of a server, in the order they were added. Filled at start-up; const and shared by all threads after that.
class ToolRegistry {
 public:
  // kInvalidArgument: name, schema or handler unusable. kAlreadyExists: the name is taken.
  Result<void> add(Tool tool);

  const Tool* find(std::string_view name) const;  // valid as long as the registry
  std::vector<std::string> names() const;
  std::size_t size() const { return entries_.size(); }

  // The JSON array of `tools/list`, as this revision spells it. Written once, when a tool is added.
  const std::string& listing(const Revision& revision) const { return listings_[revision.index]; }

 private:
  std::deque<Tool> entries_;  // a deque: addresses stay
  std::unordered_map<std::string_view, const Tool*> by_name_;
  std::array<std::string, kRevisionCount> listings_ = {"[]", "[]", "[]", "[]", "[]"};
};

}  // namespace llm::mcp
