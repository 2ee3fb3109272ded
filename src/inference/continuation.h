#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "dialects/provider_kind.h"
#include "inference/service.h"
#include "json/json.h"

namespace llm::inference {

// Where a stream broke in the middle and another engine may go on: the prompt and the text so far become its prompt.
// The client sees one answer with one id. Only for one plain completion: grammars, tools, log probabilities and
// reasoning cannot be taken up in the middle.
class Continuation {
 public:
  // Nullopt: an answer to this request cannot be continued.
  static std::optional<Continuation> of(const Request& request, std::int64_t choices, bool several);

  // A payload on its way to the client: remembers its text.
  void saw(std::string_view payload);
  // May another engine go on from here?
  bool possible() const { return possible_ && !finished_; }
  // Does this kind of engine know how to go on with an assistant's message?
  bool possible_with(dialects::ProviderKind kind, bool llama_server) const;

  // The request for what is left: the messages with the text so far as the assistant's, or the prompt and the text.
  // Begins a new engine's part of the answer.
  json::object body(const json::object& original, dialects::ProviderKind kind, bool llama_server);

  // From the second engine on: a payload of its stream as the client's one answer has it; nullopt: nothing of it is
  // new (the role once more, its own usage).
  std::optional<std::string> rewrite(std::string_view payload);

  std::int64_t pieces() const { return pieces_; }  // about as many tokens as came
  const json::object& envelope() const { return envelope_; }

 private:
  explicit Continuation(bool chat) : chat_(chat) {}
  void strip_echo(json::object& delta);

  bool chat_;
  bool possible_ = true;
  bool finished_ = false;
  std::string text_;
  std::string echo_;  // llama-server begins with the assistant's message it was given: what of that may still come
  std::int64_t pieces_ = 0;
  json::object envelope_;  // id, created, model, object of the first event
};

}  // namespace llm::inference
