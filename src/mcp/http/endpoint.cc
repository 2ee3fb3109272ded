#include "mcp/http/endpoint.h"

#include <algorithm>
#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <fmt/format.h>
#include <type_traits>
#include <unordered_set>
#include <utility>
#include <variant>

#include "async/event.h"
#include "base/strings.h"
#include "mcp/http/attachment.h"
#include "mcp/http/denial.h"
#include "mcp/http/listeners.h"
#include "mcp/http/modern_call.h"
#include "mcp/http/modern_rules.h"
#include "mcp/http/session_table.h"
#include "mcp/protocol.h"

namespace llm::mcp {
namespace {

constexpr std::string_view kJson = "application/json";

// A session id ends with the place of its home loop.
std::string tag_of(std::size_t index) {
  return fmt::format("-{:x}", index);
}

Task<Result<void>> refuse(net::Exchange& exchange, int status, Refusal refusal, const RequestId* id = nullptr) {
  std::string body;
  write_error(body, id, refusal);
  co_return co_await exchange.respond(status, kJson, body);
}

Task<Result<void>> refuse(net::Exchange& exchange, int status, std::string message) {
  return refuse(exchange, status, Refusal{kInvalidRequest, "Invalid request: " + std::move(message), {}});
}

Task<Result<void>> refuse_unknown_session(net::Exchange& exchange) {
  return refuse(exchange, 404, "this session does not exist (any more). Open a new one with initialize.");
}

const Request* request_in(const Decoded& message) {
  const auto* single = std::get_if<Message>(&message);
  return single != nullptr ? std::get_if<Request>(single) : nullptr;
}

// Is there anything to answer? A batch is asked when it has been looked at.
bool wants_answer(const Decoded& message) {
  const auto* single = std::get_if<Message>(&message);
  return single == nullptr || std::holds_alternative<Request>(*single) || std::holds_alternative<Malformed>(*single);
}

}  // namespace

// What one loop owns. On that loop, but for what is marked.
struct HttpEndpoint::Shard {
  Shard(const Server& server, Loop& owner, const HttpSettings& settings, std::size_t index, std::size_t count)
      : loop(owner),
        sessions(server, owner, settings, tag_of(index), (settings.max_sessions + count - 1) / count,
                 settings.replay_total_bytes / count),
        listeners(owner, settings),
        idle(owner.executor()) {}

  void note_sessions() { open_sessions.store(sessions.size(), std::memory_order_relaxed); }

  Loop& loop;
  SessionTable sessions;
  std::unordered_set<ModernCall*> calls;
  Listeners listeners;
  std::size_t exchanges = 0;
  bool stopping = false;
  Event idle;                                 // stopping, and the last exchange has ended
  std::atomic<std::size_t> open_sessions{0};  // any thread
};

namespace {

// Runs `visit` on the home loop, and comes back to `here` with what it returns.
template <class Visit>
Task<std::invoke_result_t<Visit>> visit(Loop& here, Loop& home, Visit act) {
  using Outcome = std::invoke_result_t<Visit>;
  if (&here == &home) co_return act();
  struct Meeting {
    explicit Meeting(Executor executor) : done(executor) {}
    Event done;
    std::optional<Outcome> outcome;
  };
  const auto meeting = std::make_shared<Meeting>(here.executor());
  home.post([meeting, &here, act = std::move(act)]() mutable {
    here.post([meeting, outcome = act()]() mutable {
      meeting->outcome = std::move(outcome);
      meeting->done.notify();
    });
  });
  while (!meeting->outcome) co_await meeting->done.wait();
  co_return std::move(*meeting->outcome);
}

}  // namespace

// What an exchange brings to a session on its home loop. Shared with what is posted there.
struct HttpEndpoint::Visitor {
  std::shared_ptr<Shard> home;
  std::string session;
  access::Principal principal;
  Decoded message = Message(Notification{});
  std::optional<EventId> after = {};
  std::shared_ptr<Attachment> reply = nullptr;
  Channel stream = 0;  // out

