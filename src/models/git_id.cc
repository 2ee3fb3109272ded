#include "models/git_id.h"

#include <array>
#include <cerrno>
#include <fmt/format.h>
#include <memory>
#include <openssl/evp.h>
#include <unistd.h>
#include <vector>

#include "base/strings.h"
#include "models/file_system.h"

namespace llm::models {

Result<std::string> git_id_of(int fd, const std::filesystem::path& path) {
  const auto size = file_size_of(fd, path);
  if (!size) return fail(size.error());
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  const std::string head = fmt::format("blob {}", *size);
  bool fine = context && EVP_DigestInit_ex(context.get(), EVP_sha1(), nullptr) == 1 &&
              EVP_DigestUpdate(context.get(), head.c_str(), head.size() + 1) == 1;  // with its NUL
  std::vector<char> buffer(256u << 10);
  for (std::uint64_t done = 0; fine && done < *size;) {
    const ssize_t got = ::pread(fd, buffer.data(), buffer.size(), static_cast<off_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      const int saved = got < 0 ? errno : EIO;
      return fail(errno_error(saved, fmt::format("cannot read {}", path.string())));
    }
    fine = EVP_DigestUpdate(context.get(), buffer.data(), static_cast<std::size_t>(got)) == 1;
    done += static_cast<std::uint64_t>(got);
  }
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int length = 0;
  if (!fine || EVP_DigestFinal_ex(context.get(), digest.data(), &length) != 1) {
    return fail(ErrorCode::kInternal, "this OpenSSL computes no SHA-1");
  }
  return hex(std::span(digest).first(length));
}

}  // namespace llm::models
