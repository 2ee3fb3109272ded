#include "net/peer_certificate.h"

#include <algorithm>
#include <array>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <string_view>

#include "base/strings.h"

namespace llm::net {
namespace {

bool deceives(std::string_view name) {
  return std::ranges::any_of(name, [](unsigned char c) { return c < 0x20 || c == 0x7F; });
}

std::string subject_of(const X509_NAME* name) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> out(BIO_new(BIO_s_mem()), BIO_free);
  // UTF-8 stays as it is; what RFC 2253 wants escaped is escaped.
  X509_NAME_print_ex(out.get(), name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
  char* data = nullptr;
  const long size = BIO_get_mem_data(out.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

std::string common_name_of(const X509_NAME* name) {
  int last = -1;
  for (int at = -1; (at = X509_NAME_get_index_by_NID(name, NID_commonName, at)) >= 0;) last = at;
  if (last < 0) return {};
  unsigned char* text = nullptr;
  const int size = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, last)));
  if (size < 0) return {};
  std::string found(reinterpret_cast<char*>(text), static_cast<std::size_t>(size));
  OPENSSL_free(text);
  return deceives(found) ? std::string() : found;
}

void read_alternative_names(const X509& certificate, PeerCertificate& out) {
  auto* names = static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(&certificate, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    int kind = 0;
    const void* value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &kind);
    auto* list = kind == GEN_DNS     ? &out.dns_names
                 : kind == GEN_URI   ? &out.uris
                 : kind == GEN_EMAIL ? &out.emails
                                     : nullptr;
    if (!list) continue;
    const auto* text = static_cast<const ASN1_IA5STRING*>(value);
    std::string name(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                     static_cast<std::size_t>(ASN1_STRING_length(text)));
    if (!name.empty() && !deceives(name)) list->push_back(std::move(name));
  }
  GENERAL_NAMES_free(names);
}

}  // namespace

PeerCertificate read_certificate(const x509_st& certificate) {
  PeerCertificate out;
  const X509_NAME* subject = X509_get_subject_name(&certificate);
  out.subject = subject_of(subject);
  out.common_name = common_name_of(subject);
  read_alternative_names(certificate, out);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int size = 0;
  X509_digest(&certificate, EVP_sha256(), digest.data(), &size);
  out.sha256 = hex({digest.data(), size});
  return out;
}

}  // namespace llm::net
