#pragma once

// A scripted ModelApi for the tests of this layer.

#include <boost/asio/this_coro.hpp>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "async/event.h"
#include "inference/model_api.h"

namespace llm::tools {

// Remembers each call as "name request-json"; a call with a sink tells it `events` first, then all calls of a name give
// the answer of that name.
class FakeModelApi final : public inference::ModelApi {
 public:
  struct Answers {
    Result<json::object> generate, embed, rerank, tokenize, list_models, model_info, load_model, unload_model,
        pull_model, remove_model, engines, engine_logs, status, operate;
  };

  Answers answers;
  std::deque<Result<json::object>> generated;  // what generate answers, one after the other, before answers.generate
  std::vector<json::object> events;
  bool wait_for_cancel = false;  // calls that can be cancelled wait for it
  std::vector<std::string> calls;
  std::vector<bool> streamed;

  Task<Result<json::object>> generate(json::object request, inference::EventSink sink, CancelToken cancel) override {
    Result<json::object> answer = answers.generate;
    if (!generated.empty()) {
      answer = std::move(generated.front());
      generated.pop_front();
    }
    return work("generate", std::move(request), std::move(sink), std::move(cancel), std::move(answer));
  }
  Task<Result<json::object>> embed(json::object request, inference::EventSink sink, CancelToken cancel) override {
    return work("embed", std::move(request), std::move(sink), std::move(cancel), answers.embed);
  }
  Task<Result<json::object>> rerank(json::object request, inference::EventSink sink, CancelToken cancel) override {
    return work("rerank", std::move(request), std::move(sink), std::move(cancel), answers.rerank);
  }
  Task<Result<json::object>> tokenize(json::object request, inference::EventSink sink, CancelToken cancel) override {
    return work("tokenize", std::move(request), std::move(sink), std::move(cancel), answers.tokenize);
  }
  Task<Result<json::object>> list_models() override { return work("list_models", {}, {}, {}, answers.list_models); }
  Task<Result<json::object>> model_info(std::string name) override {
    return work("model_info", {{"name", name}}, {}, {}, answers.model_info);
  }
  Task<Result<json::object>> load_model(json::object request, inference::EventSink sink, CancelToken cancel) override {
    return work("load_model", std::move(request), std::move(sink), std::move(cancel), answers.load_model);
  }
  Task<Result<json::object>> unload_model(json::object request) override {
    return work("unload_model", std::move(request), {}, {}, answers.unload_model);
  }
  Task<Result<json::object>> pull_model(json::object request, inference::EventSink sink, CancelToken cancel) override {
    return work("pull_model", std::move(request), std::move(sink), std::move(cancel), answers.pull_model);
  }
  Task<Result<json::object>> remove_model(std::string name) override {
    return work("remove_model", {{"name", name}}, {}, {}, answers.remove_model);
  }
  Task<Result<json::object>> engines() override { return work("engines", {}, {}, {}, answers.engines); }
  Task<Result<json::object>> engine_logs(std::string name) override {
    return work("engine_logs", {{"name", name}}, {}, {}, answers.engine_logs);
  }
  Task<Result<json::object>> status() override { return work("status", {}, {}, {}, answers.status); }
  Task<Result<json::object>> operate(std::string operation, json::object arguments, inference::EventSink sink,
                                     CancelToken cancel) override {
    return work("operate " + operation, std::move(arguments), std::move(sink), std::move(cancel), answers.operate);
  }

 private:
  Task<Result<json::object>> work(std::string name, json::object request, inference::EventSink sink, CancelToken cancel,
                                  Result<json::object> answer) {
    calls.push_back(name + " " + json::write(request));
    streamed.push_back(static_cast<bool>(sink));
    for (const auto& event : events) {
      if (!sink) break;
      if (auto heard = co_await sink(event); !heard) co_return fail(heard.error());
    }
    if (wait_for_cancel) {
      Event cancelled(co_await boost::asio::this_coro::executor);
      const auto registration = cancel.on_cancel([&cancelled] { cancelled.notify(); });
      co_await cancelled.wait();
      calls.emplace_back("cancelled");
      co_return fail(ErrorCode::kCancelled, "cancelled");
    }
    co_return answer;
  }
};

}  // namespace llm::tools
