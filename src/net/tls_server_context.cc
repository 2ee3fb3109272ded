#include "net/tls_server_context.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string_view>
#include <sys/stat.h>
#include <unistd.h>

#include "base/strings.h"

namespace llm::net {
namespace {

constexpr std::size_t kLargestFile = 1024 * 1024;

template <auto kFree>
struct Freer {
  template <class T>
  void operator()(T* object) const {
    kFree(object);
  }
};
using Bio = std::unique_ptr<BIO, Freer<BIO_free>>;
using Certificate = std::unique_ptr<X509, Freer<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY_free>>;
using Crl = std::unique_ptr<X509_CRL, Freer<X509_CRL_free>>;

std::unexpected<Error> wrong(std::string message) {
  return fail(ErrorCode::kInvalidArgument, std::move(message));
}

std::string openssl_reason() {
  const unsigned long code = ERR_peek_last_error();
  ERR_clear_error();
  const char* text = code == 0 ? nullptr : ERR_reason_error_string(code);
  return text ? text : "unknown reason";
}

Bio memory(std::string_view bytes) {
  return Bio(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size())));
}

// Never waits: a FIFO or a device in place of the file is refused.
Result<std::string> read_file(const std::string& path, const char* what, mode_t* mode) {
  const auto io = [&](int code) { return fail(errno_error(code, fmt::format("cannot read the {} {}", what, path))); };
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) return io(errno);
  struct stat info{};
  fstat(fd, &info);
  std::string bytes;
  ssize_t n = 0;
  int code = 0;
  if (S_ISREG(info.st_mode)) {
    bytes.resize(std::min<std::size_t>(static_cast<std::size_t>(info.st_size), kLargestFile) + 1);
    std::size_t size = 0;
    while ((n = read(fd, bytes.data() + size, bytes.size() - size)) > 0) size += static_cast<std::size_t>(n);
    code = errno;
    bytes.resize(size);
  }
  ::close(fd);
  if (n < 0) return io(code);
  if (!S_ISREG(info.st_mode)) return wrong(fmt::format("the {} {} is not a regular file", what, path));
  if (bytes.size() > kLargestFile) return wrong(fmt::format("the {} {} is larger than 1 MiB", what, path));
  if (mode) *mode = info.st_mode;
  return bytes;
}

const std::string& key_path(const TlsServerSettings& settings) {
  return settings.key_file.empty() ? settings.certificate_file : settings.key_file;
}

Result<std::vector<Certificate>> parse_certificates(const std::string& bytes, const std::string& path) {
  std::vector<Certificate> found;
  const auto in = memory(bytes);
  ERR_clear_error();
  while (X509* one = PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr)) found.emplace_back(one);
  const bool end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  const auto reason = openssl_reason();
  if (!end) return wrong(fmt::format("certificate {} in {} is malformed: {}", found.size() + 1, path, reason));
  if (found.empty()) return wrong(fmt::format("there is no certificate in {} (PEM is expected)", path));
  return found;
}

// Also where there is no password a callback is needed: OpenSSL's own would ask the terminal.
int give_password(char* out, int size, int, void* password) {
  const auto& text = *static_cast<const std::string*>(password);
  if (text.empty() || text.size() > static_cast<std::size_t>(size)) return -1;
  text.copy(out, text.size());
  return static_cast<int>(text.size());
}

Result<Key> parse_key(const TlsServerSettings& settings, const std::string& bytes) {
  const auto& path = key_path(settings);
  auto password = settings.key_password;
  ERR_clear_error();
  Key key(PEM_read_bio_PrivateKey(memory(bytes).get(), nullptr, give_password, &password));
  OPENSSL_cleanse(password.data(), password.size());
  const auto reason = openssl_reason();
  if (key) return key;
  if (bytes.find("PRIVATE KEY-----") == std::string::npos) {
    return wrong(fmt::format("there is no private key in {} (PEM is expected)", path));
  }
  if (bytes.find("ENCRYPTED") == std::string::npos)
    return wrong(fmt::format("the key in {} is malformed: {}", path, reason));
  return wrong(fmt::format("the key in {} is encrypted, and {}", path,
                           settings.key_password.empty() ? "no password is set" : "the password that is set is wrong"));
}

