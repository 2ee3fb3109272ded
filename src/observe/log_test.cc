#include "observe/log.h"

#include <array>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdexcept>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "json/json.h"
#include "observe/log_capture.h"
#include "observe/log_format.h"

namespace llm::observe {
namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;

// 2026-01-31T12:03:04.123Z
constexpr auto kTime = std::chrono::system_clock::time_point(std::chrono::sys_days(std::chrono::year(2026) / 1 / 31)) +
                       12h + 3min + 4s + 123ms;

std::string json_line(std::string_view message, LogFields fields = {}) {
  std::string out;
  append_json_line(out, kTime, LogLevel::kInfo, message, std::span(fields.begin(), fields.size()));
  return out;
}

// Without the time, which is local.
std::string text_line(std::string_view message, LogFields fields = {}, bool color = false) {
  std::string out;
  append_text_line(out, kTime, LogLevel::kInfo, message, std::span(fields.begin(), fields.size()), color);
  return out.substr(13);
}

class TempFolder {
 public:
  TempFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "llm-mcp-log-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~TempFolder() { std::filesystem::remove_all(path_); }
  std::string file(std::string_view name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

std::string read(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(LogFormat, JsonHasTypedFields) {
  const std::string name = "smollm2";
  EXPECT_EQ(json_line("engine started", {{"model", name},
                                         {"view", std::string_view("v")},
                                         {"pid", 12},
                                         {"low", -5LL},
                                         {"bytes", 18446744073709551615ULL},
                                         {"ms", 1.5},
                                         {"ok", true}}),
            R"({"ts":"2026-01-31T12:03:04.123Z","level":"info","msg":"engine started","model":"smollm2","view":"v",)"
            R"("pid":12,"low":-5,"bytes":18446744073709551615,"ms":1.5,"ok":true})"
            "\n");
}

TEST(LogFormat, JsonKeepsItsOwnNamesAndHasNoNan) {
  EXPECT_EQ(json_line("m", {{"level", "x"}, {"ts", 1}, {"msg", 2}, {"nan", std::nan("")}, {"inf", HUGE_VAL}}),
            R"({"ts":"2026-01-31T12:03:04.123Z","level":"info","msg":"m","_level":"x","_ts":1,"_msg":2,"nan":"nan",)"
            R"("inf":"inf"})"
            "\n");
}

TEST(LogFormat, TextIsReadable) {
  EXPECT_EQ(text_line("engine started", {{"model", "smollm2"}, {"pid", 12}}),
            "INFO  engine started model=smollm2 pid=12\n");
  EXPECT_EQ(text_line("m", {{"a", "two words"}, {"b", ""}, {"c", "x=y"}, {"d", "say \"hi\""}, {"e", "C:\\x"}}),
            "INFO  m a=\"two words\" b=\"\" c=\"x=y\" d=\"say \\\"hi\\\"\" e=\"C:\\\\x\"\n");
  EXPECT_EQ(text_line("m", {{"a", 1}}, true), "\x1b[32mINFO \x1b[0m m \x1b[2ma=\x1b[0m1\n");
}

TEST(LogFormat, NothingInAValueCanForgeALine) {
  struct Row {
    std::string value;
    std::string escaped;
  };
  const std::vector<Row> rows{
      {"a\nb", "a\\nb"},
      {"a\r\nb", "a\\r\\nb"},
      {"\x1b[2J", "\\u001b[2J"},
      {"\0"s, "\\u0000"},
      {"\x7f", "\\u007f"},
      {"\xC2\x9B"
       "31m",
       "\\u009b31m"},               // CSI as one C1 control
      {"\xE2\x80\xA8", "\\u2028"},  // line separator
      {"\xE2\x80\xAE"
       "gpj",
       "\\u202egpj"},                             // right-to-left override
      {"\xE2\x81\xA6", "\\u2066"},                // isolate
      {"\xFF\xC3", "\\ufffd\\ufffd"},             // not UTF-8
      {"\xED\xA0\x80", "\\ufffd\\ufffd\\ufffd"},  // a surrogate
      {"gr\xC3\xBC\xC3\x9F"
       "e \xF0\x9F\x98\x80",
       "gr\xC3\xBC\xC3\x9F"
       "e \xF0\x9F\x98\x80"},
  };
  for (const Row& row : rows) {
    const std::string json = json_line(row.value, {{"k", row.value}});
    EXPECT_THAT(json, testing::HasSubstr("\"msg\":\"" + row.escaped + "\",\"k\":\"" + row.escaped + "\"}"));
    EXPECT_TRUE(json::parse(json)) << json;
    EXPECT_EQ(text_line(row.value, {{"k", row.value}}), "INFO  " + row.escaped + " k=\"" + row.escaped + "\"\n");
  }
}

TEST(Log, LevelsAreOrderedAndCanChange) {
  LogCapture capture(LogLevel::kWarn);
  Log& log = capture.log();
  log.info("no");
  log.warn("warned");
  log.error("failed", {{"code", 3}});
  EXPECT_FALSE(log.enabled(LogLevel::kInfo));
  log.set_level(LogLevel::kTrace);
  log.trace("traced");
  log.debug("debugged");
  log.set_level(LogLevel::kOff);
  log.error("no");
  ASSERT_EQ(capture.lines().size(), 4U);
  EXPECT_THAT(capture.lines()[1], testing::HasSubstr(R"("level":"error","msg":"failed","code":3})"));
  EXPECT_TRUE(capture.contains("traced"));
  capture.clear();
  EXPECT_TRUE(capture.lines().empty());
}

TEST(Log, LevelNames) {
  for (const char* name : {"trace", "debug", "info", "warn", "error", "off"}) {
    EXPECT_EQ(to_string(parse_log_level(name).value()), name);
  }
  EXPECT_EQ(parse_log_level("INFO"), LogLevel::kInfo);
  EXPECT_FALSE(parse_log_level("verbose"));
}

TEST(Log, NullLogWritesNothing) {
  Log log;
  log.set_level(LogLevel::kTrace);
  EXPECT_FALSE(log.enabled(LogLevel::kError));
  log.error("lost");
  EXPECT_TRUE(log.reopen());
  EXPECT_EQ(log.write_errors(), 0U);
}

TEST(Log, FileIsAppendedToAndReopened) {
  TempFolder folder;
  const std::string path = folder.file("deep/er/gateway.log");
  auto log = Log::open({.file = path}).value();
  log->info("one");
  log->debug("below the level");
  std::filesystem::rename(path, path + ".1");
  log->info("two");
  ASSERT_TRUE(log->reopen());
  log->info("three");
  log.reset();
  Log::open({.format = LogFormat::kText, .file = path}).value()->info("four");
  EXPECT_THAT(read(path + ".1"), testing::ContainsRegex("^\\{.*one.*\n\\{.*two.*\n$"));
  EXPECT_THAT(read(path), testing::ContainsRegex("^\\{\"ts\":.*three.*\n[0-9][0-9]:.*INFO  four\n$"));
}

TEST(Log, FileThatCannotBeOpenedIsAnError) {
  TempFolder folder;
  const auto log = Log::open({.file = folder.file("")});
  ASSERT_FALSE(log);
  EXPECT_THAT(log.error().message, testing::HasSubstr(folder.file("")));
}

TEST(Log, WriteErrorsAreSwallowedAndCounted) {
  if (::access("/dev/full", W_OK) != 0) GTEST_SKIP() << "needs /dev/full";
  auto log = Log::open({.file = "/dev/full"}).value();
  log->info("lost");
  log->info("lost too");
  EXPECT_EQ(log->write_errors(), 2U);
  auto throwing = Log::to_target([](LogLevel, std::string_view) { throw std::runtime_error("no"); });
  throwing->info("lost");
  EXPECT_EQ(throwing->write_errors(), 1U);
}

TEST(Log, PipeThatNobodyReadsDoesNotBlock) {
  TempFolder folder;
  const std::string path = folder.file("pipe");
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  const int reader = ::open(path.c_str(), O_RDONLY | O_NONBLOCK);
  ASSERT_GE(reader, 0);
  auto log = Log::open({.file = path}).value();
  const std::string long_text(1 << 20, 'x');  // more than a pipe holds
  log->info(long_text);
  EXPECT_EQ(log->write_errors(), 1U);
  // Room again: the cut line is ended before the next one.
  std::string seen;
  std::array<char, 65536> buffer;
  for (ssize_t got = 0; (got = ::read(reader, buffer.data(), buffer.size())) > 0;)
    seen.append(buffer.data(), static_cast<std::size_t>(got));
  log->info("after");
  const ssize_t got = ::read(reader, buffer.data(), buffer.size());
  ASSERT_GT(got, 0);
  EXPECT_EQ(buffer[0], '\n');
  EXPECT_TRUE(json::parse(std::string_view(buffer.data() + 1, static_cast<std::size_t>(got) - 2)));
  ::close(reader);
}

TEST(Log, ThreadsDoNotMixLines) {
  TempFolder folder;
  const std::string path = folder.file("log");
  auto log = Log::open({.file = path}).value();
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&log, t] {
        for (int i = 0; i < 200; ++i) log->info("line", {{"thread", t}, {"i", i}, {"text", std::string(200, 'a')}});
      });
    }
  }
  std::ifstream in(path);
  int lines = 0;
  for (std::string line; std::getline(in, line); ++lines) ASSERT_TRUE(json::parse(line)) << line;
  EXPECT_EQ(lines, 800);
  EXPECT_EQ(log->write_errors(), 0U);
}

TEST(Log, RedactSaysOnlyTheLength) {
  EXPECT_EQ(redact("sk-0123456789"), "<redacted 13 bytes>");
  EXPECT_EQ(redact(""), "<empty>");
}

}  // namespace
}  // namespace llm::observe
