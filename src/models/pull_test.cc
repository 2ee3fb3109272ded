#include "models/pull.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <thread>

#include "models/hub_under_test.h"
#include "models/pull_jobs.h"
#include "models/test_support.h"

namespace llm::models {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::HubStandin;
using testing::never;
using ::testing::Not;
using testing::small_model;

class PullTest : public ::testing::Test {
 protected:
  PullTest() : hub_(dir_.path() / "hub") {}
  void SetUp() override {
    ASSERT_NE(hub_.port(), 0) << "python3 tests/hub_standin.py does not start";
    dir_.write("hub/org/Tiny-GGUF/tiny-Q4_K_M.gguf", content_);
    dir_.write("hub/org/Tiny-GGUF/README.md", "x");
    auto opened = ModelStore::open({dir_.path() / "store", 1}, files_);
    ASSERT_TRUE(opened);
    store_ = std::move(*opened);
    settings_.hub_endpoint = hub_.url();
    settings_.backoff_ms = 1;
    settings_.retries = 3;
  }
  Result<Manifest> pull_from(const std::string& source, const std::atomic<bool>& cancelled = never(),
                             const ProgressCallback& progress = {}) {
    return pull(*store_, settings_, {.source = source}, progress, cancelled);
  }
  void serve(const std::string& content) {
    content_ = content;
    dir_.write("hub/org/Tiny-GGUF/tiny-Q4_K_M.gguf", content_);
  }
  Result<Manifest> pull_tiny() { return pull_from("hf:org/Tiny-GGUF"); }
  std::string file_url() const { return hub_.url() + "/files/org/Tiny-GGUF/tiny-Q4_K_M.gguf"; }
  std::size_t partials() const { return testing::count_files(store_->root() / "partial"); }
  void expect_stored(const Result<Manifest>& manifest) {
    ASSERT_TRUE(manifest) << manifest.error().message;
    EXPECT_EQ(manifest->digest, sha256_of(content_));
    EXPECT_EQ(testing::read_all(*store_->blob_path(manifest->digest)), content_);
    EXPECT_EQ(partials(), 0u);
  }

