#include "mcp/request_state.h"

#include <charconv>
#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <span>

#include "base/random.h"
#include "net/base64.h"

namespace llm::mcp {
namespace {

constexpr std::size_t kMacBytes = 32;
constexpr std::size_t kSecretBytes = 32;

std::int64_t now_s() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string random_secret() {
  std::string secret(kSecretBytes, '\0');
  random_bytes(std::span(reinterpret_cast<unsigned char*>(secret.data()), secret.size()));
  return secret;
}

std::unexpected<Error> refuse() {
  return fail(ErrorCode::kInvalidArgument,
              "requestState is not what this server gave for this request, or it has expired: start the request again "
              "without it.",
              "/params/requestState");
}

}  // namespace

RequestState::RequestState(std::string secret, std::chrono::seconds ttl)
    : secret_(secret.empty() ? random_secret() : std::move(secret)), ttl_(ttl) {}

std::string RequestState::sign(std::string_view payload, std::string_view principal, std::string_view request) const {
  // Lengths first, so that no two different triples make the same text.
  std::string text = fmt::format("mcp-request-state\n{} {} {}\n", payload.size(), principal.size(), request.size());
  text.append(payload).append(principal).append(request);
  unsigned char mac[kMacBytes];
  unsigned int size = 0;
  HMAC(EVP_sha256(), secret_.data(), static_cast<int>(secret_.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), mac, &size);
  return {reinterpret_cast<const char*>(mac), size};
}

std::string RequestState::seal(std::string_view state, std::string_view principal, std::string_view request) const {
  const std::string payload = fmt::format("{}:{}", now_s() + ttl_.count(), state);
  return base64url_encode(sign(payload, principal, request) + payload);
}

Result<std::string> RequestState::open(std::string_view sealed, std::string_view principal,
                                       std::string_view request) const {
  const auto bytes = base64url_decode(sealed);
  if (!bytes || bytes->size() < kMacBytes) return refuse();
  const std::string_view payload = std::string_view(*bytes).substr(kMacBytes);
  const std::string mac = sign(payload, principal, request);
  if (CRYPTO_memcmp(mac.data(), bytes->data(), kMacBytes) != 0) return refuse();
  const auto colon = payload.find(':');
  std::int64_t expires = 0;
  std::from_chars(payload.data(), payload.data() + colon, expires);
  if (expires < now_s()) return refuse();
  return std::string(payload.substr(colon + 1));
}

}  // namespace llm::mcp
