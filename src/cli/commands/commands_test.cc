#include "cli/commands/commands.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/strings.h"
#include "cli/commands/chat_session.h"
#include "cli/commands/exit_status.h"
#include "cli/commands/format.h"
#include "cli/commands/gateway_probe.h"
#include "cli/commands/line_reader.h"
#include "models/store.h"
#include "net/address.h"

namespace llm::cli {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

TEST(ExitStatus, OfErrors) {
  EXPECT_EQ(exit_status(ErrorCode::kInvalidArgument), 2);
  EXPECT_EQ(exit_status(ErrorCode::kNotFound), 3);
  EXPECT_EQ(exit_status(ErrorCode::kUnavailable), 4);
  EXPECT_EQ(exit_status(ErrorCode::kEngineFailed), 4);
  EXPECT_EQ(exit_status(ErrorCode::kCancelled), 130);
  EXPECT_EQ(exit_status(ErrorCode::kDiskFull), 1);
}

TEST(Format, Values) {
  EXPECT_EQ(count_text(0), "");
  EXPECT_EQ(count_text(812), "812");
  EXPECT_EQ(count_text(134'515'008), "134.5M");
  EXPECT_EQ(count_text(7'200'000'000), "7.2B");
  EXPECT_EQ(seconds_text(-1), "never");
  EXPECT_EQ(seconds_text(1.25), "1.2 s");
  EXPECT_EQ(seconds_text(90), format_duration_ms(90'000));
  const json::object object{{"n", 5}, {"list", {"a", 3, "b\x1b"}}, {"text", "x\x07"}};
  EXPECT_EQ(number_text(object, "n"), "5");
  EXPECT_EQ(number_text(object, "none"), "");
  EXPECT_EQ(list_text(object, "list"), "a, b");
  EXPECT_EQ(text_of(object, "text"), "x");
}

TEST(Format, Times) {
  constexpr std::int64_t kDay = 86'400'000;
  EXPECT_EQ(when_text(1000 + 3 * kDay, 1000), "in 3 days");
  EXPECT_EQ(when_text(1000 + kDay, 1000), "in 1 day");
  EXPECT_EQ(when_text(1000 + kDay - 1, 1000), "in 23 hours");
  EXPECT_EQ(when_text(kDay, kDay + 7'200'000), "2 hours ago");
  EXPECT_EQ(when_text(kDay, kDay + 60'000), "1 minute ago");
  EXPECT_EQ(when_text(kDay, kDay + 999), "now");
  const json::object object{{"at", "1970-01-02T00:00:00Z"}, {"odd", "soon\x1b"}};
  EXPECT_EQ(when_text(object, "at", 0), "in 1 day");
  EXPECT_EQ(when_text(object, "odd", 0), "soon");
  EXPECT_EQ(when_text(object, "none", 0), "");
}

TEST(PromptText, JoinsWordsAndStandardInput) {
  const auto input = [] { return Result<std::string>("from\ninput\n"); };
  EXPECT_EQ(prompt_text({"a", "b"}, input), "a b");
  EXPECT_EQ(prompt_text({"-"}, input), "from\ninput\n");
  EXPECT_EQ(prompt_text({"Sum up:", "-"}, input), "Sum up: \nfrom\ninput\n");
  EXPECT_EQ(prompt_text({}, input), "");
  EXPECT_FALSE(prompt_text({"-"}, [] { return Result<std::string>(fail(ErrorCode::kIo, "no")); }));
}

TEST(Conversation, KeepsWhatWasSaid) {
  ChatArguments arguments{.model = "m", .prompt = {}, .system = "be brief"};
  arguments.max_tokens = 3;
  Conversation conversation(arguments);
  conversation.ask("hi");
  conversation.answer("hello");
  conversation.ask("lost");
  conversation.answer("");  // failed before its first piece
  conversation.ask("bye");
  EXPECT_EQ(json::write(conversation.request()),
            R"({"model":"m","messages":[{"role":"system","content":"be brief"},{"role":"user","content":"hi"},)"
            R"({"role":"assistant","content":"hello"},{"role":"user","content":"bye"}],"max_tokens":3})");
  conversation.clear();
  EXPECT_EQ(conversation.size(), 1U);
}

TEST(Conversation, RawSendsThePromptAlone) {
  const ChatArguments arguments{.model = "m", .prompt = {}, .system = {}, .raw = true};
  Conversation conversation(arguments);
  conversation.ask("Once");
  conversation.answer("upon");
  conversation.ask("Twice");
  EXPECT_EQ(json::write(conversation.request()), R"({"model":"m","prompt":"Twice"})");
}

struct Captured {
  std::string out;
  std::string err;
  TerminalSettings settings;
  Terminal terminal() {
    return Terminal(
        settings, [this](std::string_view text) { out += text; }, [this](std::string_view text) { err += text; });
  }
};

TEST(AnswerPrinter, StreamsTextAndEndsTheLine) {
  Captured captured;
  captured.settings.out_is_terminal = true;
  Terminal terminal = captured.terminal();
  AnswerPrinter printer(terminal, "m");
  EXPECT_TRUE(printer.event({{"status", "loading"}, {"phase", "weights"}, {"progress", 0.5}}));
  EXPECT_TRUE(printer.event({{"text", "a\x1b[2J"}, {"tokens", 1}}));
  EXPECT_TRUE(printer.event({{"text", "b"}, {"tokens", 2}}));
  const json::object answer{{"finish_reason", "length"}};
  printer.finish(&answer);
  EXPECT_EQ(captured.out, "a[2Jb\n");
  EXPECT_THAT(captured.err, HasSubstr("loading m: weights 50%"));
  EXPECT_THAT(captured.err, HasSubstr("was cut"));
  EXPECT_EQ(printer.text(), "a\x1b[2Jb");
}

TEST(AnswerPrinter, JsonIsOneEventALine) {
  Captured captured;
  captured.settings.json = true;
  captured.settings.quiet = true;
  Terminal terminal = captured.terminal();
  AnswerPrinter printer(terminal, "m");
  EXPECT_TRUE(printer.event({{"text", "a"}, {"tokens", 1}}));
  const json::object answer{{"text", "a"}};
  printer.finish(&answer);
  EXPECT_EQ(captured.out, "{\"text\":\"a\",\"tokens\":1}\n{\"text\":\"a\",\"done\":true}\n");
}

TEST(LineReader, LinesEndsAndInterrupts) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ASSERT_EQ(::write(ends[1], "one\r\ntwo\nrest", 13), 13);
  Interrupt interrupt;
  LineReader lines(ends[0]);
  EXPECT_EQ((*lines.next(interrupt)).value(), "one");
  EXPECT_EQ((*lines.next(interrupt)).value(), "two");
  ::raise(SIGINT);
  const auto interrupted = lines.next(interrupt);
  ASSERT_FALSE(interrupted);
  EXPECT_EQ(interrupted.error().code, ErrorCode::kCancelled);
  interrupt.consume();
  EXPECT_FALSE(interrupt.pending());
  ASSERT_EQ(::write(ends[1], "last", 4), 4);
  ::close(ends[1]);
  EXPECT_EQ((*lines.next(interrupt)).value(), "last");
  EXPECT_FALSE((*lines.next(interrupt)).has_value());
  ::close(ends[0]);
}

TEST(ReadToEnd, HasALimit) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ASSERT_EQ(::write(ends[1], "12345", 5), 5);
  ::close(ends[1]);
  const auto text = read_to_end(ends[0], 4);
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().code, ErrorCode::kPayloadTooLarge);
  ::close(ends[0]);
}

// Commands that need no gateway, in a home of their own.
class Commands : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "commands.XXXXXX").string();
    ASSERT_TRUE(::mkdtemp(pattern.data()));
    dir_ = pattern;
    env_ = [home = dir_](const std::string& name) -> std::optional<std::string> {
      if (name == "HOME") return home.string();
      if (name == "XDG_RUNTIME_DIR") return (home / "run").string();
      return std::nullopt;
    };
  }
  void TearDown() override { fs::remove_all(dir_); }

  // The exit status as the program would give it.
  template <class T>
  int run(const T& arguments) {
    captured_.out.clear();
    captured_.err.clear();
    Terminal terminal = captured_.terminal();
    CommandContext context{terminal, global_, env_, ::getuid()};
    const auto status = run_command(context, arguments);
    if (status) return *status;
    captured_.err += status.error().message;
    return exit_status(status.error().code);
  }

  // A model whose blob is not real: enough for what only reads manifests.
  void add_model(const std::string& name) {
    const fs::path root = dir_ / ".local/share/llm-mcp/models";
    ASSERT_TRUE(models::ModelStore::open({.root = root}));
    models::Manifest manifest;
    manifest.name = {name, "latest"};
    manifest.digest = models::sha256_of(name);
    manifest.size = 5;
    fs::create_directories(root / "manifests" / name);
    std::ofstream(root / "manifests" / name / "latest.json") << json::write(models::to_json(manifest));
    std::ofstream(root / "blobs" / manifest.digest.file_name()) << "12345";
  }

  fs::path dir_;
  EnvLookup env_;
  GlobalArguments global_;
  Captured captured_;
};

TEST_F(Commands, ListShowAliasAndRemove) {
  EXPECT_EQ(run(ListArguments{}), 0);
  EXPECT_THAT(captured_.err, HasSubstr("no models yet"));
  add_model("one");
  EXPECT_EQ(run(AliasArguments{.name = "other", .models = {"one"}}), 0);
  EXPECT_EQ(run(ListArguments{}), 0);
  EXPECT_THAT(captured_.out, HasSubstr("one"));
  EXPECT_THAT(captured_.out, HasSubstr("other"));
  captured_.settings.quiet = true;
  EXPECT_EQ(run(ListArguments{}), 0);
  EXPECT_EQ(captured_.out, "one\nother\n");
  captured_.settings.quiet = false;
  captured_.settings.json = true;
  EXPECT_EQ(run(ShowArguments{"other"}), 0);
  EXPECT_THAT(captured_.out, HasSubstr("\"name\":\"one\""));
  EXPECT_EQ(run(RemoveArguments{.models = {"one"}}), 2) << "no terminal to ask on";
  EXPECT_EQ(run(RemoveArguments{.models = {"one"}, .yes = true}), 0);
  EXPECT_EQ(captured_.out, "{\"removed\":[\"one\"]}\n");
  EXPECT_EQ(run(ShowArguments{"one"}), 3);
}

TEST_F(Commands, ImportIfMissingDoesNotLookAtTheFile) {
  add_model("one");
  EXPECT_EQ(run(ImportArguments{.file = "/nowhere.gguf", .name = "one", .sha256 = "", .if_missing = true}), 0);
  EXPECT_THAT(captured_.out, HasSubstr("already there: one"));
  EXPECT_EQ(run(ImportArguments{.file = "/nowhere.gguf", .name = "two", .sha256 = "", .if_missing = true}), 3);
  EXPECT_EQ(run(ImportArguments{.file = "/nowhere.gguf", .name = "../x"}), 2);
  EXPECT_EQ(run(ImportArguments{.file = "/nowhere.gguf", .name = "x", .sha256 = "12"}), 2);
}

TEST_F(Commands, AliasArgumentsAreChecked) {
  EXPECT_EQ(run(AliasArguments{.name = "a"}), 2);
  EXPECT_EQ(run(AliasArguments{.name = "", .models = {}, .shadow = {}, .remove = true}), 2);
  EXPECT_EQ(run(AliasArguments{.name = "a", .models = {"m"}, .shadow = {}, .remove = true}), 2);
  EXPECT_EQ(run(AliasArguments{.name = "a", .models = {}, .shadow = {}, .remove = true}), 3);
  EXPECT_EQ(run(AliasArguments{.name = "rm", .models = {"a"}}), 3);
  EXPECT_EQ(run(AliasArguments{.name = "a", .models = {"none"}}), 3);
  EXPECT_EQ(run(AliasArguments{.name = "list", .models = {"x"}}), 2);
  EXPECT_EQ(run(AliasArguments{.name = "list", .models = {}, .shadow = {"x"}}), 2);
  add_model("one");
  for (const std::string wrong : {"one=", "one=x", "one=1x", "one=-1", "one=nan", "one=0"}) {
    EXPECT_EQ(run(AliasArguments{.name = "set", .models = {"a", wrong}}), 2) << wrong;
  }
  EXPECT_EQ(run(AliasArguments{.name = "set", .models = {"a", "one"}, .shadow = {"one=101%"}}), 2);
}

TEST_F(Commands, AliasesWithWeightsAndShadows) {
  add_model("one");
  add_model("two");
  EXPECT_EQ(run(AliasArguments{.name = "set", .models = {"prod", "one=95", "two=5"}, .shadow = {"two=10%"}}), 0);
  EXPECT_EQ(captured_.out, "prod is now one:latest 95%, two:latest 5%\n");
  EXPECT_EQ(run(AliasArguments{}), 0);
  EXPECT_THAT(captured_.out, HasSubstr("prod   one:latest 95%, two:latest 5%  two:latest 10%"));
  EXPECT_EQ(run(AliasArguments{.name = "list", .models = {}}), 0);
  captured_.settings.json = true;
  EXPECT_EQ(run(AliasArguments{.name = "list", .models = {}}), 0);
  EXPECT_THAT(captured_.out, HasSubstr(R"({"model":"two:latest","weight":0.1)"));
  captured_.settings.json = false;
  // Promotion leads an alias to a version, whatever the name stands for later; and back.
  EXPECT_EQ(run(PromoteArguments{.from = "two", .to = "prod"}), 0);
  EXPECT_THAT(captured_.out, HasSubstr("prod is now two:latest@sha256:"));
  EXPECT_EQ(run(RollbackArguments{.name = "prod"}), 0);
  EXPECT_THAT(captured_.out, HasSubstr("prod is now one:latest@sha256:"));
  EXPECT_EQ(run(RollbackArguments{.name = "prod"}), 1) << "nothing before";
  EXPECT_EQ(run(AliasArguments{.name = "rm", .models = {"prod"}}), 0);
  EXPECT_EQ(run(AliasArguments{}), 0);
  EXPECT_THAT(captured_.err, HasSubstr("There are no aliases"));
}

TEST_F(Commands, VersionsAndGarbage) {
  add_model("one");
  EXPECT_EQ(run(VersionsArguments{.model = "one"}), 0);
  EXPECT_THAT(captured_.out, HasSubstr("*  one:latest@sha256:"));
  EXPECT_EQ(run(VersionsArguments{.model = "none"}), 3);
  EXPECT_EQ(run(PromoteArguments{.from = "none"}), 3);
  EXPECT_EQ(run(RollbackArguments{.name = "one"}), 1);
  std::ofstream(dir_ / ".local/share/llm-mcp/models/blobs" / models::sha256_of("x").file_name()) << "garbage";
  EXPECT_EQ(run(GcArguments{.dry_run = true}), 0);
  EXPECT_THAT(captured_.out, HasSubstr("blob  sha256:"));
  EXPECT_THAT(captured_.err, HasSubstr("7 B would be free"));
  EXPECT_EQ(run(GcArguments{}), 0);
  EXPECT_THAT(captured_.err, HasSubstr("7 B are free"));
  EXPECT_EQ(run(GcArguments{}), 0);
  EXPECT_THAT(captured_.err, HasSubstr("Nothing to collect"));
}

TEST_F(Commands, BundlesAreFolders) {
  EXPECT_EQ(run(ExportArguments{.model = "none", .directory = (dir_ / "out").string()}), 3);
  fs::create_directory(dir_ / "empty");
  EXPECT_EQ(run(ImportArguments{.file = (dir_ / "empty").string(), .name = "", .sha256 = "", .move = true}), 2);
  EXPECT_NE(run(ImportArguments{.file = (dir_ / "empty").string()}), 0);
  EXPECT_THAT(captured_.err, HasSubstr("SHA256SUMS"));
}

TEST_F(Commands, WithoutAGateway) {
  EXPECT_EQ(run(EnginesArguments{}), 0);
  EXPECT_EQ(run(StatusArguments{}), 4);
  EXPECT_EQ(run(UnloadArguments{.model = "m"}), 4);
  EXPECT_EQ(run(StopArguments{}), 0);
  captured_.settings.json = true;
  EXPECT_EQ(run(EnginesArguments{}), 0);
  EXPECT_EQ(captured_.out, "{\"engines\":[]}\n");
  EXPECT_EQ(run(StatusArguments{}), 4);
  EXPECT_EQ(captured_.out, "{\"status\":\"stopped\"}\n");
}

TEST_F(Commands, AWrongConfigurationIsAUsageError) {
  global_.config = (dir_ / "none.yaml").string();
  EXPECT_EQ(run(ListArguments{}), 2);
  std::ofstream(dir_ / "bad.yaml") << "server: {prot: 1}\n";
  global_.config = (dir_ / "bad.yaml").string();
  EXPECT_EQ(run(ConfigArguments{"show"}), 2);
  EXPECT_THAT(captured_.err, HasSubstr("did you mean"));
}

TEST_F(Commands, ConfigPathAndShow) {
  captured_.settings.json = true;
  EXPECT_EQ(run(ConfigArguments{"path"}), 0);
  EXPECT_EQ(
      captured_.out,
      json::write(json::object{{"path", (dir_ / ".config/llm-mcp/llm-mcp.yaml").string()}, {"exists", false}}) + "\n");
  global_.settings.push_back({"--set server.port", "server.port", "4242"});
  EXPECT_EQ(run(ConfigArguments{"show"}), 0);
  EXPECT_THAT(captured_.out, HasSubstr("\"port\":4242"));
}

TEST_F(Commands, ChatArgumentsAreChecked) {
  captured_.settings.in_is_terminal = true;
  captured_.settings.json = true;
  EXPECT_EQ(run(ChatArguments{.model = "m"}), 2);
  captured_.settings.json = false;
  EXPECT_EQ(run(ChatArguments{.model = "m", .prompt = {"x"}, .system = "s", .raw = true}), 2);
  EXPECT_EQ(run(ChatArguments{.model = "m", .prompt = {" "}}), 2);
}

TEST_F(Commands, ProbeTellsWhoListens) {
  const fs::path socket = dir_ / "s.sock";
  EXPECT_FALSE(probe_gateway(socket).answers);
  auto fd = net::listen_unix(socket.string());
  ASSERT_TRUE(fd);
  const GatewayProbe probe = probe_gateway(socket);
  EXPECT_TRUE(probe.answers);
#ifdef SO_PEERCRED
  EXPECT_EQ(probe.pid, ::getpid());
#endif
  ::close(*fd);
  EXPECT_FALSE(probe_gateway(std::string(500, 'x')).answers);
}

}  // namespace
}  // namespace llm::cli
