#pragma once

#include <gtest/gtest.h>
#include <memory>
#include <string>

#include "access/admin.h"
#include "access/authenticator_under_test.h"

// For tests: the administration over a real database, directory and audit trail, and an authenticator beside it.
namespace llm::access {

struct AdminUnderTest : AuthenticatorUnderTest {
  std::unique_ptr<AuditLog> trail = open_trail();
  AccessAdmin admin{*database, &directory, *trail, clock};
  const Principal local;

  std::unique_ptr<AuditLog> open_trail() {
    auto opened = AuditLog::open({.directory = files.folder() / "audit"}, database.get(),
                                 [](const Error& error) { ADD_FAILURE() << to_string(error); });
    EXPECT_TRUE(opened) << to_string(opened.error());
    return std::move(*opened);
  }
  static json::object object(std::string_view text) {
    auto document = json::parse(text);
    EXPECT_TRUE(document && document->is_object()) << text;
    return document && document->is_object() ? document->get_object() : json::object();
  }
  // A key made by the local user, as who holds it is known afterwards.
  Principal holder(std::string_view request) {
    const auto made = admin.create_key(object(request), local);
    EXPECT_TRUE(made) << to_string(made.error());
    if (!made) return {};
    const auto principal = bearer(std::string(json::string_or(*made, "key")));
    EXPECT_TRUE(principal) << to_string(principal.error());
    return principal.value_or(Principal{});
  }
  static std::string text(const Result<json::object>& answer, std::string_view member) {
    EXPECT_TRUE(answer) << to_string(answer.error());
    return answer ? std::string(json::string_or(*answer, member)) : std::string();
  }
};

// The code, and the place that the error names.
inline std::string outcome(const Result<json::object>& answer) {
  if (answer) return "ok";
  std::string out(describe(answer.error().code).name);
  if (!answer.error().pointer.empty()) out += " " + answer.error().pointer;
  return out;
}

}  // namespace llm::access
