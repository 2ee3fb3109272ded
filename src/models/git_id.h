#pragma once

#include <filesystem>
#include <string>

#include "base/error.h"

namespace llm::models {

// The name that Git gives to a file's contents: SHA-1 of "blob <size>" NUL <contents>, 40 hex digits. Hubs name small
// files by it. It tells damage on the way; what tells one file from another here is always SHA-256.
Result<std::string> git_id_of(int fd, const std::filesystem::path& path);

}  // namespace llm::models
