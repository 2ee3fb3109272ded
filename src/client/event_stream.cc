#include "client/event_stream.h"

#include "client/remote_model_api.h"

namespace llm::client {

Result<void> EventStream::feed(std::string_view bytes) {
  return parser_.feed(bytes, [this](const net::SseEvent& event) { on_data(event.data); });
}

void EventStream::on_data(std::string_view data) {
  if (answer_ || failure_ || data == "[DONE]") return;
  auto document = json::parse(data);
  if (!document || !document->is_object()) {
    failure_ = Error{ErrorCode::kUnavailable,
                     "The gateway sent an event that is not a JSON object; is it an llm-mcp gateway of this version?",
                     {},
                     {},
                     0};
    return;
  }
  json::object& event = document->get_object();
  if (const auto* error = json::find(event, "error"); error != nullptr && error->is_object()) {
    failure_ = read_error_body(event, 0);
    return;
  }
  if (json::bool_or(event, "done")) {
    event.stable_erase("done");
    if (has_text_ && !event.contains("text")) event["text"] = text_;
    answer_ = std::move(event);
    return;
  }
  if (const auto* text = json::find(event, "text"); text != nullptr && text->is_string()) {
    has_text_ = true;
    text_.append(text->get_string());
  }
  events_.push_back(std::move(event));
}

}  // namespace llm::client