  testing::TempDir dir_;
  HubStandin hub_;
  std::string content_ = small_model('p', 500'000);  // 2 MB
  testing::FailingFileSystem files_;
  std::unique_ptr<ModelStore> store_;
  PullSettings settings_;
};

TEST_F(PullTest, FromTheHub) {
  settings_.hub_token = "hf_secret";
  hub_.set("token=hf_secret");
  std::vector<Phase> phases;
  std::uint64_t largest = 0;
  const auto manifest = pull_from("hf:org/Tiny-GGUF:q4_k_m", never(), [&](const Progress& now) {
    if (phases.empty() || phases.back() != now.phase) phases.push_back(now.phase);
    if (now.phase == Phase::kDownloading) largest = std::max(largest, now.bytes_done);
    if (now.phase == Phase::kDownloading) EXPECT_EQ(now.bytes_total, content_.size());
  });
  expect_stored(manifest);
  EXPECT_EQ(largest, content_.size());
  EXPECT_EQ(phases, (std::vector{Phase::kResolving, Phase::kDownloading, Phase::kVerifying, Phase::kFinishing}));
  EXPECT_EQ(manifest->name, (ModelName{"tiny", "latest"}));
  EXPECT_EQ(manifest->source, "hf:org/Tiny-GGUF:tiny-Q4_K_M.gguf@0123456789abcdef0123456789abcdef01234567");
  EXPECT_EQ(manifest->license, "apache-2.0") << "what the file says comes first";
  // The token went to the hub and not to the storage it redirects to.
  bool storage_seen = false;
  for (const auto& entry : hub_.control("log").get_array()) {
    const bool hub = json::int_or(entry.get_object(), "port") == hub_.port();
    storage_seen |= !hub;
    EXPECT_EQ(json::string_or(entry.get_object(), "authorization"), hub ? "Bearer hf_secret" : "");
  }
  EXPECT_TRUE(storage_seen);
  // Again: known, nothing is fetched.
  hub_.control("reset");
  expect_stored(pull_tiny());
  EXPECT_TRUE(hub_.ranges().empty());
}

TEST_F(PullTest, FromAnAddress) {
  const auto manifest = pull_from(file_url() + "?sig=secret#sha256=" + sha256_of(content_).hex());
  expect_stored(manifest);
  EXPECT_EQ(manifest->source, file_url());
  EXPECT_EQ(manifest->name.name, "tiny-q4_k_m");
  ASSERT_TRUE(store_->remove(manifest->name));
  expect_stored(pull_from(file_url()));
  hub_.set("chunked=1");
  ASSERT_TRUE(store_->remove(manifest->name));
  expect_stored(pull_from(file_url()));
}

TEST_F(PullTest, ResumesAfterACut) {
  hub_.set("cut_after=700000&cuts=2");
  expect_stored(pull_tiny());
  EXPECT_EQ(hub_.ranges(), (std::vector<std::string>{"", "bytes=700000-", "bytes=1400000-"}));
}

TEST_F(PullTest, ResumesInALaterPull) {
  settings_.retries = 1;
  hub_.set("cut_after=700000&cuts=1");
  const auto cut = pull_tiny();
  ASSERT_FALSE(cut);
  EXPECT_EQ(cut.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(cut.error().message, HasSubstr("pull again to go on"));
  EXPECT_EQ(partials(), 2u);
  EXPECT_EQ(store_->gc()->files, 0u) << "gc keeps what can be resumed";
  expect_stored(pull_tiny());
  EXPECT_EQ(hub_.ranges().back(), "bytes=700000-");
}

TEST_F(PullTest, StartsOverWhenItMust) {
  for (const std::string options : {"ignore_range=1", "etag=2", "no_etag=1", "weak_etag=1"}) {
    hub_.control("reset");
    hub_.set(options + "&cut_after=700000&cuts=1");
    const auto manifest = pull_from(file_url());  // no digest is known, so only an entity tag allows to resume
    expect_stored(manifest);
    ASSERT_TRUE(store_->remove(manifest->name));
  }
  // The file changes between two pulls.
  settings_.retries = 1;
  hub_.control("reset");
  hub_.set("cut_after=700000&cuts=1");
  ASSERT_FALSE(pull_from(file_url()));
  hub_.set("etag=changed");
  expect_stored(pull_from(file_url()));
}

TEST_F(PullTest, WrongDigestIsDeleted) {
  hub_.set("corrupt=1");
  const auto manifest = pull_tiny();
  ASSERT_FALSE(manifest);
  EXPECT_EQ(manifest.error().code, ErrorCode::kMalformed);
  EXPECT_THAT(manifest.error().message, HasSubstr(sha256_of(content_).to_string()));
  std::string corrupt = content_;
  corrupt.back() ^= 1;
  EXPECT_THAT(manifest.error().message, HasSubstr(sha256_of(corrupt).to_string()));
  EXPECT_EQ(partials(), 0u);
  hub_.set("corrupt=0&wrong_hash=1");
  EXPECT_FALSE(pull_tiny());
  EXPECT_FALSE(pull_from(file_url() + "#sha256=" + std::string(64, '0')));
  EXPECT_EQ(partials(), 0u);
  EXPECT_TRUE(store_->list()->models.empty());
  // The digest on the redirect counts for a plain address, too.
  const auto resolve = pull_from(hub_.url() + "/org/Tiny-GGUF/resolve/main/tiny-Q4_K_M.gguf");
  ASSERT_FALSE(resolve);
  EXPECT_EQ(resolve.error().code, ErrorCode::kMalformed);
}

TEST_F(PullTest, HubErrorsSayWhatToDo) {
  EXPECT_EQ(pull_from("hf:org/none").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(pull_from("hf:org/Tiny-GGUF@missing").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(pull_from("hf:org/Tiny-GGUF:Q8_0").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(pull_from(hub_.url() + "/files/org/Tiny-GGUF/none.gguf").error().code, ErrorCode::kNotFound);
  hub_.set("token=right");
  EXPECT_EQ(pull_tiny().error().code, ErrorCode::kUnauthenticated);
  settings_.hub_token = "wrong-token";
  const auto refused = pull_tiny();
  EXPECT_EQ(refused.error().code, ErrorCode::kPermissionDenied);
  EXPECT_THAT(refused.error().message, Not(HasSubstr("wrong-token")));
  hub_.set("status=403&gated=1");
  EXPECT_THAT(pull_tiny().error().message, HasSubstr("accept its terms"));
  hub_.set("status=429&gated=0");
  EXPECT_EQ(pull_tiny().error().code, ErrorCode::kRateLimited);
  hub_.set("status=500");
  EXPECT_EQ(pull_tiny().error().code, ErrorCode::kUnavailable);
  settings_.hub_token = "a\nb";
  EXPECT_EQ(pull_tiny().error().code, ErrorCode::kInvalidArgument);
  settings_.hub_token.clear();
  settings_.hub_endpoint = "http://127.0.0.1:1";
  EXPECT_EQ(pull_tiny().error().code, ErrorCode::kUnavailable);
  settings_.hub_endpoint = "http://hub.example";
  EXPECT_EQ(pull_tiny().error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(partials(), 0u);
}

TEST_F(PullTest, RetriesBusyServersAndGivesUp) {
  hub_.set("fail_files=2");
  expect_stored(pull_tiny());
  ASSERT_TRUE(store_->remove({"tiny"}));
  hub_.set("fail_files=9");
  EXPECT_EQ(pull_tiny().error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(hub_.control("set").get_object().at("fail_files"), json::value("6")) << "three attempts";
}

TEST_F(PullTest, BadRedirects) {
  for (const std::string options :
       {"loop=1", "loop=0&downgrade=http://example.org/x", "downgrade=file:///etc/passwd"}) {
    hub_.set(options);
    const auto manifest = pull_tiny();
    ASSERT_FALSE(manifest);
    EXPECT_EQ(manifest.error().code, ErrorCode::kPermissionDenied) << manifest.error().message;
  }
}

TEST_F(PullTest, WhatIsNoModelIsNotKept) {
  dir_.write("hub/org/bad/page.gguf", "<html>" + std::string(5000, ' '));
  EXPECT_THAT(pull_from("hf:org/bad").error().message, HasSubstr("web page"));
  dir_.write("hub/org/bad/page.gguf", content_.substr(0, content_.size() - 100));
  EXPECT_THAT(pull_from("hf:org/bad").error().message, HasSubstr("cut short"));
  EXPECT_EQ(partials(), 0u);
}

TEST_F(PullTest, NoSpace) {
  files_.fake_free = 1'000'000;
  const auto manifest = pull_tiny();
  EXPECT_EQ(manifest.error().code, ErrorCode::kDiskFull);
  EXPECT_THAT(manifest.error().message, HasSubstr("(1000000 bytes) available"));
  EXPECT_TRUE(hub_.ranges().empty()) << "said before the download";
}

// The disk is full at the n-th call: what came is kept, and the next pull goes on.
TEST_F(PullTest, DiskFullAtAnyCall) {
  serve(small_model('s', 2'000));
  for (int n = 1;; ++n) {
    files_.calls = 0;
    files_.fail_at = n;
    const auto manifest = pull_tiny();
    const bool failed_once = files_.calls >= n;
    files_.fail_at = 0;
    if (!failed_once) break;
    if (manifest) {  // a call whose failure does not matter
      ASSERT_TRUE(store_->remove({"tiny"}));
      continue;
    }
    ASSERT_EQ(manifest.error().code, ErrorCode::kDiskFull) << manifest.error().message;
    if (const auto found = store_->find("tiny")) {
      ASSERT_TRUE(store_->verify(found->digest, {}, never()));
    } else {
      ASSERT_EQ(testing::count_files(store_->root() / "blobs"), 0u) << "call " << n;
    }
    expect_stored(pull_tiny());
    ASSERT_TRUE(store_->remove({"tiny"}));
    ASSERT_LT(n, 200);
  }
}

TEST_F(PullTest, CancelKeepsThePart) {
  hub_.set("stall_after=700000");
  std::atomic<bool> cancelled{false};
  const auto manifest = pull_from("hf:org/Tiny-GGUF", cancelled, [&](const Progress& now) {
    if (now.phase == Phase::kDownloading && now.bytes_done > 0) cancelled = true;
  });
  ASSERT_FALSE(manifest);
  EXPECT_EQ(manifest.error().code, ErrorCode::kCancelled);
  EXPECT_EQ(partials(), 2u);
  hub_.set("stall_after=0");
  expect_stored(pull_tiny());
  EXPECT_THAT(hub_.ranges().back(), HasSubstr("bytes="));
}

TEST_F(PullTest, NamesAreCheckedBeforeTheDownload) {
  ASSERT_TRUE(store_->import_file(dir_.write("x.gguf", small_model('x')), {"tiny"}, {}, {}, never()));
  EXPECT_EQ(pull_tiny().error().code, ErrorCode::kAlreadyExists);
  EXPECT_TRUE(hub_.ranges().empty());
  expect_stored(pull(*store_, settings_, {.source = "hf:org/Tiny-GGUF", .replace = true}, {}, never()));
  expect_stored(
      pull(*store_, settings_, {.source = "hf:org/Tiny-GGUF", .name = ModelName{"other", "v2"}}, {}, never()));
  EXPECT_EQ(hub_.ranges().size(), 1u) << "the second name needs no second download";
}

TEST_F(PullTest, TheHubsTokenStaysWithTheHub) {
  settings_.hub_token = "hf_secret";
  expect_stored(pull_from(hub_.cdn_url() + "/files/org/Tiny-GGUF/tiny-Q4_K_M.gguf"));
  for (const auto& entry : hub_.control("log").get_array()) {
    EXPECT_EQ(json::string_or(entry.get_object(), "authorization"), "");
  }
}

// Waits until `condition` holds; the job's own progress is what moves it.
template <class Condition>
void until(Condition condition) {
  while (!condition()) std::this_thread::yield();
}

TEST_F(PullTest, CallersShareOneJob) {
  hub_.set("stall_after=700000");
  PullJobs jobs(*store_, settings_);
  const PullRequest request{.source = "hf:org/Tiny-GGUF"};
  std::atomic<bool> cancel_first{false};
  std::atomic<std::uint64_t> seen_by_second{0};
  Result<Manifest> first;
  Result<Manifest> second;
  const auto waiters = [&] { return jobs.running().empty() ? 0 : jobs.running().front().waiters; };
  std::thread one([&] { first = jobs.pull(request, {}, cancel_first); });
  until([&] { return waiters() == 1; });
  std::thread two(
      [&] { second = jobs.pull(request, [&](const Progress& now) { seen_by_second = now.bytes_done; }, never()); });
  until([&] { return waiters() == 2; });
  until([&] { return seen_by_second > 0; });
  EXPECT_EQ(jobs.pull({.source = request.source, .replace = true}, {}, never()).error().code, ErrorCode::kConflict);
  // The first caller leaves; the job goes on for the second one, who stops it by stop().
  cancel_first = true;
  one.join();
  EXPECT_EQ(first.error().code, ErrorCode::kCancelled);
  EXPECT_EQ(waiters(), 1);
  jobs.stop();
  two.join();
  EXPECT_EQ(second.error().code, ErrorCode::kCancelled);
  EXPECT_TRUE(jobs.running().empty());
  EXPECT_EQ(hub_.ranges().size(), 1u) << "one download for both";
  EXPECT_EQ(jobs.pull(request, {}, never()).error().code, ErrorCode::kUnavailable);
}

TEST_F(PullTest, AllCallersGetTheResult) {
  PullJobs jobs(*store_, settings_);
  std::vector<std::thread> threads;
  std::vector<Result<Manifest>> results(8);
  for (auto& result : results) {
    threads.emplace_back([&] { result = jobs.pull({.source = "hf:org/Tiny-GGUF"}, {}, never()); });
  }
  for (auto& thread : threads) thread.join();
  for (const auto& result : results) expect_stored(result);
  EXPECT_EQ(hub_.ranges().size(), 1u);
}

TEST_F(PullTest, LastCallerCancelsAndTheNextOneResumes) {
  hub_.set("stall_after=700000");
  PullJobs jobs(*store_, settings_);
  std::atomic<bool> cancelled{false};
  const auto stop = [&](const Progress& now) {
    if (now.phase == Phase::kDownloading && now.bytes_done > 0) cancelled = true;
  };
  EXPECT_EQ(jobs.pull({.source = "hf:org/Tiny-GGUF"}, stop, cancelled).error().code, ErrorCode::kCancelled);
  EXPECT_TRUE(jobs.running().empty());
  EXPECT_EQ(partials(), 2u);
  hub_.set("stall_after=0");
  expect_stored(jobs.pull({.source = "hf:org/Tiny-GGUF"}, {}, never()));
}

}  // namespace
}  // namespace llm::models
