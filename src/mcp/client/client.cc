#include "mcp/client/client.h"

#include <algorithm>
#include <fmt/format.h>
#include <set>

#include "async/event.h"
#include "async/watch.h"
#include "base/strings.h"

namespace llm::mcp {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kMaxText = 2000;     // of a server's message that we repeat
constexpr std::uint64_t kOddLogged = 5;    // odd messages that are logged; all are counted
constexpr std::size_t kMaxOddBytes = 200;  // of one that is logged
constexpr std::size_t kMaxPages = 200;
constexpr std::chrono::milliseconds kLongestListenRetry{60'000};

std::optional<std::int64_t> detail(const Error& error, std::string_view name) {
  for (const auto& [key, value] : error.details) {
    if (const auto* number = std::get_if<std::int64_t>(&value); key == name && number != nullptr) return *number;
  }
  return std::nullopt;
}

std::string clipped(std::string_view text, std::size_t most) {
  return std::string(text.substr(0, utf8_complete_prefix(text.substr(0, most))));
}

const json::object* member(const json::object& object, std::string_view key) {
  const json::value* found = json::find(object, key);
  return found != nullptr ? found->if_object() : nullptr;
}

}  // namespace

std::optional<std::int64_t> rpc_code(const Error& error) {
  return detail(error, "json_rpc_code");
}
std::optional<std::int64_t> http_status(const Error& error) {
  return detail(error, "http_status");
}

// One request that waits for its answer. Shared by the map and the coroutine, which may outlive each other.
struct Client::Pending {
  Pending(Executor executor, std::function<void()> on_timeout) : arrived(executor), deadline(std::move(on_timeout)) {}
  Event arrived;
  Deadline deadline;
  std::optional<Result<json::value>> outcome = {};
  Progress progress = {};
  double last_progress = 0;
  bool progressed = false;
  std::chrono::milliseconds timeout{0};
  Clock::time_point end = {};  // whatever progress there is
  std::string method = {};
};

Client::Client(Loop& loop, std::unique_ptr<Link> link, ClientSettings settings, observe::Log& log, std::string label)
    : loop_(loop),
      link_(std::move(link)),
      settings_(std::move(settings)),
      log_(log),
      label_(std::move(label)),
      tasks_(loop.executor()) {}

Task<Result<void>> Client::connect(Era hint, CancelToken cancel) {
  if (auto started = link_->start(*this); !started) co_return fail(std::move(started.error()));
  if (hint != Era::kLegacy) {
    modern_ = true;
    auto found = co_await discover(cancel);
    if (!found) {
      // Some old servers end when the first message is not `initialize`: the next client begins with it.
      if (closed() && hint == Era::kUnknown) era_ = Era::kLegacy;
      co_return fail(std::move(found.error()));
    }
    if (*found) {
      era_ = Era::kModern;
      if (server_.tools_change) tasks_.spawn(listen(this));
      co_return Result<void>();
    }
  }
  modern_ = false;
  auto done = co_await initialize(cancel);
  era_ = done ? Era::kLegacy : Era::kUnknown;
  co_return done;
}

Task<Result<bool>> Client::discover(CancelToken cancel) {
  auto result =
      co_await request("server/discover", {}, {.timeout = settings_.probe_timeout, .cancel = std::move(cancel)});
  if (!result) {
    const Error& error = result.error();
    const auto status = http_status(error).value_or(0);
    const bool other_era = rpc_code(error) || error.code == ErrorCode::kEngineTimeout ||
                           (status >= 400 && status < 500 && status != 401 && status != 403);
    if (other_era && !closed()) co_return false;
    co_return fail(std::move(result.error()));
  }
  const json::value* versions = json::find(*result, "supportedVersions");
  const Revision& wanted = modern_revision();
  if (versions == nullptr || !versions->is_array() ||
      std::ranges::none_of(versions->get_array(), [&](const json::value& version) {
        return version.is_string() && std::string_view(version.get_string()) == wanted.version;
      })) {
    co_return false;
  }
  const json::object* meta = member(*result, "_meta");
  if (auto read = read_server(*result, meta != nullptr ? json::find(*meta, meta::kServerInfo) : nullptr); !read) {
    co_return fail(std::move(read.error()));
  }
  server_.revision = &wanted;
  co_return true;
}

Task<Result<void>> Client::initialize(CancelToken cancel) {
  json::object params{{"protocolVersion", latest_legacy_revision().version},
                      {"capabilities", json::object{}},
                      {"clientInfo", json::object{{"name", settings_.name}, {"version", settings_.version}}}};
  auto result = co_await request("initialize", std::move(params),
                                 {.timeout = settings_.handshake_timeout, .cancel = std::move(cancel)});
  if (!result) co_return fail(std::move(result.error()));
  const std::string_view version = json::string_or(*result, "protocolVersion");
  const Revision* revision = find_revision(version);
  if (revision == nullptr || revision->modern) {
    co_return fail(ErrorCode::kUnsupported, fmt::format("{} speaks protocol version '{}', which this program does not",
                                                        label_, clipped(version, 40)));
  }
  if (auto read = read_server(*result, json::find(*result, "serverInfo")); !read) co_return read;
  server_.revision = revision;
  notify("notifications/initialized", {});
  if (server_.tools_change) link_->listen(std::string(revision->version));
  co_return Result<void>();
}

Result<void> Client::read_server(const json::object& result, const json::value* info) {
  if (info != nullptr && info->is_object()) {
    server_.name = clipped(json::string_or(info->get_object(), "name"), 200);
    server_.version = clipped(json::string_or(info->get_object(), "version"), 100);
  }
  if (const json::object* fields = member(result, "_meta")) {
    server_.instance = clipped(json::string_or(*fields, meta::kInstance), 100);
  }
  const json::object* capabilities = member(result, "capabilities");
  if (capabilities == nullptr) {
    return fail(ErrorCode::kEngineFailed, fmt::format("{} answered the handshake without capabilities", label_));
  }
  const json::object* tools = member(*capabilities, "tools");
  server_.tools = tools != nullptr;
  server_.tools_change = tools != nullptr && json::bool_or(*tools, "listChanged");
  return {};
}

void Client::add_meta(json::object& params, const RequestId& id, const RequestOptions& options, bool modern) const {
  if (!modern && !options.progress.wanted() && options.traceparent.empty()) return;
  json::value& member = params["_meta"];
  json::object& meta = member.is_object() ? member.get_object() : member.emplace_object();
  if (modern) {
    meta[meta::kProtocolVersion] = modern_revision().version;
    meta[meta::kClientCapabilities] = options.capabilities;
    meta[meta::kClientInfo] = json::object{{"name", settings_.name}, {"version", settings_.version}};
  }
  if (options.progress.wanted()) meta["progressToken"] = id.json;
  if (!options.traceparent.empty()) meta["traceparent"] = options.traceparent;
}

Task<Result<json::object>> Client::request(std::string method, json::object params, RequestOptions options) {
  if (closed_) co_return fail(*closed_);
  if (options.cancel.cancelled()) co_return fail(ErrorCode::kCancelled, "cancelled before it was sent");
  if (pending_.size() >= settings_.max_pending) {
    co_return fail(ErrorCode::kOverloaded, fmt::format("{} has {} unanswered requests", label_, pending_.size()));
  }
  const RequestId id{std::to_string(next_id_++)};
  const auto pending = std::make_shared<Pending>(loop_.executor(), [this, id] {
    give_up(id, {ErrorCode::kEngineTimeout, fmt::format("{} did not answer in time", label_), {}, {}, 0});
  });
  pending->progress = options.progress;
  pending->timeout = options.timeout;
  pending->end = Clock::now() + options.timeout * settings_.longest_timeouts;
  pending->method = method;
  pending_.emplace(id.json, pending);
  const auto registration = options.cancel.on_cancel(
      [this, id] { give_up(id, {ErrorCode::kCancelled, "the call was cancelled", {}, {}, 0}); });
  if (options.timeout.count() > 0) loop_.wheel().arm(pending->deadline, options.timeout);

  const bool modern = modern_;
  add_meta(params, id, options, modern);
  Outgoing message{.text = {},
                   .id = id,
                   .method = std::move(method),
                   .version = {},
                   .modern = modern,
                   .name = std::move(options.name),
                   .headers = std::move(options.headers)};
  if (modern) message.version = modern_revision().version;
  if (!modern && server_.revision != nullptr) message.version = server_.revision->version;
  write_request(message.text, id, message.method, json::write(params));
  link_->send(std::move(message));

  // Nothing of this client is touched from here on: it may be gone when the answer is read.
  while (!pending->outcome) co_await pending->arrived.wait();
  Result<json::value> outcome = std::move(*pending->outcome);
  if (!outcome) co_return fail(std::move(outcome.error()));
  co_return std::move(outcome->get_object());
}

Task<Result<std::vector<json::object>>> Client::list_tools(CancelToken cancel) {
  std::vector<json::object> tools;
  if (!server_.tools) co_return tools;
  std::set<std::string, std::less<>> cursors;
  std::string cursor;
  while (true) {
    json::object params;
    if (!cursor.empty()) params["cursor"] = cursor;
    auto page =
        co_await request("tools/list", std::move(params), {.timeout = settings_.handshake_timeout, .cancel = cancel});
    if (!page) co_return fail(std::move(page.error()));
    json::value* list = page->if_contains("tools");
    if (list == nullptr || !list->is_array()) {
      co_return fail(ErrorCode::kEngineFailed, fmt::format("{} answered tools/list without a list", label_));
    }
    for (json::value& tool : list->get_array()) {
      json::object* object = tool.if_object();
      if (object == nullptr || json::string_or(*object, "name").empty() || member(*object, "inputSchema") == nullptr) {
        odd("a tool without name or input schema");
        continue;
      }
      if (tools.size() == settings_.max_tools) {
        log_.warn("a server has more tools than are taken over", {{"server", label_}, {"tools", tools.size()}});
        co_return tools;
      }
      tools.push_back(std::move(*object));
    }
    cursor = json::string_or(*page, "nextCursor");
    if (cursor.empty()) co_return tools;
    if (!cursors.insert(cursor).second || cursors.size() > kMaxPages) {
      co_return fail(ErrorCode::kEngineFailed, fmt::format("{} never ends its list of tools", label_));
    }
  }
}

// Holds a subscription to changes of the tools (2026-07-28). What changed while there was none is found by asking
// again, so each new subscription counts as a change.
Task<void> Client::listen(Client* self) {
  auto pause = self->settings_.listen_retry;
  bool first = true;
  while (!self->stop_.cancelled() && !self->closed_) {
    if (!std::exchange(first, false) && self->on_tools_changed) self->on_tools_changed();
    const auto begin = Clock::now();
    auto ended =
        co_await self->request("subscriptions/listen", {{"notifications", json::object{{"toolsListChanged", true}}}},
                               {.timeout = std::chrono::milliseconds(0), .cancel = self->stop_.token()});
    if (self->stop_.cancelled() || self->closed_) co_return;
    if (!ended && (rpc_code(ended.error()) || ended.error().code == ErrorCode::kPermissionDenied)) co_return;
    if (Clock::now() - begin > kLongestListenRetry) pause = self->settings_.listen_retry;
    Watch<int> never;
    co_await never.changed(never.get().version, self->stop_.token(), pause);
    pause = std::min(pause * 2, kLongestListenRetry);
  }
}

void Client::on_message(std::string_view text, const RequestId* under) {
  Decoded decoded = decode_line(text);
  if (auto* batch = std::get_if<Batch>(&decoded)) {
    for (Message& message : batch->messages) take(message, under);
  } else {
    take(std::get<Message>(decoded), under);
  }
}

void Client::take(Message& message, const RequestId* under) {
  if (auto* response = std::get_if<Response>(&message)) {
    take_response(*response, under);
  } else if (const auto* notification = std::get_if<Notification>(&message)) {
    take_notification(*notification);
  } else if (const auto* request = std::get_if<Request>(&message)) {
    answer(*request);
  } else {
    odd("not a JSON-RPC message", std::get<Malformed>(message).refusal.message);
  }
}

void Client::take_response(Response& response, const RequestId* under) {
  // Over HTTP an error may come without the id that could not be read; there it is clear what it answers.
  const RequestId id = response.id.json.empty() && under != nullptr ? *under : response.id;
  if (!pending_.contains(id.json)) return odd("an answer to nothing we asked");
  if (response.error) {
    const int code = response.error->code;
    return finish(id, fail(Error{ErrorCode::kEngineFailed,
                                 fmt::format("{}: {}", label_, clipped(response.error->message, kMaxText)),
                                 {},
                                 {},
                                 0}
                               .with("json_rpc_code", code)));
  }
  if (!response.result.is_object()) {
    return finish(id,
                  fail(ErrorCode::kEngineFailed, fmt::format("{} answered with a result that is no object", label_)));
  }
  finish(id, std::move(response.result));
}

void Client::take_notification(const Notification& notification) {
  if (notification.method == "notifications/progress") return report_progress(notification.params);
  if (notification.method == "notifications/tools/list_changed") {
    if (server_.revision != nullptr && on_tools_changed) on_tools_changed();
    return;
  }
  if (notification.method == "notifications/message") {
    const json::value* data = json::find(notification.params, "data");
    if (data == nullptr || !log_.enabled(observe::LogLevel::kDebug)) return;
    log_.debug("server logs", {{"server", label_}, {"text", clipped(json::write(*data), 500)}});
  }
}

void Client::report_progress(const json::object& params) {
  const json::value* token = json::find(params, "progressToken");
  if (token == nullptr || !token->is_string()) return;  // ours are strings
  const auto found = pending_.find(std::string_view(token->get_string()));
  if (found == pending_.end()) return;
  const auto pending = found->second;
  const json::value* value = json::find(params, "progress");
  if (value == nullptr || !value->is_number()) return;
  const double progress = json::number_or(params, "progress");
  if (pending->progressed && progress <= pending->last_progress) return;  // no sign of life: it must grow
  pending->progressed = true;
  pending->last_progress = progress;
  const auto now = Clock::now();
  if (pending->deadline.armed() && now < pending->end) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(pending->end - now);
    loop_.wheel().arm(pending->deadline, std::min(pending->timeout, left));
  }
  std::optional<double> total;
  if (const json::value* given = json::find(params, "total"); given != nullptr && given->is_number()) {
    total = json::number_or(params, "total");
  }
  pending->progress(progress, total, clipped(json::string_or(params, "message"), kMaxText));
}

