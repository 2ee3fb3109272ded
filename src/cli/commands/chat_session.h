#pragma once

#include <functional>
#include <string>

#include "cli/arguments.h"
#include "cli/progress_bar.h"
#include "cli/terminal.h"
#include "json/json.h"

namespace llm::cli {

// Shows an answer while it arrives: the progress of a load on standard error, the text on standard output; with --json
// every event as one line.
class AnswerPrinter {
 public:
  AnswerPrinter(Terminal& terminal, const std::string& model)
      : terminal_(terminal), bar_(terminal, "loading " + model) {}

  Result<void> event(const json::object& event);
  // After the last event: the answer's end, or none if it failed. Leaves the cursor at the start of a line.
  void finish(const json::object* answer);
  const std::string& text() const { return text_; }  // of the answer so far

 private:
  Terminal& terminal_;
  ProgressBar bar_;
  std::string text_;
};

// The messages of a chat and the request they make.
class Conversation {
 public:
  explicit Conversation(const ChatArguments& arguments) : arguments_(arguments) { clear(); }

  void clear();                   // forgets all but the system message
  void ask(std::string text);     // the user's next message
  void answer(std::string text);  // the model's; empty: the question is forgotten too
  json::object request() const;   // the body of POST /api/v1/generate
  std::size_t size() const { return messages_.size(); }

 private:
  const ChatArguments& arguments_;
  std::vector<json::object> messages_;
  std::string prompt_;  // with --raw: the last question alone
};

// The prompt of the command line: words joined by spaces, each "-" replaced by `standard_input()`. Empty: none given.
Result<std::string> prompt_text(const std::vector<std::string>& words,
                                const std::function<Result<std::string>()>& standard_input);

}  // namespace llm::cli
