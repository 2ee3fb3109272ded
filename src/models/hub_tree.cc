#include "models/hub_tree.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>

#include "base/strings.h"
#include "json/json.h"
#include "models/http_get.h"
#include "models/manifest.h"

namespace llm::models {

namespace {

constexpr std::size_t kMaxPageBytes = 16u << 20;
constexpr std::size_t kMostFiles = 20'000;
constexpr std::size_t kMostPages = 200;

constexpr auto kText = std::to_array<std::string_view>({".json", ".txt", ".model", ".tiktoken", ".jinja"});
constexpr auto kPickles = std::to_array<std::string_view>({".bin", ".pt", ".pth"});

std::string_view base_name(std::string_view path) {
  const auto slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

bool ends_with_any(std::string_view path, std::span<const std::string_view> endings) {
  const std::string lower = to_lower(path);
  return std::ranges::any_of(endings, [&](std::string_view ending) { return lower.ends_with(ending); });
}

bool is_weights(std::string_view path) {
  return to_lower(path).ends_with(".safetensors");
}

bool is_git_id(std::string_view text) {
  return text.size() == 40 &&
         std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool is_licence(std::string_view path) {
  const std::string name = to_lower(base_name(path));
  return name.starts_with("license") || name.starts_with("licence") || name.starts_with("notice") ||
         name.starts_with("use_policy");
}

// The same weights once more, in the form of the tools that trained them.
bool is_second_copy(std::string_view path, bool others) {
  return others && base_name(path).starts_with("consolidated");
}

std::uint64_t size_of(const json::object& entry) {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(0, json::int_or(entry, "size")));
}

}  // namespace

Result<HubTreePage> parse_hub_tree(std::string_view text) {
  const auto document = json::parse(text);
  if (!document || !document->is_array()) {
    return fail(ErrorCode::kUnavailable, "the hub's answer is not the list of files that its API describes");
  }
  HubTreePage page;
  for (const auto& item : document->get_array()) {
    if (!item.is_object()) continue;
    const json::object& entry = item.get_object();
    if (json::string_or(entry, "type") != "file") continue;
    HubFile file;
    file.path = json::string_or(entry, "path");
    if (!check_file_path(file.path)) continue;
    file.size = size_of(entry);
    if (const json::value* lfs = json::find(entry, "lfs"); lfs != nullptr && lfs->is_object()) {
      if (const auto digest = Digest::parse_hex(json::string_or(lfs->get_object(), "oid"))) file.digest = *digest;
      if (file.size == 0) file.size = size_of(lfs->get_object());
    }
    if (const auto id = json::string_or(entry, "oid"); !file.digest && is_git_id(id)) file.git_id = id;
    page.files.push_back(std::move(file));
  }
  return page;
}

std::string next_page(std::string_view link_field) {
  while (!link_field.empty()) {
    const auto begin = link_field.find('<');
    const auto end = link_field.find('>', begin);
    if (begin == std::string_view::npos || end == std::string_view::npos) return {};
    const std::string_view target = link_field.substr(begin + 1, end - begin - 1);
    link_field.remove_prefix(end + 1);
    const auto next = link_field.find('<');
    const std::string parameters = to_lower(link_field.substr(0, next));
    if (parameters.find("rel=\"next\"") != std::string::npos || parameters.find("rel=next") != std::string::npos) {
      return std::string(target);
    }
    link_field = next == std::string_view::npos ? std::string_view() : link_field.substr(next);
  }
  return {};
}

Result<std::vector<HubFile>> fetch_hub_tree(const PullSettings& settings, const HubSource& source,
                                            std::string_view commit, const std::atomic<bool>& cancelled) {
  const std::string repo = source.owner + "/" + source.repo;
  std::string url =
      fmt::format("{}/api/models/{}/tree/{}?recursive=true", settings.hub_endpoint, repo, encode_path(commit));
  std::vector<HubFile> files;
  for (std::size_t pages = 0;; ++pages) {
    if (pages == kMostPages || files.size() > kMostFiles) {
      return fail(ErrorCode::kUnsupported, fmt::format("{} has more than {} files", repo, kMostFiles));
    }
    const auto request = hub_request(settings, url);
    const auto answer = http_get_text(request, kMaxPageBytes, cancelled);
    if (!answer) return fail(answer.error());
    if (answer->head.status != 200) {
      return fail(hub_error(answer->head, fmt::format("{}@{}", repo, commit), !request.bearer_token.empty()));
    }
    auto page = parse_hub_tree(answer->body);
    if (!page) {
      page.error().message = fmt::format("{}: {}", origin_of(url), page.error().message);
      return fail(std::move(page.error()));
    }
    std::ranges::move(page->files, std::back_inserter(files));
    const std::string next = next_page(answer->head.header("link"));
    if (next.empty()) return files;
    auto target = redirect_target(url, next);
    if (!target) return fail(std::move(target.error()));
    if (origin_of(*target) != origin_of(url)) {
      return fail(ErrorCode::kUnavailable,
                  fmt::format("{} names another server for the rest of its list", origin_of(url)));
    }
    url = std::move(*target);
  }
}

Result<std::vector<HubFile>> choose_repository_files(const std::vector<HubFile>& files, const RepositoryChoice& choice,
                                                     std::string_view repo) {
  const auto at_root = [](const HubFile& file) { return file.path.find('/') == std::string::npos; };
  const auto weights_at_root = [&](const HubFile& file) {
    return at_root(file) && is_weights(file.path) && !base_name(file.path).starts_with("consolidated");
  };
  const bool root_weights = std::ranges::any_of(files, weights_at_root);
  const bool any_weights = std::ranges::any_of(files, [](const HubFile& file) { return is_weights(file.path); });
  if (std::ranges::none_of(files, [](const HubFile& file) { return file.path == "config.json"; })) {
    return fail(ErrorCode::kUnsupported,
                fmt::format("{} has neither a GGUF file nor a config.json, so no engine can load it", repo));
  }
  std::vector<HubFile> chosen;
  bool weights = false;
  for (const auto& file : files) {
    const bool pickle = ends_with_any(file.path, kPickles) && (at_root(file) || !root_weights);
    bool wanted = ends_with_any(file.path, kText) || is_licence(file.path);
    if (is_weights(file.path)) {
      wanted = (at_root(file) || !root_weights) && !is_second_copy(file.path, root_weights);
      weights = weights || wanted;
    } else if (pickle && choice.pickles && !any_weights) {
      wanted = weights = true;
    } else if (file.path.ends_with(".py")) {
      wanted = choice.code;
    }
    if (wanted) chosen.push_back(file);
  }
  if (!weights) {
    return fail(
        ErrorCode::kUnsupported,
        fmt::format("{} has no weights as safetensors; pickled ones (.bin, .pt) can run code when they are read "
                    "and are fetched only when asked for (--pickles)",
                    repo));
  }
  std::ranges::sort(chosen, {}, &HubFile::path);
  return chosen;
}

}  // namespace llm::models
