// Replays testdata/conversations/*.txt (README.md there says how they are written) against a Connection.
#include <algorithm>
#include <boost/asio/post.hpp>
#include <deque>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/strings.h"
#include "json/json.h"
#include "mcp/connection.h"
#include "mcp/example_tools.h"

namespace llm::mcp {
namespace {

class Recorder final : public Outbox {
 public:
  void send(std::string_view message, const Label&) override { messages.emplace_back(message); }
  std::deque<std::string> messages;
};

// "*" stands for anything, "~text" for a string that holds `text`; an object with the key "..." may have more keys.
bool matches(const json::value& expected, const json::value& actual) {
  if (const auto* text = expected.if_string()) {
    const std::string_view pattern = *text;
    if (pattern == "*") return true;
    if (!actual.is_string()) return false;
    const std::string_view given = actual.get_string();
    return pattern.starts_with('~') ? given.contains(pattern.substr(1)) : given == pattern;
  }
  if (const auto* list = expected.if_array()) {
    return actual.is_array() && std::ranges::equal(*list, actual.get_array(), matches);
  }
  if (const auto* object = expected.if_object()) {
    if (!actual.is_object()) return false;
    const auto& given = actual.get_object();
    const bool open = object->contains("...");
    if (!open && object->size() != given.size()) return false;
    return std::ranges::all_of(*object, [&](const auto& member) {
      if (member.key() == "...") return true;
      const json::value* found = given.if_contains(member.key());
      return found != nullptr && matches(member.value(), *found);
    });
  }
  return expected == actual;
}

class Conversation : public testing::TestWithParam<std::string> {
 protected:
  Conversation() { example::add_tools(server_.tools()); }
  ~Conversation() override {
    run([this] { connection_.close(); });
    EXPECT_EQ(connection_.in_flight(), 0U);
  }

  // Does `work` on the loop, as a transport would, then all that follows from it.
  template <class Work>
  void run(Work work) {
    loop_.context().restart();
    boost::asio::post(loop_.context(), std::move(work));
    loop_.context().poll();
  }

  void expect_nothing(int line) {
    for (const std::string& message : outbox_.messages) ADD_FAILURE() << "before line " << line << " came " << message;
    outbox_.messages.clear();
  }

  void expect(std::string_view text, int line) {
    const auto expected = json::parse(text);
    ASSERT_TRUE(expected) << "line " << line << ": " << expected.error().message;
    ASSERT_FALSE(outbox_.messages.empty()) << "line " << line << ": nothing came, expected " << text;
    const std::string message = std::move(outbox_.messages.front());
    outbox_.messages.pop_front();
    EXPECT_EQ(message.find('\n'), std::string::npos);
    EXPECT_TRUE(valid_utf8(message));
    const auto actual = json::parse(message);
    ASSERT_TRUE(actual) << "line " << line << ": " << message;
    if (const auto* result = actual->is_object() ? json::find(actual->get_object(), "result") : nullptr) {
      if (result->is_object()) state_ = json::string_or(result->get_object(), "requestState", state_);
    }
    EXPECT_TRUE(matches(*expected, *actual)) << "line " << line << "\nexpected " << text << "\n     got " << message;
  }

  // "$STATE" in a client's line stands for the last requestState.
  std::string with_state(std::string_view line) const {
    std::string out(line);
    const auto place = out.find("$STATE");
    if (place != std::string::npos) out.replace(place, 6, state_);
    return out;
  }

  Loop loop_{"test"};
  Server server_{example::server_info(),
                 {.max_in_flight = 4, .max_message_bytes = 100'000, .page_size = 20, .state_secret = "secret"}};
  Recorder outbox_;
  Connection connection_{server_, loop_, outbox_};
  std::string state_;  // the last requestState that came
};

TEST_P(Conversation, Holds) {
  std::ifstream file(std::string(LLM_TESTDATA) + "/conversations/" + GetParam() + ".txt");
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    if (line.empty() || line.starts_with('#')) continue;
    if (line.starts_with("< ")) {
      expect(std::string_view(line).substr(2), number);
      continue;
    }
    expect_nothing(number);
    if (line.starts_with("> ")) {
      run([&] { connection_.on_line(with_state(std::string_view(line).substr(2))); });
    } else if (line == "! close") {
      run([this] { connection_.close(); });
    } else if (line == "! offer everything") {
      example::add_all(server_);
    } else if (line == "! tools changed") {
      run([this] { server_.changes().announce({.kind = Change::Kind::kTools}); });
    } else if (line.starts_with("! watchers ")) {
      EXPECT_EQ(std::to_string(server_.changes().watchers().get().value), line.substr(11)) << "line " << number;
    } else if (line.starts_with("! updated ")) {
      run([&] { server_.changes().announce({.kind = Change::Kind::kResource, .subject = line.substr(10)}); });
    } else {
      FAIL() << "line " << number << " starts with none of '> ', '< ', '# ', '! …'";
    }
  }
  expect_nothing(0);
}

std::vector<std::string> conversations() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(std::string(LLM_TESTDATA) + "/conversations")) {
    if (entry.path().extension() == ".txt") names.push_back(entry.path().stem());
  }
  std::ranges::sort(names);
  return names;
}

INSTANTIATE_TEST_SUITE_P(All, Conversation, testing::ValuesIn(conversations()),
                         [](const auto& instance) { return instance.param; });

}  // namespace
}  // namespace llm::mcp
