// alias: names that operators move, with weights and shadows.
#include <charconv>
#include <fmt/format.h>

#include "cli/commands/commands.h"
#include "cli/commands/exit_status.h"
#include "cli/commands/format.h"
#include "cli/commands/store_operation.h"
#include "cli/text_table.h"

namespace llm::cli {
namespace {

std::unexpected<Error> usage(std::string_view message) {
  return fail(ErrorCode::kInvalidArgument, fmt::format("alias: {}", message));
}

// "MODEL", "MODEL=95", "MODEL=5%". A share of the requests is 1 where all of them are meant, so "%" divides it there.
Result<json::value> target_of(const std::string& text, bool share) {
  const auto equals = text.find('=');
  json::object target{{"model", text.substr(0, equals)}};
  if (equals == std::string::npos) return json::value(std::move(target));
  std::string_view number = std::string_view(text).substr(equals + 1);
  const bool percent = number.ends_with('%');
  if (percent) number.remove_suffix(1);
  double weight = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), weight);
  if (number.empty() || error != std::errc{} || end != number.data() + number.size()) {
    return usage(fmt::format("expected MODEL=NUMBER, got \"{}\"", text));
  }
  target["weight"] = percent && share ? weight / 100 : weight;
  return json::value(std::move(target));
}

Result<json::array> targets_of(const std::vector<std::string>& texts, bool share) {
  json::array out;
  for (const std::string& text : texts) {
    auto target = target_of(text, share);
    if (!target) return fail(std::move(target.error()));
    out.push_back(std::move(*target));
  }
  return out;
}

struct Change {
  std::string operation;
  json::object arguments;
};

// `alias NAME MODEL` is short for `alias set NAME MODEL`, `alias --remove NAME` for `alias rm NAME`.
Result<Change> change_of(const AliasArguments& arguments) {
  const bool named = arguments.name == "set" || arguments.name == "rm" || arguments.name == "list";
  std::string action = arguments.name;
  std::vector<std::string> words = arguments.models;
  if (!named || arguments.remove) {
    action = arguments.name.empty() && !arguments.remove ? "list" : arguments.remove ? "rm" : "set";
    if (!arguments.name.empty()) words.insert(words.begin(), arguments.name);
  }
  if (!arguments.shadow.empty() && action != "set") return usage("--shadow belongs to set");
  if (action == "list") {
    if (!words.empty()) return usage("list takes no NAME");
    return Change{"alias.list", {}};
  }
  if (words.empty()) return usage(fmt::format("{}: NAME is missing", action));
  if (action == "rm") {
    if (words.size() > 1) return usage("rm takes the alias's name alone");
    return Change{"alias.remove", {{"name", words.front()}}};
  }
  if (words.size() < 2) return usage("MODEL is missing (llm-mcp alias set NAME MODEL[=WEIGHT]...)");
  auto targets = targets_of({words.begin() + 1, words.end()}, false);
  if (!targets) return fail(std::move(targets.error()));
  auto shadow = targets_of(arguments.shadow, true);
  if (!shadow) return fail(std::move(shadow.error()));
  return Change{"alias.set",
                {{"name", words.front()}, {"targets", std::move(*targets)}, {"shadow", std::move(*shadow)}}};
}

// "a:v1 95%, a:v2 5%"; a single target without its share.
std::string targets_text(const json::array& targets, bool share) {
  double sum = 0;
  for (const json::value& item : targets) {
    if (item.is_object()) sum += json::number_or(item.get_object(), "weight", 1);
  }
  std::string out;
  for (const json::value& item : targets) {
    if (!item.is_object()) continue;
    const json::object& target = item.get_object();
    out += (out.empty() ? "" : ", ") + short_version(json::string_or(target, "model"));
    const double part = json::number_or(target, "weight", 1) / (share || sum <= 0 ? 1 : sum);
    if (share || targets.size() > 1) out += fmt::format(" {:.4g}%", part * 100);
  }
  return out;
}

void show(CommandContext& context, const Change& change, const json::object& answer) {
  Terminal& terminal = context.terminal;
  if (terminal.json()) {
    terminal.result(answer);
    return;
  }
  if (change.operation == "alias.list") {
    TextTable table({{"ALIAS"}, {"MODELS"}, {"SHADOWS"}});
    for (const json::value& item : list_of(answer, "aliases")) {
      if (!item.is_object()) continue;
      const json::object& one = item.get_object();
      table.add({text_of(one, "name"), targets_text(list_of(one, "targets"), false),
                 targets_text(list_of(one, "shadow"), true)});
    }
    if (table.empty()) {
      terminal.note("There are no aliases. Make one with: llm-mcp alias set NAME MODEL");
    } else {
      terminal.out(table.text(terminal));
    }
  } else if (!terminal.quiet() && change.operation == "alias.set") {
    terminal.line(
        fmt::format("{} is now {}", text_of(answer, "name"), targets_text(list_of(answer, "targets"), false)));
  }
}

}  // namespace

Result<int> run_command(CommandContext& context, const AliasArguments& arguments) {
  auto change = change_of(arguments);
  if (!change) return fail(std::move(change.error()));
  auto setup = load_setup(context);
  if (!setup) return fail(std::move(setup.error()));
  auto answer = operate_store(context, *setup, change->operation, change->arguments);
  if (!answer) return fail(std::move(answer.error()));
  show(context, *change, *answer);
  return kExitSuccess;
}

}  // namespace llm::cli
