#include "tools/icons.h"

#include <array>
#include <fmt/format.h>
#include <string>
#include <string_view>
#include <utility>

namespace llm::tools {
namespace {

// The outline of each picture: the `d` of a path on a field of 24 by 24.
constexpr auto kOutlines = std::to_array<std::pair<Picture, std::string_view>>({
    {Picture::kChat, "M4 5h16v11H11l-5 4v-4H4z"},
    {Picture::kText, "M5 6h14M5 11h14M5 16h8M17 14v5"},
    {Picture::kVector, "M5 19V5M5 19h14M5 19l9-9M14 10h-4M14 10v4"},
    {Picture::kModel, "M12 3l8 4v10l-8 4-8-4V7zM12 11l8-4M12 11v10M12 11L4 7"},
    {Picture::kDownload, "M12 4v11M7 10l5 5 5-5M5 20h14"},
    {Picture::kRemove, "M5 7h14M9 7V4h6v3M7 7l1 13h8l1-13"},
    {Picture::kStatus, "M3 13h4l3-8 4 14 3-6h4"},
    {Picture::kHelp, "M8 9a4 4 0 1 1 5 4l-1 2M12 19v.5"},
});

// What a data: URL without base64 needs escaped (RFC 2397, RFC 3986), and the double quote that JSON would escape.
std::string escaped(std::string_view text) {
  constexpr std::string_view kReserved = "<>#%\" ";
  std::string out;
  for (const char c : text) {
    if (kReserved.find(c) == std::string_view::npos) {
      out.push_back(c);
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

}  // namespace

std::vector<mcp::Icon> icons(Picture picture) {
  std::string_view outline;
  for (const auto& [one, path] : kOutlines) {
    if (one == picture) outline = path;
  }
  const std::string svg = fmt::format(
      "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24' fill='none' stroke='#2b8a8a' stroke-width='2'>"
      "<path d='{}'/></svg>",
      outline);
  return {{.source = "data:image/svg+xml," + escaped(svg), .mime_type = "image/svg+xml", .sizes = {"any"}}};
}

}  // namespace llm::tools
