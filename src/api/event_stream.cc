#include "api/event_stream.h"

#include "net/sse.h"

namespace llm::api {

Task<Result<void>> EventStream::begin() {
  if (exchange_.started()) co_return Result<void>();
  exchange_.response_headers().set("Cache-Control", "no-cache");
  exchange_.response_headers().set("X-Accel-Buffering", "no");  // nginx in front would hold events back
  co_return co_await exchange_.begin_stream(200, "text/event-stream; charset=utf-8");
}

Task<Result<void>> EventStream::send(std::span<const std::string_view> payloads) {
  if (auto begun = co_await begin(); !begun) co_return begun;
  out_.clear();
  for (const auto payload : payloads) net::append_sse_data(out_, payload);
  co_return co_await exchange_.write(out_);
}

Task<Result<void>> EventStream::send(const json::object& event) {
  const std::string text = json::write(event);
  const std::string_view payload = text;
  co_return co_await send({&payload, 1});
}

Task<Result<void>> EventStream::finish() {
  const std::string_view done = "[DONE]";
  if (auto sent = co_await send({&done, 1}); !sent) co_return sent;
  co_return co_await exchange_.end_stream();
}

}  // namespace llm::api