std::int64_t unix_time(const ASN1_TIME* time) {
  std::tm fields{};
  return ASN1_TIME_to_tm(time, &fields) == 1 ? static_cast<std::int64_t>(timegm(&fields)) : 0;
}

std::string date(const ASN1_TIME* time) {
  const std::time_t seconds = unix_time(time);
  std::tm fields{};
  gmtime_r(&seconds, &fields);
  std::array<char, 32> text{};
  return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S UTC", &fields)};
}

Result<void> check_dates(const X509* certificate, const std::string& path) {
  const ASN1_TIME* end = X509_get0_notAfter(certificate);
  const ASN1_TIME* begin = X509_get0_notBefore(certificate);
  if (X509_cmp_current_time(end) <= 0)
    return wrong(fmt::format("the certificate in {} expired on {}", path, date(end)));
  if (X509_cmp_current_time(begin) > 0) {
    return wrong(fmt::format("the certificate in {} is valid only from {} on; is this machine's clock right?", path,
                             date(begin)));
  }
  return {};
}

// What makes some clients fail, and what is left to the administrator.
void warn(const std::vector<Certificate>& chain, const std::string& path, std::vector<std::string>& warnings) {
  for (std::size_t i = 1; i < chain.size(); ++i) {
    if (X509_check_issued(chain[i].get(), chain[i - 1].get()) == X509_V_OK) continue;
    warnings.push_back(
        fmt::format("certificate {} in {} did not issue the one before it: the order is the server's "
                    "certificate first, then each issuer",
                    i + 1, path));
  }
  if (X509_get_ext_by_NID(chain.front().get(), NID_subject_alt_name, -1) < 0)
    warnings.push_back(fmt::format("the certificate in {} has no subjectAltName: clients refuse it", path));
}

// RFC 7301: whoever says what it speaks must speak HTTP/1.1.
int choose_protocol(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* offered,
                    unsigned int size, void*) {
  constexpr std::string_view kHttp = "http/1.1";
  for (unsigned int at = 0; at < size; at += 1U + offered[at]) {
    const std::string_view name(reinterpret_cast<const char*>(offered + at + 1), offered[at]);
    if (name != kHttp) continue;
    *out = offered + at + 1;
    *out_size = offered[at];
    return SSL_TLSEXT_ERR_OK;
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

Result<void> set_policy(SSL_CTX* context, const TlsServerSettings& settings) {
  const bool newest = settings.minimum_version == "1.3";
  if (!newest && settings.minimum_version != "1.2") {
    return wrong(fmt::format("the lowest TLS version can be \"1.2\" or \"1.3\", not \"{}\"", settings.minimum_version));
  }
  SSL_CTX_set_security_level(context, 2);
  SSL_CTX_set_min_proto_version(context, newest ? TLS1_3_VERSION : TLS1_2_VERSION);
  // No resumption: clients keep connections alive, and a ticket would outlive a certificate's revocation and its key
  // the secrecy of the connections behind it.
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                   SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
  SSL_CTX_set_num_tickets(context, 0);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  // Forward secrecy and authenticated encryption also in 1.2 (RFC 9325 section 4.2).
  const bool ciphers = SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20") == 1;
  const bool groups = SSL_CTX_set1_groups_list(context, "X25519MLKEM768:X25519:P-256:P-384") == 1 ||  // OpenSSL 3.5
                      SSL_CTX_set1_groups_list(context, "X25519:P-256:P-384") == 1;
  if (!ciphers || !groups) return fail(ErrorCode::kInternal, "TLS cannot be set up: " + openssl_reason());
  SSL_CTX_set_alpn_select_cb(context, choose_protocol, nullptr);
  return {};
}

Result<void> trust_clients(SSL_CTX* context, const TlsServerSettings& settings, const std::string& bytes) {
  const bool asked = settings.client_certificate != ClientCertificate::kNone;
  const auto& path = settings.client_ca_file;
  if (!asked && path.empty()) return {};
  if (!asked) return wrong(fmt::format("{} names authorities of client certificates, but none are asked for", path));
  if (path.empty()) return wrong("client certificates are asked for, but no file names their authorities");
  const auto authorities = parse_certificates(bytes, path);
  if (!authorities) return fail(authorities.error());
  X509_STORE* store = SSL_CTX_get_cert_store(context);
  for (const auto& one : *authorities) {
    X509_STORE_add_cert(store, one.get());
    SSL_CTX_add_client_CA(context, one.get());
  }
  const auto in = memory(bytes);
  bool revocations = false;
  while (const Crl crl{PEM_read_bio_X509_CRL(in.get(), nullptr, nullptr, nullptr)}) {
    X509_STORE_add_crl(store, crl.get());
    revocations = true;
  }
  ERR_clear_error();
  if (revocations) X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK);
  const bool required = settings.client_certificate == ClientCertificate::kRequired;
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | (required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), nullptr);
  SSL_CTX_set_verify_depth(context, 8);
  return {};
}

}  // namespace

