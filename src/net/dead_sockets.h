#pragma once

#include <filesystem>

namespace llm::net {

// Deletes the socket files in `directory` on which nobody listens: processes that were killed could not remove theirs.
// Live ones stay, whoever owns them.
void remove_dead_sockets(const std::filesystem::path& directory);

}  // namespace llm::net
