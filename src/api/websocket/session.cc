#include "api/websocket/session.h"

#include <fmt/format.h>

#include "api/error_body.h"
#include "api/handlers.h"
#include "base/strings.h"

namespace llm::api {
namespace {

constexpr std::string_view kSubprotocol = "llm-mcp";

}  // namespace

WebSocketSession::WebSocketSession(Call& call, net::Upgraded connection)
    : call_(call),
      socket_(call.exchange.loop(), std::move(connection), call.services.websocket),
      tasks_(call.exchange.loop().executor()),
      writer_(call.exchange.loop().executor()) {}

Task<void> WebSocketSession::run() {
  writer_.spawn(socket_.run_writer());
  // The server stops: running generations end, clients are told to go elsewhere.
  const auto stop =
      call_.exchange.cancelled().on_cancel([this] { socket_.close(net::kWebSocketGoingAway, "shutting down"); });
  while (true) {
    auto message = co_await socket_.receive();
    if (!message) break;
    if (!still_valid()) {
      co_await reply_error(nullptr, {ErrorCode::kUnauthenticated,
                                     "the API key or access token that opened this socket does not hold any more",
                                     {},
                                     {},
                                     0});
      socket_.close(net::kWebSocketPolicyViolation, "credentials do not hold any more");
      break;
    }
    if (message->text) {
      co_await on_message(std::move(message->payload));
    } else {
      co_await reply_error(nullptr,
                           {ErrorCode::kInvalidArgument, "send JSON as text messages, not binary ones", {}, {}, 0});
    }
  }
  const auto running = running_;  // a copy: what is cancelled takes itself off the list
  for (const auto& [id, cancel] : running) cancel.cancel();
  co_await tasks_.join();
  co_await writer_.join();
  co_await socket_.finish();
}

// Asked for every message: a socket lives longer than many a key.
bool WebSocketSession::still_valid() const {
  const auto* access = call_.services.access;
  return !access || access->authenticator.still_valid(call_.principal);
}

// Replies are awaited here, one after the other: a client that sends without reading stops being read.
Task<void> WebSocketSession::on_message(std::string text) {
  auto document = json::parse(text);
  if (!document) {
    co_await reply_error(nullptr, document.error());
    co_return;
  }
  if (!document->is_object()) {
    co_await reply_error(nullptr, {ErrorCode::kInvalidArgument, "expected a JSON object", {}, {}, 0});
    co_return;
  }
  auto& message = document->get_object();
  const std::string type(json::string_or(message, "type"));
  const auto* given_id = json::find(message, "id");
  const json::value id = given_id ? *given_id : json::value();
  if (type == "ping") {
    co_await reply({{"type", "pong"}, {"id", id}});
    co_return;
  }
  if (type != "generate" && type != "chat" && type != "cancel") {
    co_await reply_error(
        id,
        {ErrorCode::kInvalidArgument, "expected one of \"generate\", \"chat\", \"cancel\", \"ping\"", "/type", {}, 0});
    co_return;
  }
  if (!id.is_string() || id.get_string().empty() || id.get_string().size() > 256) {
    co_await reply_error(
        id,
        {ErrorCode::kInvalidArgument, "expected a text of 1 to 256 bytes that names this generation", "/id", {}, 0});
    co_return;
  }
  std::string name(id.get_string().data(), id.get_string().size());
  const auto running = running_.find(name);
  if (type == "cancel") {
    if (running == running_.end()) {
      co_await reply_error(id, {ErrorCode::kNotFound, "no generation of that id is running", "/id", {}, 0});
    } else {
      const CancelSource source = running->second;
      source.cancel();
    }
    co_return;
  }
  if (running != running_.end()) {
    co_await reply_error(id, {ErrorCode::kAlreadyExists, "a generation of that id is running", "/id", {}, 0});
    co_return;
  }
  if (running_.size() >= kMostGenerations) {
    co_await reply_error(
        id, {ErrorCode::kOverloaded, fmt::format("{} generations run on this socket", running_.size()), {}, {}, 1});
    co_return;
  }
  message.erase("type");
  message.erase("id");
  start(std::move(name), std::move(message));
}

void WebSocketSession::start(std::string id, json::object request) {
  CancelSource cancel;
  running_.emplace(id, cancel);
  tasks_.spawn(generate(std::move(id), std::move(request), cancel));
}

Task<void> WebSocketSession::generate(std::string id, json::object request, CancelSource cancel) {
  inference::LocalModelApi models(call_.services.backend, call_.exchange.loop(), call_.principal, {}, call_.routing);
  std::int64_t tokens = 0;
  auto sink = [this, &id, &tokens](json::object event) -> Task<Result<void>> {
    json::object message{{"type", event.contains("text") ? "token" : "loading"}, {"id", id}};
    for (const auto& member : event) message[member.key()] = member.value();
    tokens = json::int_or(message, "tokens", tokens);
    if (!co_await socket_.send(json::write(message))) co_return fail(ErrorCode::kCancelled, "the client is gone");
    co_return Result<void>();
  };
  request["stream"] = true;
  auto answer = co_await models.generate(std::move(request), sink, cancel.token());
  json::object last;
  if (answer) {
    last = {{"type", "done"}, {"id", id}};
    for (const auto& member : *answer) {
      if (member.key() == "text" || member.key() == "id") continue;
      last[member.key()] = member.value();
    }
  } else if (answer.error().code == ErrorCode::kCancelled) {
    last = {{"type", "done"},
            {"id", id},
            {"finish_reason", "cancelled"},
            {"usage", json::object{{"completion_tokens", tokens}}}};
  } else {
    last = error_body(answer.error());
    last["type"] = "error";
    last["id"] = id;
  }
  // The id is free again once its last message is queued.
  co_await socket_.send(json::write(last));
  running_.erase(id);
}

Task<void> WebSocketSession::reply(json::object message) {
  co_await socket_.send(json::write(message));
}

Task<void> WebSocketSession::reply_error(json::value id, Error error) {
  json::object message = error_body(error);
  message["type"] = "error";
  message["id"] = std::move(id);
  co_await reply(std::move(message));
}

Task<Result<void>> websocket(Call& call) {
  auto& exchange = call.exchange;
  const auto accepted = net::validate_upgrade(exchange.method(), 11, [&](std::string_view name) {
    std::vector<std::string_view> values;
    for (std::size_t i = 0; i < exchange.headers().size(); ++i) {
      const auto field = exchange.headers().at(i);
      if (iequals(field.name, name)) values.push_back(field.value);
    }
    return values;
  });
  if (!accepted) {
    if (accepted.error().http_status == 426) {
      exchange.response_headers().set("Upgrade", "websocket");
      exchange.response_headers().set("Sec-WebSocket-Version", "13");
    }
    const std::string body = json::write(error_body(accepted.error().error, exchange.request_id));
    co_return co_await exchange.respond(accepted.error().http_status, "application/json", body);
  }
  exchange.response_headers().set("Sec-WebSocket-Accept", *accepted);
  // Never the "bearer.<token>" that may stand beside it.
  if (exchange.headers().has_token("sec-websocket-protocol", kSubprotocol)) {
    exchange.response_headers().set("Sec-WebSocket-Protocol", kSubprotocol);
  }
  auto upgraded = co_await exchange.upgrade("websocket");
  if (!upgraded) co_return fail(upgraded.error());
  WebSocketSession session(call, std::move(*upgraded));
  co_await session.run();
  co_return Result<void>();
}

}  // namespace llm::api
