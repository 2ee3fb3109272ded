#include <fmt/format.h>
#include <unistd.h>

#include "base/strings.h"
#include "cli/commands/chat_session.h"
#include "cli/commands/commands.h"
#include "cli/commands/exit_status.h"
#include "cli/commands/line_reader.h"
#include "cli/commands/session.h"

namespace llm::cli {
namespace {

constexpr std::size_t kMaxPrompt = 16 << 20;

// One question and its answer; the text that came is in the conversation afterwards.
Result<json::object> exchange(Terminal& terminal, GatewaySession& gateway, Conversation& conversation,
                              const std::string& model, Interrupt& interrupt) {
  AnswerPrinter printer(terminal, model);
  auto answer = gateway.call(
      [&](inference::ModelApi& api, CancelToken cancel) {
        return api.generate(conversation.request(),
                            sink_of([&printer](const json::object& event) { return printer.event(event); }), cancel);
      },
      &interrupt);
  printer.finish(answer ? &*answer : nullptr);
  conversation.answer(printer.text());
  return answer;
}

Result<int> answer_once(CommandContext& context, const ChatArguments& arguments, const std::string& prompt,
                        GatewaySession& gateway, Interrupt& interrupt) {
  Conversation conversation(arguments);
  conversation.ask(prompt);
  auto answer = exchange(context.terminal, gateway, conversation, arguments.model, interrupt);
  if (interrupt.pending()) return kExitInterrupted;
  if (!answer) return fail(std::move(answer.error()));
  return kExitSuccess;
}

class Dialogue {
 public:
  Dialogue(CommandContext& context, const ChatArguments& arguments, GatewaySession& gateway, Interrupt& interrupt)
      : terminal_(context.terminal),
        arguments_(arguments),
        gateway_(gateway),
        interrupt_(interrupt),
        conversation_(arguments),
        lines_(STDIN_FILENO) {}

  Result<int> run() {
    terminal_.note(fmt::format("Talking to {}. Ctrl-C stops an answer, /clear starts over, /exit or Ctrl-D ends.",
                               printable(arguments_.model)));
    for (;;) {
      auto text = read_message();
      if (!text && text.error().code == ErrorCode::kCancelled) {
        interrupt_.consume();
        terminal_.out("\n");
        terminal_.note("(/exit or Ctrl-D ends)");
        continue;
      }
      if (!text) return fail(std::move(text.error()));
      if (!*text) {
        terminal_.out("\n");
        return kExitSuccess;
      }
      if (trim(**text).empty()) continue;
      if (is_command(trim(**text))) {
        if (!obey(trim(**text))) return kExitSuccess;
        continue;
      }
      say(std::move(**text));
    }
  }

 private:
  Result<std::optional<std::string>> read_message() {
    std::string text;
    for (;;) {
      terminal_.out(terminal_.styled(Style::kBold, text.empty() ? ">>> " : "... "));
      auto line = lines_.next(interrupt_);
      if (!line) return fail(std::move(line.error()));
      if (!*line) return text.empty() ? std::optional<std::string>() : std::optional(std::move(text));
      if (!(*line)->ends_with('\\')) return std::optional(text + **line);
      (*line)->back() = '\n';
      text += **line;
    }
  }

  // One word after a slash: paths and other text with slashes go to the model.
  static bool is_command(std::string_view text) {
    return text.starts_with('/') && text.find_first_of(" \n/", 1) == std::string_view::npos;
  }

  // False: the end.
  bool obey(std::string_view command) {
    if (command == "/exit" || command == "/quit" || command == "/bye") return false;
    if (command == "/clear") {
      conversation_.clear();
      terminal_.note("(a new conversation)");
    } else {
      terminal_.note("/clear forgets the conversation, /exit or Ctrl-D ends; a line that ends with \\ goes on");
    }
    return true;
  }

  void say(std::string text) {
    conversation_.ask(std::move(text));
    auto answer = exchange(terminal_, gateway_, conversation_, arguments_.model, interrupt_);
    if (interrupt_.pending()) {
      interrupt_.consume();
      terminal_.note(terminal_.styled_err(Style::kDim, "(stopped)"));
    } else if (!answer) {
      terminal_.error(answer.error());
    }
  }

  Terminal& terminal_;
  const ChatArguments& arguments_;
  GatewaySession& gateway_;
  Interrupt& interrupt_;
  Conversation conversation_;
  LineReader lines_;
};

}  // namespace

Result<int> run_command(CommandContext& context, const ChatArguments& arguments) {
  const bool piped = !context.terminal.settings().in_is_terminal;
  const auto words = arguments.prompt.empty() && piped ? std::vector<std::string>{"-"} : arguments.prompt;
  if (words.empty() && context.terminal.json()) {
    return fail(ErrorCode::kInvalidArgument, "chat: --json needs a prompt; a conversation is for people");
  }
  if (arguments.raw && arguments.system) {
    return fail(ErrorCode::kInvalidArgument,
                "chat: --raw sends the prompt as it is, so --system has no place; put "
                "that text into the prompt");
  }
  auto setup = load_setup(context);
  if (!setup) return fail(std::move(setup.error()));
  auto prompt = prompt_text(words, [] { return read_to_end(STDIN_FILENO, kMaxPrompt); });
  if (!prompt) return fail(std::move(prompt.error()));
  if (!words.empty() && trim(*prompt).empty()) return fail(ErrorCode::kInvalidArgument, "chat: the prompt is empty");
  auto gateway = GatewaySession::attach_or_start(context, *setup);
  if (!gateway) return fail(std::move(gateway.error()));
  Interrupt interrupt;
  if (!words.empty()) return answer_once(context, arguments, *prompt, **gateway, interrupt);
  return Dialogue(context, arguments, **gateway, interrupt).run();
}

}  // namespace llm::cli
