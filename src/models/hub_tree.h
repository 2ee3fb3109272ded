#pragma once

#include <atomic>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "models/hub.h"

namespace llm::models {

struct HubTreePage {
  std::vector<HubFile> files;  // those whose paths may be used; folders are left out
};

// One page of GET {endpoint}/api/models/{repo}/tree/{rev}?recursive=true (Hub API, "list repository files").
Result<HubTreePage> parse_hub_tree(std::string_view text);
// The address of the next page: that of the `Link` field with rel="next" (RFC 8288); empty if there is none.
std::string next_page(std::string_view link_field);

// All files of a repository at a commit, page by page. kUnsupported beyond 20 000.
Result<std::vector<HubFile>> fetch_hub_tree(const PullSettings& settings, const HubSource& source,
                                            std::string_view commit, const std::atomic<bool>& cancelled);

struct RepositoryChoice {
  bool pickles = false;  // as in PullRequest
  bool code = false;
};

// What an engine needs of them: configuration, tokenizer, weights as safetensors, templates, the licence; by path.
// kUnsupported: there is no configuration, or the weights are in another format only.
Result<std::vector<HubFile>> choose_repository_files(const std::vector<HubFile>& files, const RepositoryChoice& choice,
                                                     std::string_view repo);

}  // namespace llm::models