TlsServerFiles::~TlsServerFiles() {
  OPENSSL_cleanse(key.data(), key.size());
  if (certificate.find("PRIVATE KEY") != std::string::npos) OPENSSL_cleanse(certificate.data(), certificate.size());
}

std::string TlsServerFiles::digest() const {
  std::array<unsigned char, 3 * 32> all;
  auto* out = all.data();
  for (const auto* bytes : {&certificate, &key, &client_ca}) {
    EVP_Digest(bytes->data(), bytes->size(), out, nullptr, EVP_sha256(), nullptr);
    out += 32;
  }
  return hex(all);
}

Result<TlsServerFiles> read_tls_server_files(const TlsServerSettings& settings) {
  TlsServerFiles files;
  mode_t mode = 0;
  const auto load = [](const std::string& path, const char* what, mode_t* found, std::string& out) -> Result<void> {
    auto bytes = read_file(path, what, found);
    if (!bytes) return fail(bytes.error());
    out = std::move(*bytes);
    return {};
  };
  Result<void> outcome = load(settings.certificate_file, "certificate", nullptr, files.certificate);
  if (outcome) outcome = load(key_path(settings), "key", &mode, files.key);
  if (outcome && !settings.client_ca_file.empty()) {
    outcome = load(settings.client_ca_file, "client authorities", nullptr, files.client_ca);
  }
  if (!outcome) return fail(outcome.error());
  if (mode & (S_IRWXO | S_IWGRP)) {
    files.warnings.push_back(
        fmt::format("the key file {} has mode {:04o}: others than its owner may {} it. chmod 600 it",
                    key_path(settings), mode & 07777U, mode & S_IROTH ? "read" : "change"));
  }
  return files;
}

Result<TlsServerContext> make_tls_server_context(const TlsServerSettings& settings, const TlsServerFiles& files) {
  const auto& path = settings.certificate_file;
  const std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  if (!context) return fail(ErrorCode::kInternal, "TLS cannot be set up: " + openssl_reason());
  if (auto set = set_policy(context.get(), settings); !set) return fail(set.error());
  const auto chain = parse_certificates(files.certificate, path);
  if (!chain) return fail(chain.error());
  X509* leaf = chain->front().get();
  if (auto dates = check_dates(leaf, path); !dates) return fail(dates.error());
  const auto key = parse_key(settings, files.key);
  if (!key) return fail(key.error());
  if (X509_check_private_key(leaf, key->get()) != 1) {
    ERR_clear_error();
    return wrong(fmt::format("the key in {} does not belong to the certificate in {}", key_path(settings), path));
  }
  for (std::size_t i = 0; i < chain->size(); ++i) {
    X509* one = (*chain)[i].get();
    const bool taken =
        i == 0 ? SSL_CTX_use_certificate(context.get(), one) == 1 : SSL_CTX_add1_chain_cert(context.get(), one) == 1;
    if (!taken) return wrong(fmt::format("certificate {} in {} is refused: {}", i + 1, path, openssl_reason()));
  }
  if (SSL_CTX_use_PrivateKey(context.get(), key->get()) != 1) {
    return wrong(fmt::format("the key in {} is refused: {}", key_path(settings), openssl_reason()));
  }
  // Else OpenSSL completes the chain from the authorities of the clients.
  SSL_CTX_set_mode(context.get(), SSL_MODE_NO_AUTO_CHAIN);
  if (auto clients = trust_clients(context.get(), settings, files.client_ca); !clients) return fail(clients.error());
  TlsServerContext made{context, {read_certificate(*leaf), unix_time(X509_get0_notAfter(leaf)), files.warnings}};
  warn(*chain, path, made.info.warnings);
  return made;
}

}  // namespace llm::net
