#include "tools/original/hub_query.h"

#include <atomic>
#include <fmt/format.h>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "async/blocking_pool.h"
#include "models/http_get.h"

namespace llm::tools {
namespace {

constexpr std::size_t kMaxAnswerBytes = 4u << 20;

struct Hub {
  explicit Hub(models::PullSettings settings) : settings(std::move(settings)) {}

  const models::PullSettings settings;
  std::once_flag begun;
  std::optional<BlockingPool> pool;  // last: it waits for the work, which reads the settings
};

Result<json::value> ask(const models::PullSettings& settings, const std::string& path,
                        const std::atomic<bool>& cancelled) {
  const models::HttpGet request{.url = settings.hub_endpoint + path,
                                .headers = {"Accept: application/json"},
                                .bearer_token = settings.hub_token,
                                .connect_timeout_ms = settings.connect_timeout_ms,
                                .stall_timeout_s = settings.stall_timeout_s};
  const auto answer = models::http_get_text(request, kMaxAnswerBytes, cancelled);
  if (!answer) return fail(answer.error());
  const std::string what = path.substr(0, path.find('?'));
  if (answer->head.status != 200) {
    return fail(models::hub_error(answer->head, what, !settings.hub_token.empty()));
  }
  auto document = json::parse(answer->body);
  if (document) return document;
  return fail(ErrorCode::kUnavailable,
              fmt::format("{}: the answer is no JSON, so this is no model hub", models::origin_of(request.url)));
}

// `hub` is shared by the function's copies and the questions that run. The work itself does not own it: its last owner
// joins the thread that the work is on.
Task<Result<json::value>> query(std::shared_ptr<Hub> hub, std::string path, CancelToken cancel) {
  std::call_once(hub->begun, [&hub] { hub->pool.emplace(1); });
  const auto stop = std::make_shared<std::atomic<bool>>(false);
  const auto registration = cancel.on_cancel([stop] { stop->store(true); });
  const models::PullSettings* settings = &hub->settings;
  co_return co_await hub->pool->run([settings, stop, path = std::move(path)] { return ask(*settings, path, *stop); });
}

}  // namespace

HubQuery hub_query(models::PullSettings settings) {
  auto hub = std::make_shared<Hub>(std::move(settings));
  return [hub = std::move(hub)](std::string path, CancelToken cancel) {
    return query(hub, std::move(path), std::move(cancel));
  };
}

std::string query_value(std::string_view text) {
  std::string out;
  for (const char c : models::encode_path(text)) out += c == '/' ? std::string("%2F") : std::string(1, c);
  return out;
}

}  // namespace llm::tools
