#include "client/remote_model_api.h"

#include <chrono>
#include <fmt/format.h>
#include <iterator>
#include <optional>
#include <utility>

#include "base/strings.h"
#include "client/event_stream.h"
#include "inference/operations/operation.h"

namespace llm::client {
namespace {

constexpr std::chrono::seconds kQuestionTimeout{60};    // for calls that start no work
constexpr std::size_t kMaxErrorBytes = 1024 * 1024;     // of an error body
constexpr std::size_t kMaxDocumentBytes = 256UL << 20;  // of an answer that is not streamed: large embeddings
constexpr std::size_t kMostEventBytes = 64UL << 20;     // of one event: the last may carry log probabilities

// `code` is the name of our code, but for the one that the OpenAI API names otherwise.
ErrorCode read_code(std::string_view code, int http_status) {
  if (code == "model_not_found") return ErrorCode::kNotFound;
  return error_code_by_name(code).value_or(error_code_by_status(http_status));
}

bool is_own_member(std::string_view name) {
  return name == "message" || name == "type" || name == "code" || name == "param" || name == "pointer" ||
         name == "retry_after";
}

}  // namespace

// One HTTP exchange.
struct RemoteModelApi::Call {
  std::string_view method = "GET";
  std::string target;
  std::string body = {};
  inference::EventSink sink = {};
  CancelToken cancel = {};
  std::chrono::milliseconds head_timeout{0};
};

std::string model_path(std::string_view name, std::string_view root) {
  std::string path(root);
  for (const char c : name) {
    const bool unreserved = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                            c == '.' || c == '_' || c == '~';
    if (unreserved) {
      path.push_back(c);
    } else {
      fmt::format_to(std::back_inserter(path), "%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return path;
}

Error read_error_body(const json::object& document, int http_status) {
  const json::value* member = json::find(document, "error");
  const json::object* body = member != nullptr ? member->if_object() : nullptr;
  if (body == nullptr) {
    return {
        error_code_by_status(http_status), fmt::format("the gateway answered {}", json::write(document)), {}, {}, 0};
  }
  Error error;
  error.code = read_code(json::string_or(*body, "code"), http_status);
  error.message = json::string_or(*body, "message", "the gateway gave no reason");
  error.pointer = json::string_or(*body, "pointer");
  error.retry_after_s = static_cast<int>(json::int_or(*body, "retry_after"));
  for (const auto& detail : *body) {
    if (is_own_member(detail.key())) continue;
    if (const auto* number = detail.value().if_int64()) error.details.push_back({detail.key(), *number});
    if (const auto* text = detail.value().if_string()) error.details.push_back({detail.key(), std::string(*text)});
  }
  return error;
}

RemoteModelApi::RemoteModelApi(net::HttpClient& http, net::Endpoint endpoint, std::string api_key, RemoteHooks hooks)
    : http_(http),
      endpoint_(std::move(endpoint)),
      authorization_(api_key.empty() ? std::string() : "Bearer " + api_key),
      hooks_(std::move(hooks)) {}

// HttpClient speaks of engines, because that is what it talks to elsewhere.
Error RemoteModelApi::on_the_way(const Error& error) const {
  const auto with_hint = [this](ErrorCode code, std::string message) {
    if (!hooks_.lost_hint.empty()) message.append(" ").append(hooks_.lost_hint);
    return Error{code, std::move(message), {}, {}, 0};
  };
  switch (error.code) {
    case ErrorCode::kUnavailable:
      return with_hint(ErrorCode::kUnavailable, fmt::format("The gateway does not answer: {}.", error.message));
    case ErrorCode::kEngineTimeout:
      return with_hint(ErrorCode::kTimeout,
                       fmt::format("The gateway at {} took the request and did not answer in time.", endpoint_.text()));
    case ErrorCode::kEngineFailed:
      return with_hint(
          ErrorCode::kUnavailable,
          fmt::format("The connection to the gateway at {} broke before the call was done; the gateway was "
                      "stopped or crashed, and what it was working on is lost.",
                      endpoint_.text()));
    default:
      return error;
  }
}

Task<Error> RemoteModelApi::read_error(net::ClientResponse& response) const {
  const int status = response.status();
  auto text = co_await response.read_all(kMaxErrorBytes);
  if (!text) co_return on_the_way(text.error());
  const auto document = json::parse(*text);
  if (document && document->is_object()) co_return read_error_body(document->get_object(), status);
  co_return Error{error_code_by_status(status),
                  fmt::format("{} answered with HTTP status {} and no explanation; is it an llm-mcp gateway?",
                              endpoint_.text(), status),
                  {},
                  {},
                  0};
}

Task<Result<json::object>> RemoteModelApi::read_document(net::ClientResponse& response) const {
  auto text = co_await response.read_all(kMaxDocumentBytes);
  if (!text) co_return fail(on_the_way(text.error()));
  auto document = json::parse(*text);
  if (!document || !document->is_object()) {
    co_return fail(
        ErrorCode::kUnavailable,
        fmt::format("{} answered with something else than a JSON object; is it an llm-mcp gateway?", endpoint_.text()));
  }
  co_return std::move(document->get_object());
}

Task<Result<json::object>> RemoteModelApi::read_events(net::ClientResponse& response, const Call& call) const {
  EventStream events(kMostEventBytes);
  while (true) {
    auto bytes = co_await response.read();
    if (!bytes) {
      if (events.answer()) break;
      co_return fail(on_the_way(bytes.error()));
    }
    if (bytes->empty()) break;
    if (auto fed = events.feed(*bytes); !fed) co_return fail(std::move(fed.error()));
    for (auto& event : events.take()) {
      if (!call.sink) continue;
      if (auto heard = co_await call.sink(std::move(event)); !heard) co_return fail(std::move(heard.error()));
    }
    if (events.failure()) co_return fail(*events.failure());
  }
  if (!events.answer()) co_return fail(on_the_way({ErrorCode::kEngineFailed, {}, {}, {}, 0}));
  co_return std::move(*events.answer());
}

Task<Result<json::object>> RemoteModelApi::read_answer(net::ClientResponse& response, const Call& call) const {
  if (response.status() < 200 || response.status() > 299) co_return fail(co_await read_error(response));
  if (response.status() == 204) co_return json::object();
  const auto type = response.headers().get("Content-Type").value_or("");
  if (to_lower(type).starts_with("text/event-stream")) co_return co_await read_events(response, call);
  co_return co_await read_document(response);
}

Task<Result<json::object>> RemoteModelApi::run(Call call) {
  if (hooks_.before_call) {
    if (auto ready = co_await hooks_.before_call(call.cancel); !ready) co_return fail(std::move(ready.error()));
  }
  net::ClientRequest request;
  request.method = call.method;
  request.target = call.target;
  request.body = call.body;
  request.head_timeout = call.head_timeout;
  if (!call.body.empty()) request.content_type = "application/json";
  if (!authorization_.empty()) request.headers.emplace_back("Authorization", authorization_);
  auto response = co_await http_.send(endpoint_, request, call.cancel);
  if (!response) co_return fail(on_the_way(response.error()));
  co_return co_await read_answer(*response, call);
}

RemoteModelApi::Call RemoteModelApi::streaming(std::string target, json::object body, inference::EventSink sink,
                                               CancelToken cancel) const {
  body["stream"] = static_cast<bool>(sink);
  return {.method = "POST",
          .target = std::move(target),
          .body = json::write(body),
          .sink = std::move(sink),
          .cancel = std::move(cancel)};
}

Task<Result<json::object>> RemoteModelApi::generate(json::object request, inference::EventSink sink,
                                                    CancelToken cancel) {
  auto answer = co_await run(streaming("/api/v1/generate", std::move(request), std::move(sink), std::move(cancel)));
  if (answer && !answer->contains("text")) (*answer)["text"] = "";  // nothing was generated, so no event had any
  co_return answer;
}

Task<Result<json::object>> RemoteModelApi::embed(json::object request, inference::EventSink, CancelToken cancel) {
  return run({.method = "POST", .target = "/v1/embeddings", .body = json::write(request), .cancel = std::move(cancel)});
}

Task<Result<json::object>> RemoteModelApi::rerank(json::object request, inference::EventSink, CancelToken cancel) {
  return run({.method = "POST", .target = "/v1/rerank", .body = json::write(request), .cancel = std::move(cancel)});
}

Task<Result<json::object>> RemoteModelApi::tokenize(json::object request, inference::EventSink, CancelToken cancel) {
  return run(
      {.method = "POST", .target = "/api/v1/tokenize", .body = json::write(request), .cancel = std::move(cancel)});
}

Task<Result<json::object>> RemoteModelApi::list_models() {
  return run({.target = "/api/v1/models", .head_timeout = kQuestionTimeout});
}

Task<Result<json::object>> RemoteModelApi::model_info(std::string name) {
  if (name.empty()) co_return fail(ErrorCode::kInvalidArgument, "name the model", "/model");
  co_return co_await run({.target = model_path(name), .head_timeout = kQuestionTimeout});
}

Task<Result<json::object>> RemoteModelApi::load_model(json::object request, inference::EventSink sink,
                                                      CancelToken cancel) {
  const std::string name(json::string_or(request, "model"));
  if (name.empty()) co_return fail(ErrorCode::kInvalidArgument, "name the model to load", "/model");
  request.stable_erase("model");
  co_return co_await run(streaming(model_path(name) + "/load", std::move(request), std::move(sink), std::move(cancel)));
}

Task<Result<json::object>> RemoteModelApi::unload_model(json::object request) {
  const std::string name(json::string_or(request, "model"));
  if (name.empty()) co_return fail(ErrorCode::kInvalidArgument, "name the model to unload", "/model");
  request.stable_erase("model");
  co_return co_await run({.method = "POST", .target = model_path(name) + "/unload", .body = json::write(request)});
}

Task<Result<json::object>> RemoteModelApi::pull_model(json::object request, inference::EventSink sink,
                                                      CancelToken cancel) {
  return run(streaming("/api/v1/models/pull", std::move(request), std::move(sink), std::move(cancel)));
}

Task<Result<json::object>> RemoteModelApi::remove_model(std::string name) {
  if (name.empty()) co_return fail(ErrorCode::kInvalidArgument, "name the model to remove", "/model");
  co_return co_await run({.method = "DELETE", .target = model_path(name), .head_timeout = kQuestionTimeout});
}

Task<Result<json::object>> RemoteModelApi::engines() {
  return run({.target = "/api/v1/engines", .head_timeout = kQuestionTimeout});
}

Task<Result<json::object>> RemoteModelApi::engine_logs(std::string name) {
  if (name.empty()) co_return fail(ErrorCode::kInvalidArgument, "name the model", "/model");
  co_return co_await run({.target = model_path(name, "/api/v1/engines/") + "/logs", .head_timeout = kQuestionTimeout});
}

Task<Result<json::object>> RemoteModelApi::status() {
  return run({.target = "/api/v1/status", .head_timeout = kQuestionTimeout});
}

namespace {

// The path of an operation for these arguments; the one that stands in it is taken out of them.
Result<std::string> operation_path(std::string_view pattern, json::object& arguments) {
  constexpr std::string_view kName = "{name}";
  const auto at = pattern.find(kName);
  if (at == std::string_view::npos) return std::string(pattern);
  const std::string name(json::string_or(arguments, "name"));
  if (name.empty()) return fail(ErrorCode::kInvalidArgument, "a name is needed", "/name");
  arguments.stable_erase("name");
  return model_path(name, pattern.substr(0, at)) + std::string(pattern.substr(at + kName.size()));
}

void append_query(std::string& target, const json::object& arguments) {
  char separator = '?';
  for (const auto& member : arguments) {
    if (member.value().is_null()) continue;
    const std::string text =
        member.value().is_string() ? std::string(member.value().get_string()) : json::write(member.value());
    target += std::exchange(separator, '&');
    target += model_path(std::string_view(member.key()), "") + "=" + model_path(text, "");
  }
}

}  // namespace

Task<Result<json::object>> RemoteModelApi::operate(std::string operation, json::object arguments,
                                                   inference::EventSink sink, CancelToken cancel) {
  const auto* row = inference::find_operation(operation);
  if (!row) co_return fail(ErrorCode::kNotFound, fmt::format("there is no operation \"{}\"", operation));
  auto target = operation_path(row->path, arguments);
  if (!target) co_return fail(target.error());
  if (row->method == "GET" || row->method == "DELETE") {
    append_query(*target, arguments);
    co_return co_await run({.method = row->method,
                            .target = std::move(*target),
                            .cancel = std::move(cancel),
                            .head_timeout = row->method == "GET" ? kQuestionTimeout : std::chrono::milliseconds(0)});
  }
  if (row->long_running) {
    auto call = streaming(std::move(*target), std::move(arguments), std::move(sink), std::move(cancel));
    call.method = row->method;
    co_return co_await run(std::move(call));
  }
  co_return co_await run({.method = row->method,
                          .target = std::move(*target),
                          .body = json::write(arguments),
                          .cancel = std::move(cancel)});
}

Task<Result<json::object>> RemoteModelApi::request(std::string method, std::string target, std::string body) {
  co_return co_await run(
      {.method = method, .target = std::move(target), .body = std::move(body), .head_timeout = kQuestionTimeout});
}

}  // namespace llm::client
