#include "cli/secret_references.h"

#include <algorithm>
#include <fmt/format.h>
#include <fstream>
#include <iterator>

namespace llm::cli {
namespace {

constexpr std::size_t kMostBytes = 64 * 1024;

Result<std::string> read_file(const std::filesystem::path& path) {
  std::error_code problem;
  if (!std::filesystem::exists(path, problem)) {
    return fail(ErrorCode::kNotFound, fmt::format("the secret's file {} is not there", path.string()));
  }
  std::ifstream in(path, std::ios::binary);
  std::string text(kMostBytes + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!in && !in.eof()) return fail(ErrorCode::kIo, fmt::format("the secret's file {} cannot be read", path.string()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (text.size() > kMostBytes) {
    return fail(ErrorCode::kInvalidArgument, fmt::format("the secret's file {} is too long", path.string()));
  }
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  if (text.empty())
    return fail(ErrorCode::kInvalidArgument, fmt::format("the secret's file {} is empty", path.string()));
  return text;
}

// A name, not a path: it must stay in the credentials' directory.
bool plain_name(std::string_view name) {
  return !name.empty() && name.find('/') == std::string_view::npos && name != "." && name != "..";
}

}  // namespace

Result<std::string> resolve_secret(std::string_view text, const EnvLookup& env) {
  if (text.starts_with("env:")) {
    const std::string name(text.substr(4));
    const auto value = env(name);
    if (!value || value->empty()) {
      return fail(ErrorCode::kNotFound, fmt::format("the environment variable {} is not set", name));
    }
    return *value;
  }
  if (text.starts_with("file:")) return read_file(expand_home(text.substr(5), env));
  if (text.starts_with("credential:")) {
    const auto name = text.substr(11);
    if (!plain_name(name))
      return fail(ErrorCode::kInvalidArgument, "expected a credential's name after \"credential:\"");
    const auto directory = env("CREDENTIALS_DIRECTORY");
    if (!directory || directory->empty()) {
      return fail(
          ErrorCode::kNotFound,
          fmt::format("there is no $CREDENTIALS_DIRECTORY to read \"{}\" from; systemd sets it for a service with "
                      "LoadCredential=",
                      name));
    }
    return read_file(std::filesystem::path(*directory) / name);
  }
  return std::string(text);
}

}  // namespace llm::cli
