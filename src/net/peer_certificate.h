#pragma once

#include <memory>
#include <string>
#include <vector>

struct x509_st;  // OpenSSL's X509

namespace llm::net {

// What a client's certificate says. It has been verified: the chain up to a trusted authority, the dates, the purpose.
struct PeerCertificate {
  std::string subject;      // RFC 2253, most specific part first: "CN=ci-7,O=Example"
  std::string common_name;  // the most specific one
  // Alternative names (RFC 5280 section 4.2.1.6). Names with control characters are left out: they are meant to
  // deceive.
  std::vector<std::string> dns_names = {};
  std::vector<std::string> uris = {};
  std::vector<std::string> emails = {};
  std::string sha256;  // fingerprint of the whole certificate, lower-case hex
  friend bool operator==(const PeerCertificate&, const PeerCertificate&) = default;
};

PeerCertificate read_certificate(const x509_st& certificate);

}  // namespace llm::net
