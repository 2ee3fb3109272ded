#include "engines/providers/provider_client.h"

#include <fmt/format.h>

#include "dialects/dialect.h"
#include "dialects/http_status.h"
#include "engines/providers/call_deadline.h"

namespace llm::engines {
namespace {

constexpr std::size_t kMostBytes = 8 * 1024 * 1024;
constexpr std::size_t kMostLineBytes = 256 * 1024;
constexpr std::size_t kMostErrorBytes = 64 * 1024;
constexpr std::string_view kApiVersion = "/v1";

// {"error":"text"}, {"error":{"message":"text"}}, {"detail":"text"}
std::string message_in(const std::string& body) {
  const auto parsed = json::parse(body);
  if (!parsed || !parsed->is_object()) return {};
  const json::object& object = parsed->get_object();
  const json::value* error = json::find(object, "error");
  if (error != nullptr && error->is_object()) return std::string(json::string_or(error->get_object(), "message"));
  return std::string(json::string_or(object, "error", json::string_or(object, "detail")));
}

Error answered_error(std::string_view title, dialects::ProviderKind kind, int status, const std::string& body) {
  if (auto known = dialects::dialect_of(kind).error(status, body)) return std::move(*known);
  const std::string message = message_in(body);
  return {dialects::code_of_status(status),
          message.empty() ? fmt::format("{} answered with status {}", title, status)
                          : fmt::format("{}: {}", title, message),
          {},
          {},
          0};
}

}  // namespace

Result<ProviderClient> ProviderClient::make(Loop& loop, net::HttpClient& client, const ProviderSettings& settings) {
  ProviderClient made(loop, client, settings);
  auto endpoint = net::parse_endpoint(base_url_of(settings));
  if (!endpoint) return fail(ErrorCode::kUnavailable, "the provider's base_url is wrong: " + endpoint.error().message);
  auto key = api_key_of(settings);
  if (!key) return fail(std::move(key.error()));
  made.api_ = *endpoint;
  made.root_ = std::move(*endpoint);
  std::string& base = made.root_.base_path;
  if (base.ends_with(kApiVersion)) base.resize(base.size() - kApiVersion.size());
  made.headers_ = dialects::credential_headers(settings.preset, *key);
  return made;
}

Task<Result<net::ClientResponse>> ProviderClient::send(const ProviderCall& call, CancelToken cancel) const {
  const std::string body = call.body ? json::write(*call.body) : std::string();
  net::ClientRequest request{.method = call.method, .target = call.target};
  if (call.body) {
    request.content_type = "application/json";
    request.body = body;
  }
  for (const auto& [name, value] : headers_) request.headers.emplace_back(name, value);
  request.head_timeout = call.head_timeout;
  request.stall_timeout = call.head_timeout;
  request.repeatable = call.method == "GET";
  auto response = co_await client_->send(call.at_root ? root_ : api_, request, cancel);
  if (!response) {
    if (cancel.cancelled()) co_return fail(std::move(response.error()));
    co_return fail(ErrorCode::kUnavailable, fmt::format("{} cannot be reached: {}", title(), response.error().message));
  }
  if (response->status() < 200 || response->status() > 299) {
    const int status = response->status();
    const auto text = co_await response->read_all(kMostErrorBytes);
    co_return fail(answered_error(title(), settings_.preset, status, text.value_or("")));
  }
  co_return std::move(*response);
}

Task<Result<json::value>> ProviderClient::ask(ProviderCall call, CancelToken cancel) const {
  const CallDeadline deadline(*loop_, cancel, call.most);
  auto response = co_await send(call, deadline.token());
  Result<std::string> text =
      response ? co_await response->read_all(kMostBytes) : Result<std::string>(fail(response.error()));
  if (!text) {
    if (deadline.expired()) {
      co_return fail(ErrorCode::kEngineTimeout, fmt::format("{} took too long to answer {}", title(), call.target));
    }
    co_return fail(std::move(text.error()));
  }
  if (text->empty()) co_return json::object();
  auto parsed = json::parse(*text);
  if (!parsed) {
    co_return fail(ErrorCode::kEngineFailed, fmt::format("{} answered {} with no JSON", title(), call.target));
  }
  co_return std::move(*parsed);
}

Task<Result<void>> ProviderClient::ask_lines(ProviderCall call, OnLine on_line, CancelToken cancel) const {
  const CallDeadline deadline(*loop_, cancel, call.most);
  auto response = co_await send(call, deadline.token());
  if (!response) co_return fail(std::move(response.error()));
  std::string rest;
  while (true) {
    const auto piece = co_await response->read();
    if (!piece) co_return fail(piece.error());
    const bool end = piece->empty();
    rest += *piece;
    if (end && !rest.empty()) rest += '\n';  // a last line without its end
    for (auto newline = rest.find('\n'); newline != std::string::npos; newline = rest.find('\n')) {
      const std::string line = rest.substr(0, newline);
      rest.erase(0, newline + 1);
      if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
      auto parsed = json::parse(line);
      if (!parsed || !parsed->is_object()) {
        co_return fail(ErrorCode::kEngineFailed, fmt::format("{} reported something that is no JSON", title()));
      }
      if (auto taken = co_await on_line(std::move(parsed->get_object())); !taken) co_return taken;
    }
    if (rest.size() > kMostLineBytes)
      co_return fail(ErrorCode::kEngineFailed, fmt::format("{} talks without end", title()));
    if (end) co_return Result<void>();
  }
}

const json::array* list_in(const json::value& answer, std::string_view name) {
  const json::value* list = answer.is_object() ? json::find(answer.get_object(), name) : nullptr;
  return list != nullptr && list->is_array() ? &list->get_array() : nullptr;
}

}  // namespace llm::engines
