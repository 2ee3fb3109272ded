#include "tools/model_names.h"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <iterator>

#include "base/strings.h"
#include "tools/results.h"

namespace llm::tools {
namespace {

std::string with_name(std::string_view root, std::string_view name) {
  std::string uri(root);
  for (const char c : name) {
    const bool unreserved = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                            c == '.' || c == '_' || c == '~';
    if (unreserved) {
      uri.push_back(c);
    } else {
      fmt::format_to(std::back_inserter(uri), "%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return uri;
}

// Those that begin like `value`, then those that hold it elsewhere; a name's interesting part is often its middle.
std::vector<std::string> fitting(std::vector<std::string> names, std::string_view value) {
  const std::string wanted = to_lower(value);
  std::vector<std::string> best;
  std::vector<std::string> others;
  for (auto& name : names) {
    const auto found = to_lower(name).find(wanted);
    if (found == 0) best.push_back(std::move(name));
    if (found != 0 && found != std::string::npos) others.push_back(std::move(name));
  }
  std::ranges::move(others, std::back_inserter(best));
  return best;
}

Task<Result<std::vector<std::string>>> model_names(SharedApi api, bool generating, std::string value) {
  auto answer = co_await api->list_models();
  if (!answer) co_return fail(std::move(answer.error()));
  const ModelList list = read_model_list(*answer);
  std::vector<std::string> names;
  for (const auto& model : list.models) {
    const std::string mode = model.mode.value_or("");
    if (!generating || (mode != "embedding" && mode != "rerank")) names.push_back(model.name);
  }
  if (!generating) {
    for (const auto& [alias, target] : list.aliases) names.push_back(alias);
  }
  co_return fitting(std::move(names), value);
}

Task<Result<std::vector<std::string>>> engine_names(SharedApi api, std::string value) {
  auto answer = co_await api->engines();
  if (!answer) co_return fail(std::move(answer.error()));
  std::vector<std::string> names;
  for (auto& engine : read_engines(*answer).engines) names.push_back(std::move(engine.model));
  co_return fitting(std::move(names), value);
}

Task<Result<std::vector<std::string>>> known_values(std::vector<std::string> values) {
  co_return values;
}

}  // namespace

std::string model_uri(std::string_view name) {
  return with_name("llm://models/", name);
}
std::string log_uri(std::string_view name) {
  return with_name("llm://logs/", name);
}

Task<Result<std::string>> model_or_default(SharedApi api, std::optional<std::string> wanted) {
  if (wanted && !wanted->empty()) co_return std::move(*wanted);
  auto answer = co_await api->list_models();
  if (!answer) co_return fail(std::move(answer.error()));
  auto list = read_model_list(*answer);
  if (list.default_model) co_return std::move(*list.default_model);
  if (list.models.empty()) {
    co_return fail(ErrorCode::kNotFound, "no model is installed; llm_pull_model downloads one", "/model");
  }
  co_return fail(ErrorCode::kNotFound, "there is no default model; name one that llm_list_models gives", "/model");
}

Task<Result<std::string>> model_or_loaded(SharedApi api, std::optional<std::string> wanted) {
  if (wanted && !wanted->empty()) co_return std::move(*wanted);
  auto answer = co_await api->engines();
  if (!answer) co_return fail(std::move(answer.error()));
  std::vector<std::string> loaded;
  for (auto& engine : read_engines(*answer).engines) {
    if (engine.state != "stopped" && engine.state != "failed") loaded.push_back(std::move(engine.model));
  }
  if (loaded.size() == 1) co_return std::move(loaded.front());
  if (loaded.empty()) co_return fail(ErrorCode::kConflict, "no model is loaded", "/model");
  co_return fail(ErrorCode::kInvalidArgument,
                 fmt::format("say which model to unload; loaded are {}", fmt::join(loaded, ", ")), "/model");
}

void announce_model(const mcp::Changes* changes, std::string_view name, bool listed) {
  if (changes == nullptr) return;
  if (listed) changes->announce({.kind = mcp::Change::Kind::kResources});
  for (auto& uri : {model_uri(name), std::string(kModelsUri), std::string(kEnginesUri), std::string(kStatusUri)}) {
    changes->announce({.kind = mcp::Change::Kind::kResource, .subject = uri});
  }
}

mcp::Completer complete_models(const ToolContext& context) {
  return [api = context.api](mcp::CompletionRequest request) {
    return model_names(api(request), false, std::move(request.value));
  };
}
mcp::Completer complete_generating_models(const ToolContext& context) {
  return [api = context.api](mcp::CompletionRequest request) {
    return model_names(api(request), true, std::move(request.value));
  };
}
mcp::Completer complete_engines(const ToolContext& context) {
  return [api = context.api](mcp::CompletionRequest request) {
    return engine_names(api(request), std::move(request.value));
  };
}
mcp::Completer complete_from(std::vector<std::string> values) {
  return [values = std::move(values)](mcp::CompletionRequest request) {
    return known_values(fitting(values, request.value));
  };
}

}  // namespace llm::tools
