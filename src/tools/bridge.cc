#include "tools/bridge.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <deque>
#include <fmt/format.h>
#include <mutex>
#include <set>

#include "mcp/client/parameter_headers.h"

namespace llm::tools {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kSteady{30};  // a connection that lasted so long starts the pauses from the shortest
constexpr std::size_t kMaxReports = 64;      // of progress on their way to the caller; the oldest go first
constexpr int kMaxRenames = 3;               // when other bridges take a name at the same time

Error error_of(ErrorCode code, std::string message) {
  return {code, std::move(message), {}, {}, 0};
}

// What the client behind a call can be asked, as far as it may concern a server behind us.
json::object passed_capabilities(const mcp::Caller* caller) {
  json::object out;
  if (caller == nullptr) return out;
  for (const std::string_view key : {"elicitation", "sampling", "roots"}) {
    if (const json::value* found = json::find(caller->capabilities, key)) out[key] = *found;
  }
  return out;
}

bool is_answer(const Error& error) {
  return mcp::rpc_code(error).has_value() || error.code == ErrorCode::kOverloaded;
}

}  // namespace

// A call on its way between two loops. `call`, `result` and `arrived` belong to the caller's loop, the rest to the
// bridge's, but for what is posted from one to the other.
struct Bridge::Job {
  Job(Executor loop, mcp::ToolCall wanted, std::shared_ptr<const RemoteTool> remote)
      : call(std::move(wanted)), tool(std::move(remote)), caller(loop), arrived(loop) {}

  mcp::ToolCall call;
  std::shared_ptr<const RemoteTool> tool;
  Executor caller;
  Event arrived;
  std::optional<Result<mcp::ToolResult>> result;
  CancelSource cancel;
  mcp::Progress report;  // to the caller's loop

  struct Report {
    double value;
    std::optional<double> total;
    std::string message;
  };
  std::mutex mutex;  // guards `reports`, which both loops touch
  std::deque<Report> reports;

  static void finish(const std::shared_ptr<Job>& job, Result<mcp::ToolResult> result) {
    boost::asio::post(job->caller, [job, result = std::move(result)]() mutable {
      job->result = std::move(result);
      job->arrived.notify();
    });
  }
  static mcp::Progress progress(const std::shared_ptr<Job>& job) {
    if (!job->call.progress.wanted()) return {};
    const std::weak_ptr<Job> weak = job;
    return mcp::Progress([weak](double value, std::optional<double> total, std::string_view message) {
      const auto held = weak.lock();
      if (!held) return;
      {
        const std::lock_guard lock(held->mutex);
        held->reports.push_back({value, total, std::string(message)});
        if (held->reports.size() > kMaxReports) held->reports.pop_front();
        if (held->reports.size() > 1) return;  // the ones before it have the post
      }
      boost::asio::post(held->caller, [held] { held->pass_on(); });
    });
  }
  void pass_on() {
    std::deque<Report> all;
    {
      const std::lock_guard lock(mutex);
      all.swap(reports);
    }
    for (const auto& [value, total, message] : all) {
      if (!result) call.progress(value, total, message);
    }
  }
};

Bridge::Bridge(Loop& home, std::string name, BridgeSettings settings, BridgeOptions options, LinkMaker make_link,
               mcp::ToolRegistry& registry, observe::Log& log)
    : home_(home),
      name_(std::move(name)),
      settings_(std::move(settings)),
      options_(std::move(options)),
      make_link_(std::move(make_link)),
      registry_(registry),
      log_(log),
      status_(BridgeStatus{.name = name_,
                           .state = "connecting",
                           .error = {},
                           .server = {},
                           .server_version = {},
                           .protocol = {},
                           .tools = 0}),
      breaker_(options_.breaker),
      changed_(home.executor()),
      tasks_(home.executor()) {}

std::string Bridge::label() const {
  return fmt::format("bridge '{}'", name_);
}

void Bridge::start() {
  tasks_.spawn(maintain(shared_from_this()));
}

Task<void> Bridge::stop() {
  stopped_ = true;
  stop_.cancel();
  waiting_.cancel();
  changed_.notify();
  co_await tasks_.join();
  set_state("stopped");
  (void)registry_.replace(name_, {});
}

void Bridge::set_state(std::string_view state, const Error* error) {
  status_.update([&](BridgeStatus& status) {
    status.state = state;
    status.error = error != nullptr ? error->message : std::string();
    if (client_ && ready_) {
      status.server = client_->server().name;
      status.server_version = client_->server().version;
      status.protocol = client_->server().revision->version;
    }
  });
}

