#include "cli/commands/admin_access.h"

#include <fmt/format.h>

#include "cli/access_wiring.h"

namespace llm::cli {
namespace {

std::string query_text(const json::object& query) {
  std::string out;
  const auto add = [&out](std::string_view name, const json::value& value) {
    const std::string text = value.is_string() ? std::string(value.get_string()) : json::write(value);
    out += out.empty() ? '?' : '&';
    out += client::model_path(text, fmt::format("{}=", name));
  };
  for (const auto& member : query) {
    if (const auto* list = member.value().if_array()) {
      for (const auto& item : *list) add(member.key(), item);
    } else {
      add(member.key(), member.value());
    }
  }
  return out;
}

}  // namespace

std::string resource_path(std::string_view kind, std::string_view id, std::string_view action) {
  std::string path = fmt::format("/api/v1/{}", kind);
  if (!id.empty()) path = client::model_path(id, path + "/");
  if (!action.empty()) path += fmt::format("/{}", action);
  return path;
}

Result<std::unique_ptr<AdminAccess>> AdminAccess::open(CommandContext& context, const Setup& setup) {
  auto admin = std::make_unique<AdminAccess>();
  admin->gateway_ = GatewaySession::attach(setup);
  if (admin->gateway_) return admin;
  auto log = observe::Log::open({.level = observe::LogLevel::kWarn, .format = observe::LogFormat::kText, .file = {}});
  if (!log) return fail(std::move(log.error()));
  admin->log_ = std::move(*log);
  auto local = open_access(setup.config.settings, setup.installation, context.env, *admin->log_);
  if (!local) return fail(std::move(local.error()));
  admin->local_ = std::move(*local);
  return admin;
}

Result<json::object> AdminAccess::call(std::string_view method, const std::string& path, const json::object& body,
                                       const Local& local) {
  if (local_) return local(local_->admin(), access::Principal{});
  const bool get = method == "GET";
  std::string target = get ? path + query_text(body) : path;
  std::string text = get || body.empty() ? std::string() : json::write(body);
  if (method == "POST" && text.empty()) text = "{}";
  return gateway_->request(std::string(method), std::move(target), std::move(text));
}

}  // namespace llm::cli
