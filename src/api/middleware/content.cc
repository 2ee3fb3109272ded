#include "api/middleware/content.h"

#include <fmt/format.h>

#include "base/strings.h"

namespace llm::api {
namespace {

bool is_json(std::string_view content_type) {
  const auto type = trim(content_type.substr(0, content_type.find(';')));
  return iequals(type, "application/json") || (type.size() > 5 && iequals(type.substr(type.size() - 5), "+json"));
}

}  // namespace

Task<Result<void>> read_json_body(Call& call) {
  auto& exchange = call.exchange;
  const auto type = exchange.headers().get("content-type");
  const auto encoding = exchange.headers().get("content-encoding");
  if (encoding && !iequals(*encoding, "identity")) {
    co_return fail(ErrorCode::kUnsupportedMediaType,
                   fmt::format("Content-Encoding \"{}\" is not supported; send plain JSON", *encoding));
  }
  if (type && !is_json(*type)) {
    co_return fail(
        ErrorCode::kUnsupportedMediaType,
        fmt::format("the body is declared as \"{}\"; send the header \"Content-Type: application/json\"", *type));
  }
  if (auto read = co_await exchange.read_body(); !read) co_return read;
  if (trim(exchange.body()).empty()) co_return Result<void>();
  if (!type) {
    co_return fail(ErrorCode::kUnsupportedMediaType,
                   "the body has no type; send the header \"Content-Type: application/json\"");
  }
  auto document = json::parse(exchange.body(), {}, call.body.storage());
  if (!document) co_return fail(document.error());
  if (!document->is_object()) co_return fail(ErrorCode::kInvalidArgument, "expected a JSON object as the body");
  call.body = std::move(document->get_object());
  co_return Result<void>();
}

}  // namespace llm::api
