#include "access/secrets.h"

#include <algorithm>
#include <bitset>
#include <cctype>
#include <cerrno>
#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/random.h"
#include "base/strings.h"
#include "net/base64.h"

namespace llm::access {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kNonceBytes = 12;
constexpr std::size_t kTagBytes = 16;
constexpr std::size_t kMaxFileBytes = 4096;
// Of 32 random bytes fewer than 16 different ones come once in 10^12 installations.
constexpr std::size_t kLeastDifferentBytes = 16;
constexpr std::string_view kCredentialName = "llm-mcp-secret";

struct Purpose {
  KeyPurpose purpose;
  std::string_view text;
};
constexpr std::array<Purpose, 4> kPurposes = {{
    {KeyPurpose::kSigningKeyEncryption, "llm-mcp/v1/signing-key-encryption"},
    {KeyPurpose::kRefreshTokenHash, "llm-mcp/v1/refresh-token-hash"},
    {KeyPurpose::kRequestState, "llm-mcp/v1/mcp-request-state"},
    {KeyPurpose::kAuditChain, "llm-mcp/v1/audit-chain"},
}};

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

std::unexpected<Error> refuse(std::string_view where, std::string_view why) {
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("the master secret ({}) {}; make one with `openssl rand -hex 32`", where, why));
}

std::optional<std::string> from_hex(std::string_view text) {
  if (text.size() != 64 || !std::ranges::all_of(text, [](unsigned char c) { return std::isxdigit(c) != 0; })) {
    return std::nullopt;
  }
  std::string out;
  for (std::size_t i = 0; i < text.size(); i += 2) {
    unsigned value = 0;
    std::from_chars(text.data() + i, text.data() + i + 2, value, 16);
    out += static_cast<char>(value);
  }
  return out;
}

Result<std::shared_ptr<const MasterSecret>> from_bytes(std::string_view bytes, std::string_view where) {
  if (bytes.size() != std::tuple_size_v<Key256>) return refuse(where, "has not 32 bytes");
  std::bitset<256> seen;
  for (const unsigned char byte : bytes) seen.set(byte);
  if (seen.count() < kLeastDifferentBytes) return refuse(where, "is not random");
  Key256 key;
  std::ranges::copy(bytes, reinterpret_cast<char*>(key.data()));
  auto out = std::make_shared<const MasterSecret>(key);
  OPENSSL_cleanse(key.data(), key.size());
  return out;
}

Result<std::shared_ptr<const MasterSecret>> from_text(std::string_view text, std::string_view where) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())) != 0) text.remove_suffix(1);
  auto bytes = from_hex(text);
  if (!bytes) bytes = base64_decode(text);
  if (!bytes) bytes = base64url_decode(text);
  if (!bytes) return refuse(where, "is neither 64 hexadecimal digits nor Base64");
  auto out = from_bytes(*bytes, where);
  OPENSSL_cleanse(bytes->data(), bytes->size());
  return out;
}

// `others`: whether everybody may read it, which a directory that only its user enters makes harmless.
Result<std::shared_ptr<const MasterSecret>> from_file(const fs::path& path, bool others_may_read, int more_flags = 0) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | more_flags));
  if (file.get() < 0) return fail(errno_error(errno, fmt::format("cannot read the master secret {}", path.string())));
  struct stat status{};
  if (::fstat(file.get(), &status) != 0) return fail(errno_error(errno, path.string()));
  if (!S_ISREG(status.st_mode)) return refuse(path.string(), "is not a file");
  if (!others_may_read && (status.st_mode & S_IRWXO) != 0) {
    return refuse(path.string(), "may be read by everybody on this machine: chmod 600 it");
  }
  std::string content(kMaxFileBytes, '\0');
  const auto size = ::read(file.get(), content.data(), content.size());
  if (size < 0) return fail(errno_error(errno, fmt::format("cannot read the master secret {}", path.string())));
  content.resize(static_cast<std::size_t>(size));
  // Text is never taken for raw bytes: 32 hexadecimal digits are half a secret.
  const bool text = std::ranges::all_of(content, [](unsigned char c) { return std::isprint(c) || std::isspace(c); });
  auto out = text ? from_text(content, path.string()) : from_bytes(content, path.string());
  OPENSSL_cleanse(content.data(), content.size());
  return out;
}