void Client::answer(const Request& request) {
  Outgoing reply{.text = {}};
  if (request.method == "ping") {
    write_result(reply.text, request.id, "{}");
  } else {
    write_error(reply.text, &request.id,
                {kMethodNotFound, fmt::format("This client cannot be asked '{}'.", clipped(request.method, 100)), {}});
  }
  if (server_.revision != nullptr) reply.version = server_.revision->version;
  link_->send(std::move(reply));
}

void Client::odd(std::string_view what, std::string_view detail) {
  if (++odd_ > kOddLogged) return;
  log_.warn("odd message from a server",
            {{"server", label_}, {"what", what}, {"detail", detail.substr(0, kMaxOddBytes)}});
}

void Client::on_overlong(std::size_t limit) {
  // Whose answer it was cannot be told.
  fail_all({ErrorCode::kEngineFailed,
            fmt::format("{} sent a message of more than {}", label_, format_bytes(limit)),
            {},
            {},
            0});
}

void Client::on_lost(const RequestId& id, Error why) {
  finish(id, fail(std::move(why)));
}

void Client::on_closed(Error why) {
  if (closed_) return;
  closed_ = why;
  fail_all(why);
  if (on_end) on_end();
}

void Client::finish(const RequestId& id, Result<json::value> outcome) {
  const auto found = pending_.find(id.json);
  if (found == pending_.end()) return;
  const auto pending = found->second;
  pending_.erase(found);
  link_->done(id);
  pending->deadline.clear();
  pending->outcome = std::move(outcome);
  pending->arrived.notify();
}

