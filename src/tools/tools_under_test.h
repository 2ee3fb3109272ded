#pragma once

// For the tests of this layer: a server with everything registered over a scripted ModelApi.

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mcp/server.h"
#include "tools/fake_model_api.h"
#include "tools/register.h"

namespace llm::tools {

inline json::object parsed(std::string_view text) {
  auto document = json::parse(text);
  EXPECT_TRUE(document) << text;
  return document->as_object();
}

class ToolsUnderTest : public testing::Test {
 protected:
  ToolsUnderTest() {
    use({.toolsets = {Toolset::kCore, Toolset::kAdmin}, .progress_interval = std::chrono::milliseconds(0)});
  }

  void use(ToolSettings settings, mcp::ServerSettings server = {}) {
    listening_to_.end();
    server_ = std::make_unique<mcp::Server>(mcp::ServerInfo{.name = "test", .version = "1"}, std::move(server));
    const auto added = register_everything(*server_, {.api = same_model_api(api_), .settings = std::move(settings)});
    EXPECT_TRUE(added) << added.error().message;
    listening_to_ = server_->changes().listen([this](const auto& change) {
      using Kind = mcp::Change::Kind;
      changes_.push_back(change->kind == Kind::kResource ? change->subject : "list");
    });
  }

  // What every handler gets.
  template <class Call>
  Call context() {
    Call call;
    call.cancel = cancel_.token();
    call.caller =
        std::make_shared<const mcp::Caller>(mcp::Caller{.principal = principal_, .capabilities = capabilities_});
    call.inputs = inputs_;
    call.state = state_;
    if (keeping_) call.keep_partial = [this](std::string_view text) { kept_.emplace_back(text); };
    if (listening_) {
      call.progress = mcp::Progress([this](double value, std::optional<double> total, std::string_view message) {
        EXPECT_GT(value, last_value_);
        if (total) EXPECT_LE(value, *total);
        last_value_ = value;
        total_ = total;
        messages_.emplace_back(message);
      });
    }
    return call;
  }

  // Runs until nothing is ready any more; nullopt if it waits for something then.
  template <class T>
  std::optional<T> run(Task<T> task) {
    return *spawn(std::move(task));
  }
  // The same; what comes later is in it after another turn().
  template <class T>
  std::shared_ptr<std::optional<T>> spawn(Task<T> task) {
    const auto result = std::make_shared<std::optional<T>>();  // shared: the test may end first
    boost::asio::co_spawn(loop_, std::move(task), [result](std::exception_ptr error, T value) {
      EXPECT_FALSE(error);
      *result = std::move(value);
    });
    turn();
    return result;
  }
  void turn() {
    loop_.restart();
    loop_.poll();
  }

  const mcp::RegisteredTool* find(std::string_view name) const {
    const auto set = server_->tools().tools();
    const auto found = set->by_name.find(name);
    return found != set->by_name.end() ? found->second.get() : nullptr;
  }

  std::optional<Result<mcp::ToolResult>> start(std::string_view name, std::string_view arguments) {
    auto call = context<mcp::ToolCall>();
    call.arguments = parsed(arguments);
    const auto* tool = find(name);
    if (tool == nullptr) {
      ADD_FAILURE() << name;
      return {};
    }
    return run(tool->tool.handler(std::move(call)));
  }

  // A call that must succeed; arguments and structured content conform to the tool's schemas.
  mcp::ToolResult call(std::string_view name, std::string_view arguments) {
    const auto* tool = find(name);
    auto result = start(name, arguments);
    if (!result || !*result) {
      ADD_FAILURE() << name << ": " << (result ? to_string(result->error()) : "waits");
      return {};
    }
    const auto taken = tool->input.check(parsed(arguments));
    EXPECT_TRUE(taken) << name << ": " << (taken ? "" : taken.error().message);
    if (!(*result)->input_required) {
      const auto fits = tool->output->check((*result)->structured);
      EXPECT_TRUE(fits) << name << ": " << (fits ? "" : fits.error().message);
    }
    EXPECT_FALSE((*result)->is_error);
    return std::move(**result);
  }
  Error refused(std::string_view name, std::string_view arguments) {
    auto result = start(name, arguments);
    if (result && !*result) return result->error();
    ADD_FAILURE() << name << " was not refused";
    return {};
  }

  boost::asio::io_context loop_{1};
  FakeModelApi api_;
  std::unique_ptr<mcp::Server> server_;
  mcp::Changes::Subscription listening_to_;
  CancelSource cancel_;
  access::Principal principal_;
  json::object capabilities_;
  json::object inputs_;
  std::string state_;
  bool keeping_ = false;
  std::vector<std::string> kept_;
  bool listening_ = false;
  double last_value_ = 0;
  std::optional<double> total_;
  std::vector<std::string> messages_;
  std::vector<std::string> changes_;  // URIs, and "list"
};

}  // namespace llm::tools
