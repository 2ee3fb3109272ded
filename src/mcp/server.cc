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
  return json::write(out);
}

}  // namespace

Server::Server(ServerInfo info, const ToolRegistry& tools, ServerSettings settings)
    : settings_(settings), tools_(tools) {
  for (const Revision& revision : revisions()) implementations_[revision.index] = describe(info, revision);
  // No listChanged: the tools are fixed once the server runs, and clients open streams for whatever is announced.
  capabilities_ = R"({"tools":{}})";
  if (!info.instructions.empty()) {
    instructions_member_ = R"(,"instructions":)";
    json::append_quoted(instructions_member_, info.instructions);
  }
  meta_member_ = fmt::format(R"(,"_meta":{{"{}":{}}})", meta::kServerInfo, implementations_[modern_revision().index]);
  cache_members_ = fmt::format(R"(,"ttlMs":{},"cacheScope":"{}")", settings.cache_ttl.count(),
                               settings.public_cache ? "public" : "private");
}

}  // namespace llm::mcp