Task<void> Bridge::maintain(std::shared_ptr<Bridge> self) {
  auto pause = self->options_.first_retry;
  while (!self->stop_.cancelled()) {
    const auto begin = Clock::now();
    self->set_state("connecting");
    auto outcome = co_await self->serve();
    if (self->stop_.cancelled()) co_return;
    if (!outcome) self->last_error_ = std::move(outcome.error());
    if (self->refused_) {
      self->set_state("refused", &self->last_error_);
      self->log_.error("bridge refused", {{"bridge", self->name_}, {"error", self->last_error_.message}});
      co_return;
    }
    if (Clock::now() - begin > kSteady) pause = self->options_.first_retry;
    self->waiting_ = {};
    self->next_try_ = Clock::now() + pause;
    self->log_.warn("bridge not connected",
                    {{"bridge", self->name_}, {"error", self->last_error_.message}, {"retry_ms", pause.count()}});
    self->set_state("waiting", &self->last_error_);
    Watch<int> never;
    co_await never.changed(never.get().version, self->waiting_.token(), pause);
    pause = std::min(pause * 2, self->options_.longest_retry);
  }
}

// Fails always: a connection that ended is one that is missing.
Task<Result<void>> Bridge::serve() {
  auto link = make_link_();
  if (!link) co_return fail(std::move(link.error()));
  client_ = std::make_unique<mcp::Client>(home_, std::move(*link), options_.client, log_, label());
  client_->on_end = [this] { changed_.notify(); };
  client_->on_tools_changed = [this] {
    tools_changed_ = true;
    changed_.notify();
  };
  auto outcome = co_await open();
  while (outcome && !stop_.cancelled() && !client_->closed()) {
    co_await changed_.wait();
    if (stop_.cancelled() || client_->closed() || !std::exchange(tools_changed_, false)) continue;
    outcome = co_await refresh();
    Watch<int> never;
    if (outcome) co_await never.changed(never.get().version, stop_.token(), options_.refresh_pause);
  }
  ready_ = false;
  co_await client_->stop();
  client_.reset();
  if (outcome) outcome = fail(error_of(ErrorCode::kUnavailable, fmt::format("{} lost its connection", label())));
  co_return outcome;
}

Task<Result<void>> Bridge::open() {
  tools_changed_ = false;
  auto done = co_await client_->connect(era_, stop_.token());
  era_ = client_->era();
  if (!done) co_return done;
  const mcp::RemoteServer& server = client_->server();
  if (!options_.instance.empty() && server.instance == options_.instance) {
    refused_ = true;
    co_return fail(error_of(ErrorCode::kInvalidArgument,
                            fmt::format("{} leads back to this very process; remove it from mcp.bridges", label())));
  }
  done = co_await refresh();
  if (!done) co_return done;
  ready_ = true;
  if (std::exchange(unreachable_, false)) breaker_.succeeded();  // it could not be reached; now it can
  log_.info("bridge ready", {{"bridge", name_},
                             {"server", server.name},
                             {"version", server.version},
                             {"protocol", server.revision->version},
                             {"tools", status().tools}});
  set_state("ready");
  co_return done;
}

Task<Result<void>> Bridge::refresh() {
  auto tools = co_await client_->list_tools(stop_.token());
  if (!tools) co_return fail(std::move(tools.error()));
  co_return publish(*tools);
}

Result<void> Bridge::publish(const std::vector<json::object>& tools) {
  for (int attempt = 0;; ++attempt) {
    auto translated = translate(tools);
    const std::size_t count = translated.size();
    auto done = registry_.replace(name_, std::move(translated));
    if (done) {
      status_.update([&](BridgeStatus& status) { status.tools = count; });
      return {};
    }
    if (done.error().code != ErrorCode::kAlreadyExists || attempt == kMaxRenames) return done;
  }
}

std::vector<mcp::Tool> Bridge::translate(const std::vector<json::object>& tools) {
  const auto present = registry_.tools();
  std::set<std::string, std::less<>> used;
  const auto taken = [&](std::string_view name) {
    const auto found = present->by_name.find(name);
    return used.contains(name) || (found != present->by_name.end() && found->second->group != name_);
  };
  std::vector<mcp::Tool> out;
  for (const json::object& object : tools) {
    const std::string_view own = json::string_or(object, "name");
    if (!offers(settings_, own)) continue;
    auto bridged = read_remote_tool(object);
    if (!bridged) {
      log_.warn("bridged tool left out",
                {{"bridge", name_}, {"tool", own.substr(0, 128)}, {"error", to_string(bridged.error())}});
      continue;
    }
    mcp::Tool tool = std::move(bridged->tool);
    tool.permission = access::permission_by_name(settings_.permission).value_or(access::Permission::kAdmin);
    tool.name = bridged_name(settings_.prefix.value_or(name_), own, taken);
    if (tool.name != bridged_name(settings_.prefix.value_or(name_), own, [](std::string_view) { return false; })) {
      log_.warn("bridged tool renamed: its name is taken",
                {{"bridge", name_}, {"tool", own.substr(0, 128)}, {"name", tool.name}});
    }
    used.insert(tool.name);
    if (options_.task_after.count() > 0) {
      tool.task = mcp::TaskSupport::kOptional;
      tool.task_after = options_.task_after;
    }
    tool.handler = [self = shared_from_this(), remote = bridged->remote](mcp::ToolCall wanted) {
      return call(self, remote, std::move(wanted));
    };
    out.push_back(std::move(tool));
  }
  return out;
}

