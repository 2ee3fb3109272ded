#include "models/digest.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <unistd.h>
#include <vector>

#include "base/strings.h"
#include "models/file_system.h"

namespace llm::models {

namespace {

constexpr std::string_view kPrefix = "sha256:";

int hex_value(char c, bool upper_allowed) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (upper_allowed && c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool decode(std::string_view text, bool upper_allowed, std::array<unsigned char, 32>& out) {
  if (text.size() != 64) return false;
  for (std::size_t i = 0; i < 32; ++i) {
    const int high = hex_value(text[2 * i], upper_allowed);
    const int low = hex_value(text[2 * i + 1], upper_allowed);
    if (high < 0 || low < 0) return false;
    out[i] = static_cast<unsigned char>(high * 16 + low);
  }
  return true;
}

// OpenSSL's SHA-256 fails only when the library is broken or out of memory: no state worth carrying on with.
void require(int ok) {
  if (ok != 1) std::abort();
}

}  // namespace

Result<Digest> Digest::parse(std::string_view text) {
  std::array<unsigned char, 32> bytes;
  if (!text.starts_with(kPrefix) || !decode(text.substr(kPrefix.size()), false, bytes)) {
    return fail(ErrorCode::kInvalidArgument, "not a digest: expected `sha256:` and 64 lower-case hex digits");
  }
  return Digest(bytes);
}

Result<Digest> Digest::parse_hex(std::string_view text) {
  std::array<unsigned char, 32> bytes;
  if (!decode(text, true, bytes)) return fail(ErrorCode::kInvalidArgument, "not a SHA-256: expected 64 hex digits");
  return Digest(bytes);
}

std::string Digest::hex() const {
  return llm::hex(bytes_);
}
std::string Digest::to_string() const {
  return std::string(kPrefix) + hex();
}
std::string Digest::file_name() const {
  return "sha256-" + hex();
}

void Sha256::Free::operator()(evp_md_ctx_st* context) const {
  EVP_MD_CTX_free(context);
}

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  require(context_ ? EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) : 0);
}

void Sha256::update(std::span<const std::byte> data) {
  require(EVP_DigestUpdate(context_.get(), data.data(), data.size()));
}

Digest Sha256::finish() {
  std::array<unsigned char, 32> bytes{};
  unsigned int size = 0;
  require(EVP_DigestFinal_ex(context_.get(), bytes.data(), &size));
  return Digest(bytes);
}

Digest sha256_of(std::string_view text) {
  Sha256 hash;
  hash.update(text);
  return hash.finish();
}

Result<Digest> hash_file(int fd, const std::filesystem::path& path, const ProgressCallback& progress,
                         const std::atomic<bool>& cancelled) {
  const auto size = file_size_of(fd, path);
  if (!size) return fail(size.error());
  std::vector<std::byte> buffer(1 << 20);
  Sha256 hash;
  std::uint64_t done = 0;
  for (;;) {
    if (auto go = check_cancelled(cancelled); !go) return fail(go.error());
    report(progress, Phase::kVerifying, done, *size);
    const ssize_t got = ::pread(fd, buffer.data(), buffer.size(), static_cast<off_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      const int saved = errno;
      return fail(errno_error(saved, fmt::format("cannot read {}", path.string())));
    }
    if (got == 0) return hash.finish();
    hash.update(std::span(buffer).first(static_cast<std::size_t>(got)));
    done += static_cast<std::uint64_t>(got);
  }
}

}  // namespace llm::models
