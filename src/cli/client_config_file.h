#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <sys/stat.h>

#include "base/error.h"

namespace llm::cli {

// A configuration file of another program, read now and perhaps written back. Symbolic links are followed: what they
// lead to is replaced, the links stay.
struct ClientFile {
  std::filesystem::path path;        // as the client knows it
  std::filesystem::path target;      // what it leads to
  std::optional<struct stat> state;  // when it was read; none: it is not there
  std::string text;                  // empty if it is not there
};

// kUnsupported for what is no regular file or has more than 64 MiB.
Result<ClientFile> read_client_file(const std::filesystem::path& path);

// Keeps the old text beside the file as NAME.bak-TIME, then puts the new one in its place in one step, with the mode
// and owner it had (0600 for a new one). kConflict if somebody changed the file since it was read. Whatever fails, the
// file is as it was. Returns the backup's path, empty if there was nothing to keep.
Result<std::filesystem::path> replace_client_file(const ClientFile& file, std::string_view text,
                                                  std::chrono::system_clock::time_point now);

}  // namespace llm::cli
