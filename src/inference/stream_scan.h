#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "inference/service.h"

namespace llm::inference {

// Watches the events of one streamed answer pass by: token usage, finish reason, errors. Most payloads are only
// searched, not parsed; those with usage are parsed once.
class StreamScan {
 public:
  // `choices`: completions asked for each prompt (`n`). `several`: more than one completion comes, of one prompt or of
  // many. `usage_wanted`: the client asked for the usage event. `model`: for messages. `hide_progress`: the engine
  // was asked for progress (llama-server's return_progress) that is not for the client.
  StreamScan(Operation operation, std::int64_t choices, bool several, bool usage_wanted, std::string model,
             bool hide_progress = false);

  enum class Verdict { kForward, kDrop, kReplace, kDone, kError };
  // What to do with this payload. kReplace: `replacement()` goes instead. kError: `error()` says what the engine said.
  Verdict look(std::string_view payload);
  const std::string& replacement() const { return replacement_; }
  const Error& error() const { return error_; }

  // The usage event the client still has to get at the end, if it asked for one.
  std::optional<std::string> final_usage() const;

  bool saw_text() const { return saw_text_; }
  const Usage& usage() const { return usage_; }
  // What was used so far: the engine's own figures once it gave them, else the tokens of the prompt that it reported as
  // processed and the pieces of text that came.
  Usage used() const;
  const std::string& finish_reason() const { return finish_reason_; }
  const json::value& timings() const { return timings_; }

 private:
  void find_finish_reason(std::string_view payload);
  bool is_error(std::string_view payload);
  Verdict forward_text();
  Verdict look_at_usage(std::string_view payload);
  bool look_at_progress(std::string_view payload);

  Operation operation_;
  std::int64_t choices_;
  bool several_;
  bool usage_wanted_;
  std::string model_;
  bool hide_progress_;
  bool saw_text_ = false;
  std::int64_t pieces_ = 0;                         // events with text
  std::map<std::int64_t, std::int64_t> processed_;  // tokens of the prompt, by the index of the completion
  std::int64_t usage_events_ = 0;
  Usage usage_;
  std::string finish_reason_;
  json::value timings_;
  json::object last_usage_event_;  // the envelope of the final usage event
  std::string held_;               // the engine's own usage event, forwarded as it came when it is the only one
  std::string replacement_;
  Error error_;
};

// The error that an engine's JSON error body means to our client. `status`: HTTP status it came with, 0 in a stream.
Error engine_error(int status, std::string_view body, std::string_view model);

// Adds up the `usage` object of an OpenAI answer.
Usage usage_of(const json::object& answer);

}  // namespace llm::inference
