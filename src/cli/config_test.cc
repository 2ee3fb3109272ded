#include "cli/config.h"

#include <cstdlib>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <ranges>
#include <sys/stat.h>

#include "cli/yaml.h"

namespace llm::cli {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class Config : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "config_test.XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    root_ = name;
  }
  void TearDown() override { fs::remove_all(root_); }

  fs::path file_ = "llm-mcp.yaml";
  fs::path root_;

  fs::path write(std::string_view text) {
    const fs::path path = root_ / file_;
    std::ofstream(path, std::ios::binary) << text;
    ::chmod(path.c_str(), 0600);
    return path;
  }
  Result<LoadedConfig> load(std::string_view yaml, std::map<std::string, std::string> environment = {},
                            std::vector<Flag> flags = {}) {
    return load_config({write(yaml), std::move(environment), std::move(flags)});
  }
  // The message of the error, with the path of the file cut to its name.
  std::string error_of(std::string_view yaml, std::map<std::string, std::string> environment = {},
                       std::vector<Flag> flags = {}) {
    const auto loaded = load(yaml, std::move(environment), std::move(flags));
    if (loaded) return "accepted";
    std::string message = loaded.error().message;
    const std::string prefix = root_.string() + "/";
    if (const auto at = message.find(prefix); at != std::string::npos) message.erase(at, prefix.size());
    return message;
  }
};

