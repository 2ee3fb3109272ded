#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "dialects/dialect.h"

namespace llm::dialects {

// The events of a streamed Message (message_start, content_block_start, _delta and _stop, message_delta, message_stop,
// ping, error) as chunks of a chat completion, usage last, then [DONE]. Events and blocks that are new to us are passed
// over, as their documentation asks for.
class MessagesStream final : public StreamTranslator {
 public:
  Result<void> on_event(std::string_view name, std::string_view data, std::vector<std::string>& out) override;

 private:
  enum class Kind : std::uint8_t { kText, kThinking, kTool, kOther };
  struct Block {
    Kind kind = Kind::kOther;
    std::size_t call = 0;        // kTool: its index among the answer's calls
    bool has_arguments = false;  // kTool: some came
    std::string thinking;        // kThinking: all of it, for who has to send it back with its signature
    std::string signature;
  };

  Result<void> start(const json::object& event, std::vector<std::string>& out);
  Result<void> start_block(const json::object& event, std::vector<std::string>& out);
  void continue_block(const json::object& event, std::vector<std::string>& out);
  void end_block(const json::object& event, std::vector<std::string>& out);
  void finish(const json::object& event, std::vector<std::string>& out);
  void take_usage(const json::object& holder);
  Block* block_of(const json::object& event);
  json::object envelope() const;
  std::string chunk(json::object delta, json::value finish_reason = nullptr) const;
  std::string call_arguments(std::size_t call, std::string_view text) const;

  bool started_ = false;
  std::string id_;
  std::string model_;
  std::int64_t created_ = 0;
  json::object usage_;
  std::map<std::int64_t, Block> blocks_;  // those that are open, by their index
  std::size_t calls_ = 0;
};

}  // namespace llm::dialects
