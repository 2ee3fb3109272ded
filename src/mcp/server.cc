#include "mcp/server.h"

#include <fmt/format.h>
#include <string_view>

#include "json/json.h"

namespace llm::mcp {
namespace {

std::string describe(const ServerInfo& info, const Revision& revision) {
  json::object out;
  out["name"] = info.name;
  out["version"] = info.version;
  if (revision.titles && !info.title.empty()) out["title"] = info.title;
  if (revision.websites && !info.description.empty()) out["description"] = info.description;
  if (revision.websites && !info.website.empty()) out["websiteUrl"] = info.website;
  if (revision.icons && !info.icons.empty()) out["icons"] = to_json(info.icons);
  return json::write(out);
}

std::string_view list_changed(bool changes) {
  return changes ? R"("listChanged":true)" : "";
}

}  // namespace

Server::Server(ServerInfo info, ServerSettings settings)
    : info_(std::move(info)),
      settings_(std::move(settings)),
      tools_(&changes_),
      resources_(&changes_),
      prompts_(&changes_),
      states_(settings_.state_secret, settings_.state_ttl) {
  for (const Revision& revision : revisions()) implementations_[revision.index] = describe(info_, revision);
  if (!info_.instructions.empty()) {
    instructions_member_ = R"(,"instructions":)";
    json::append_quoted(instructions_member_, info_.instructions);
  }
  meta_member_ = fmt::format(R"(,"_meta":{{"{}":{}}})", meta::kServerInfo, implementations_[modern_revision().index]);
  discover_meta_ = meta_member_;
  if (!info_.instance.empty()) {
    const std::string instance = fmt::format(R"("{}":"{}")", meta::kInstance, info_.instance);
    session_meta_ = fmt::format(R"(,"_meta":{{{}}})", instance);
    discover_meta_.insert(discover_meta_.size() - 1, "," + instance);
  }
  cache_members_ = fmt::format(R"(,"ttlMs":{},"cacheScope":"{}")", settings_.cache_ttl.count(),
                               settings_.public_cache ? "public" : "private");
}

void Server::announce_changes(bool tools, bool prompts, bool resources) {
  tools_change_ = tools;
  prompts_change_ = prompts;
  resources_change_ = resources;
}

// listChanged is said only of what really changes: clients open a stream for whatever is announced.
std::string Server::capabilities(const Revision& revision) const {
  std::string out = fmt::format(R"({{"tools":{{{}}},"logging":{{}})", list_changed(tools_change_));
  const auto resources = resources_.resources();
  const bool has_resources = !resources->fixed.empty() || !resources->templates.empty();
  if (has_resources) {
    out.append(R"(,"resources":{)");
    if (resources->subscribable) out.append(R"("subscribe":true)");
    if (resources->subscribable && resources_change_) out.push_back(',');
    out.append(list_changed(resources_change_)).push_back('}');
  }
  const bool has_prompts = !prompts_.prompts()->empty() || prompts_change_;
  if (has_prompts) fmt::format_to(std::back_inserter(out), R"(,"prompts":{{{}}})", list_changed(prompts_change_));
  if ((has_resources || has_prompts) && revision.annotations) out.append(R"(,"completions":{})");
  if (revision.modern && tasks_ != nullptr) {
    fmt::format_to(std::back_inserter(out), R"(,"extensions":{{"{}":{{}}}})", kTasksExtension);
  }
  out.push_back('}');
  return out;
}

}  // namespace llm::mcp