void Client::give_up(const RequestId& id, Error why) {
  const auto found = pending_.find(id.json);
  if (found == pending_.end()) return;
  const bool tell = found->second->method != "initialize" && !(modern_ && link_->drop_cancels());
  const std::string reason = why.code == ErrorCode::kCancelled ? "cancelled" : "timed out";
  link_->drop(id);
  finish(id, fail(std::move(why)));
  if (!tell) return;
  const auto number = parse_number<std::uint64_t>(id.json);
  notify("notifications/cancelled", {{"requestId", number.value_or(0)}, {"reason", reason}});
}

void Client::fail_all(const Error& why) {
  const auto all = std::move(pending_);
  pending_.clear();
  for (const auto& [id, pending] : all) {
    link_->drop({id});
    pending->deadline.clear();
    pending->outcome = fail(why);
    pending->arrived.notify();
  }
}

void Client::notify(std::string_view method, const json::object& params) {
  Outgoing message{.text = {}, .id = {}, .method = std::string(method), .version = {}, .modern = modern_};
  if (modern_) message.version = modern_revision().version;
  if (!modern_ && server_.revision != nullptr) message.version = server_.revision->version;
  write_notification(message.text, method, json::write(params));
  link_->send(std::move(message));
}

Task<void> Client::stop() {
  on_end = nullptr;
  on_tools_changed = nullptr;
  stop_.cancel();
  on_closed({ErrorCode::kUnavailable, fmt::format("the connection to {} was closed", label_), {}, {}, 0});
  co_await tasks_.join();
  co_await link_->stop();
}

}  // namespace llm::mcp
