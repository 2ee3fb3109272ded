#include "base/error.h"

#include <cerrno>
#include <gtest/gtest.h>
#include <set>

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

TEST(ErrorCode, EachHasARowOfItsOwn) {
  std::set<std::string_view> names;
  for (int i = 0; i <= static_cast<int>(ErrorCode::kInternal); ++i) {
    const auto& row = describe(static_cast<ErrorCode>(i));
    EXPECT_TRUE(names.insert(row.name).second) << row.name << " stands for two codes";
    EXPECT_TRUE(row.http_status >= 400 && row.http_status < 600) << row.name;
    EXPECT_LE(row.json_rpc, -32600) << row.name;
    EXPECT_GE(row.json_rpc, -32768) << row.name;
    EXPECT_FALSE(row.openai_type.empty()) << row.name;
  }
}

TEST(Error, CarriesWhatProgramsWantToRead) {
  const Error error = Error{ErrorCode::kContextLengthExceeded, "too long", {}, {}, 0}
                          .with("n_ctx", std::int64_t{8192})
                          .with("model", "m")
                          .at("/messages")
                          .retry_after(3);
  EXPECT_EQ(to_string(error), "too long (at /messages)");
  ASSERT_EQ(error.details.size(), 2U);
  EXPECT_EQ(std::get<std::int64_t>(error.details[0].value), 8192);
  EXPECT_EQ(std::get<std::string>(error.details[1].value), "m");
  EXPECT_EQ(error.retry_after_s, 3);
  EXPECT_EQ(to_string(Error{ErrorCode::kIo, "no place", {}, {}, 0}), "no place");
}

TEST(Error, OfASystemCall) {
  EXPECT_EQ(errno_error(ENOSPC, "writing x").code, ErrorCode::kDiskFull);
  EXPECT_EQ(errno_error(ENOENT, "opening x").code, ErrorCode::kNotFound);
  EXPECT_EQ(errno_error(EACCES, "opening x").code, ErrorCode::kPermissionDenied);
  EXPECT_EQ(errno_error(EEXIST, "creating x").code, ErrorCode::kAlreadyExists);
  EXPECT_EQ(errno_error(EIO, "reading x").code, ErrorCode::kIo);
  EXPECT_EQ(errno_error(ENOENT, "opening x").message, "opening x: No such file or directory");
}

}  // namespace
}  // namespace llm