Task<Result<mcp::ToolResult>> Bridge::call(std::shared_ptr<Bridge> self, std::shared_ptr<const RemoteTool> tool,
                                           mcp::ToolCall call) {
  if (self->stopped_) co_return fail(ErrorCode::kUnavailable, self->label() + " is being stopped");
  const auto job = std::make_shared<Job>(co_await boost::asio::this_coro::executor, std::move(call), std::move(tool));
  const auto registration =
      job->call.cancel.on_cancel([self, job] { self->home_.post([job] { job->cancel.cancel(); }); });
  self->home_.post([self, job] {
    if (self->stopped_) {
      Job::finish(job, fail(ErrorCode::kUnavailable, self->label() + " is being stopped"));
    } else {
      self->tasks_.spawn(run(self, job));
    }
  });
  while (!job->result) co_await job->arrived.wait();
  co_return std::move(*job->result);
}

Task<void> Bridge::run(std::shared_ptr<Bridge> self, std::shared_ptr<Job> job) {
  job->report = Job::progress(job);
  const auto on_stop = self->stop_.token().on_cancel([job] { job->cancel.cancel(); });
  auto result = co_await self->forward(job.get());
  Job::finish(job, std::move(result));
}

Task<Result<mcp::ToolResult>> Bridge::forward(Job* job) {
  if (const auto wait = breaker_.refuses(Clock::now())) {
    const auto seconds = std::max<std::int64_t>(1, std::chrono::ceil<std::chrono::seconds>(*wait).count());
    co_return fail(error_of(ErrorCode::kUnavailable,
                            fmt::format("{} is not called for now, as it failed several times in a row (last: {})",
                                        label(), last_error_.message))
                       .retry_after(static_cast<int>(seconds)));
  }
  auto result = co_await attempt(job);
  if (result || is_answer(result.error())) {
    breaker_.succeeded();
  } else if (result.error().code == ErrorCode::kCancelled) {
    breaker_.abandoned();
  } else {
    last_error_ = result.error();
    breaker_.failed(Clock::now());
  }
  co_return result;
}

// Until there is a connection, however long this try takes; a pause between two tries is cut short.
Task<Result<void>> Bridge::connected(CancelToken cancel) {
  if (refused_) co_return fail(last_error_);
  if (ready_ && !client_->closed()) co_return Result<void>();
  waiting_.cancel();
  const auto end = Clock::now() + std::chrono::milliseconds(settings_.timeout.ms);
  auto seen = status_.get();
  bool tried = seen.value.state == "connecting";
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now());
    if (left.count() <= 0 || !co_await status_.changed(seen.version, cancel, left)) break;
    seen = status_.get();
    if (ready_) co_return Result<void>();
    if (seen.value.state == "connecting") tried = true;
    if (seen.value.state == "refused" || (tried && seen.value.state == "waiting")) co_return fail(last_error_);
  }
  if (cancel.cancelled()) co_return fail(ErrorCode::kCancelled, "the call was cancelled");
  co_return fail(ErrorCode::kEngineTimeout, fmt::format("{} is still connecting", label()));
}

Task<Result<mcp::ToolResult>> Bridge::attempt(Job* job) {
  if (auto there = co_await connected(job->cancel.token()); !there) {
    unreachable_ = there.error().code != ErrorCode::kCancelled;
    co_return fail(std::move(there.error()));
  }
  unreachable_ = false;
  const mcp::ToolCall& call = job->call;
  json::object params{{"name", job->tool->name}, {"arguments", call.arguments}};
  mcp::RequestOptions options{.timeout = std::chrono::milliseconds(settings_.timeout.ms),
                              .cancel = job->cancel.token(),
                              .progress = job->report,
                              .capabilities = {},
                              .name = job->tool->name,
                              .headers = mcp::parameter_headers(job->tool->headers, call.arguments),
                              .traceparent = call.traceparent};
  if (client_->server().revision->modern) {
    options.capabilities = passed_capabilities(call.caller.get());
    if (!call.inputs.empty()) params["inputResponses"] = call.inputs;
    if (!call.state.empty()) params["requestState"] = call.state;
  }
  auto result = co_await client_->request("tools/call", std::move(params), std::move(options));
  if (!result) co_return fail(std::move(result.error()));
  co_return read_remote_result(std::move(*result), *job->tool, label());
}

}  // namespace llm::tools
