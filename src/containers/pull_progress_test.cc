#include "containers/pull_progress.h"

#include <gtest/gtest.h>
#include <vector>

namespace llm::containers {
namespace {

std::string line(std::string_view id, std::string_view status, std::uint64_t current = 0, std::uint64_t total = 0) {
  json::object detail;
  if (total > 0) detail = {{"current", current}, {"total", total}};
  return json::write(json::object{{"status", status}, {"progressDetail", detail}, {"id", id}}) + "\r\n";
}

// A pull as Docker 20.10 reports it, with one layer that was there.
std::string whole_pull() {
  return R"({"status":"Pulling from library/x","id":"1.0"})"
         "\r\n" +
         line("a", "Pulling fs layer") + line("b", "Pulling fs layer") + line("c", "Already exists") +
         line("a", "Downloading", 100, 400) + line("b", "Downloading", 1, 1200) + line("a", "Download complete") +
         line("a", "Extracting", 200, 400) + line("b", "Verifying Checksum") + line("a", "Pull complete") +
         line("b", "Extracting", 1200, 1200) + line("b", "Pull complete") +
         R"({"status":"Digest: sha256:00"})"
         "\r\n"
         R"({"status":"Status: Downloaded newer image for x:1.0"})"
         "\r\n";
}

TEST(PullProgress, GoesToOneAndNeverBack) {
  PullProgress progress;
  double before = 0;
  for (const char byte : whole_pull()) {
    progress.feed(std::string_view(&byte, 1));
    EXPECT_GE(progress.fraction(), before);
    before = progress.fraction();
  }
  progress.finish();
  EXPECT_DOUBLE_EQ(progress.fraction(), 1);
  EXPECT_EQ(progress.failure(), "");
}

TEST(PullProgress, IsTheSameHoweverTheBytesAreCut) {
  const std::string body = line("a", "Waiting") + line("b", "Waiting") + line("a", "Downloading", 300, 400) +
                           line("b", "Downloading", 50, 400) + R"({"error":"disk","id":"b"})";
  for (std::size_t cut = 0; cut <= body.size(); ++cut) {
    PullProgress progress;
    progress.feed(body.substr(0, cut));
    progress.feed(body.substr(cut));
    progress.finish();
    EXPECT_DOUBLE_EQ(progress.fraction(), 0.9 * 350 / 800) << cut;
    EXPECT_EQ(progress.failure(), "disk") << cut;
  }
}

TEST(PullProgress, LayersCountByTheirSize) {
  PullProgress progress;
  progress.feed(line("small", "Downloading", 0, 100) + line("big", "Downloading", 0, 900) + line("unknown", "Waiting") +
                line("small", "Pull complete"));
  EXPECT_NEAR(progress.fraction(), 100.0 / 1500, 1e-9) << "the unknown one counts as their mean, 500";
}

TEST(PullProgress, FailuresInsideTheStream) {
  PullProgress docker;
  docker.feed(R"({"errorDetail":{"code":401,"message":"unauthorized: no"},"error":"unauthorized"})"
              "\n");
  EXPECT_EQ(docker.failure(), "unauthorized: no");
  PullProgress podman;
  podman.feed(R"({"error":"initializing source: unknown"})"
              "\n");
  EXPECT_EQ(podman.failure(), "initializing source: unknown");
}

TEST(PullProgress, NonsenseIsSkipped) {
  PullProgress progress;
  progress.feed("\n\nnot json\n[1]\n\"x\"\n{\"id\":3,\"status\":[]}\n");
  progress.feed(R"({"id":"a","status":"Downloading","progressDetail":{"current":-5,"total":-1}})"
                "\n");
  EXPECT_EQ(progress.fraction(), 0);
  progress.feed(R"({"id":"a","status":"Downloading","progressDetail":{"current":1e300,"total":1e300}})"
                "\n");
  EXPECT_DOUBLE_EQ(progress.fraction(), 0.9);
}

TEST(PullProgress, ALineAtTheLimitAndOnePastIt) {
  const std::string base = line("a", "Pull complete");
  const std::string_view text = std::string_view(base).substr(0, base.size() - 1);
  PullProgress at;
  at.feed(std::string(text) + std::string(PullProgress::kMaxLine - text.size(), ' ') + "\n");
  EXPECT_EQ(at.fraction(), 1);
  PullProgress past;
  past.feed(std::string(text) + std::string(PullProgress::kMaxLine - text.size() + 1, ' ') + "\n");
  EXPECT_EQ(past.fraction(), 0);
  past.feed(base);
  EXPECT_EQ(past.fraction(), 1) << "the next line is read again";
}

}  // namespace
}  // namespace llm::containers
