#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string>
#include <string_view>

// For tests: keys and certificates made on the spot.
namespace llm::net {

template <auto kFree>
struct OpensslFree {
  template <class T>
  void operator()(T* object) const {
    kFree(object);
  }
};

struct TestCertificate {
  std::string common_name = "x";
  std::string names = {};  // subjectAltName in OpenSSL's syntax: "DNS:localhost,IP:127.0.0.1"; empty: none
  bool authority = false;
  long begins_s = -3600;  // from now
  long ends_s = 3600;
  const char* purpose = nullptr;  // extendedKeyUsage: "serverAuth"
};

class TestIdentity {
 public:
  // Signed by `issuer`, or by itself.
  explicit TestIdentity(const TestCertificate& wanted, const TestIdentity* issuer = nullptr)
      : key_(EVP_EC_gen("P-256")), certificate_(X509_new()) {
    X509* certificate = certificate_.get();
    static int serial = 0;
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
    X509_set_version(certificate, X509_VERSION_3);
    X509_gmtime_adj(X509_getm_notBefore(certificate), wanted.begins_s);
    X509_gmtime_adj(X509_getm_notAfter(certificate), wanted.ends_s);
    X509_set_pubkey(certificate, key_.get());
    X509_NAME* subject = X509_get_subject_name(certificate);
    add(subject, "O", "Example, Inc.");
    add(subject, "CN", wanted.common_name);
    X509_set_issuer_name(certificate, issuer ? X509_get_subject_name(issuer->certificate()) : subject);
    extend(NID_basic_constraints, wanted.authority ? "critical,CA:TRUE" : "CA:FALSE");
    if (!wanted.names.empty()) extend(NID_subject_alt_name, wanted.names.c_str());
    if (wanted.purpose) extend(NID_ext_key_usage, wanted.purpose);
    X509_sign(certificate, issuer ? issuer->key() : key_.get(), EVP_sha256());
  }

  X509* certificate() const { return certificate_.get(); }
  EVP_PKEY* key() const { return key_.get(); }
  std::string certificate_pem() const {
    return text([this](BIO* out) { PEM_write_bio_X509(out, certificate()); });
  }
  std::string key_pem(std::string_view password = {}) const {
    return text([&](BIO* out) {
      PEM_write_bio_PKCS8PrivateKey(out, key(), password.empty() ? nullptr : EVP_aes_256_cbc(), password.data(),
                                    static_cast<int>(password.size()), nullptr, nullptr);
    });
  }
  // A list of this authority that revokes one certificate.
  std::string revocation_pem(const TestIdentity& revoked) const {
    const std::unique_ptr<X509_CRL, OpensslFree<X509_CRL_free>> list(X509_CRL_new());
    X509_CRL_set_version(list.get(), X509_CRL_VERSION_2);
    X509_CRL_set_issuer_name(list.get(), X509_get_subject_name(certificate()));
    const std::unique_ptr<ASN1_TIME, OpensslFree<ASN1_TIME_free>> from(X509_gmtime_adj(nullptr, -3600));
    const std::unique_ptr<ASN1_TIME, OpensslFree<ASN1_TIME_free>> next(X509_gmtime_adj(nullptr, 3600));
    X509_CRL_set1_lastUpdate(list.get(), from.get());
    X509_CRL_set1_nextUpdate(list.get(), next.get());
    X509_REVOKED* entry = X509_REVOKED_new();
    X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(revoked.certificate()));
    X509_REVOKED_set_revocationDate(entry, from.get());
    X509_CRL_add0_revoked(list.get(), entry);
    X509_CRL_sign(list.get(), key(), EVP_sha256());
    return text([&](BIO* out) { PEM_write_bio_X509_CRL(out, list.get()); });
  }

 private:
  template <class Write>
  static std::string text(Write write) {
    const std::unique_ptr<BIO, OpensslFree<BIO_free>> out(BIO_new(BIO_s_mem()));
    write(out.get());
    char* data = nullptr;
    const long size = BIO_get_mem_data(out.get(), &data);
    return {data, static_cast<std::size_t>(size)};
  }
  static void add(X509_NAME* name, const char* field, const std::string& value) {
    X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(value.data()),
                               static_cast<int>(value.size()), -1, 0);
  }
  void extend(int nid, const char* value) {
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, certificate(), certificate(), nullptr, nullptr, 0);
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value);
    X509_add_ext(certificate(), extension, -1);
    X509_EXTENSION_free(extension);
  }

  std::unique_ptr<EVP_PKEY, OpensslFree<EVP_PKEY_free>> key_;
  std::unique_ptr<X509, OpensslFree<X509_free>> certificate_;
};

// A folder that goes with the test; `write` returns the path, replaces what is there, and keeps others out.
class TestFolder {
 public:
  TestFolder() {
    std::string pattern = std::filesystem::temp_directory_path() / "llm-mcp-tls-XXXXXX";
    path_ = mkdtemp(pattern.data());
  }
  ~TestFolder() { std::filesystem::remove_all(path_); }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;
  std::string path(std::string_view name) const { return path_ / name; }
  std::string write(std::string_view name, std::string_view bytes) const {
    const auto file = path(name);
    std::ofstream(file, std::ios::binary) << bytes;
    std::filesystem::permissions(file, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
    return file;
  }

 private:
  std::filesystem::path path_;
};

}  // namespace llm::net
