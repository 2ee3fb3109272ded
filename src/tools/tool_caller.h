#pragma once

#include <string>
#include <vector>

#include "access/principal.h"
#include "async/task.h"
#include "base/error.h"
#include "mcp/registry.h"

namespace llm::tools {

// A tool as a model is told of it.
struct OfferedTool {
  std::string name;
  std::string description;
  json::object input_schema;
};

// Tools that something other than a client may call: the agent loop.
class ToolCaller {
 public:
  virtual ~ToolCaller() = default;
  virtual std::vector<OfferedTool> offered() const = 0;
  // One call, on the loop of `context`, which is that of the call on whose behalf this happens. An error is one of the
  // call: unknown tool, arguments that do not fit, a tool that failed.
  virtual Task<Result<mcp::ToolResult>> call(std::string name, json::object arguments, mcp::Context context) = 0;
};

// The bridged tools of a registry, those in a group, as far as the caller may use them: a model gets no further than
// who asked it. The registry outlives this.
class BridgedToolCaller final : public ToolCaller {
 public:
  BridgedToolCaller(const mcp::ToolRegistry& registry, access::Principal caller);

  std::vector<OfferedTool> offered() const override;
  Task<Result<mcp::ToolResult>> call(std::string name, json::object arguments, mcp::Context context) override;

 private:
  bool usable(const mcp::RegisteredTool& tool) const;

  const mcp::ToolRegistry& registry_;
  access::Principal caller_;
};

}  // namespace llm::tools
