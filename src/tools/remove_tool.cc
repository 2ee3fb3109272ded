// llm_remove_model: deletes what only a download brings back, so a person has to say yes.
#include <fmt/format.h>
#include <utility>

#include "base/strings.h"
#include "tools/arguments.h"
#include "tools/model_names.h"
#include "tools/results.h"
#include "tools/tool_families.h"

namespace llm::tools {
namespace {

constexpr std::string_view kAsk = "elicitation/create";
constexpr std::string_view kQuestion = "confirm";  // key of the question and of its one answer

constexpr ToolDescription kRemove{
    .name = "llm_remove_model",
    .title = "Delete a model",
    .description =
        "Delete an installed model and its file. It cannot be taken back, only downloaded again. Only when the user "
        "asked for it: the user is asked once more if the client can do that; otherwise ask yourself, then set "
        "confirm. To free memory use llm_unload_model.",
    .hints = {.read_only = false, .destructive = true, .idempotent = true, .open_world = false},
    .picture = Picture::kRemove};

json::object question(const ModelEntry& model) {
  const std::string size =
      model.size ? fmt::format(" ({})", format_bytes(static_cast<std::uint64_t>(*model.size))) : std::string();
  const json::object choice{{"type", "boolean"},
                            {"title", "Delete it"},
                            {"description", fmt::format("The file of {} is deleted for good", model.name)},
                            {"default", false}};
  return {{"message", fmt::format("Delete the model \"{}\"{} from this machine?", model.name, size)},
          {"requestedSchema", json::object{{"type", "object"},
                                           {"properties", json::object{{kQuestion, choice}}},
                                           {"required", json::array{kQuestion}}}}};
}

mcp::ToolResult ask(const ModelEntry& model, json::object params) {
  mcp::ToolResult result;
  result.input_required.emplace();
  result.input_required->requests[std::string(kQuestion)] = {.method = std::string(kAsk), .params = std::move(params)};
  result.input_required->state = model.name;  // the answer is good for this model alone
  return result;
}

enum class Answer { kNone, kYes, kNo };

// What the user said to the question about `model`.
Answer answer_to(const mcp::ToolCall& call, std::string_view model) {
  const json::object* input = call.input(kQuestion);
  if (input == nullptr || call.state != model) return Answer::kNone;
  const auto action = json::string_or(*input, "action");
  if (action == "decline" || action == "cancel") return Answer::kNo;
  const json::value* content = json::find(*input, "content");
  const json::value* choice =
      content != nullptr && content->is_object() ? json::find(content->get_object(), kQuestion) : nullptr;
  if (action != "accept" || choice == nullptr || !choice->is_bool()) return Answer::kNone;
  return choice->get_bool() ? Answer::kYes : Answer::kNo;
}

Task<Result<mcp::ToolResult>> remove_model(ToolContext context, RemoveArguments arguments, mcp::ToolCall call) {
  const auto api = context.api(call);
  auto info = co_await api->model_info(arguments.model);
  if (!info) co_return fail(std::move(info.error()));
  const ModelEntry model = read_model(*info);
  const json::object params = question(model);
  if (call.caller->can_answer(kAsk, params)) {
    const Answer answer = answer_to(call, model.name);
    if (answer == Answer::kNone) co_return ask(model, params);
    if (answer == Answer::kNo) {
      co_return result_of(RemoveOutput{model.name, false, "the user does not want it"},
                          fmt::format("The user does not want to delete {}; it is still installed.", model.name));
    }
  } else if (!arguments.confirm) {
    co_return fail(ErrorCode::kInvalidArgument,
                   fmt::format("this deletes the model \"{}\" and its file for good; ask the user, then call again "
                               "with \"confirm\": true",
                               model.name),
                   "/confirm");
  }
  auto removed = co_await api->remove_model(arguments.model);
  if (!removed) co_return fail(std::move(removed.error()));
  announce_model(context.changes, model.name, true);
  co_return result_of(RemoveOutput{model.name, true, {}});
}

}  // namespace

Result<void> add_remove_tool(mcp::ToolRegistry& registry, const ToolContext& context) {
  return add_tool<RemoveArguments, RemoveOutput>(registry, context, kRemove, remove_model);
}

}  // namespace llm::tools
