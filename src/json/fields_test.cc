#include "json/fields.h"

#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <string>

namespace llm::json {
namespace {

enum class Mode { kAuto, kFast };

struct Item {
  std::string name;
  std::optional<double> weight;
  friend bool operator==(const Item&, const Item&) = default;
};

struct Request {
  std::string model;
  std::optional<double> temperature;
  std::optional<std::int64_t> max_tokens;
  bool stream = false;
  std::uint16_t port = 80;
  std::int32_t small = -1;
  std::uint64_t seed = 0;
  float share = 0.5F;
  StringOrList stop;
  value response_format;
  object metadata;
  Mode mode = Mode::kAuto;
  std::vector<Item> items;
  std::map<std::string, Item> models;
  std::vector<std::string> hosts;
  Duration keep_alive{300'000};
  Duration timeout{10'000};
  ByteSize memory{512ULL << 20};
  std::string token;
  Item nested;
};

}  // namespace

template <>
struct EnumNames<Mode> {
  static constexpr std::array<std::pair<Mode, std::string_view>, 2> values{
      {{Mode::kAuto, "auto"}, {Mode::kFast, "fast"}}};
};

template <>
struct Fields<Item> {
  static const Table<Item>& table() {
    static const Table<Item> t{
        "item",
        {
            field("name", &Item::name,
                  {.description = "Its name.", .required = true, .min_length = 1, .max_length = 8}),
            field("weight", &Item::weight, {.description = "In kilograms.", .exclusive_minimum = 0}),
        }};
    return t;
  }
};

template <>
struct Fields<Request> {
  static const Table<Request>& table() {
    static const Table<Request> t{
        "request",
        {
            field("model", &Request::model, {.description = "The model.", .required = true, .min_length = 1}),
            field("temperature", &Request::temperature, {.description = "Heat.", .minimum = 0, .maximum = 2}),
            field("max_tokens", &Request::max_tokens, {.minimum = 1}),
            field("stream", &Request::stream, {}),
            field("port", &Request::port, {.minimum = 1, .maximum = 65535}),
            field("small", &Request::small, {}),
            field("seed", &Request::seed, {}),
            field("share", &Request::share, {.maximum = 1}),
            field("stop", &Request::stop, {.min_length = 1, .max_items = 2}),
            field("response_format", &Request::response_format, {}),
            field("metadata", &Request::metadata, {}),
            field("mode", &Request::mode, {.reloadable = true}),
            field("items", &Request::items, {.description = "Things.", .max_items = 2}),
            field("models", &Request::models, {.description = "By name."}),
            field("hosts", &Request::hosts, {.max_length = 3}),
            field("keep_alive", &Request::keep_alive, {.description = "Idle time."}),
            field("timeout", &Request::timeout, {.minimum = 1000}),
            field("memory", &Request::memory, {.maximum = 1024.0 * 1024 * 1024}),
            field("token", &Request::token, {.max_length = 4, .secret = true}),
            field("nested", &Request::nested, {}),
        }};
    return t;
  }
};

namespace {

Result<Request> read(std::string_view text, const DecodeOptions& options = {}) {
  return decode<Request>(parse(text).value(), options);
}

// "pointer: message" of the error that `members` (beside a model) give.
std::string error_of(std::string_view members) {
  const auto request = read(R"({"model":"m",)" + std::string(members) + "}");
  if (request) return "accepted";
  EXPECT_EQ(request.error().code, ErrorCode::kInvalidArgument);
  return request.error().pointer + ": " + request.error().message;
}

TEST(Fields, DecodesEveryType) {
  const auto request =
      read(R"({"model":"m","temperature":1,"max_tokens":5.0,"stream":true,"port":65535,"small":-2147483648,
      "seed":18446744073709551615,"share":0.25,"stop":["a","b"],"response_format":{"type":"json"},"metadata":{"a":[1]},
      "mode":"fast","items":[{"name":"x"},{"name":"y","weight":2.5}],"models":{"a/b":{"name":"z"}},"hosts":["h"],
      "keep_alive":-1,"timeout":"1m30s","memory":"1KiB","token":"abcd","nested":{"name":"n"}})");
  ASSERT_TRUE(request) << to_string(request.error());
  EXPECT_EQ(request->model, "m");
  EXPECT_EQ(request->temperature, 1.0);
  EXPECT_EQ(request->max_tokens, 5);
  EXPECT_TRUE(request->stream);
  EXPECT_EQ(request->port, 65535);
  EXPECT_EQ(request->small, std::numeric_limits<std::int32_t>::min());
  EXPECT_EQ(request->seed, std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(request->share, 0.25F);
  EXPECT_EQ(request->stop, (StringOrList{{"a", "b"}, true}));
  EXPECT_EQ(write(request->response_format), R"({"type":"json"})");
  EXPECT_EQ(write(request->metadata), R"({"a":[1]})");
  EXPECT_EQ(request->mode, Mode::kFast);
  EXPECT_EQ(request->items, (std::vector<Item>{{"x", {}}, {"y", 2.5}}));
  EXPECT_EQ(request->models, (std::map<std::string, Item>{{"a/b", {"z", {}}}}));
  EXPECT_TRUE(request->keep_alive.never());
  EXPECT_EQ(request->timeout.ms, 90'000);
  EXPECT_EQ(request->memory.bytes, 1024U);
  EXPECT_EQ(request->nested.name, "n");
}

TEST(Fields, AbsentMeansDefaultAndNullMeansAbsentForOptionals) {
  const auto request = read(R"({"model":"m","temperature":null})");
  ASSERT_TRUE(request);
  EXPECT_EQ(request->temperature, std::nullopt);
  EXPECT_EQ(request->port, 80);
  EXPECT_EQ(request->keep_alive.ms, 300'000);
  EXPECT_TRUE(request->stop.empty());
  EXPECT_EQ(error_of(R"("port":null)"), "/port: expected an integer between 1 and 65535, got null");
  EXPECT_TRUE(read(R"({"model":"m","port":null,"items":null})", {.null_is_absent = true}));
}

TEST(Fields, WrongTypesSayWhatIsExpectedAndWhatCame) {
  EXPECT_EQ(error_of(R"("temperature":3.5)"), "/temperature: expected a number between 0 and 2, got 3.5");
  EXPECT_EQ(error_of(R"("temperature":"hot")"), "/temperature: expected a number between 0 and 2, got a string");
  EXPECT_EQ(error_of(R"("nested":{"name":[]})"), "/nested/name: expected a string, got an array");
  EXPECT_EQ(error_of(R"("stream":1)"), "/stream: expected true or false, got 1");
  EXPECT_EQ(error_of(R"("mode":"slow")"), R"(/mode: expected one of "auto", "fast", got "slow")");
  EXPECT_EQ(error_of(R"("mode":{})"), R"(/mode: expected one of "auto", "fast", got an object)");
  EXPECT_EQ(error_of(R"("items":{})"), "/items: expected a list, got an object");
  EXPECT_EQ(error_of(R"("models":[])"), "/models: expected an object, got an array");
  EXPECT_EQ(error_of(R"("nested":5)"), "/nested: expected an object, got 5");
  EXPECT_EQ(error_of(R"("metadata":"x")"), "/metadata: expected an object, got a string");
  EXPECT_EQ(error_of(R"("stop":7)"), "/stop: expected a string or a list of strings, got 7");
  EXPECT_EQ(error_of(R"("stop":["a",7])"), "/stop/1: expected a string, got 7");
  EXPECT_EQ(error_of(R"("models":{"a/b":{"name":true}})"), "/models/a~1b/name: expected a string, got true");
}

TEST(Fields, BoundsHoldAtTheLimitAndBreakOnePast) {
  EXPECT_EQ(error_of(R"("temperature":2)"), "accepted");
  EXPECT_EQ(error_of(R"("port":65536)"), "/port: expected an integer between 1 and 65535, got 65536");
  EXPECT_EQ(error_of(R"("port":0)"), "/port: expected an integer between 1 and 65535, got 0");
  EXPECT_EQ(error_of(R"("max_tokens":0)"), "/max_tokens: expected an integer of at least 1, got 0");
  EXPECT_EQ(error_of(R"("items":[{"name":"a","weight":0}])"),
            "/items/0/weight: expected a number greater than 0, got 0");
  EXPECT_EQ(error_of(R"("nested":{"name":"éééééééé"})"), "accepted");
  EXPECT_EQ(error_of(R"("nested":{"name":"ééééééééé"})"), "/nested/name: expected at most 8 characters, got 9");
  EXPECT_EQ(error_of(R"("nested":{"name":""})"), "/nested/name: expected at least 1 character, got none");
  EXPECT_EQ(error_of(R"("items":[{"name":"a"},{"name":"b"},{"name":"c"}])"), "/items: expected at most 2 items, got 3");
  EXPECT_EQ(error_of(R"("stop":["a","b","c"])"), "/stop: expected at most 2 items, got 3");
  EXPECT_EQ(error_of(R"("hosts":["abcd"])"), "/hosts/0: expected at most 3 characters, got 4");
  EXPECT_EQ(error_of(R"("share":1e39)"), "/share: expected a number of at most 1, got 1e+39");
}

TEST(Fields, IntegersAreExact) {
  EXPECT_EQ(error_of(R"("small":5.5)"), "/small: expected an integer, got 5.5");
  EXPECT_EQ(error_of(R"("small":2147483647)"), "accepted");
  EXPECT_EQ(error_of(R"("small":2147483648)"),
            "/small: expected an integer between -2147483648 and 2147483647, got 2147483648");
  EXPECT_EQ(error_of(R"("seed":-1)"), "/seed: expected an integer between 0 and 18446744073709551615, got -1");
  EXPECT_EQ(error_of(R"("seed":1.5)"), "/seed: expected an integer of at least 0, got 1.5");
  EXPECT_EQ(error_of(R"("seed":18446744073709551616)"),
            "/seed: expected an integer between 0 and 18446744073709551615, got 1.8446744073709552e+19");
  EXPECT_EQ(error_of(R"("max_tokens":9223372036854775807)"), "accepted");
  EXPECT_EQ(error_of(R"("max_tokens":9223372036854775808)"),
            "/max_tokens: expected an integer between 1 and 9223372036854775807, got 9223372036854775808");
}

TEST(Fields, DurationsAndSizes) {
  const auto duration = [](std::string_view text) {
    const auto request = read(R"({"model":"m","keep_alive":)" + std::string(text) + "}");
    return request ? request->keep_alive.ms : -2;
  };
  EXPECT_EQ(duration(R"("5m")"), 300'000);
  EXPECT_EQ(duration(R"("1h30m")"), 5'400'000);
  EXPECT_EQ(duration(R"("250ms")"), 250);
  EXPECT_EQ(duration("0.25"), 250);
  EXPECT_EQ(duration("0"), 0);
  EXPECT_EQ(duration("-1"), -1);
  EXPECT_EQ(duration(R"("-1")"), -1);
  for (const std::string_view bad :
       {"-2", R"("nan")", R"("5mnan")", R"("inf")", R"("x")", R"("")", "true", "1e300", R"("-5m")"}) {
    EXPECT_EQ(duration(bad), -2) << bad;
  }
  EXPECT_EQ(
      error_of(R"("keep_alive":"soon")"),
      R"(/keep_alive: expected a duration (such as "5m", "250ms" or a number of seconds; -1 means never), got "soon")");
  EXPECT_EQ(
      error_of(R"("timeout":"999ms")"),
      R"(/timeout: expected a duration of at least 1s (such as "5m", "250ms" or a number of seconds), got "999ms")");
  EXPECT_EQ(error_of(R"("timeout":-1)"),
            R"(/timeout: expected a duration of at least 1s (such as "5m", "250ms" or a number of seconds), got -1)");
  EXPECT_EQ(error_of(R"("memory":1073741824)"), "accepted");
  EXPECT_EQ(error_of(R"("memory":"2GiB")"),
            R"(/memory: expected a size of at most 1GiB (such as "512MiB" or a number of bytes), got "2GiB")");
  EXPECT_EQ(error_of(R"("memory":-1)"),
            R"(/memory: expected a size of at most 1GiB (such as "512MiB" or a number of bytes), got -1)");
  EXPECT_EQ(to_text(Duration{5'400'250}), "1h30m250ms");
  EXPECT_EQ(to_text(Duration{0}), "0s");
  EXPECT_EQ(to_text(Duration{-1}), "-1");
  EXPECT_EQ(to_text(ByteSize{1536}), "1536");
  EXPECT_EQ(to_text(ByteSize{3ULL << 30}), "3GiB");
}

TEST(Fields, UnknownAndMissingFields) {
  EXPECT_EQ(error_of(R"("temprature":1)"), R"(/temprature: unknown field "temprature"; did you mean "temperature"?)");
  EXPECT_EQ(error_of(R"("nested":{"name":"a","qqqqqqqq":1})"),
            R"(/nested/qqqqqqqq: unknown field "qqqqqqqq"; the known fields are name, weight)");
  EXPECT_TRUE(read(R"({"model":"m","x":1})", {.unknown = Unknown::kIgnore}));
  const auto missing = read("{}", {.pointer = "/params", .noun = "key"});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().message, R"(missing required key "model")");
  EXPECT_EQ(missing.error().pointer, "/params/model");
  EXPECT_EQ(read("[]").error().message, "expected an object, got an array");
}

TEST(Fields, SecretsAreNeverShown) {
  EXPECT_EQ(error_of(R"("token":123)"), "/token: expected a string, got another type");
  EXPECT_EQ(error_of(R"("token":"hunter2")"), "/token: expected at most 4 characters, got 7");
  Request request;
  request.token = "abcd";
  EXPECT_EQ(encode(request, {.redact_secrets = true}).at("token"), "***");
  EXPECT_EQ(encode(request).at("token"), "abcd");
  request.token.clear();
  EXPECT_EQ(encode(request, {.redact_secrets = true}).at("token"), "");
}

TEST(Fields, EncodeLeavesOutWhatIsUnsetAndRoundTrips) {
  EXPECT_EQ(write(encode(Item{"a", {}})), R"({"name":"a"})");
  const std::string text =
      R"({"model":"m","temperature":0.5,"max_tokens":7,"stream":true,"port":1,"small":-3,"seed":18446744073709551615,)"
      R"("share":0.25,"stop":"x","response_format":[1],"metadata":{},"mode":"fast","items":[{"name":"a","weight":1.0}],)"
      R"("models":{"k":{"name":"b"}},"hosts":[],"keep_alive":-1,"timeout":"1m30s","memory":"1KiB","token":"","nested":{"name":"n"}})";
  const auto request = read(text);
  ASSERT_TRUE(request) << to_string(request.error());
  EXPECT_EQ(write(encode(*request)), text);
  const object defaults = encode(Request{});
  EXPECT_FALSE(defaults.contains("temperature"));
  EXPECT_FALSE(defaults.contains("stop"));
  EXPECT_FALSE(defaults.contains("response_format"));
  EXPECT_EQ(defaults.at("keep_alive"), "5m");
}

TEST(Fields, SchemaIsJsonSchema) {
  EXPECT_EQ(
      write(schema<Item>()),
      R"({"type":"object","properties":{"name":{"type":"string","minLength":1,"maxLength":8,"description":"Its name."},)"
      R"("weight":{"type":"number","exclusiveMinimum":0,"description":"In kilograms."}},"required":["name"],)"
      R"("additionalProperties":false})");
  const object all = schema<Request>({.closed = false});
  EXPECT_FALSE(all.contains("additionalProperties"));
  const object& properties = all.at("properties").as_object();
  EXPECT_EQ(write(properties.at("port")), R"({"type":"integer","minimum":1,"maximum":65535,"default":80})");
  EXPECT_EQ(write(properties.at("mode")), R"({"type":"string","enum":["auto","fast"],"default":"auto"})");
  EXPECT_EQ(
      write(properties.at("stop")),
      R"({"anyOf":[{"type":"string","minLength":1},{"type":"array","items":{"type":"string","minLength":1},"maxItems":2}]})");
  EXPECT_EQ(write(properties.at("seed")), R"({"type":"integer","minimum":0,"default":0})");
  EXPECT_EQ(write(properties.at("models").at("additionalProperties").at("required")), R"(["name"])");
  EXPECT_EQ(properties.at("keep_alive").at("default"), "5m");
  EXPECT_EQ(write(properties.at("response_format")), "{}");
}

TEST(Fields, ReferenceListsEveryPath) {
  const auto rows = reference<Request>();
  const auto row = [&rows](std::string_view path) {
    for (const auto& entry : rows) {
      if (entry.path == path) return entry;
    }
    ADD_FAILURE() << "no row " << path;
    return ReferenceRow{};
  };
  EXPECT_EQ(row("temperature").bounds, "0..2");
  EXPECT_EQ(row("temperature").default_text, "");
  EXPECT_EQ(row("mode").type, "auto|fast");
  EXPECT_EQ(row("mode").default_text, "auto");
  EXPECT_TRUE(row("mode").reloadable);
  EXPECT_TRUE(row("token").secret);
  EXPECT_EQ(row("timeout").bounds, ">= 1s");
  EXPECT_EQ(row("memory").default_text, "512MiB");
  EXPECT_EQ(row("models").type, "map of name to object");
  EXPECT_TRUE(row("models").group);
  EXPECT_EQ(row("models.<name>.weight").bounds, "> 0");
  EXPECT_EQ(row("items.<index>.name").bounds, "1..8 characters");
  EXPECT_TRUE(row("nested.name").required);
}

TEST(Fields, TypesAreFoundByPath) {
  const TableBase& table = Fields<Request>::table();
  const auto kind = [&table](std::vector<std::string> path) {
    const Type* type = find_type(table, path);
    return type == nullptr ? std::optional<Kind>() : type->kind();
  };
  EXPECT_EQ(kind({"models", "any", "weight"}), Kind::kNumber);
  EXPECT_EQ(kind({"models", "any"}), Kind::kStruct);
  EXPECT_EQ(kind({"items", "0", "name"}), Kind::kString);
  EXPECT_EQ(kind({"nothing"}), std::nullopt);
  EXPECT_EQ(kind({"port", "x"}), std::nullopt);
}

TEST(Fields, EnumNamesGoBothWays) {
  EXPECT_EQ(enum_name(Mode::kFast), "fast");
  EXPECT_EQ(enum_value<Mode>("auto"), Mode::kAuto);
  EXPECT_EQ(enum_value<Mode>("x"), std::nullopt);
}

}  // namespace
}  // namespace llm::json
