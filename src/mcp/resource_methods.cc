#include "mcp/resource_methods.h"

#include <fmt/format.h>
#include <utility>

#include "base/strings.h"
#include "mcp/authorization.h"
#include "mcp/pages.h"
#include "net/base64.h"

namespace llm::mcp {
namespace {

// The members that resources and templates share.
template <class Entry>
void describe(json::object& out, const Entry& entry, const Revision& revision) {
  out["name"] = entry.name;
  if (revision.titles && !entry.title.empty()) out["title"] = entry.title;
  if (!entry.description.empty()) out["description"] = entry.description;
  if (!entry.mime_type.empty()) out["mimeType"] = entry.mime_type;
  if (revision.icons && !entry.icons.empty()) out["icons"] = to_json(entry.icons);
}

std::string write_entry(const Resource& resource, const Revision& revision) {
  json::object out{{"uri", resource.uri}};
  describe(out, resource, revision);
  if (resource.size && revision.titles) out["size"] = *resource.size;
  return json::write(out);
}

std::string write_entry(const ResourceTemplate& resource, const Revision& revision) {
  json::object out{{"uriTemplate", resource.uri_template}};
  describe(out, resource, revision);
  return json::write(out);
}

Round page_of(const Server& server, const Revision& revision, const json::object& params, std::string_view member,
              const std::vector<std::string>& entries) {
  const std::vector<std::string_view> views(entries.begin(), entries.end());
  auto page = write_page(server, revision, params, member, views);
  if (!page) return {.refusal = std::move(page.error())};
  return {.result = std::move(*page)};
}

Refusal refusal_of(const Error& error) {
  const int code = error.code == ErrorCode::kInvalidArgument ? kInvalidParams : kInternalError;
  return {code, to_string(error), {}};
}

// MCP 2026-07-28 tells it as a wrong parameter, the revisions before have a code of their own.
Refusal not_found(const Revision& revision, std::string_view uri) {
  Refusal refusal{revision.modern ? kInvalidParams : kResourceNotFound,
                  fmt::format("Resource not found: {}", uri.substr(0, 512)), R"({"uri":)"};
  json::append_quoted(refusal.data, uri);
  refusal.data.push_back('}');
  return refusal;
}

Task<Round> list_all(const Server* server, const Revision* revision, std::shared_ptr<const ResourceSet> set,
                     std::shared_ptr<const json::object> params, Context context) {
  std::vector<std::string> entries;
  const access::Principal& caller = context.caller->principal;
  for (const auto& fixed : set->fixed) {
    if (caller.may(fixed.info.permission)) entries.push_back(write_entry(fixed.info, *revision));
  }
  for (const auto& lister : set->listers) {
    if (!caller.may(lister.permission)) continue;
    auto listed = co_await lister.list(context);
    if (!listed) co_return Round{.refusal = refusal_of(listed.error())};
    for (const auto& resource : *listed) entries.push_back(write_entry(resource, *revision));
  }
  co_return page_of(*server, *revision, *params, "resources", entries);
}

std::string write_contents(const Server& server, const Revision& revision, const ResourceContents& contents) {
  std::string out = revision.modern ? R"({"resultType":"complete","contents":[)" : R"({"contents":[)";
  bool first = true;
  for (const auto& part : contents.parts) {
    if (!std::exchange(first, false)) out.push_back(',');
    out.append(R"({"uri":)");
    json::append_quoted(out, part.uri);
    if (!part.mime_type.empty()) {
      out.append(R"(,"mimeType":)");
      json::append_quoted(out, part.mime_type);
    }
    out.append(part.binary ? R"(,"blob":)" : R"(,"text":)");
    json::append_quoted(out, part.binary ? base64_encode(part.data) : part.data);
    out.push_back('}');
  }
  out.push_back(']');
  if (revision.modern) out.append(server.cache_members()).append(server.meta_member());
  out.push_back('}');
  return out;
}

Task<Round> read(const Server* server, const Revision* revision, std::shared_ptr<const ResourceSet> set,
                 const ResourceReader* reader, ResourceRead request, Context context) {
  static_cast<Context&>(request) = std::move(context);
  const std::string uri = request.uri;
  auto contents = co_await (*reader)(std::move(request));
  if (!contents) {
    if (contents.error().code == ErrorCode::kNotFound) co_return Round{.refusal = not_found(*revision, uri)};
    co_return Round{.refusal = refusal_of(contents.error())};
  }
  if (contents->input_required) co_return Round{.input_required = std::move(contents->input_required)};
  co_return Round{.result = write_contents(*server, *revision, *contents)};
}

}  // namespace

void list_resources(const Server& server, Calls& calls, Origin origin, json::object& params, ReplyTo to) {
  auto set = server.resources().resources();
  const Revision& revision = *origin.revision;
  auto shared = std::make_shared<const json::object>(std::move(params));
  calls.start(
      std::move(to), std::move(origin), [] { return std::string(); },
      [server = &server, revision = &revision, set = std::move(set), shared](Context context) {
        return list_all(server, revision, set, shared, std::move(context));
      });
}

void list_resource_templates(const Server& server, Calls& calls, const Origin& origin, const json::object& params,
                             const ReplyTo& to) {
  const auto set = server.resources().resources();
  std::vector<std::string> entries;
  for (const auto& one : set->templates) {
    if (origin.caller->principal.may(one.info.permission)) entries.push_back(write_entry(one.info, *origin.revision));
  }
  const Round round = page_of(server, *origin.revision, params, "resourceTemplates", entries);
  if (round.refusal) return calls.refuse(to, *round.refusal);
  calls.answer(to, round.result);
}

void read_resource(const Server& server, Calls& calls, Origin origin, const json::object& params, ReplyTo to) {
  const json::value* uri = json::find(params, "uri");
  if (uri == nullptr || !uri->is_string()) {
    return calls.refuse(to, invalid_params("the resource's URI must be given as a string.", "/params/uri"));
  }
  if (const auto refusal = read_request_meta(params, origin)) return calls.refuse(to, *refusal);
  auto set = server.resources().resources();
  ResourceRead request;
  request.uri = uri->get_string();
  FoundResource found = find_resource(*set, request.uri);
  const Revision& revision = *origin.revision;
  if (found.read == nullptr) return calls.refuse(to, not_found(revision, request.uri));
  if (!origin.caller->principal.may(found.permission)) return calls.refuse(to, not_permitted(found.permission));
  request.variables = std::move(found.variables);
  auto binding = [uri = request.uri] { return "resources/read\n" + uri; };
  calls.start(
      std::move(to), std::move(origin), std::move(binding),
      [server = &server, revision = &revision, set = std::move(set), reader = found.read, request = std::move(request)](
          Context context) { return read(server, revision, set, reader, request, std::move(context)); });
}

}  // namespace llm::mcp
