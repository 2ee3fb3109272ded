#include "access/ip_network.h"

#include <algorithm>
#include <arpa/inet.h>
#include <cstring>

#include "base/strings.h"

namespace llm::access {
namespace {

constexpr std::array<std::uint8_t, 12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
constexpr int kMappedBits = 96;

}  // namespace

bool IpAddress::is_v4() const {
  return std::ranges::equal(kMapped, std::span(bytes).first<12>());
}

bool IpAddress::is_loopback() const {
  if (is_v4()) return bytes[12] == 127;
  return std::all_of(bytes.begin(), bytes.end() - 1, [](std::uint8_t byte) { return byte == 0; }) && bytes[15] == 1;
}

std::string IpAddress::text() const {
  std::array<char, INET6_ADDRSTRLEN> out;
  const bool v4 = is_v4();
  inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? bytes.data() + kMapped.size() : bytes.data(), out.data(), out.size());
  return out.data();
}

std::optional<IpAddress> parse_ip(std::string_view text) {
  if (text.starts_with('[') && text.ends_with(']')) {
    text = text.substr(1, text.size() - 2);
    if (!text.contains(':')) return std::nullopt;
  }
  if (const auto zone = text.find('%'); zone != std::string_view::npos) text = text.substr(0, zone);
  std::array<char, INET6_ADDRSTRLEN> copy;  // inet_pton wants a NUL at the end
  if (text.size() >= copy.size() || text.contains('\0')) return std::nullopt;
  std::memcpy(copy.data(), text.data(), text.size());
  copy[text.size()] = '\0';
  IpAddress address;
  if (inet_pton(AF_INET, copy.data(), address.bytes.data() + kMapped.size()) == 1) {
    std::ranges::copy(kMapped, address.bytes.begin());
    return address;
  }
  if (inet_pton(AF_INET6, copy.data(), address.bytes.data()) == 1) return address;
  return std::nullopt;
}

std::optional<IpAddress> parse_peer(std::string_view text) {
  const auto colon = text.rfind(':');
  const bool v6 = text.starts_with('[');
  const auto close = text.find(']');
  const bool port = colon != std::string_view::npos &&
                    (v6 ? close != std::string_view::npos && colon == close + 1 : text.find(':') == colon);
  return parse_ip(port ? text.substr(0, colon) : text);
}

bool IpNetwork::contains(const IpAddress& other) const {
  const std::size_t whole = prefix / 8;
  if (!std::equal(address.bytes.begin(), address.bytes.begin() + whole, other.bytes.begin())) return false;
  const unsigned rest = prefix % 8;
  return rest == 0 || ((address.bytes[whole] ^ other.bytes[whole]) >> (8 - rest)) == 0;
}

std::optional<IpNetwork> parse_network(std::string_view text) {
  const auto slash = text.find('/');
  const auto address = parse_ip(text.substr(0, slash));
  if (!address || text.contains('%')) return std::nullopt;
  IpNetwork network{*address, 128};
  if (slash == std::string_view::npos) return network;
  const std::string_view digits = text.substr(slash + 1);
  const auto bits = parse_number<unsigned>(digits);
  // "::ffff:10.0.0.0/104" counts the bits of what was written, "10.0.0.0/8" those of IPv4.
  const bool mapped = address->is_v4() && !text.contains(':');
  if (!bits || *bits > (mapped ? 32U : 128U) || (digits.size() > 1 && digits.front() == '0')) return std::nullopt;
  network.prefix = static_cast<std::uint8_t>(mapped ? *bits + kMappedBits : *bits);
  IpAddress masked = *address;
  for (unsigned bit = network.prefix; bit < 128; ++bit) {
    masked.bytes[bit / 8] &= static_cast<std::uint8_t>(~(0x80U >> (bit % 8)));
  }
  if (masked != *address) return std::nullopt;
  return network;
}

}  // namespace llm::access
