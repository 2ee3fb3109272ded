#include "mcp/header_parameters.h"

#include <algorithm>
#include <cctype>
#include <fmt/format.h>
#include <set>

namespace llm::mcp {
namespace {

bool is_token(std::string_view text) {  // RFC 9110 section 5.6.2
  const auto allowed = [](unsigned char c) {
    return std::isalnum(c) != 0 ||
           std::string_view("!#$%&'*+-.^_`|~").find(static_cast<char>(c)) != std::string_view::npos;
  };
  return !text.empty() && std::ranges::all_of(text, allowed);
}

struct Collector {
  std::vector<HeaderParameter> found;
  std::set<std::string> names;  // lower case
  std::vector<std::string> path;

  Result<void> take(const json::object& property, const json::value& name, const std::string& pointer) {
    const auto wrong = [&](std::string_view what) {
      return fail(ErrorCode::kInvalidArgument, fmt::format("x-mcp-header {}", what), pointer + "/x-mcp-header");
    };
    if (!name.is_string() || !is_token(name.get_string())) return wrong("must be a header token.");
    const std::string_view type = json::string_or(property, "type");
    if (type != "string" && type != "integer" && type != "boolean") {
      return wrong("is only for properties of type string, integer or boolean.");
    }
    std::string lower(name.get_string());
    std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    if (!names.insert(lower).second) return wrong("is used twice.");
    found.push_back({fmt::format("Mcp-Param-{}", std::string_view(name.get_string())), path});
    return {};
  }

  // Only what is reached through `properties` is where it says in every document.
  Result<void> walk(const json::object& schema, const std::string& pointer) {
    const json::value* properties = json::find(schema, "properties");
    if (properties == nullptr || !properties->is_object()) return {};
    for (const auto& member : properties->get_object()) {
      const json::object* property = member.value().if_object();
      if (property == nullptr) continue;
      const std::string place = json::pointer_join(pointer + "/properties", member.key());
      path.emplace_back(member.key());
      if (const json::value* name = json::find(*property, "x-mcp-header")) {
        if (auto taken = take(*property, *name, place); !taken) return taken;
      }
      if (auto walked = walk(*property, place); !walked) return walked;
      path.pop_back();
    }
    return {};
  }
};

}  // namespace

Result<std::vector<HeaderParameter>> header_parameters(const json::object& input_schema) {
  Collector collector;
  if (auto walked = collector.walk(input_schema, ""); !walked) return fail(walked.error());
  return std::move(collector.found);
}

}  // namespace llm::mcp
