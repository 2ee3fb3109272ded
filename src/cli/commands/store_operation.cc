#include "cli/commands/store_operation.h"

#include <fmt/format.h>

#include "access/principal.h"
#include "cli/commands/session.h"
#include "inference/operations/version_work.h"
#include "models/name.h"

namespace llm::cli {
namespace {

Result<json::object> by_gateway(GatewaySession& gateway, const std::string& operation, const json::object& arguments,
                                ProgressBar* bar) {
  Interrupt interrupt;
  return gateway.call(
      [&](inference::ModelApi& api, CancelToken cancel) {
        const auto show = [bar](const json::object& event) -> Result<void> {
          bar->event(event);
          return {};
        };
        return api.operate(operation, arguments, bar ? sink_of(show) : inference::EventSink(), cancel);
      },
      &interrupt);
}

Result<json::object> by_ourselves(const Setup& setup, const std::string& operation, const json::object& arguments,
                                  ProgressBar* bar) {
  const auto function = inference::find_version_function(operation);
  if (function == nullptr) return fail(ErrorCode::kInternal, fmt::format("no operation {}", operation));
  auto store = open_store(setup);
  if (!store) return fail(std::move(store.error()));
  models::ProgressCallback show;
  if (bar) {
    show = [bar](const models::Progress& now) { bar->bytes(to_string(now.phase), now.bytes_done, now.bytes_total); };
  }
  Interrupt interrupt;
  return function({**store, access::Principal().id, {}, {}, show, interrupt.flag()}, arguments);
}

}  // namespace

Result<json::object> operate_store(CommandContext& context, const Setup& setup, std::string operation,
                                   json::object arguments, std::string_view label) {
  std::optional<ProgressBar> bar;
  if (!label.empty()) bar.emplace(context.terminal, printable(label));
  ProgressBar* shown = bar ? &*bar : nullptr;
  const auto gateway = GatewaySession::attach(setup);
  auto answer =
      gateway ? by_gateway(*gateway, operation, arguments, shown) : by_ourselves(setup, operation, arguments, shown);
  if (bar) bar->clear();
  return answer;
}

const json::array& list_of(const json::object& answer, std::string_view key) {
  static const json::array none;
  const json::value* list = json::find(answer, key);
  return list != nullptr && list->is_array() ? list->get_array() : none;
}

std::string short_version(std::string_view version) {
  constexpr std::string_view kMark = "@sha256:";
  const auto at = version.find(kMark);
  if (at == std::string_view::npos) return printable(version);
  return printable(version.substr(0, at + kMark.size() + models::kFewestDigits));
}

}  // namespace llm::cli