TEST_F(Config, WithoutAnySourceDefaultsHold) {
  const auto config = load_config({});
  ASSERT_TRUE(config) << to_string(config.error());
  const Settings& settings = config->settings;
  EXPECT_EQ(settings.server.host, "127.0.0.1");
  EXPECT_EQ(settings.server.port, 10833);
  EXPECT_TRUE(settings.server.idle_exit.never());
  EXPECT_EQ(settings.server.limits.max_body_bytes.bytes, 32U << 20);
  EXPECT_EQ(settings.models.keep_alive.ms, 300'000);
  EXPECT_EQ(settings.models.hub_endpoint, "https://huggingface.co");
  EXPECT_EQ(settings.engines.max_restarts, 5U);
  EXPECT_EQ(settings.mcp.progress_interval.ms, 250);
  EXPECT_EQ(settings.observe.log_level, observe::LogLevel::kInfo);
  EXPECT_EQ(config->source_of("/server/port"), "");
}

TEST_F(Config, LaterSourcesWin) {
  const auto config =
      load("server:\n  port: 1\n  host: ::1\nobserve: {log_level: debug}\n",
           {{"LLM_MCP_SERVER__PORT", "2"}, {"LLM_MCP_SERVER__IO_THREADS", "3"}, {"LLM_MCP_OBSERVE__METRICS", "false"}},
           {{"--io-threads", "server.io_threads", "4"}});
  ASSERT_TRUE(config) << to_string(config.error());
  EXPECT_EQ(config->settings.server.port, 2);
  EXPECT_EQ(config->settings.server.host, "::1");
  EXPECT_EQ(config->settings.server.io_threads, 4U);
  EXPECT_FALSE(config->settings.observe.metrics);
  EXPECT_EQ(config->settings.observe.log_level, observe::LogLevel::kDebug);
  EXPECT_EQ(config->source_of("/server/port"), "environment variable LLM_MCP_SERVER__PORT");
  EXPECT_EQ(config->source_of("/server/io_threads"), "--io-threads");
  EXPECT_THAT(config->source_of("/server/host"), HasSubstr("llm-mcp.yaml:3:3"));
  EXPECT_EQ(config->source_of("/server/drain_timeout"), "");
}

TEST_F(Config, EmptyFilesAndEmptySectionsAreFine) {
  EXPECT_EQ(error_of(""), "accepted");
  EXPECT_EQ(error_of("# nothing\n"), "accepted");
  EXPECT_EQ(error_of("server:\n  limits:\nmodels:\n  settings:\n    a:\n"), "accepted");
}

TEST_F(Config, FileErrorsNameLineAndColumn) {
  EXPECT_EQ(error_of("models:\n  default: a\nserver:\n    prot: 1\n"),
            R"(llm-mcp.yaml:4:5: server.prot: unknown key "prot"; did you mean "port"?)");
  EXPECT_EQ(error_of("sever:\n  port: 1\n"), R"(llm-mcp.yaml:1:1: sever: unknown key "sever"; did you mean "server"?)");
  EXPECT_EQ(error_of("server:\n  port: 65536\n"),
            "llm-mcp.yaml:2:3: server.port: expected an integer between 0 and 65535, got 65536");
  EXPECT_EQ(error_of("server:\n  port: \"80\"\n"),
            "llm-mcp.yaml:2:3: server.port: expected an integer between 0 and 65535, got a string");
  EXPECT_EQ(error_of("server: 5\n"), "llm-mcp.yaml:1:1: server: expected an object, got 5");
  EXPECT_EQ(error_of("server: 5\n", {{"LLM_MCP_SERVER__PORT", "1"}}),
            "llm-mcp.yaml:1:1: server: expected an object, got 5");
  EXPECT_EQ(error_of("models:\n  settings:\n    qwen2.5:\n      parallel: 65\n"),
            "llm-mcp.yaml:4:7: models.settings.\"qwen2.5\".parallel: expected an integer between 1 and 64, got 65");
  EXPECT_EQ(error_of("server:\n  allowed_hosts: [a, 5]\n"),
            "llm-mcp.yaml:2:22: server.allowed_hosts.1: expected a string, got 5");
  EXPECT_EQ(error_of("engines:\n  external:\n    gpu:\n      models: []\n"),
            R"(llm-mcp.yaml:3:5: engines.external.gpu.base_url: missing required key "base_url")");
  EXPECT_EQ(error_of("- a\n"), "llm-mcp.yaml:1:1: expected sections such as \"server:\", got something else");
  EXPECT_THAT(error_of("server:\n  port: [1\n"), HasSubstr("llm-mcp.yaml:"));
  EXPECT_EQ(error_of("server:\n  port: 1\n  port: 2\n"), "llm-mcp.yaml:3:3: the key \"port\" is here twice");
}

TEST_F(Config, EnvironmentAndFlagErrorsNameTheirSource) {
  EXPECT_EQ(error_of("", {{"LLM_MCP_SERVER__PORT", "70000"}}),
            "environment variable LLM_MCP_SERVER__PORT: expected an integer between 0 and 65535, got 70000");
  EXPECT_EQ(error_of("", {{"LLM_MCP_SERVER__PROT", "1"}}),
            R"(environment variable LLM_MCP_SERVER__PROT: unknown key "prot"; did you mean "port"?)");
  EXPECT_EQ(error_of("", {{"LLM_MCP_MODELS__SETTINGS", "{a: {parallel: 0}}"}}),
            "environment variable LLM_MCP_MODELS__SETTINGS: models.settings.a.parallel: expected an integer between 1 "
            "and 64, got 0");
  EXPECT_EQ(
      error_of("", {{"LLM_MCP_SERVER__PORT__X", "1"}}),
      "environment variable LLM_MCP_SERVER__PORT__X: server.port: expected an integer between 0 and 65535, got an "
      "object");
  EXPECT_THAT(error_of("", {{"LLM_MCP_SERVER__PORT", "[1"}}), HasSubstr("environment variable LLM_MCP_SERVER__PORT: "));
  EXPECT_EQ(error_of("server: {port: 1}", {}, {{"--port", "server.port", "x"}}),
            "--port: expected an integer between 0 and 65535, got a string");
  EXPECT_EQ(error_of("", {}, {{"--set", "server..port", "1"}}),
            "--set: \"server..port\" is not a setting such as server.port");
}

TEST_F(Config, EnvironmentValuesFollowTheTypeOfTheSetting) {
  const auto config = load("models:\n  settings:\n    Qwen2.5-7B: {parallel: 2}\n",
                           {{"LLM_MCP_MODELS__HUB_TOKEN", "123456"},
                            {"LLM_MCP_MODELS__DEFAULT", "true"},
                            {"LLM_MCP_MODELS__KEEP_ALIVE", "-1"},
                            {"LLM_MCP_SERVER__ALLOWED_HOSTS", "a.example, b.example"},
                            {"LLM_MCP_SERVER__ALLOWED_ORIGINS", "[\"https://c.example\"]"},
                            {"LLM_MCP_SERVER__LIMITS__MAX_BODY_BYTES", "1MiB"},
                            {"LLM_MCP_MODELS__SETTINGS__QWEN2_5_7B__CONTEXT", "4096"},
                            {"LLM_MCP_MODELS__SETTINGS__OTHER__MODE", "embedding"},
                            {"LLM_MCP_CONFIG", "/x"},
                            {"LLM_MCP_JOBS", "2"},
                            {"LLM_MCP_NOWHERE__AT_ALL", "2"},
                            {"LLM_MCP_SERVR__PORT", "2"},
                            {"PATH", "/bin"}});
  ASSERT_TRUE(config) << to_string(config.error());
  const Settings& settings = config->settings;
  EXPECT_EQ(settings.models.hub_token, "123456");
  EXPECT_EQ(settings.models.default_model, "true");
  EXPECT_TRUE(settings.models.keep_alive.never());
  EXPECT_THAT(settings.server.allowed_hosts, ElementsAre("a.example", "b.example"));
  EXPECT_THAT(settings.server.allowed_origins, ElementsAre("https://c.example"));
  EXPECT_EQ(settings.server.limits.max_body_bytes.bytes, 1U << 20);
  ASSERT_TRUE(settings.models.settings.contains("Qwen2.5-7B"));
  EXPECT_EQ(settings.models.settings.at("Qwen2.5-7B").context, 4096U);
  EXPECT_EQ(settings.models.settings.at("Qwen2.5-7B").parallel, 2U);
  EXPECT_EQ(settings.models.settings.at("other").mode, engines::EngineMode::kEmbedding);
  EXPECT_THAT(config->warnings, ElementsAre(HasSubstr("LLM_MCP_SERVR__PORT is ignored")));
}

TEST_F(Config, ChecksAcrossFields) {
  EXPECT_EQ(error_of("engines:\n  external:\n    gpu: {base_url: \"ftp://x\"}\n"),
            "llm-mcp.yaml:3:11: engines.external.gpu.base_url: expected a URL such as \"http://127.0.0.1:8000/v1\" or "
            "\"unix:/run/engine.sock:/v1\"");
  EXPECT_EQ(
      error_of("engines: {external: {gpu: {base_url: \"http://x/v1\", api_key: a, api_key_env: B}}}\n"),
      "llm-mcp.yaml:1:65: engines.external.gpu.api_key_env: api_key and api_key_env are both set; keep one of them");
  EXPECT_EQ(error_of("models:\n  settings:\n    m:\n      engine: gpu\n"),
            "llm-mcp.yaml:4:7: models.settings.m.engine: there is no engine \"gpu\" in providers, engines.external "
            "or engines.vllm");
  EXPECT_EQ(error_of("models:\n  settings:\n    m:\n      ubatch: 4096\n"),
            "llm-mcp.yaml:4:7: models.settings.m.ubatch: expected at most batch (2048), got 4096");
  EXPECT_THAT(error_of("models:\n  settings:\n    m:\n      extra_args:\n        - --port\n"),
              HasSubstr("llm-mcp.yaml:5:11: models.settings.m.extra_args.0: "));
  EXPECT_THAT(error_of("server: {allowed_origins: [\"*\"]}"),
              HasSubstr("server.allowed_origins.0: expected an origin"));
  EXPECT_EQ(error_of("engines: {external: {gpu: {base_url: \"unix:/run/e.sock:/v1\"}}}\n"
                     "models: {settings: {m: {engine: gpu}}}\n"),
            "accepted");
}

TEST_F(Config, UnreadableFilesAreErrors) {
  const auto missing = load_config({root_ / "none.yaml", {}, {}});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(missing.error().message, HasSubstr("none.yaml"));
  EXPECT_FALSE(load_config({root_, {}, {}}));
  EXPECT_THAT(error_of(std::string((4U << 20) + 1, '#')), HasSubstr("a configuration may have 4.0 MiB"));
}

TEST_F(Config, AFileWithSecretsThatOthersCanReadIsWarnedAbout) {
  const fs::path path = write("models:\n  hub_token: hunter2\n");
  EXPECT_TRUE(load_config({path, {}, {}})->warnings.empty());
  ::chmod(path.c_str(), 0644);
  const auto config = load_config({path, {}, {}});
  ASSERT_TRUE(config);
  EXPECT_THAT(config->warnings, ElementsAre(HasSubstr("holds models.hub_token and other users can read it")));
}

TEST_F(Config, ShowRedactsSecretsAndNamesSources) {
  const auto config = load(
      "models:\n  hub_token: hunter2\n  settings:\n    \"a:b\": {context: 4096}\n"
      "engines: {external: {gpu: {base_url: \"http://x/v1\", api_key: swordfish}}}\n",
      {{"LLM_MCP_SERVER__PORT", "80"}}, {{"--level", "observe.log_level", "warn"}});
  ASSERT_TRUE(config) << to_string(config.error());
  const std::string text = config_show(*config);
  EXPECT_THAT(text, HasSubstr("\n  port: 80  # environment variable LLM_MCP_SERVER__PORT\n"));
  EXPECT_THAT(text, HasSubstr("\n  log_level: warn  # --level\n"));
  EXPECT_THAT(text, HasSubstr("\n  host: 127.0.0.1\n"));
  EXPECT_THAT(text, HasSubstr("\n    \"a:b\":\n      context: 4096  # "));
  EXPECT_THAT(text, HasSubstr("hub_token: \"***\"  # "));
  EXPECT_THAT(text, Not(HasSubstr("hunter2")));
  EXPECT_THAT(text, Not(HasSubstr("swordfish")));
  // What is shown is itself a configuration with the same meaning.
  const auto again = load(text);
  ASSERT_TRUE(again) << to_string(again.error()) << text;
  EXPECT_EQ(json::encode(again->settings, {.redact_secrets = true}),
            json::encode(config->settings, {.redact_secrets = true}));
}

TEST_F(Config, TheReferenceIsAConfigurationThatSetsNothing) {
  const std::string text = config_reference();
  const auto loaded = load(text);
  ASSERT_TRUE(loaded) << to_string(loaded.error()) << text;
  EXPECT_EQ(json::encode(loaded->settings), json::encode(Settings{}));
  EXPECT_THAT(text, HasSubstr("\nserver:\n"));
  EXPECT_THAT(text, HasSubstr("\n  # (integer; 0..65535)\n  #port: 10833\n"));
  EXPECT_THAT(text, HasSubstr("\n  #idle_exit: -1\n"));
  EXPECT_THAT(text, HasSubstr("\n  #settings:\n  #  <name>:\n"));
  EXPECT_THAT(text, HasSubstr("\n  #    parallel: 4\n"));
  for (const auto& row : json::reference<Settings>()) {
    EXPECT_FALSE(row.description.empty()) << row.path;
    EXPECT_THAT(text, HasSubstr(row.path.substr(row.path.rfind('.') + 1) + ":")) << row.path;
  }
}

TEST_F(Config, TheReferenceHoldsWithItsExamplesSwitchedOn) {
  std::string text;
  for (std::string line; const auto part : std::views::split(config_reference(), '\n')) {
    line.assign(part.begin(), part.end());
    const auto hash = line.find('#');
    const bool prose = hash == std::string::npos || line.find("# ", hash) != std::string::npos;
    const bool map =
        line.find("  #  ") != std::string::npos || line.ends_with("settings:") || line.ends_with("external:");
    if (!prose && !map) line.erase(hash, 1);
    text += line + "\n";
  }
  const auto loaded = load(text);
  ASSERT_TRUE(loaded) << to_string(loaded.error()) << text;
  EXPECT_EQ(json::encode(loaded->settings), json::encode(Settings{}));
}

TEST_F(Config, SchemaDescribesEverySection) {
  const json::object schema = config_schema();
  EXPECT_EQ(schema.at("$schema"), "https://json-schema.org/draft/2020-12/schema");
  const json::object& properties = schema.at("properties").as_object();
  for (const char* section : {"server", "models", "engines", "inference", "mcp", "observe"}) {
    EXPECT_EQ(properties.at(section).at("additionalProperties"), false) << section;
  }
  EXPECT_EQ(properties.at("server").at("properties").at("port").at("maximum"), 65535);
}

TEST(ConfigPaths, DottedPathsAndPointers) {
  EXPECT_THAT(parse_dotted_path("models.settings.\"qwen2.5\".context").value(),
              ElementsAre("models", "settings", "qwen2.5", "context"));
  EXPECT_FALSE(parse_dotted_path(""));
  EXPECT_FALSE(parse_dotted_path("a."));
  EXPECT_FALSE(parse_dotted_path("a.\"b"));
  EXPECT_THAT(pointer_tokens("/a/b~1c~0d/"), ElementsAre("a", "b/c~d", ""));
  EXPECT_EQ(dotted_path("/a/b~1c/d.e"), "a.b/c.\"d.e\"");
  EXPECT_EQ(dotted_path(""), "");
}

TEST_F(Config, TheDefaultFile) {
  std::map<std::string, std::string> variables{{"HOME", root_.string()}};
  const EnvLookup env = [&variables](const std::string& name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  };
  EXPECT_EQ(default_config_file(env), std::nullopt);
  fs::create_directories(root_ / ".config/llm-mcp");
  std::ofstream(root_ / ".config/llm-mcp/llm-mcp.yaml") << "\n";
  EXPECT_EQ(default_config_file(env), root_ / ".config/llm-mcp/llm-mcp.yaml");
  variables["LLM_MCP_CONFIG"] = "~/other.yaml";
  EXPECT_EQ(default_config_file(env), root_ / "other.yaml");
}

std::string yaml_error(std::string_view text) {
  const auto parsed = parse_yaml(text);
  if (parsed) return "accepted: " + json::write(parsed->value);
  EXPECT_EQ(parsed.error().code, ErrorCode::kMalformed);
  const auto detail = [&](std::size_t i) { return std::get<std::int64_t>(parsed.error().details.at(i).value); };
  return std::to_string(detail(0)) + ":" + std::to_string(detail(1)) + ": " + parsed.error().message;
}

TEST(Yaml, ScalarsFollowTheCoreSchema) {
  const auto parsed = parse_yaml(
      "[null, ~, , true, False, yes, on, 12, +12, -7, 0x1F, 0o17, 007, 1.5, -.5, 2., 1e3, 1_000, 0b1, 1.2.3, \"12\", "
      "'true',"
      " !!str 12, 18446744073709551615, plain text, 12:30, '']");
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(
      json::write(parsed->value),
      R"([null,null,null,true,false,"yes","on",12,12,-7,31,15,7,1.5,-0.5,2.0,1000.0,"1_000","0b1","1.2.3","12","true",)"
      R"("12",18446744073709551615,"plain text","12:30",""])");
}

TEST(Yaml, PlacesOfKeysAndItems) {
  const auto parsed = parse_yaml("a:\n  b: 1\n  c/d:\n    - x\n    - {e: 2}\n");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(json::write(parsed->value), R"({"a":{"b":1,"c/d":["x",{"e":2}]}})");
  EXPECT_EQ(parsed->positions.at("/a"), (Position{1, 1}));
  EXPECT_EQ(parsed->positions.at("/a/b"), (Position{2, 3}));
  EXPECT_EQ(parsed->positions.at("/a/c~1d"), (Position{3, 3}));
  EXPECT_EQ(parsed->positions.at("/a/c~1d/1"), (Position{5, 7}));
  EXPECT_EQ(parsed->positions.at("/a/c~1d/1/e"), (Position{5, 8}));
}

TEST(Yaml, BlockScalarsAndAliases) {
  EXPECT_EQ(json::write(parse_yaml("a: |\n  x\n  y\nb: >-\n  x\n  y\n")->value), R"({"a":"x\ny\n","b":"x y"})");
  EXPECT_EQ(json::write(parse_yaml("a: &x {k: [1]}\nb: *x\n")->value), R"({"a":{"k":[1]},"b":{"k":[1]}})");
  EXPECT_TRUE(parse_yaml("")->value.is_null());
  EXPECT_TRUE(parse_yaml("\xEF\xBB\xBF"
                         "a: 1\n")
                  ->value.is_object());
}

TEST(Yaml, ErrorsNameLineAndColumn) {
  EXPECT_EQ(yaml_error("a: 1\nb: 2\na: 3\n"), "3:1: the key \"a\" is here twice");
  EXPECT_EQ(yaml_error("a:\n  1: x\n"), "2:3: a key must be a string; put it in quotes");
  EXPECT_EQ(yaml_error("true: x\n"), "1:1: a key must be a string; put it in quotes");
  EXPECT_EQ(yaml_error("? [a]\n: x\n"), "1:3: a key must be a string, not a list or a map");
  EXPECT_EQ(yaml_error("a: &x\n  b: *x\n"), "2:6: an alias inside its own anchor");
  EXPECT_EQ(yaml_error("a: &x 1\n*x : 2\n"), "2:1: a key must be a string, not an alias");
  EXPECT_EQ(yaml_error("a: {b: 1}\nc:\n  <<: {b: 1}\n"), "3:3: merge keys (<<) are not supported; repeat the settings");
  EXPECT_EQ(yaml_error("a: 1\n---\nb: 2\n"), "2:1: a second document begins here; there may be only one");
  EXPECT_EQ(yaml_error("a: .inf\n"), "1:4: .inf is not a number that settings can hold");
  EXPECT_EQ(yaml_error("a: !secret x\n"), "1:4: the tag !secret does not fit here");
  EXPECT_EQ(yaml_error("a: !!int x\n"), "1:4: the tag tag:yaml.org,2002:int does not fit here");
  EXPECT_EQ(yaml_error("a: 1\nb: \xFF\n"), "2:1: this line is not UTF-8");
  EXPECT_EQ(yaml_error(std::string_view("a: 1\nb: \0x\n", 11)), "2:1: this line holds the control character U+0000");
  EXPECT_THAT(yaml_error("a: *nowhere\n"), HasSubstr("1:"));
  EXPECT_THAT(yaml_error("a: [1, 2\nb: 3\n"), Not(HasSubstr("accepted")));
  EXPECT_THAT(yaml_error("a:\n\t- b\n"), Not(HasSubstr("accepted")));
  EXPECT_THAT(yaml_error(std::string(65, '[') + std::string(65, ']')), HasSubstr("nested deeper than 64 levels"));
  EXPECT_THAT(yaml_error(std::string(100'000, '[')), Not(HasSubstr("accepted")));
}

TEST(Yaml, AliasesCannotBlowUpTheDocument) {
  std::string text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    const std::string before = "*a" + std::to_string(i - 1);
    text += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + before;
    for (int k = 0; k < 8; ++k) text += ", " + before;
    text += "]\n";
  }
  EXPECT_THAT(yaml_error(text), HasSubstr("aliases make more than 100000 values"));
}

TEST(Yaml, ScalarsAreWrittenSoThatTheyReadBack) {
  for (const std::string text :
       {"plain",     "",     "true", "null", "12", "1.5",  "a: b",        "-",  "- a", "#x", "é",  "a\nb",
        "127.0.0.1", "0x1F", "~",    "***",  "{}", ".inf", "https://x/y", "..", "a#b", " a", "yes"}) {
    const auto parsed = parse_yaml("k: " + yaml_scalar(json::value(text)) + "\n");
    ASSERT_TRUE(parsed) << text;
    EXPECT_EQ(parsed->value.at("k"), json::value(text)) << text;
  }
  EXPECT_EQ(yaml_scalar(json::value("127.0.0.1")), "127.0.0.1");
  EXPECT_EQ(yaml_scalar(json::value(1.5)), "1.5");
}

}  // namespace
}  // namespace llm::cli
