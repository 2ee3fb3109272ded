#include "containers/docker_client.h"

#include <fmt/format.h>

#include "base/strings.h"
#include "containers/docker_documents.h"
#include "containers/docker_errors.h"
#include "containers/pull_progress.h"

namespace llm::containers {
namespace {

constexpr std::chrono::milliseconds kPatience{30'000};       // for an answer that only takes the daemon's own work
constexpr std::chrono::milliseconds kLongPatience{120'000};  // creating and starting: unpacking, volumes, networks
constexpr std::chrono::milliseconds kPullSilence{300'000};   // extracting a big layer says nothing meanwhile
constexpr std::size_t kMostAnswer = 16 * 1024 * 1024;

// RFC 3986 section 2.3: all but unreserved characters, so that a name can hold no query and no further path.
std::string encoded(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       std::string_view("-._~").find(c) != std::string_view::npos;
    if (plain) {
      out.push_back(c);
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

// An image's name in a path: its slashes are part of the route.
std::string image_path(std::string_view image) {
  std::string out;
  for (const auto part : split(image, '/')) out.append(out.empty() ? "" : "/").append(encoded(part));
  return out;
}

std::string container_path(std::string_view id, std::string_view rest) {
  return fmt::format("/containers/{}{}", encoded(id), rest);
}

// Without its value, for callers that only want to know whether it worked.
Result<void> outcome_of(const Result<json::value>& answer) {
  if (!answer) return fail(answer.error());
  return {};
}

// A call that is as good as done if the state it aims at is there.
Result<void> done_or(Result<json::value> answer, ErrorCode harmless) {
  if (!answer && answer.error().code != harmless) return fail(std::move(answer.error()));
  return {};
}

}  // namespace

struct DockerClient::Call {
  std::string_view method = "GET";
  std::string target;     // without the version
  std::string_view what;  // it should do, for errors; static storage
  std::string body = {};
  std::string auth = {};
  std::chrono::milliseconds patience = kPatience;  // until the head; 0: none
  std::chrono::milliseconds silence = kPatience;   // between two pieces of the body; 0: any
  bool repeatable = true;
  bool versioned = true;
};

DockerClient::DockerClient(net::HttpClient& client, net::Endpoint endpoint)
    : client_(client), endpoint_(std::move(endpoint)) {}

Task<Result<net::ClientResponse>> DockerClient::open(Call call, CancelToken cancel) {
  if (call.versioned && !version_) {
    if (auto known = co_await version(cancel); !known) co_return fail(known.error());
  }
  const std::string target = call.versioned ? fmt::format("/v{}{}", version_->api, call.target) : call.target;
  net::ClientRequest request{.method = call.method, .target = target, .body = call.body};
  if (!call.body.empty()) request.content_type = "application/json";
  if (!call.auth.empty()) request.headers.emplace_back("X-Registry-Auth", call.auth);
  request.head_timeout = call.patience;
  request.stall_timeout = call.silence;
  request.repeatable = call.repeatable;
  auto response = co_await client_.send(endpoint_, std::move(request), cancel);
  if (!response) co_return fail(unreachable(endpoint_, response.error()));
  if (response->status() < 400) co_return response;
  auto said = co_await response->read_all(kMostAnswer);
  if (!said) co_return fail(unreachable(endpoint_, said.error()));
  co_return fail(refused(endpoint_, response->status(), call.what, *said));
}

Task<Result<json::value>> DockerClient::ask(Call call, CancelToken cancel) {
  const std::string_view what = call.what;
  auto response = co_await open(std::move(call), cancel);
  if (!response) co_return fail(response.error());
  auto text = co_await response->read_all(kMostAnswer);
  if (!text) co_return fail(unreachable(endpoint_, text.error()));
  if (trim(*text).empty() || response->status() == 304) co_return json::value();
  auto document = json::parse(*text);
  if (document) co_return std::move(*document);
  // Some answers that nobody reads are plain text ("OK").
  if (!response->headers().get("content-type").value_or("").starts_with("application/json")) co_return json::value();
  co_return fail(ErrorCode::kEngineFailed,
                 fmt::format("the container engine at {} answered nonsense when asked to {}", endpoint_.text(), what));
}

Task<Result<DaemonVersion>> DockerClient::version(CancelToken cancel) {
  if (version_) co_return *version_;
  auto document =
      co_await ask({.target = "/version", .what = "tell its version", .versioned = false}, std::move(cancel));
  if (!document) co_return fail(document.error());
  if (!document->is_object() || !document->get_object().contains("ApiVersion")) {
    co_return fail(ErrorCode::kUnavailable, fmt::format("what answers at {} is no container engine", endpoint_.text()));
  }
  version_ = read_version(*document);
  co_return *version_;
}

Task<Result<void>> DockerClient::ping(CancelToken cancel) {
  co_return outcome_of(co_await ask({.target = "/_ping", .what = "answer", .versioned = false}, std::move(cancel)));
}

Task<Result<DaemonInfo>> DockerClient::info(CancelToken cancel) {
  auto document = co_await ask({.target = "/info", .what = "describe itself"}, std::move(cancel));
  if (!document) co_return fail(document.error());
  co_return read_info(*document);
}

Task<Result<bool>> DockerClient::has_image(std::string image, CancelToken cancel) {
  const auto document = co_await ask(
      {.target = fmt::format("/images/{}/json", image_path(image)), .what = "look for the image"}, std::move(cancel));
  if (document) co_return true;
  if (document.error().code == ErrorCode::kNotFound) co_return false;
  co_return fail(document.error());
}

Task<Result<void>> DockerClient::pull_image(std::string image, std::string auth,
                                            std::function<void(double)> on_progress, CancelToken cancel) {
  const bool had_auth = !auth.empty();
  const ImageName name = split_image(image);
  auto response = co_await open(
      {.method = "POST",
       .target = fmt::format("/images/create?fromImage={}&tag={}", encoded(name.repository), encoded(name.tag)),
       .what = "pull the image",
       .auth = std::move(auth),
       .patience = kPullSilence,
       .silence = kPullSilence,
       .repeatable = false},
      cancel);
  if (!response) {
    const Error& error = response.error();
    const bool said_by_registry = error.code != ErrorCode::kUnavailable && error.code != ErrorCode::kCancelled &&
                                  error.code != ErrorCode::kEngineTimeout && error.code != ErrorCode::kDiskFull;
    co_return fail(said_by_registry ? pull_failed(image, error.message, had_auth) : error);
  }
  PullProgress progress;
  double told = -1;
  while (true) {
    const auto piece = co_await response->read();
    if (!piece) co_return fail(unreachable(endpoint_, piece.error()));
    if (piece->empty()) break;
    progress.feed(*piece);
    if (on_progress && progress.fraction() > told) on_progress(told = progress.fraction());
  }
  progress.finish();
  if (!progress.failure().empty()) co_return fail(pull_failed(image, progress.failure(), had_auth));
  co_return Result<void>();
}

Task<Result<std::string>> DockerClient::create(std::string name, json::object body, CancelToken cancel) {
  auto document = co_await ask({.method = "POST",
                                .target = fmt::format("/containers/create?name={}", encoded(name)),
                                .what = "create the container",
                                .body = json::write(body),
                                .patience = kLongPatience,
                                .repeatable = false},
                               std::move(cancel));
  if (!document) co_return fail(document.error());
  const std::string id(document->is_object() ? json::string_or(document->get_object(), "Id") : "");
  if (!id.empty()) co_return id;
  co_return fail(ErrorCode::kEngineFailed,
                 fmt::format("the container engine at {} created a container without an id", endpoint_.text()));
}

Task<Result<void>> DockerClient::start(std::string id, CancelToken cancel) {
  co_return outcome_of(co_await ask({.method = "POST",
                                     .target = container_path(id, "/start"),
                                     .what = "start the container",
                                     .patience = kLongPatience,
                                     .repeatable = false},
                                    std::move(cancel)));
}

Task<Result<ContainerDetails>> DockerClient::inspect(std::string id, CancelToken cancel) {
  auto document =
      co_await ask({.target = container_path(id, "/json"), .what = "look at the container"}, std::move(cancel));
  if (!document) co_return fail(document.error());
  co_return read_details(*document);
}

Task<Result<std::vector<ContainerSummary>>> DockerClient::list(std::map<std::string, std::string> labels,
                                                               CancelToken cancel) {
  json::array wanted;
  for (const auto& [name, value] : labels) wanted.emplace_back(value.empty() ? name : name + "=" + value);
  const std::string filters = json::write(json::object{{"label", std::move(wanted)}});
  auto document =
      co_await ask({.target = "/containers/json?all=true&filters=" + encoded(filters), .what = "list the containers"},
                   std::move(cancel));
  if (!document) co_return fail(document.error());
  co_return read_list(*document);
}

Task<Result<void>> DockerClient::stop(std::string id, std::chrono::milliseconds patience, CancelToken cancel) {
  const auto seconds = (patience.count() + 999) / 1000;
  co_return outcome_of(co_await ask({.method = "POST",
                                     .target = container_path(id, fmt::format("/stop?t={}", seconds)),
                                     .what = "stop the container",
                                     .patience = patience + kPatience,
                                     .repeatable = false},
                                    std::move(cancel)));
}

Task<Result<void>> DockerClient::kill(std::string id, CancelToken cancel) {
  co_return done_or(
      co_await ask(
          {.method = "POST", .target = container_path(id, "/kill"), .what = "kill the container", .repeatable = false},
          std::move(cancel)),
      ErrorCode::kConflict);
}

Task<Result<void>> DockerClient::remove(std::string id, CancelToken cancel) {
  auto answer = co_await ask({.method = "DELETE",
                              .target = container_path(id, "?force=true&v=true"),
                              .what = "remove the container",
                              .patience = kLongPatience,
                              .repeatable = false},
                             std::move(cancel));
  // kConflict: its removal is under way already.
  if (!answer && answer.error().code == ErrorCode::kConflict) co_return Result<void>();
  co_return done_or(std::move(answer), ErrorCode::kNotFound);
}

Task<Result<int>> DockerClient::wait(std::string id, CancelToken cancel) {
  constexpr std::chrono::milliseconds kAnyTime{0};
  auto document = co_await ask({.method = "POST",
                                .target = container_path(id, "/wait"),
                                .what = "wait for the container",
                                .patience = kAnyTime,
                                .silence = kAnyTime},
                               std::move(cancel));
  if (!document) co_return fail(document.error());
  co_return document->is_object() ? static_cast<int>(json::int_or(document->get_object(), "StatusCode")) : 0;
}

Task<Result<std::uint64_t>> DockerClient::memory_bytes(std::string id, CancelToken cancel) {
  auto document =
      co_await ask({.target = container_path(id, "/stats?stream=false&one-shot=true"), .what = "measure the container"},
                   std::move(cancel));
  if (!document) co_return fail(document.error());
  co_return read_memory(*document);
}

Task<Result<void>> DockerClient::follow_logs(std::string id, LogLines& lines, LogLines::OnLine on_line,
                                             CancelToken cancel) {
  constexpr std::chrono::milliseconds kAnyTime{0};
  std::string target = container_path(id, "/logs?follow=true&stdout=true&stderr=true&timestamps=true");
  if (const auto since = lines.resume_since(); !since.empty()) target += "&since=" + since;
  auto response =
      co_await open({.target = std::move(target), .what = "read the container's log", .silence = kAnyTime}, cancel);
  if (!response) co_return fail(response.error());
  Result<void> outcome;
  while (outcome) {
    const auto piece = co_await response->read();
    if (!piece) outcome = fail(unreachable(endpoint_, piece.error()));
    if (!piece || piece->empty()) break;
    outcome = lines.feed(*piece, on_line);
  }
  lines.finish(on_line);
  co_return outcome;
}

}  // namespace llm::containers
