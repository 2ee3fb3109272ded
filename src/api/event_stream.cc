#include "api/event_stream.h"

#include "net/sse.h"

namespace llm::api {

Task<Result<void>> EventStream::begin(std::string_view first) {
  exchange_.response_headers().set("X-Accel-Buffering", "no");  // nginx in front would hold events back
  exchange_.release_memory();  // the request's text, which was parsed; a stream may last for hours
  return exchange_.begin_stream(200, "text/event-stream; charset=utf-8", first);
}

Task<Result<void>> EventStream::send(std::span<const std::string_view> payloads) {
  out_.clear();
  for (const auto payload : payloads) net::append_sse_data(out_, payload);
  return exchange_.started() ? exchange_.write(out_) : begin(out_);
}

Task<Result<void>> EventStream::send(const json::object& event) {
  const std::string text = json::write(event);
  const std::string_view payload = text;
  co_return co_await send({&payload, 1});
}

Task<Result<void>> EventStream::finish() {
  const std::string_view done = "data: [DONE]\n\n";
  if (exchange_.started()) co_return co_await exchange_.end_stream(done);
  if (auto begun = co_await begin(done); !begun) co_return begun;
  co_return co_await exchange_.end_stream();
}

}  // namespace llm::api
