#include "models/hub.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <utility>

#include "base/strings.h"
#include "base/wildcard.h"
#include "json/json.h"
#include "models/http_get.h"
#include "models/name.h"

namespace llm::models {

namespace {

constexpr std::size_t kMaxListingBytes = 16u << 20;
constexpr std::size_t kMaxListedInMessage = 20;

std::string_view base_name(std::string_view path) {
  const auto slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

bool ends_with_gguf(std::string_view path) {
  return path.size() > 5 && iequals(path.substr(path.size() - 5), ".gguf");
}

bool all_digits(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

// "model-00001-of-00003.gguf"
bool is_split(std::string_view path) {
  if (!ends_with_gguf(path)) return false;
  path.remove_suffix(5);
  constexpr std::size_t kTail = 15;  // "-00001-of-00003"
  if (path.size() < kTail) return false;
  const std::string_view tail = path.substr(path.size() - kTail);
  return tail[0] == '-' && all_digits(tail.substr(1, 5)) && tail.substr(6, 4) == "-of-" && all_digits(tail.substr(10));
}

bool is_projector(std::string_view path) {
  return to_lower(base_name(path)).find("mmproj") != std::string::npos;
}

// Is `word` a word of the file's name, between '-', '.', '/' or the ends? "_" belongs to words: Q4_K is not in Q4_K_M.
bool has_word(std::string_view path, std::string_view word) {
  const std::string text = to_lower(path);
  const std::string wanted = to_lower(word);
  const auto border = [](char c) { return c == '-' || c == '.' || c == '/' || c == ' '; };
  for (auto at = text.find(wanted); at != std::string::npos; at = text.find(wanted, at + 1)) {
    const auto end = at + wanted.size();
    if ((at == 0 || border(text[at - 1])) && (end == text.size() || border(text[end]))) return true;
  }
  return false;
}

std::string listed(const std::vector<HubFile>& files) {
  std::vector<std::string> lines;
  for (const auto& file : files) {
    if (lines.size() == kMaxListedInMessage) {
      lines.push_back(fmt::format("and {} more", files.size() - kMaxListedInMessage));
      break;
    }
    lines.push_back(fmt::format("{} ({})", file.path, format_bytes(file.size)));
  }
  return fmt::format("{}", fmt::join(lines, ", "));
}

Result<HubFile> only_whole(const HubFile& file) {
  if (!is_split(file.path)) return file;
  return fail(
      ErrorCode::kUnsupported,
      fmt::format("{} is one part of a split model, which cannot be pulled; choose a quantisation in one file, or "
                  "download the parts, join them (llama-gguf-split --merge FIRST OUT) and import the result",
                  file.path));
}

// The candidates are every part of one split model?
bool one_split_model(const std::vector<HubFile>& files) {
  return std::ranges::all_of(files, [&](const HubFile& file) {
    return is_split(file.path) && std::string_view(file.path).substr(0, file.path.size() - 20) ==
                                      std::string_view(files.front().path).substr(0, files.front().path.size() - 20);
  });
}

Result<HubFile> one_of(const std::vector<HubFile>& candidates, std::string_view repo) {
  if (candidates.size() == 1 || one_split_model(candidates)) return only_whole(candidates.front());
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("{} has several files that fit; name one of them, as in hf:{}:FILE: {}", repo, repo,
                          listed(candidates)));
}

Result<HubFile> default_file(const std::vector<HubFile>& files, std::string_view repo) {
  std::vector<HubFile> whole;
  std::ranges::copy_if(files, std::back_inserter(whole), [](const HubFile& file) { return !is_split(file.path); });
  if (whole.empty()) return only_whole(files.front());
  for (const std::string_view preferred : {"Q4_K_M", "Q4_0", "Q8_0"}) {
    std::vector<HubFile> candidates;
    std::ranges::copy_if(whole, std::back_inserter(candidates),
                         [&](const HubFile& file) { return has_word(file.path, preferred); });
    if (!candidates.empty()) return one_of(candidates, repo);
  }
  return *std::ranges::min_element(whole, {}, &HubFile::size);
}

bool is_commit(std::string_view text) {
  return text.size() == 40 &&
         std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

// What the model card says: a licence without a word of the hub's own is called "other" and says its name beside it.
std::string license_of(const json::object& card) {
  constexpr std::size_t kLongest = 256;
  std::string license(json::string_or(card, "license"));
  if (license == "other" && !json::string_or(card, "license_name").empty())
    license = json::string_or(card, "license_name");
  const auto link = json::string_or(card, "license_link");
  if (!link.empty() && json::string_or(card, "license") == "other") license += fmt::format(" ({})", link);
  return license.size() <= kLongest && valid_utf8(license) ? license : std::string();
}

// The page of a repository from an address of its API or one of its files; else the hub's own.
std::string page_of(std::string_view url) {
  const std::string origin = origin_of(url);
  const auto path_at = url.find('/', url.find("://") + 3);
  std::string_view path = path_at == std::string_view::npos ? std::string_view() : url.substr(path_at + 1);
  if (path.starts_with("api/models/")) path.remove_prefix(11);
  const auto parts = split(path, '/');
  if (parts.size() < 3 || (parts[2] != "resolve" && parts[2] != "revision" && parts[2] != "tree")) return origin;
  return fmt::format("{}/{}/{}", origin, parts[0], parts[1]);
}

}  // namespace

HttpGet hub_request(const PullSettings& settings, std::string url) {
  HttpGet request;
  // The token belongs to the hub: an address elsewhere never sees it.
  if (origin_of(url) == origin_of(settings.hub_endpoint)) request.bearer_token = settings.hub_token;
  request.url = std::move(url);
  request.connect_timeout_ms = settings.connect_timeout_ms;
  request.stall_timeout_s = settings.stall_timeout_s;
  return request;
}

Result<HubListing> fetch_hub_listing(const PullSettings& settings, const HubSource& source,
                                     const std::atomic<bool>& cancelled) {
  const std::string repo = source.owner + "/" + source.repo;
  // A revision is one path segment here: "refs/pr/1" needs its slashes encoded.
  std::string revision;
  for (const auto part : split(source.revision, '/')) {
    revision += (revision.empty() ? "" : "%2F") + encode_path(part);
  }
  auto request = hub_request(
      settings, fmt::format("{}/api/models/{}/revision/{}?blobs=true", settings.hub_endpoint, repo, revision));
  const auto answer = http_get_text(request, kMaxListingBytes, cancelled);
  if (!answer) return fail(answer.error());
  if (answer->head.status != 200) {
    return fail(hub_error(answer->head, fmt::format("{}@{}", repo, source.revision), !request.bearer_token.empty()));
  }
  auto listing = parse_hub_listing(answer->body);
  if (!listing) listing.error().message = fmt::format("{}: {}", origin_of(request.url), listing.error().message);
  return listing;
}

DownloadPlan plan_repository_file(const PullSettings& settings, const HubSource& source, std::string_view commit,
                                  const HubFile& file) {
  const std::string repo = source.owner + "/" + source.repo;
  DownloadPlan plan;
  plan.url =
      fmt::format("{}/{}/resolve/{}/{}", settings.hub_endpoint, repo, encode_path(commit), encode_path(file.path));
  plan.token = settings.hub_token;
  plan.label = fmt::format("hf:{}:{}@{}", repo, file.path, commit);
  plan.file_name = file.path;
  plan.revision = commit;
  plan.size = file.size > 0 ? std::optional(file.size) : std::nullopt;
  plan.digest = file.digest;
  plan.gguf = false;
  return plan;
}

Result<DownloadPlan> plan_hub_file(const PullSettings& settings, const HubSource& source, const HubListing& listing) {
  auto file = choose_hub_file(listing, source.selector, source.owner + "/" + source.repo);
  if (!file) return fail(std::move(file.error()));
  // The commit instead of the branch: what is fetched now and what a resumed pull fetches tomorrow are the same file.
  DownloadPlan plan =
      plan_repository_file(settings, source, listing.commit.empty() ? source.revision : listing.commit, *file);
  plan.gguf = true;
  plan.revision = listing.commit;
  plan.suggested_name = suggest_name(source.repo);
  for (const std::string_view suffix : {"-gguf", ".gguf", "_gguf"}) {
    if (plan.suggested_name.size() > suffix.size() && plan.suggested_name.ends_with(suffix)) {
      plan.suggested_name.resize(plan.suggested_name.size() - suffix.size());
    }
  }
  plan.license = listing.license;
  return plan;
}

Result<void> check_allowed(const PullSettings& settings, const PullSource& source) {
  if (settings.allowed_sources.empty()) return {};
  std::vector<std::string> texts{to_string(source)};
  if (const auto* hub = std::get_if<HubSource>(&source))
    texts.push_back(fmt::format("hf:{}/{}", hub->owner, hub->repo));
  for (const auto& pattern : settings.allowed_sources) {
    for (const auto& text : texts) {
      if (wildcard_matches(pattern, text)) return {};
    }
  }
  return fail(ErrorCode::kPermissionDenied,
              fmt::format("{} is not among the sources that models.allowed_sources lets in ({}); ask whoever keeps the "
                          "configuration",
                          texts.back(), fmt::join(settings.allowed_sources, ", ")));
}

Result<HubListing> parse_hub_listing(std::string_view text) {
  const auto document = json::parse(text);
  if (!document || !document->is_object()) {
    return fail(ErrorCode::kUnavailable, "the hub's answer is not the JSON object that its API describes");
  }
  const json::object& root = document->get_object();
  HubListing listing;
  if (const auto commit = json::string_or(root, "sha"); is_commit(commit)) listing.commit = commit;
  if (const json::value* card = json::find(root, "cardData"); card != nullptr && card->is_object()) {
    listing.license = license_of(card->get_object());
  }
  const json::value* siblings = json::find(root, "siblings");
  if (siblings == nullptr || !siblings->is_array()) {
    return fail(ErrorCode::kUnavailable, "the hub's answer has no list of files (`siblings`)");
  }
  for (const auto& entry : siblings->get_array()) {
    if (!entry.is_object()) continue;
    HubFile file;
    file.path = json::string_or(entry.get_object(), "rfilename");
    // The same care as for what a user types: the path goes into an address and into messages.
    if (!ends_with_gguf(file.path) || !parse_pull_source("hf:o/r:" + file.path)) continue;
    file.size = static_cast<std::uint64_t>(std::max<std::int64_t>(0, json::int_or(entry.get_object(), "size")));
    if (const json::value* lfs = json::find(entry.get_object(), "lfs"); lfs != nullptr && lfs->is_object()) {
      if (auto digest = Digest::parse_hex(json::string_or(lfs->get_object(), "sha256"))) file.digest = *digest;
      if (file.size == 0) {
        file.size = static_cast<std::uint64_t>(std::max<std::int64_t>(0, json::int_or(lfs->get_object(), "size")));
      }
    }
    listing.files.push_back(std::move(file));
  }
  return listing;
}

Result<HubFile> choose_hub_file(const HubListing& listing, std::string_view selector, std::string_view repo) {
  for (const auto& file : listing.files) {
    if (file.path == selector) return only_whole(file);
  }
  std::vector<HubFile> models;
  std::ranges::copy_if(listing.files, std::back_inserter(models),
                       [](const HubFile& file) { return !is_projector(file.path); });
  if (models.empty()) {
    return fail(ErrorCode::kNotFound,
                fmt::format("{} has no GGUF model file; look for a repository whose name ends in -GGUF", repo));
  }
  if (selector.empty()) return default_file(models, repo);
  std::vector<HubFile> candidates;
  std::ranges::copy_if(models, std::back_inserter(candidates), [&](const HubFile& file) {
    return ends_with_gguf(selector) ? iequals(base_name(file.path), selector) : has_word(file.path, selector);
  });
  if (!candidates.empty()) return one_of(candidates, repo);
  return fail(ErrorCode::kNotFound,
              fmt::format("{} has no file that fits `{}`; it has: {}", repo, selector, listed(models)));
}

DownloadPlan plan_url_file(const PullSettings& settings, const UrlSource& source) {
  DownloadPlan plan;
  plan.url = source.url;
  plan.token = hub_request(settings, source.url).bearer_token;
  plan.label = to_string(PullSource(source));
  plan.file_name = base_name(plan.label);
  plan.suggested_name = suggest_name(plan.file_name);
  plan.digest = source.digest;
  return plan;
}

Result<PullSettings> checked_settings(PullSettings settings) {
  if (auto ok = check_url(settings.hub_endpoint); !ok) {
    return fail(ErrorCode::kInvalidArgument, fmt::format("hub endpoint: {}", ok.error().message));
  }
  while (settings.hub_endpoint.ends_with('/')) settings.hub_endpoint.pop_back();
  return settings;
}

Error hub_error(const HttpHead& head, std::string_view what, bool had_token) {
  const auto make = [](ErrorCode code, std::string message, int retry_after_s = 0) {
    return Error{code, std::move(message), {}, {}, retry_after_s};
  };
  const std::string where = origin_of(head.url);
  const bool gated = head.header("x-error-code") == "GatedRepo";
  switch (head.status) {
    case 401:
    case 403:
      if (gated) {
        return make(ErrorCode::kPermissionDenied,
                    fmt::format("{} is gated: accept its terms on the model's page, {}, then set a read token of that "
                                "account as models.hub_token ({})",
                                what, page_of(head.url), had_token ? "the one in use has no access" : "none is set"));
      }
      if (!had_token) {
        return make(
            ErrorCode::kUnauthenticated,
            fmt::format("{} does not exist at {} or is private; check the spelling, or set a token that may read "
                        "it (models.hub_token)",
                        what, where));
      }
      return make(
          ErrorCode::kPermissionDenied,
          fmt::format("{} refused the token for {} (status {}): check that it is valid and may read it, and that "
                      "the name is spelt right",
                      where, what, head.status));
    case 404:
    case 410:
      return make(ErrorCode::kNotFound,
                  fmt::format("{} has no {}; check the repository, revision and file", where, what));
    case 429: {
      const int wait = parse_number<int>(head.header("retry-after")).value_or(30);
      return make(ErrorCode::kRateLimited,
                  fmt::format("{} asks to slow down; try again in {} s, or set a token for higher limits", where, wait),
                  std::clamp(wait, 1, 3600));
    }
    default:
      break;
  }
  if (head.status >= 500 || head.status == 408) {
    return make(ErrorCode::kUnavailable,
                fmt::format("{} answered {} for {}; try again later", where, head.status, what));
  }
  return make(ErrorCode::kInvalidArgument, fmt::format("{} answered {} for {}", where, head.status, what));
}

}  // namespace llm::models