  enum class Welcome { kIn, kUnknownSession, kUnknownStream };
  Welcome post() {
    Session* found = home->sessions.find(session, principal.id);
    if (found == nullptr) return Welcome::kUnknownSession;
    if (reply) {
      stream = found->post(std::move(message), principal, reply);
    } else {
      found->post(std::move(message), principal);
    }
    return Welcome::kIn;
  }
  Welcome get() {
    Session* found = home->sessions.find(session, principal.id);
    if (found == nullptr) return Welcome::kUnknownSession;
    return found->get(after, reply, stream) ? Welcome::kIn : Welcome::kUnknownStream;
  }
  Welcome remove() {
    Session* found = home->sessions.find(session, principal.id);
    if (found == nullptr) return Welcome::kUnknownSession;
    home->sessions.end(*found);
    home->note_sessions();
    return Welcome::kIn;
  }
  void became_stream() {
    if (Session* found = home->sessions.find(session)) found->became_stream(stream);
  }
  void leave() {
    if (Session* found = home->sessions.find(session)) found->detach(stream, reply.get());
  }
};

HttpEndpoint::HttpEndpoint(const Server& server, HttpSettings settings, const std::vector<Loop*>& loops)
    : server_(server), settings_(std::move(settings)) {
  for (std::size_t i = 0; i < loops.size(); ++i) {
    shards_.push_back(std::make_shared<Shard>(server_, *loops[i], settings_, i, loops.size()));
  }
}

HttpEndpoint::~HttpEndpoint() = default;

HttpEndpoint::Shard& HttpEndpoint::shard_of(const Loop& loop) const {
  return **std::ranges::find_if(shards_, [&loop](const auto& shard) { return &shard->loop == &loop; });
}

std::shared_ptr<HttpEndpoint::Shard> HttpEndpoint::home_of(std::string_view session_id) const {
  const auto dash = session_id.rfind('-');
  if (dash == std::string_view::npos) return nullptr;
  for (std::size_t i = 0; i < shards_.size(); ++i) {
    if (session_id.substr(dash) == tag_of(i)) return shards_[i];
  }
  return nullptr;
}

std::size_t HttpEndpoint::sessions() const {
  std::size_t sum = 0;
  for (const auto& shard : shards_) sum += shard->open_sessions.load(std::memory_order_relaxed);
  return sum;
}

void HttpEndpoint::stop() {
  for (const auto& shard : shards_) {
    shard->loop.post([shard] {
      if (std::exchange(shard->stopping, true)) return;
      const std::vector<ModernCall*> calls(shard->calls.begin(), shard->calls.end());
      for (ModernCall* call : calls) call->stop();
      shard->sessions.stop();
      shard->note_sessions();
      shard->idle.notify();
    });
  }
}

namespace {

template <class Shard>
Task<void> drain(std::shared_ptr<Shard> shard) {
  while (!shard->stopping || shard->exchanges > 0) co_await shard->idle.wait();
  co_await shard->sessions.drained();
}

}  // namespace

Task<void> HttpEndpoint::drained() {
  const auto shards = shards_;
  for (const auto& shard : shards) {
    co_await boost::asio::co_spawn(shard->loop.executor(), drain(shard), use_task);
  }
}

Task<void> HttpEndpoint::handle(net::Exchange& exchange, access::Principal principal) {
  Shard& here = shard_of(exchange.loop());
  // Counts down also when the coroutine is thrown away with its loop.
  struct Presence {
    explicit Presence(Shard& shard) : shard(shard) { ++shard.exchanges; }
    ~Presence() {
      if (--shard.exchanges == 0 && shard.stopping) shard.idle.notify();
    }
    Shard& shard;
  };
  const Presence presence(here);
  // An exchange may last for days, and there may be thousands: the coroutines that choose its way, with all they hold,
  // have ended when it is on it.
  Decoded message = Message(Notification{});
  switch (co_await admit(exchange, here, principal, message)) {
    case Route::kNowhere:
      break;
    case Route::kModern:
      co_return co_await modern(exchange, here, message, principal);
    case Route::kInitialize:
      co_return co_await initialize(exchange, here, message, principal);
    case Route::kSession:
      co_return co_await post_to_session(exchange, here, message, principal);
    case Route::kGet:
      co_return co_await get(exchange, here, principal);
    case Route::kDelete:
      co_return co_await remove(exchange, here, principal);
  }
}

Task<HttpEndpoint::Route> HttpEndpoint::admit(net::Exchange& exchange, const Shard& here,
                                              const access::Principal& principal, Decoded& message) {
  const RequestHeaders headers = read_headers(exchange.headers());
  if (!settings_.allowed_from(headers.host, headers.origin)) {
    co_await refuse(exchange, 403, "requests with this Host or Origin are not served here.");
    co_return Route::kNowhere;
  }
  if (here.stopping) {
    co_await refuse(exchange, 503, Refusal{kInternalError, "The server is shutting down.", {}});
    co_return Route::kNowhere;
  }
  const std::string_view method = exchange.method();
  if (method == "POST") co_return co_await admit_post(exchange, headers, principal, message);
  // The stateless era knows neither GET nor DELETE.
  const bool sessions = headers.protocol_version != modern_revision().version;
  if (method == "GET" && sessions) co_return Route::kGet;
  if (method == "DELETE" && sessions) co_return Route::kDelete;
  exchange.response_headers().set("Allow", sessions ? "POST, GET, DELETE" : "POST");
  co_await refuse(exchange, 405, fmt::format("{} has no meaning here.", method));
  co_return Route::kNowhere;
}

Task<HttpEndpoint::Route> HttpEndpoint::admit_post(net::Exchange& exchange, const RequestHeaders& headers,
                                                   const access::Principal& principal, Decoded& message) {
  if (!headers.content_type || !is_json(*headers.content_type)) {
    co_await refuse(exchange, 415, "the Content-Type must be application/json.");
    co_return Route::kNowhere;
  }
  if (!headers.accepts_json || !headers.accepts_events) {
    co_await refuse(exchange, 406, "the client must accept application/json and text/event-stream.");
    co_return Route::kNowhere;
  }
  if (auto read = co_await exchange.read_body(); !read) {
    if (read.error().code == ErrorCode::kCancelled) co_return Route::kNowhere;
    co_await refuse(exchange, describe(read.error().code).http_status, read.error().message);
    co_return Route::kNowhere;
  }
  const std::size_t most = server_.settings().max_message_bytes;
  if (exchange.body().size() > most) {
    co_await refuse(exchange, 413, fmt::format("the message is longer than {}.", format_bytes(most)));
    co_return Route::kNowhere;
  }
  message = decode_line(exchange.body());

  const auto* single = std::get_if<Message>(&message);
  const auto* malformed = single != nullptr ? std::get_if<Malformed>(single) : nullptr;
  if (malformed != nullptr) {
    co_await refuse(exchange, 400, malformed->refusal, malformed->id ? &*malformed->id : nullptr);
    co_return Route::kNowhere;
  }
  bool of_modern_era = headers.protocol_version == modern_revision().version;
  if (const Request* request = request_in(message)) {
    of_modern_era = is_modern(request->params, request->method, headers);
    if (!of_modern_era && request->method == "initialize") co_return Route::kInitialize;
  } else if (single != nullptr) {
    const auto* notification = std::get_if<Notification>(single);
    if (notification != nullptr) of_modern_era = is_modern(notification->params, notification->method, headers);
  }
  if (of_modern_era) co_return co_await admit_modern(exchange, headers, principal, message);
  // Each request of a batch gets its own answer, so refusals are among them.
  if (const Request* request = request_in(message); request != nullptr) {
    if (co_await deny(exchange, server_, settings_, *request, principal)) co_return Route::kNowhere;
  }
  co_return Route::kSession;
}

Task<HttpEndpoint::Route> HttpEndpoint::admit_modern(net::Exchange& exchange, const RequestHeaders& headers,
                                                     const access::Principal& principal, const Decoded& message) {
  const auto* single = std::get_if<Message>(&message);
  if (single == nullptr) {
    co_await refuse(exchange, 400, "the body must be one message; this revision has no batches.");
    co_return Route::kNowhere;
  }
  if (const auto* request = std::get_if<Request>(single)) {
    auto refusal = check_modern(server_, *request, headers, exchange.headers(), principal);
    if (!refusal) {
      const bool denied = co_await deny(exchange, server_, settings_, *request, principal);
      co_return denied ? Route::kNowhere : Route::kModern;
    }
    co_await refuse(exchange, refusal->status, std::move(refusal->refusal), &request->id);
  } else if (const auto* notification = std::get_if<Notification>(single)) {
    // There is none that changes anything: a request is cancelled by closing its stream.
    if (auto refusal = check_modern(*notification, headers)) {
      co_await refuse(exchange, refusal->status, std::move(refusal->refusal));
    } else {
      co_await exchange.respond(202, {}, {});
    }
  } else {
    co_await refuse(exchange, 400, "a client answers questions in the params of its next request, not by a response.");
  }
  co_return Route::kNowhere;
}

Task<void> HttpEndpoint::modern(net::Exchange& exchange, Shard& here, Decoded& message,
                                const access::Principal& principal) {
  ModernCall call(server_, exchange, settings_, principal);
  here.calls.insert(&call);
  std::optional<Listeners::Membership> listening;
  const Request* request = request_in(message);
  if (request != nullptr && request->method == "subscriptions/listen") {
    listening.emplace(here.listeners, principal, [&call] { call.stop(); });
  }
  call.start(std::exchange(message, Message(Notification{})));
  co_await call.answer();
  listening.reset();
  call.end();
  co_await call.drained();
  here.calls.erase(&call);
}

Task<void> HttpEndpoint::initialize(net::Exchange& exchange, Shard& here, Decoded& message,
                                    const access::Principal& principal) {
  const RequestId id = request_in(message)->id;
  Session* session = here.sessions.create(principal);
  if (session == nullptr) {
    exchange.response_headers().set("Retry-After", "10");
    co_await refuse(exchange, 503, Refusal{kInternalError, "Too many open sessions; try again later.", {}}, &id);
    co_return;
  }
  ReplyStream stream(exchange, settings_);
  const auto reply = std::make_shared<Attachment>(stream, here.loop);
  session->post(std::move(message), principal, reply);  // answered before this returns
  if (session->initialized()) {
    exchange.response_headers().set("Mcp-Session-Id", session->id());
  } else {
    here.sessions.end(*session);
  }
  here.note_sessions();
  co_await stream.run();
  reply->release();
}

namespace {

// What is wrong with a request for a session before the session is asked; empty: nothing.
std::string wrong_for_session(const RequestHeaders& headers) {
  if (!headers.repeated.empty()) return fmt::format("{} comes more than once.", headers.repeated);
  if (!headers.session) {
    return "the Mcp-Session-Id header is missing. Open a session with initialize, or send the _meta and the headers of "
           "a revision without sessions.";
  }
  if (headers.protocol_version) {
    // Absent, it means 2025-03-26 (MCP 2025-06-18 "Protocol version header"); but the session knows better.
    const Revision* revision = find_revision(*headers.protocol_version);
    if (revision == nullptr || revision->modern) return "the MCP-Protocol-Version is none that sessions speak.";
  }
  return {};
}

}  // namespace

Task<void> HttpEndpoint::post_to_session(net::Exchange& exchange, Shard& here, Decoded& message,
                                         const access::Principal& principal) {
  const RequestHeaders headers = read_headers(exchange.headers());
  if (std::string wrong = wrong_for_session(headers); !wrong.empty()) {
    const Request* request = request_in(message);
    co_await refuse(exchange, 400, Refusal{kInvalidRequest, "Invalid request: " + std::move(wrong), {}},
                    request != nullptr ? &request->id : nullptr);
    co_return;
  }
  const auto home = home_of(*headers.session);
  if (!home) {
    co_await refuse_unknown_session(exchange);
    co_return;
  }
  const auto visitor = std::make_shared<Visitor>(home, std::string(*headers.session), principal);
  const bool answered = wants_answer(message);
  visitor->message = std::move(message);
  ReplyStream stream(exchange, settings_);
  if (answered) visitor->reply = std::make_shared<Attachment>(stream, here.loop);

  const auto welcome = co_await visit(here.loop, home->loop, [visitor] { return visitor->post(); });
  if (welcome != Visitor::Welcome::kIn) {
    if (visitor->reply) visitor->reply->release();
    co_await refuse_unknown_session(exchange);
    co_return;
  }
  if (!answered) {
    co_await exchange.respond(202, {}, {});
    co_return;
  }
  stream.on_slow_answer = [visitor] { visitor->home->loop.post([visitor] { visitor->became_stream(); }); };
  co_await stream.run();
  visitor->reply->release();
  home->loop.post([visitor] { visitor->leave(); });
}

Task<void> HttpEndpoint::get(net::Exchange& exchange, Shard& here, const access::Principal& principal) {
  const RequestHeaders headers = read_headers(exchange.headers());
  if (!headers.accepts_events) {
    co_await refuse(exchange, 406, "the client must accept text/event-stream.");
    co_return;
  }
  if (std::string wrong = wrong_for_session(headers); !wrong.empty()) {
    co_await refuse(exchange, 400, std::move(wrong));
    co_return;
  }
  std::optional<EventId> after;
  if (headers.last_event_id && !headers.last_event_id->empty()) {
    after = EventId::parse(*headers.last_event_id);
    if (!after) {
      co_await refuse(exchange, 400, "the Last-Event-ID is none of this server's.");
      co_return;
    }
  }
  const auto home = home_of(*headers.session);
  if (!home) {
    co_await refuse_unknown_session(exchange);
    co_return;
  }
  ReplyStream stream(exchange, settings_);
  const auto visitor = std::make_shared<Visitor>(home, std::string(*headers.session), principal);
  visitor->after = after;
  visitor->reply = std::make_shared<Attachment>(stream, here.loop);
  const auto welcome = co_await visit(here.loop, home->loop, [visitor] { return visitor->get(); });
  if (welcome != Visitor::Welcome::kIn) {
    visitor->reply->release();
    if (welcome == Visitor::Welcome::kUnknownSession) {
      co_await refuse_unknown_session(exchange);
    } else {
      co_await refuse(exchange, 400, "the stream of this Last-Event-ID has ended, and its events are no longer kept.");
    }
    co_return;
  }
  {
    const Listeners::Membership listening(here.listeners, principal, [&stream] { stream.finish(); });
    co_await stream.run();
  }
  visitor->reply->release();
  home->loop.post([visitor] { visitor->leave(); });
}

Task<void> HttpEndpoint::remove(net::Exchange& exchange, Shard& here, const access::Principal& principal) {
  const RequestHeaders headers = read_headers(exchange.headers());
  if (std::string wrong = wrong_for_session(headers); !wrong.empty()) {
    co_await refuse(exchange, 400, std::move(wrong));
    co_return;
  }
  const auto home = home_of(*headers.session);
  if (home) {
    const auto visitor = std::make_shared<Visitor>(home, std::string(*headers.session), principal);
    const auto welcome = co_await visit(here.loop, home->loop, [visitor] { return visitor->remove(); });
    if (welcome == Visitor::Welcome::kIn) {
      co_await exchange.respond(204, {}, {});
      co_return;
    }
  }
  co_await refuse_unknown_session(exchange);
}

}  // namespace llm::mcp
