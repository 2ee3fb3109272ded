#include "mcp/http/server_card.h"

#include <fmt/format.h>
#include <ranges>

#include "base/strings.h"
#include "json/json.h"
#include "mcp/icon.h"
#include "mcp/protocol.h"

namespace llm::mcp {
namespace {

std::string reversed(std::string_view domain) {
  std::string out;
  for (const std::string_view label : split(domain, '.') | std::views::reverse) {
    out.append(out.empty() ? "" : ".").append(label);
  }
  return out;
}

}  // namespace

std::string server_card(const Server& server, const Publisher& publisher) {
  const ServerInfo& info = server.info();
  json::array versions;
  for (const Revision& revision : revisions()) versions.emplace_back(revision.version);
  json::object card{{"$schema", "https://static.modelcontextprotocol.io/schemas/v1/server-card.schema.json"},
                    {"name", fmt::format("{}/{}", reversed(publisher.domain), info.name)},
                    {"version", info.version},
                    {"description", info.description.empty() ? info.name : info.description}};
  if (!info.title.empty()) card["title"] = info.title;
  if (!info.website.empty()) card["websiteUrl"] = info.website;
  if (!info.icons.empty()) card["icons"] = to_json(info.icons);
  card["remotes"] = json::array{json::object{{"type", "streamable-http"},
                                             {"url", publisher.base_url + publisher.endpoint},
                                             {"supportedProtocolVersions", std::move(versions)}}};
  return json::write(card);
}

std::string ai_catalog(const Server& server, const Publisher& publisher) {
  const ServerInfo& info = server.info();
  const json::object entry{{"identifier", fmt::format("urn:air:{}:mcp:{}", publisher.domain, info.name)},
                           {"displayName", info.title.empty() ? info.name : info.title},
                           {"type", kServerCardType},
                           {"url", publisher.base_url + publisher.endpoint + "/server-card"}};
  return json::write(json::object{{"specVersion", "1.0"}, {"entries", json::array{entry}}});
}

}  // namespace llm::mcp
