#include "mcp/content.h"

#include "mcp/icon.h"
#include "net/base64.h"

namespace llm::mcp {

json::object text_content(std::string_view text) {
  return {{"type", "text"}, {"text", text}};
}

json::object image_content(std::string_view bytes, std::string_view mime_type) {
  return {{"type", "image"}, {"data", base64_encode(bytes)}, {"mimeType", mime_type}};
}

json::object audio_content(std::string_view bytes, std::string_view mime_type) {
  return {{"type", "audio"}, {"data", base64_encode(bytes)}, {"mimeType", mime_type}};
}

json::object embedded_text(std::string_view uri, std::string_view mime_type, std::string_view text) {
  return {{"type", "resource"}, {"resource", json::object{{"uri", uri}, {"mimeType", mime_type}, {"text", text}}}};
}

json::object resource_link(std::string_view uri, std::string_view name, std::string_view mime_type,
                           std::string_view description) {
  json::object link{{"type", "resource_link"}, {"uri", uri}, {"name", name}};
  if (!mime_type.empty()) link["mimeType"] = mime_type;
  if (!description.empty()) link["description"] = description;
  return link;
}

json::array to_json(const std::vector<Icon>& icons) {
  json::array out;
  for (const Icon& icon : icons) {
    json::object entry{{"src", icon.source}};
    if (!icon.mime_type.empty()) entry["mimeType"] = icon.mime_type;
    if (!icon.sizes.empty()) entry["sizes"] = json::array(icon.sizes.begin(), icon.sizes.end());
    if (!icon.theme.empty()) entry["theme"] = icon.theme;
    out.push_back(std::move(entry));
  }
  return out;
}

}  // namespace llm::mcp
