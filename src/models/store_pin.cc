// Pins: blobs that somebody works on before a manifest names them.
#include <cerrno>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "base/random.h"
#include "models/store.h"
#include "models/store_files.h"

namespace llm::models {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxPinBytes = 4u << 20;
constexpr std::string_view kPinSuffix = ".pin";

std::set<Digest> read_pin(const fs::path& file) {
  std::set<Digest> digests;
  const auto text = read_small_file(file, kMaxPinBytes);
  const auto document = text ? json::parse(*text) : Result<json::value>(fail(text.error()));
  if (!document || !document->is_object()) return digests;
  const json::value* list = json::find(document->get_object(), "blobs");
  if (list == nullptr || !list->is_array()) return digests;
  for (const auto& item : list->get_array()) {
    if (!item.is_string()) continue;
    if (const auto digest = Digest::parse(item.get_string())) digests.insert(*digest);
  }
  return digests;
}

}  // namespace

void BlobPin::release() {
  if (lock_) ::unlink(path_.c_str());
  lock_.reset();
}

fs::path ModelStore::pin_file(std::string_view key) const {
  return partial_directory() / (sha256_of(key).hex() + std::string(kPinSuffix));
}

Result<BlobPin> ModelStore::pin(std::string_view key, std::set<Digest> digests) {
  const auto held = lock();
  if (!held) return fail(held.error());
  const fs::path file = pin_file(key);
  if (const auto earlier = open_regular(file, false)) {
    if (!try_lock(earlier->get())) {
      return fail(ErrorCode::kConflict, fmt::format("somebody else is working on {}; wait for it and try again", key));
    }
    digests.merge(read_pin(file));
  }
  BlobPin pin(file, {}, std::move(digests));
  if (auto written = write_pin(pin); !written) return fail(std::move(written.error()));
  return pin;
}

// A new file takes the place of the old one, and is locked before anybody can see it.
Result<void> ModelStore::write_pin(BlobPin& pin) {
  json::array list;
  for (const auto& digest : pin.digests_) list.emplace_back(digest.to_string());
  const std::string text = json::write(json::object{{"blobs", std::move(list)}});
  const fs::path temporary = partial_directory() / unique_id(".tmp-");
  UniqueFd fd(::open(temporary.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!fd) {
    const int saved = errno;
    return fail(errno_error(saved, fmt::format("cannot create {}", temporary.string())));
  }
  try_lock(fd.get());
  auto done = write_all(files_, fd.get(), std::as_bytes(std::span(text)), temporary);
  if (done) done = rename_file(files_, temporary, pin.path_);
  if (!done) {
    ::unlink(temporary.c_str());
    return done;
  }
  pin.lock_ = std::move(fd);
  return {};
}

std::set<Digest> ModelStore::pinned_blobs(bool idle_too) const {
  std::set<Digest> pinned;
  for (const auto& file : entries_of(partial_directory())) {
    if (file.extension() != kPinSuffix) continue;
    if (!idle_too) {
      const auto fd = open_regular(file, false);
      if (!fd || try_lock(fd->get())) continue;
    }
    pinned.merge(read_pin(file));
  }
  return pinned;
}

}  // namespace llm::models
