#include "mcp/http/modern_rules.h"

#include <fmt/format.h>
#include <string>

#include "json/json.h"
#include "mcp/modern_era.h"
#include "mcp/protocol.h"
#include "mcp/registry.h"

namespace llm::mcp {
namespace {

HttpRefusal mismatch(std::string message) {
  return {400, {kHeaderMismatch, "Header mismatch: " + std::move(message), {}}};
}

const json::object* meta_of(const json::object& params) {
  const json::value* found = json::find(params, "_meta");
  return found != nullptr ? found->if_object() : nullptr;
}

// MCP 2026-07-28 "Request metadata": a request without these gets HTTP status 400.
std::optional<HttpRefusal> check_meta(const json::object* fields) {
  const auto missing = [](std::string_view key, std::string_view what) {
    return HttpRefusal{
        400, {kInvalidParams, fmt::format("Invalid params: every request needs _meta[\"{}\"], {}.", key, what), {}}};
  };
  const json::value* version = fields != nullptr ? json::find(*fields, meta::kProtocolVersion) : nullptr;
  if (version == nullptr || !version->is_string()) {
    return missing(meta::kProtocolVersion, fmt::format("a string such as \"{}\"", modern_revision().version));
  }
  const json::value* capabilities = json::find(*fields, meta::kClientCapabilities);
  if (capabilities == nullptr || !capabilities->is_object()) {
    return missing(meta::kClientCapabilities, "an object that may be empty");
  }
  return std::nullopt;
}

std::optional<HttpRefusal> expect(std::string_view header_name, const std::optional<std::string_view>& header,
                                  std::string_view expected, std::string_view what) {
  if (!header) return mismatch(fmt::format("{} is missing; it must repeat {}, \"{}\".", header_name, what, expected));
  switch (compare_header(*header, expected)) {
    case HeaderMatch::kEqual:
      return std::nullopt;
    case HeaderMatch::kBadEncoding:
      return mismatch(fmt::format("{} is not valid base64 of UTF-8 text.", header_name));
    case HeaderMatch::kDifferent:
      break;
  }
  return mismatch(fmt::format("{} is \"{}\", but {} is \"{}\".", header_name, *header, what, expected));
}

// Which parameter Mcp-Name repeats; empty for methods that have none.
std::string_view named_by(std::string_view method) {
  if (method == "tools/call" || method == "prompts/get") return "name";
  if (method == "resources/read") return "uri";
  if (method == "tasks/get" || method == "tasks/update" || method == "tasks/cancel") return "taskId";
  return {};
}

std::optional<HttpRefusal> check_name(const Request& request, const RequestHeaders& headers) {
  const std::string_view key = named_by(request.method);
  if (key.empty()) return std::nullopt;
  const json::value* name = json::find(request.params, key);
  if (name != nullptr && name->is_string()) {
    return expect("Mcp-Name", headers.name, name->get_string(), fmt::format("params.{}", key));
  }
  if (headers.name) return mismatch(fmt::format("Mcp-Name is there, but params.{} is not.", key));
  return std::nullopt;  // the method itself says what is missing
}

HeaderMatch compare_argument(std::string_view header, const json::value& value) {
  if (const auto* text = value.if_string()) return compare_header(header, *text);
  if (const auto* flag = value.if_bool()) return compare_header(header, *flag ? "true" : "false");
  if (const auto* number = value.if_int64()) return compare_header(header, *number);
  if (const auto* number = value.if_double()) return compare_header(header, *number);
  if (const auto* number = value.if_uint64()) return compare_header(header, static_cast<double>(*number));
  return HeaderMatch::kDifferent;
}

const json::value* at_path(const json::object* object, const std::vector<std::string>& path) {
  const json::value* found = nullptr;
  for (const std::string& key : path) {
    if (object == nullptr) return nullptr;
    found = json::find(*object, key);
    if (found == nullptr) return nullptr;
    object = found->if_object();
  }
  return found;
}

std::optional<HttpRefusal> check_parameter(const HeaderParameter& parameter, const json::object* arguments,
                                           const net::Headers& all) {
  const json::value* value = at_path(arguments, parameter.path);
  const auto header = all.get(parameter.header);
  const bool given = value != nullptr && !value->is_null();
  if (!given && !header) return std::nullopt;
  if (!given) return mismatch(fmt::format("{} is there, but the argument it repeats is not.", parameter.header));
  if (!header) return mismatch(fmt::format("{} is missing, but the argument it repeats is there.", parameter.header));
  if (all.count(parameter.header) > 1) return mismatch(fmt::format("{} comes more than once.", parameter.header));
  switch (compare_argument(*header, *value)) {
    case HeaderMatch::kEqual:
      return std::nullopt;
    case HeaderMatch::kBadEncoding:
      return mismatch(fmt::format("{} is not valid base64 of UTF-8 text.", parameter.header));
    case HeaderMatch::kDifferent:
      break;
  }
  return mismatch(fmt::format("{} is not what the argument it repeats says.", parameter.header));
}

// Parameters of a tool that its caller may not even see give nothing away.
std::optional<HttpRefusal> check_parameters(const Server& server, const Request& request, const net::Headers& all,
                                            const access::Principal& principal) {
  const auto tools = server.tools().tools();
  const auto found = tools->by_name.find(json::string_or(request.params, "name"));
  if (found == tools->by_name.end() || found->second->headers.empty()) return std::nullopt;
  const RegisteredTool& tool = *found->second;
  if (!tool.tool.open_to(principal)) return std::nullopt;
  const json::value* arguments = json::find(request.params, "arguments");
  for (const HeaderParameter& parameter : tool.headers) {
    const json::object* object = arguments != nullptr ? arguments->if_object() : nullptr;
    if (auto refusal = check_parameter(parameter, object, all)) return refusal;
  }
  return std::nullopt;
}

}  // namespace

bool is_modern(const json::object& params, std::string_view method, const RequestHeaders& headers) {
  return (headers.protocol_version && *headers.protocol_version == modern_revision().version) ||
         ModernEra::speaks(params) || ModernEra::owns(method);
}

std::optional<HttpRefusal> check_modern(const Server& server, const Request& request, const RequestHeaders& headers,
                                        const net::Headers& all, const access::Principal& principal) {
  if (request.method == "initialize") {
    return HttpRefusal{404,
                       {kMethodNotFound,
                        fmt::format("Method not found: 'initialize' (revision {} has no sessions; leave its _meta and "
                                    "its header away to open one of an older revision).",
                                    modern_revision().version),
                        {}}};
  }
  const json::object* fields = meta_of(request.params);
  if (auto refusal = check_meta(fields)) return refusal;
  if (!headers.repeated.empty()) return mismatch(fmt::format("{} comes more than once.", headers.repeated));
  const std::string_view version = fields->at(meta::kProtocolVersion).get_string();
  if (auto refusal = expect("MCP-Protocol-Version", headers.protocol_version, version, "_meta's protocol version")) {
    return refusal;
  }
  if (version != modern_revision().version) return std::nullopt;
  if (auto refusal = expect("Mcp-Method", headers.method, request.method, "method")) return refusal;
  if (auto refusal = check_name(request, headers)) return refusal;
  if (request.method == "tools/call") return check_parameters(server, request, all, principal);
  return std::nullopt;
}

std::optional<HttpRefusal> check_modern(const Notification& notification, const RequestHeaders& headers) {
  if (!headers.repeated.empty()) return mismatch(fmt::format("{} comes more than once.", headers.repeated));
  if (headers.method) return expect("Mcp-Method", headers.method, notification.method, "method");
  return std::nullopt;
}

int modern_status(int error_code) {
  switch (error_code) {
    case kMethodNotFound:
      return 404;
    case kParseError:
    case kInvalidRequest:
    case kHeaderMismatch:
    case kMissingClientCapability:
    case kUnsupportedProtocolVersion:
      return 400;
    default:
      return 200;  // what went wrong inside a method is an answer like any other
  }
}

}  // namespace llm::mcp
