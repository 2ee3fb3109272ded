#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "net/peer_certificate.h"

struct ssl_ctx_st;  // OpenSSL's SSL_CTX

namespace llm::net {

enum class ClientCertificate {
  kNone,      // not asked for
  kOptional,  // asked for; one that is shown must be good
  kRequired,
};

struct TlsServerSettings {
  std::string certificate_file;   // PEM: the server's certificate, then those between it and its authority
  std::string key_file = {};      // PEM; empty: in the certificate's file
  std::string key_password = {};  // of an encrypted key
  std::string client_ca_file =
      {};  // PEM: authorities of client certificates; their revocation lists, if there, are heeded
  ClientCertificate client_certificate = ClientCertificate::kNone;
  std::string minimum_version = "1.2";  // or "1.3"
};

// What is in use now, for status, metrics and logs.
struct TlsServerInfo {
  PeerCertificate certificate;
  std::int64_t expires_s = 0;  // Unix time
  std::vector<std::string> warnings = {};
};

// The files' contents at one moment.
struct TlsServerFiles {
  std::string certificate;
  std::string key;
  std::string client_ca;
  std::vector<std::string> warnings = {};
  TlsServerFiles() = default;
  TlsServerFiles(TlsServerFiles&&) = default;
  TlsServerFiles& operator=(TlsServerFiles&&) = default;
  ~TlsServerFiles();           // wipes the key
  std::string digest() const;  // of all of them
};

// What new connections are made with.
struct TlsServerContext {
  std::shared_ptr<ssl_ctx_st> context;  // connections share it
  TlsServerInfo info;
};

// Errors of both name the file and say what is wrong with it: kIo, kInvalidArgument.
Result<TlsServerFiles> read_tls_server_files(const TlsServerSettings& settings);
Result<TlsServerContext> make_tls_server_context(const TlsServerSettings& settings, const TlsServerFiles& files);

}  // namespace llm::net
