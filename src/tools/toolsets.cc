#include "tools/toolsets.h"

#include <algorithm>

namespace llm::tools {
namespace {

using enum access::Permission;

constexpr auto kMemberships = std::to_array<Membership>({
    {"llm_chat", Toolset::kCore, kGenerate},
    {"llm_generate", Toolset::kCore, kGenerate},
    {"llm_embed", Toolset::kCore, kGenerate},
    {"llm_rerank", Toolset::kCore, kGenerate},
    {"llm_tokenize", Toolset::kCore, kGenerate},
    {"llm_list_models", Toolset::kCore, kModelsRead},
    {"llm_model_info", Toolset::kCore, kModelsRead},
    {"llm_load_model", Toolset::kCore, kModelsWrite},
    {"llm_unload_model", Toolset::kCore, kModelsWrite},
    {"llm_pull_model", Toolset::kCore, kModelsWrite},
    {"llm_status", Toolset::kCore, kEnginesRead},
    {"llm_help", Toolset::kCore, kAuthenticated},
    {"llm_remove_model", Toolset::kAdmin, access::Permission::kAdmin},
});

}  // namespace

std::span<const Membership> memberships() {
  return kMemberships;
}

const Membership* membership(std::string_view tool) {
  const auto found = std::ranges::find(kMemberships, tool, &Membership::tool);
  return found != kMemberships.end() ? &*found : nullptr;
}

}  // namespace llm::tools
