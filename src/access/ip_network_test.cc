#include "access/ip_network.h"

#include <gtest/gtest.h>

namespace llm::access {
namespace {

TEST(IpAddress, Table) {
  struct Case {
    const char* text;
    const char* normal;  // null: no address
  };
  const Case cases[] = {
      {"127.0.0.1", "127.0.0.1"},
      {"::ffff:127.0.0.1", "127.0.0.1"},
      {"::FFFF:7f00:1", "127.0.0.1"},
      {"::1", "::1"},
      {"[::1]", "::1"},
      {"2001:DB8:0:0::1", "2001:db8::1"},
      {"fe80::1%eth0", "fe80::1"},
      {"", nullptr},
      {"localhost", nullptr},
      {"127.0.0.1:80", nullptr},
      {"127.1", nullptr},
      {"0x7f.0.0.1", nullptr},
      {"2130706433", nullptr},
      {"0177.0.0.1", nullptr},
      {"256.0.0.1", nullptr},
      {"[127.0.0.1]", nullptr},
      {"1.2.3.4 ", nullptr},
      {"unix", nullptr},
  };
  for (const Case& c : cases) {
    const auto address = parse_ip(c.text);
    ASSERT_EQ(address.has_value(), c.normal != nullptr) << c.text;
    if (address) EXPECT_EQ(address->text(), c.normal) << c.text;
  }
  EXPECT_FALSE(parse_ip(std::string_view("1.2.3.4\0", 8)));
  EXPECT_FALSE(parse_ip(std::string(1000, '1')));
}

TEST(IpAddress, Peers) {
  EXPECT_EQ(parse_peer("127.0.0.1:52100")->text(), "127.0.0.1");
  EXPECT_EQ(parse_peer("127.0.0.1")->text(), "127.0.0.1");
  EXPECT_EQ(parse_peer("[::1]:52100")->text(), "::1");
  EXPECT_EQ(parse_peer("[::1]")->text(), "::1");
  EXPECT_EQ(parse_peer("2001:db8::1")->text(), "2001:db8::1");
  EXPECT_EQ(parse_peer("[::ffff:10.1.2.3]:9")->text(), "10.1.2.3");
  EXPECT_FALSE(parse_peer("unix"));
  EXPECT_FALSE(parse_peer(""));
  EXPECT_FALSE(parse_peer("example.com:80"));
}

TEST(IpAddress, Loopback) {
  for (const char* text : {"127.0.0.1", "127.255.0.3", "::1", "::ffff:127.0.0.1"}) {
    EXPECT_TRUE(parse_ip(text)->is_loopback()) << text;
  }
  for (const char* text : {"128.0.0.1", "0.0.0.0", "::", "::2", "::7f00:1", "10.0.0.1"}) {
    EXPECT_FALSE(parse_ip(text)->is_loopback()) << text;
  }
}

TEST(IpNetwork, Contains) {
  struct Case {
    const char* network;
    const char* address;
    bool contains;
  };
  const Case cases[] = {
      {"10.0.0.0/8", "10.255.1.2", true},
      {"10.0.0.0/8", "11.0.0.1", false},
      {"10.0.0.0/8", "::ffff:10.0.0.9", true},
      {"10.0.0.0/8", "::10.0.0.9", false},
      {"192.168.4.0/22", "192.168.7.255", true},
      {"192.168.4.0/22", "192.168.8.0", false},
      {"10.1.2.3", "10.1.2.3", true},
      {"10.1.2.3", "10.1.2.4", false},
      {"10.1.2.3/32", "10.1.2.3", true},
      {"0.0.0.0/0", "8.8.8.8", true},
      {"0.0.0.0/0", "2001:db8::1", false},
      {"::/0", "8.8.8.8", true},
      {"2001:db8::/33", "2001:db8:7fff::1", true},
      {"2001:db8::/33", "2001:db8:8000::1", false},
      {"::ffff:10.0.0.0/104", "10.9.9.9", true},
  };
  for (const Case& c : cases) {
    const auto network = parse_network(c.network);
    ASSERT_TRUE(network) << c.network;
    EXPECT_EQ(network->contains(*parse_ip(c.address)), c.contains) << c.network << " " << c.address;
  }
}

TEST(IpNetwork, WithinAnother) {
  EXPECT_TRUE(parse_network("10.0.0.0/8")->contains(*parse_network("10.3.0.0/16")));
  EXPECT_FALSE(parse_network("10.3.0.0/16")->contains(*parse_network("10.0.0.0/8")));
  EXPECT_FALSE(parse_network("10.3.0.0/16")->contains(*parse_network("10.4.0.0/16")));
}

TEST(IpNetwork, WhatIsNone) {
  for (const char* text : {"", "/8", "10.0.0.0/", "10.0.0.0/33", "::/129", "10.0.0.0/08", "10.0.0.0/-1", "10.0.0.0/8/8",
                           "10.1.2.3/8", "2001:db8::1/32", "fe80::1%eth0", "example.com", "10.0.0.0/8 ", "*", "10.*"}) {
    EXPECT_FALSE(parse_network(text)) << text;
  }
}

}  // namespace
}  // namespace llm::access