Result<void> write_whole(int fd, std::string_view text, const fs::path& path) {
  while (!text.empty()) {
    const auto written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return fail(errno_error(errno, fmt::format("cannot write {}", path.string())));
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  if (::fsync(fd) != 0) return fail(errno_error(errno, fmt::format("cannot write {}", path.string())));
  return {};
}

// Puts a new secret there, unless somebody else did so first.
Result<void> make_file(const fs::path& path) {
  std::error_code ignored;
  fs::create_directories(path.parent_path(), ignored);
  const fs::path made = path.parent_path() / random_id(".secret-");
  {
    const Descriptor file(::open(made.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (file.get() < 0) return fail(errno_error(errno, fmt::format("cannot create {}", made.string())));
    std::array<unsigned char, 32> bytes{};
    random_bytes(bytes);
    std::string text = hex(bytes) + '\n';
    const auto written = write_whole(file.get(), text, made);
    OPENSSL_cleanse(bytes.data(), bytes.size());
    OPENSSL_cleanse(text.data(), text.size());
    if (!written) {
      ::unlink(made.c_str());
      return written;
    }
  }
  // A link, not a rename: it never replaces a secret that another process made meanwhile.
  const int failed = ::link(made.c_str(), path.c_str()) == 0 ? 0 : errno;
  ::unlink(made.c_str());
  if (failed != 0 && failed != EEXIST) return fail(errno_error(failed, fmt::format("cannot create {}", path.string())));
  const Descriptor directory(::open(path.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.get() < 0 || ::fsync(directory.get()) != 0) {
    return fail(errno_error(errno, fmt::format("cannot write {}", path.parent_path().string())));
  }
  return {};
}

struct CipherContext {
  EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
  CipherContext() = default;
  ~CipherContext() { EVP_CIPHER_CTX_free(context); }
  CipherContext(const CipherContext&) = delete;
  CipherContext& operator=(const CipherContext&) = delete;
};

}  // namespace

std::string_view purpose_text(KeyPurpose purpose) {
  return std::ranges::find(kPurposes, purpose, &Purpose::purpose)->text;
}

Result<std::shared_ptr<const MasterSecret>> MasterSecret::load(const MasterSecretSource& source) {
  if (!source.text.empty()) return from_text(source.text, "as given");
  if (!source.file.empty()) return from_file(source.file, false);
  if (!source.credentials.empty()) {
    const auto path = source.credentials / kCredentialName;
    std::error_code ignored;
    if (fs::exists(path, ignored)) return from_file(path, true);
  }
  if (source.data_directory.empty()) return refuse("not given", "is needed");
  const auto path = source.data_directory / "secret";
  std::error_code error;
  if (!fs::exists(fs::symlink_status(path, error))) {
    if (auto made = make_file(path); !made) return fail(std::move(made.error()));
  }
  return from_file(path, false, O_NOFOLLOW);
}

MasterSecret::~MasterSecret() {
  OPENSSL_cleanse(bytes_.data(), bytes_.size());
}

Key256 MasterSecret::derive(KeyPurpose purpose) const {
  const std::string_view info = purpose_text(purpose);
  Key256 out;
  EVP_KDF* kdf = EVP_KDF_fetch(nullptr, "HKDF", nullptr);
  EVP_KDF_CTX* context = EVP_KDF_CTX_new(kdf);
  EVP_KDF_free(kdf);
  std::string digest = "SHA256";
  const std::array<OSSL_PARAM, 4> parameters = {
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest.data(), 0),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, const_cast<unsigned char*>(bytes_.data()), bytes_.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, const_cast<char*>(info.data()), info.size()),
      OSSL_PARAM_construct_end(),
  };
  const bool made = EVP_KDF_derive(context, out.data(), out.size(), parameters.data()) == 1;
  EVP_KDF_CTX_free(context);
  if (!made) std::abort();  // OpenSSL without HKDF: nothing here could be protected
  return out;
}

std::string seal(const Key256& key, std::string_view plaintext, std::string_view context) {
  std::string out(kNonceBytes + plaintext.size() + kTagBytes, '\0');
  auto* nonce = reinterpret_cast<unsigned char*>(out.data());
  random_bytes({nonce, kNonceBytes});
  auto* ciphertext = nonce + kNonceBytes;
  const CipherContext cipher;
  int size = 0;
  const bool sealed =
      EVP_EncryptInit_ex(cipher.context, EVP_aes_256_gcm(), nullptr, key.data(), nonce) == 1 &&
      EVP_EncryptUpdate(cipher.context, nullptr, &size, bytes_of(context), static_cast<int>(context.size())) == 1 &&
      EVP_EncryptUpdate(cipher.context, ciphertext, &size, bytes_of(plaintext), static_cast<int>(plaintext.size())) ==
          1 &&
      EVP_EncryptFinal_ex(cipher.context, ciphertext + size, &size) == 1 &&
      EVP_CIPHER_CTX_ctrl(cipher.context, EVP_CTRL_GCM_GET_TAG, kTagBytes, ciphertext + plaintext.size()) == 1;
  if (!sealed) std::abort();  // better than a secret in the clear
  return out;
}

std::optional<std::string> open_sealed(const Key256& key, std::string_view sealed, std::string_view context) {
  if (sealed.size() < kNonceBytes + kTagBytes) return std::nullopt;
  const auto ciphertext = sealed.substr(kNonceBytes, sealed.size() - kNonceBytes - kTagBytes);
  std::string tag(sealed.substr(sealed.size() - kTagBytes));
  std::string out(ciphertext.size(), '\0');
  auto* plaintext = reinterpret_cast<unsigned char*>(out.data());
  const CipherContext cipher;
  int size = 0;
  const bool opened =
      EVP_DecryptInit_ex(cipher.context, EVP_aes_256_gcm(), nullptr, key.data(), bytes_of(sealed)) == 1 &&
      EVP_DecryptUpdate(cipher.context, nullptr, &size, bytes_of(context), static_cast<int>(context.size())) == 1 &&
      EVP_DecryptUpdate(cipher.context, plaintext, &size, bytes_of(ciphertext), static_cast<int>(ciphertext.size())) ==
          1 &&
      EVP_CIPHER_CTX_ctrl(cipher.context, EVP_CTRL_GCM_SET_TAG, kTagBytes, tag.data()) == 1 &&
      EVP_DecryptFinal_ex(cipher.context, plaintext + size, &size) == 1;
  if (!opened) {
    OPENSSL_cleanse(out.data(), out.size());
    ERR_clear_error();
    return std::nullopt;
  }
  return out;
}

std::array<unsigned char, 32> hmac_sha256(const Key256& key, std::string_view message) {
  std::array<unsigned char, 32> out{};
  unsigned int size = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), bytes_of(message), message.size(), out.data(), &size);
  return out;
}

bool same_secret(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace llm::access
