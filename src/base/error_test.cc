#include "base/error.h"

#include <gtest/gtest.h>

namespace llm {
namespace {

TEST(ErrorCode, IsFoundByItsName) {
  for (int i = 0; i <= static_cast<int>(ErrorCode::kInternal); ++i) {
    const auto code = static_cast<ErrorCode>(i);
    EXPECT_EQ(error_code_by_name(describe(code).name), code);
  }
  EXPECT_EQ(error_code_by_name("no_such_code"), std::nullopt);
  EXPECT_EQ(error_code_by_name(""), std::nullopt);
}

TEST(ErrorCode, IsFoundByItsStatus) {
  EXPECT_EQ(error_code_by_status(400), ErrorCode::kInvalidArgument);
  EXPECT_EQ(error_code_by_status(404), ErrorCode::kNotFound);
  EXPECT_EQ(error_code_by_status(429), ErrorCode::kRateLimited);
  EXPECT_EQ(error_code_by_status(500), ErrorCode::kInternal);
  EXPECT_EQ(error_code_by_status(418), ErrorCode::kInternal);
}

}  // namespace
}  // namespace llm
