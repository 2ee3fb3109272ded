#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

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

// The bridged tools of a registry: those in a group. `allowed` says what the caller may use, as in mcp::Server; the
// registry outlives this.
class BridgedToolCaller final : public ToolCaller {
 public:
  using Allowed = std::function<bool(std::string_view permission)>;
  explicit BridgedToolCaller(const mcp::ToolRegistry& registry, Allowed allowed = {});

  std::vector<OfferedTool> offered() const override;
  Task<Result<mcp::ToolResult>> call(std::string name, json::object arguments, mcp::Context context) override;

 private:
  bool usable(const mcp::RegisteredTool& tool) const;

  const mcp::ToolRegistry& registry_;
  Allowed allowed_;
};

}  // namespace llm::tools
