#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace llm::access {

// An IP address; IPv4 as IPv6 maps it (::ffff:a.b.c.d), so that a client is the same whichever socket it comes over.
struct IpAddress {
  std::array<std::uint8_t, 16> bytes{};

  bool is_v4() const;
  bool is_loopback() const;  // 127.0.0.0/8, ::1
  std::string text() const;  // "127.0.0.1", "2001:db8::1"
  friend bool operator==(const IpAddress&, const IpAddress&) = default;
};

// "127.0.0.1", "::1", "[::1]", "::ffff:127.0.0.1", "fe80::1%eth0" (the zone is left out). nullopt for anything else,
// such as a name, a number in octal or a port.
std::optional<IpAddress> parse_ip(std::string_view text);
// The same with a port behind it or without: "127.0.0.1:52100", "[::1]:52100". nullopt for "unix".
std::optional<IpAddress> parse_peer(std::string_view text);

// "10.0.0.0/8", "2001:db8::/32", or one address.
struct IpNetwork {
  IpAddress address;
  std::uint8_t prefix = 128;  // bits of the mapped address: an IPv4 /8 is a /104

  bool contains(const IpAddress& other) const;
  bool contains(const IpNetwork& other) const { return other.prefix >= prefix && contains(other.address); }
  friend bool operator==(const IpNetwork&, const IpNetwork&) = default;
};
// nullopt for what is none, and for one with bits set behind its prefix ("10.1.2.3/8"), where the writer meant
// something else than a reader would.
std::optional<IpNetwork> parse_network(std::string_view text);

}  // namespace llm::access
