#include "models/pull_source.h"

#include <algorithm>
#include <fmt/format.h>
#include <type_traits>

#include "base/strings.h"
#include "models/http_get.h"

namespace llm::models {

namespace {

constexpr std::size_t kMaxText = 2048;
constexpr std::size_t kMaxPart = 96;

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

bool is_part(std::string_view text) {
  return !text.empty() && text.size() <= kMaxPart && text.front() != '.' && text.front() != '-' &&
         std::ranges::all_of(text, is_word) && text.find("..") == std::string_view::npos;
}

// A relative path of words (spaces and a few signs allowed, since file names on hubs have them) without "." and "..".
bool is_path(std::string_view text) {
  if (text.empty() || text.size() > 512) return false;
  for (const auto segment : split(text, '/')) {
    if (segment.empty() || segment == "." || segment == "..") return false;
    const auto fine = [](char c) {
      return is_word(c) || std::string_view(" +()[],=~").find(c) != std::string_view::npos;
    };
    if (!std::ranges::all_of(segment, fine)) return false;
  }
  return true;
}

std::unexpected<Error> bad(std::string_view what) {
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("{}; write hf:OWNER/REPO[:FILE-OR-QUANTISATION][@REVISION] or https://HOST/PATH.gguf", what));
}

Result<PullSource> parse_url_source(std::string_view text) {
  UrlSource source;
  const auto hash = text.find('#');
  source.url = text.substr(0, hash);
  if (auto ok = check_url(source.url); !ok) return fail(std::move(ok.error()));
  if (hash == std::string_view::npos) return source;
  constexpr std::string_view kKey = "sha256=";
  const std::string_view fragment = text.substr(hash + 1);
  auto digest = fragment.starts_with(kKey) ? Digest::parse_hex(fragment.substr(kKey.size()))
                                           : Result<Digest>(fail(ErrorCode::kInvalidArgument, "another key"));
  if (!digest) {
    return fail(ErrorCode::kInvalidArgument, "what follows '#' in the address must be sha256= and 64 hex digits");
  }
  source.digest = *digest;
  return source;
}

Result<PullSource> parse_hub_source(std::string_view text) {
  HubSource source;
  if (const auto at = text.rfind('@'); at != std::string_view::npos) {
    source.revision = text.substr(at + 1);
    if (!is_path(source.revision)) return bad("the revision after '@' is not valid");
    text = text.substr(0, at);
  }
  if (const auto colon = text.find(':'); colon != std::string_view::npos) {
    source.selector = text.substr(colon + 1);
    if (!is_path(source.selector)) return bad("the file or quantisation after ':' is not valid");
    text = text.substr(0, colon);
  }
  const auto slash = text.find('/');
  if (slash == std::string_view::npos) return bad("the repository must be OWNER/REPO");
  source.owner = text.substr(0, slash);
  source.repo = text.substr(slash + 1);
  if (!is_part(source.owner) || !is_part(source.repo)) return bad("the repository's owner or name is not valid");
  return source;
}

}  // namespace

Result<PullSource> parse_pull_source(std::string_view text) {
  if (text.size() > kMaxText) return bad("the source is too long");
  if (text.starts_with("hf:")) return parse_hub_source(text.substr(3));
  if (text.starts_with("https://") || text.starts_with("http://")) return parse_url_source(text);
  return bad("not a source to pull from");
}

std::string to_string(const PullSource& source) {
  if (const auto* url = std::get_if<UrlSource>(&source)) return url->url.substr(0, url->url.find('?'));
  const auto& hub = std::get<HubSource>(source);
  return fmt::format("hf:{}/{}{}{}@{}", hub.owner, hub.repo, hub.selector.empty() ? "" : ":", hub.selector,
                     hub.revision);
}

}  // namespace llm::models
