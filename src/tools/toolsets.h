#pragma once

#include <array>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "access/permission.h"
#include "json/fields.h"

// Which tools there are, by what a configuration switches on and by what a caller is allowed.
namespace llm::tools {

enum class Toolset {
  kCore,      // using models, and getting, loading and unloading them
  kAdmin,     // what cannot be taken back
  kOriginal,  // the portmanteau tools of the Python original
};
using Toolsets = std::vector<Toolset>;

struct Membership {
  std::string_view tool;
  Toolset toolset;
  access::Permission permission;  // what a caller needs to see and use it
};

// The one table of it, but for the toolset `original`, which has its own.
std::span<const Membership> memberships();
// Null for a tool that is not in the table.
const Membership* membership(std::string_view tool);

}  // namespace llm::tools

template <>
struct llm::json::EnumNames<llm::tools::Toolset> {
  static constexpr std::array<std::pair<tools::Toolset, std::string_view>, 3> values{{
      {tools::Toolset::kCore, "core"},
      {tools::Toolset::kAdmin, "admin"},
      {tools::Toolset::kOriginal, "original"},
  }};
};
