#include "cli/terminal.h"

#include <gtest/gtest.h>

#include "cli/progress_bar.h"
#include "cli/text_table.h"

namespace llm::cli {
namespace {

struct Captured {
  std::string out;
  std::string err;

  Terminal terminal(TerminalSettings settings = {}) {
    return Terminal(
        settings, [this](std::string_view text) { out += text; }, [this](std::string_view text) { err += text; });
  }
};

TEST(Terminal, ColoursOnlyWhereAllowed) {
  Captured captured;
  Terminal plain = captured.terminal();
  EXPECT_EQ(plain.styled(Style::kRed, "x"), "x");
  TerminalSettings settings;
  settings.color_out = true;
  Terminal coloured = captured.terminal(settings);
  EXPECT_EQ(coloured.styled(Style::kRed, "x"), "\x1b[31mx\x1b[0m");
  EXPECT_EQ(coloured.styled(Style::kPlain, "x"), "x");
  EXPECT_EQ(coloured.styled_err(Style::kRed, "x"), "x");
}

TEST(Terminal, NoColorAndDumbTerminals) {
  const auto detect = [](std::map<std::string, std::string> variables) {
    return detect_terminal([variables](const std::string& name) -> std::optional<std::string> {
      const auto found = variables.find(name);
      return found == variables.end() ? std::nullopt : std::optional(found->second);
    });
  };
  EXPECT_FALSE(detect({{"TERM", "xterm"}, {"NO_COLOR", "1"}}).color_out);
  EXPECT_FALSE(detect({{"TERM", "dumb"}}).color_err);
  EXPECT_FALSE(detect({{"TERM", "dumb"}}).can_redraw);
  EXPECT_TRUE(detect({{"LANG", "de_DE.UTF-8"}}).utf8);
  EXPECT_FALSE(detect({{"LANG", "de_DE.UTF-8"}, {"LC_ALL", "C"}}).utf8);
}

TEST(Terminal, ErrorsAndNotes) {
  Captured captured;
  TerminalSettings settings;
  settings.quiet = true;
  Terminal terminal = captured.terminal(settings);
  terminal.note("not seen");
  terminal.error(Error{ErrorCode::kNotFound, "no such model", "/model", {}, 0});
  EXPECT_EQ(captured.err, "llm-mcp: no such model (at /model)\n");
  terminal.result({{"a", 1}});
  EXPECT_EQ(captured.out, "{\"a\":1}\n");
}

TEST(Printable, DropsWhatTakesOverATerminal) {
  EXPECT_EQ(printable("a\x1b[2Jb\r\n\tc\x7f"), "a[2Jb\n\tc");
  EXPECT_EQ(printable("x\xc2\x9by"), "xy");      // C1
  EXPECT_EQ(printable("x\xe2\x80\xaey"), "xy");  // right-to-left override
  EXPECT_EQ(printable("gr\xc3\xbc\xc3\x9f"), "gr\xc3\xbc\xc3\x9f");
}

TEST(DisplayWidth, CountsColumns) {
  EXPECT_EQ(display_width("abc"), 3U);
  EXPECT_EQ(display_width("grüß"), 4U);
  EXPECT_EQ(display_width("日本"), 4U);
  EXPECT_EQ(display_width("e\xcc\x81"), 1U);  // e and a combining acute accent
  EXPECT_EQ(display_width("🚀"), 2U);
  EXPECT_EQ(display_width("\x1b[31mred\x1b[0m"), 3U);
  EXPECT_EQ(display_width("\xff"), 1U);
}

TEST(Clip, CutsAtACharacter) {
  EXPECT_EQ(clip("hello", 5, false), "hello");
  EXPECT_EQ(clip("hello!", 5, false), "he...");
  EXPECT_EQ(clip("hello!", 5, true), "hell…");
  EXPECT_EQ(clip("日本語", 4, true), "日…");
  EXPECT_EQ(clip("abc", 0, true), "");
}

TEST(Wrap, BreaksAtSpacesAndIndents) {
  EXPECT_EQ(wrap("one two three", 9, 2), "  one two\n  three");
  EXPECT_EQ(wrap("a\n\nb", 9, 1), " a\n\n b");
  EXPECT_EQ(wrap("longerthanthewidth x", 6, 0), "longerthanthewidth\nx");
}

TEST(TextTable, AlignsByWidth) {
  Captured captured;
  TextTable table({{"NAME"}, {"SIZE", Align::kRight}, {"STATE"}});
  table.add({"日本", "9", "ready"});
  table.add({"a", "1000", ""});
  EXPECT_EQ(table.text(captured.terminal()),
            "NAME  SIZE  STATE\n"
            "日本     9  ready\n"
            "a     1000\n");
}

TEST(KeyValues, LeavesOutTheEmpty) {
  Captured captured;
  EXPECT_EQ(key_values({{"A", "1"}, {"Longer", "2"}, {"Much longer", ""}}, captured.terminal()),
            "A       1\nLonger  2\n");
}

ProgressView half() {
  return {.label = "pulling m",
          .phase = "downloading",
          .done = 50ULL << 20,
          .total = 100ULL << 20,
          .bytes = true,
          .bytes_per_second = static_cast<double>(10 << 20)};
}

TEST(RenderProgress, ShowsAllWhereThereIsRoom) {
  const std::string line = render_progress(half(), 120, false);
  EXPECT_EQ(line,
            "pulling m  downloading  [####################--------------------]   50%  50.0 MiB / 100.0 MiB  "
            "10.0 MiB/s  0:05 left");
}

TEST(RenderProgress, NeverExceedsTheWidth) {
  for (std::size_t width = 0; width < 130; ++width) {
    for (const bool utf8 : {false, true}) EXPECT_LE(display_width(render_progress(half(), width, utf8)), width);
  }
}

TEST(RenderProgress, UnknownTotalsHaveNoBar) {
  ProgressView view = half();
  view.total = 0;
  EXPECT_EQ(render_progress(view, 80, false), "pulling m  downloading  50.0 MiB  10.0 MiB/s");
}

class Bar : public ::testing::Test {
 protected:
  ProgressBar::Clock clock() {
    return [this] { return now_; };
  }
  Captured captured_;
  std::chrono::steady_clock::time_point now_{};
};

TEST_F(Bar, RedrawsOneLineOnATerminalAndClearsIt) {
  TerminalSettings settings;
  settings.can_redraw = true;
  Terminal terminal = captured_.terminal(settings);
  {
    ProgressBar bar(terminal, "loading m", clock());
    bar.fraction("weights", 0.1);
    now_ += std::chrono::milliseconds(50);
    bar.fraction("weights", 0.2);  // too soon
    now_ += std::chrono::milliseconds(60);
    bar.fraction("weights", 0.3);
  }
  EXPECT_EQ(captured_.err.find("20%"), std::string::npos);
  EXPECT_NE(captured_.err.find("\rloading m  weights"), std::string::npos);
  EXPECT_NE(captured_.err.find("30%"), std::string::npos);
  EXPECT_TRUE(captured_.err.ends_with("\r\x1b[K"));
  EXPECT_EQ(captured_.out, "");
}

TEST_F(Bar, WritesALineNowAndThenElsewhere) {
  Terminal terminal = captured_.terminal();
  ProgressBar bar(terminal, "pulling m", clock());
  for (int second = 0; second <= 10; ++second) {
    bar.event({{"status", "downloading"}, {"bytes_done", second << 20}, {"bytes_total", 100 << 20}});
    now_ += std::chrono::seconds(1);
  }
  EXPECT_EQ(captured_.err,
            "pulling m: downloading 0% 0 B / 100.0 MiB\n"
            "pulling m: downloading 5% 5.0 MiB / 100.0 MiB 1.0 MiB/s 1:35 left\n"
            "pulling m: downloading 10% 10.0 MiB / 100.0 MiB 1.0 MiB/s 1:30 left\n");
}

TEST_F(Bar, SaysNothingWhenQuiet) {
  TerminalSettings settings;
  settings.quiet = true;
  Terminal terminal = captured_.terminal(settings);
  ProgressBar bar(terminal, "m", clock());
  bar.fraction("x", 0.5);
  bar.bytes("y", 1, 2);
  EXPECT_EQ(captured_.err, "");
}

TEST_F(Bar, BearsStrangeEvents) {
  Terminal terminal = captured_.terminal();
  ProgressBar bar(terminal, "m", clock());
  bar.event({});
  bar.event({{"status", 5}, {"bytes_done", -3}, {"bytes_total", "x"}});
  bar.event({{"status", "loading"}, {"progress", 7.5}});
  SUCCEED();
}

}  // namespace
}  // namespace llm::cli
