#include "mcp/protocol.h"

namespace llm::mcp {
namespace {

constexpr std::array<Revision, kRevisionCount> kRevisions{{
    {.index = 0,
     .version = "2026-07-28",
     .modern = true,
     .batches = false,
     .annotations = true,
     .titles = true,
     .structured_results = true,
     .any_structure = true,
     .websites = true,
     .progress_messages = true,
     .icons = true,
     .resource_links = true,
     .audio = true},
    {.index = 1,
     .version = "2025-11-25",
     .modern = false,
     .batches = false,
     .annotations = true,
     .titles = true,
     .structured_results = true,
     .any_structure = false,
     .websites = true,
     .progress_messages = true,
     .icons = true,
     .resource_links = true,
     .audio = true},
    {.index = 2,
     .version = "2025-06-18",
     .modern = false,
     .batches = false,
     .annotations = true,
     .titles = true,
     .structured_results = true,
     .any_structure = false,
     .websites = false,
     .progress_messages = true,
     .icons = false,
     .resource_links = true,
     .audio = true},
    {.index = 3,
     .version = "2025-03-26",
     .modern = false,
     .batches = true,
     .annotations = true,
     .titles = false,
     .structured_results = false,
     .any_structure = false,
     .websites = false,
     .progress_messages = true,
     .icons = false,
     .resource_links = false,
     .audio = true},
    {.index = 4,
     .version = "2024-11-05",
     .modern = false,
     .batches = false,
     .annotations = false,
     .titles = false,
     .structured_results = false,
     .any_structure = false,
     .websites = false,
     .progress_messages = false,
     .icons = false,
     .resource_links = false,
     .audio = false},
}};

}  // namespace

std::span<const Revision, kRevisionCount> revisions() {
  return kRevisions;
}

const Revision* find_revision(std::string_view version) {
  for (const Revision& revision : kRevisions) {
    if (revision.version == version) return &revision;
  }
  return nullptr;
}

const Revision& modern_revision() {
  return kRevisions[0];
}

const Revision& latest_legacy_revision() {
  return kRevisions[1];
}

}  // namespace llm::mcp
