#include "models/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <thread>

#include "models/test_support.h"

namespace llm::models {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::never;
using ::testing::Not;
using testing::small_model;

class StoreTest : public ::testing::Test {
 protected:
  void SetUp() override { open(); }
  void open() {
    auto opened = ModelStore::open({dir_.path() / "store", 1}, files_);
    ASSERT_TRUE(opened) << opened.error().message;
    store_ = std::move(*opened);
  }
  Result<Manifest> import(const std::string& name, const std::string& content, ImportOptions options = {}) {
    return store_->import_file(dir_.write("in/" + name + ".gguf", content), *parse_model_name(name), options, {},
                               never());
  }
  std::size_t blobs() const { return testing::count_files(store_->root() / "blobs"); }
  std::size_t partials() const { return testing::count_files(store_->root() / "partial"); }

  testing::TempDir dir_;
  testing::FailingFileSystem files_;
  std::unique_ptr<ModelStore> store_;
};

TEST_F(StoreTest, ImportFindListRemove) {
  const auto imported = import("org/tiny:v1", small_model());
  ASSERT_TRUE(imported) << imported.error().message;
  EXPECT_EQ(imported->digest, sha256_of(small_model()));
  EXPECT_EQ(imported->size, small_model().size());
  EXPECT_EQ(imported->source, "tiny:v1.gguf");
  EXPECT_EQ(imported->license, "apache-2.0");
  EXPECT_EQ(imported->created.size(), 20u);
  EXPECT_EQ(*store_->find("org/tiny:v1"), *imported);
  EXPECT_EQ(store_->list()->models, std::vector<Manifest>{*imported});
  const auto path = store_->blob_path(imported->digest);
  ASSERT_TRUE(path);
  EXPECT_EQ(testing::read_all(*path), small_model());
  EXPECT_TRUE(store_->verify(imported->digest, {}, never()));
  EXPECT_TRUE(fs::exists(dir_.path() / "in/org/tiny:v1.gguf"));
  EXPECT_EQ(partials(), 0u);
  // Another store object over the same folder sees the same.
  open();
  EXPECT_EQ(*store_->find("org/tiny:v1"), *imported);
  ASSERT_TRUE(store_->remove(imported->name));
  EXPECT_EQ(blobs(), 0u);
  EXPECT_TRUE(store_->list()->models.empty());
  EXPECT_EQ(store_->remove(imported->name).error().code, ErrorCode::kNotFound);
}

TEST_F(StoreTest, OneBlobForManyNames) {
  ASSERT_TRUE(import("a", small_model()));
  ASSERT_TRUE(import("b", small_model()));
  const auto tagged = store_->tag(*store_->find("a"), *parse_model_name("c:x"), false);
  ASSERT_TRUE(tagged);
  EXPECT_EQ(blobs(), 1u);
  ASSERT_TRUE(store_->remove({"a", "latest"}));
  ASSERT_TRUE(store_->remove({"b", "latest"}));
  EXPECT_EQ(blobs(), 1u);
  ASSERT_TRUE(store_->remove({"c", "x"}));
  EXPECT_EQ(blobs(), 0u);
}

TEST_F(StoreTest, NamesAreNotTakenSilently) {
  ASSERT_TRUE(import("a", small_model('1')));
  EXPECT_TRUE(import("a", small_model('1'))) << "the same file again is fine";
  const auto other = import("a", small_model('2'));
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, ErrorCode::kAlreadyExists);
  EXPECT_EQ(blobs(), 1u);
  ASSERT_TRUE(import("a", small_model('2'), {.replace = true}));
  EXPECT_EQ(store_->find("a")->digest, sha256_of(small_model('2')));
  EXPECT_EQ(blobs(), 2u) << "the old file stays, as the version before";
}

TEST_F(StoreTest, RefusesBadFilesAndKeepsNothing) {
  const std::string good = small_model();
  EXPECT_THAT(import("a", good.substr(0, good.size() - 40)).error().message, HasSubstr("cut short"));
  EXPECT_THAT(import("a", "hello").error().message, HasSubstr("not a GGUF"));
  EXPECT_THAT(import("a", testing::GgufBuilder().build()).error().message, HasSubstr("no weights"));
  const auto shard = testing::GgufBuilder().number("split.count", 3).tensor("x", 8).build();
  EXPECT_THAT(import("a", shard).error().message, HasSubstr("3 parts"));
  const auto adapter = testing::GgufBuilder().text("general.type", "adapter").tensor("x", 8).build();
  EXPECT_EQ(import("a", adapter).error().code, ErrorCode::kUnsupported);
  const auto wrong = import("a", good, {.expected_digest = sha256_of("another")});
  EXPECT_THAT(wrong.error().message, HasSubstr(sha256_of("another").to_string()));
  EXPECT_THAT(wrong.error().message, HasSubstr(sha256_of(good).to_string()));
  EXPECT_EQ(blobs() + partials(), 0u);
  EXPECT_TRUE(store_->list()->models.empty());
}

TEST_F(StoreTest, MoveAndHardlink) {
  ASSERT_TRUE(import("moved", small_model('m'), {.method = ImportMethod::kMove}));
  EXPECT_FALSE(fs::exists(dir_.path() / "in/moved.gguf"));
  const auto linked = import("linked", small_model('l'), {.method = ImportMethod::kHardlink});
  ASSERT_TRUE(linked);
  EXPECT_EQ(fs::hard_link_count(*store_->blob_path(linked->digest)), 2u);
  EXPECT_TRUE(import("linked", small_model('l'), {.method = ImportMethod::kHardlink})) << "again";
  files_.links = false;
  const auto copied = import("copied", small_model('c'), {.method = ImportMethod::kHardlink});
  ASSERT_TRUE(copied) << "no links on this disk: copy";
  EXPECT_EQ(fs::hard_link_count(*store_->blob_path(copied->digest)), 1u);
  EXPECT_EQ(partials(), 0u);
  // A link is no file to move: the link itself would end up in the store.
  const auto target = dir_.write("target.gguf", small_model('t'));
  fs::create_symlink(target, dir_.path() / "link.gguf");
  for (const auto method : {ImportMethod::kMove, ImportMethod::kHardlink}) {
    const auto refused = store_->import_file(dir_.path() / "link.gguf", {"x"}, {.method = method}, {}, never());
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message, HasSubstr("symbolic link"));
  }
  EXPECT_TRUE(store_->import_file(dir_.path() / "link.gguf", {"x"}, {}, {}, never())) << "copying through it is fine";
}

TEST_F(StoreTest, MoveOntoExistingBlob) {
  ASSERT_TRUE(import("a", small_model()));
  ASSERT_TRUE(import("b", small_model(), {.method = ImportMethod::kMove}));
  EXPECT_FALSE(fs::exists(dir_.path() / "in/b.gguf"));
  EXPECT_EQ(blobs(), 1u);
}

TEST_F(StoreTest, NoSpaceIsSaidBeforeCopying) {
  files_.fake_free = 100;
  const auto imported = import("a", small_model());
  ASSERT_FALSE(imported);
  EXPECT_EQ(imported.error().code, ErrorCode::kDiskFull);
  EXPECT_THAT(imported.error().message, HasSubstr("(100 bytes) available"));
  EXPECT_THAT(imported.error().message, HasSubstr(std::to_string(small_model().size()) + " bytes) needed"));
  EXPECT_EQ(blobs() + partials(), 0u);
  files_.fake_free = small_model().size() + 1;  // the reserve is one byte
  EXPECT_TRUE(import("a", small_model()));
}

TEST_F(StoreTest, CancelsWithinOnePiece) {
  const auto path = dir_.write("big.gguf", small_model('b', 2 << 20));
  std::atomic<bool> cancelled{false};
  const auto stop = [&](const Progress& now) { cancelled = now.bytes_done > 0; };
  const auto imported = store_->import_file(path, {"big"}, {}, stop, cancelled);
  ASSERT_FALSE(imported);
  EXPECT_EQ(imported.error().code, ErrorCode::kCancelled);
  EXPECT_EQ(blobs() + partials(), 0u);
}

// Every disk call of an import fails once, in each way to import: nothing is lost, nothing is left, and the names that
// are listed have their file.
TEST_F(StoreTest, AnyFailingDiskCallLeavesASoundStore) {
  for (const auto method : {ImportMethod::kCopy, ImportMethod::kHardlink, ImportMethod::kMove}) {
    for (const bool replace : {false, true}) {
      for (int n = 1;; ++n) {
        files_.fail_at = 0;
        if (replace) ASSERT_TRUE(import("a", small_model('0'), {.replace = true}));
        const auto source = dir_.write("new.gguf", small_model('1'));
        files_.calls = 0;
        files_.fail_at = n;
        const auto imported = store_->import_file(source, {"a"}, {.method = method, .replace = replace}, {}, never());
        const bool failed_once = files_.calls >= n;
        files_.fail_at = 0;
        for (const auto& model : store_->list()->models) {
          ASSERT_TRUE(store_->verify(model.digest, {}, never())) << "call " << n;
        }
        if (replace) ASSERT_TRUE(store_->find("a")) << "call " << n;
        if (!imported) {
          ASSERT_EQ(imported.error().code, ErrorCode::kDiskFull) << imported.error().message;
          ASSERT_TRUE(fs::exists(source)) << "call " << n;
        }
        ASSERT_EQ(store_->gc()->files, 0u) << "call " << n;
        ASSERT_EQ(partials(), 0u) << "call " << n;
        if (store_->find("a")) ASSERT_TRUE(store_->remove({"a"}));
        ASSERT_EQ(blobs(), 0u) << "call " << n;
        if (!failed_once) break;
        ASSERT_LT(n, 100);
      }
    }
  }
}

TEST_F(StoreTest, NotFoundHelps) {
  EXPECT_THAT(store_->find("smolm2").error().message, HasSubstr("no model is installed yet"));
  ASSERT_TRUE(import("smollm2", small_model()));
  ASSERT_TRUE(store_->set_alias("default", {"smollm2"}));
  const auto missing = store_->find("smolm2");
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(missing.error().message, HasSubstr("`smollm2`"));
  EXPECT_THAT(missing.error().message, HasSubstr("llm-mcp pull"));
  EXPECT_THAT(store_->find("defalt").error().message, HasSubstr("`default`"));
  EXPECT_THAT(store_->find("smollm2:q8").error().message, HasSubstr("`smollm2`"));
  EXPECT_EQ(store_->find("../x").error().code, ErrorCode::kInvalidArgument);
}

TEST_F(StoreTest, Aliases) {
  ASSERT_TRUE(import("a", small_model('a')));
  ASSERT_TRUE(import("b:v2", small_model('b')));
  ASSERT_TRUE(store_->set_alias("best", {"b", "v2"}));
  EXPECT_EQ(store_->find("best")->name, (ModelName{"b", "v2"}));
  ASSERT_TRUE(store_->set_alias("best", {"a"}));
  EXPECT_EQ(store_->find("best")->name, (ModelName{"a", "latest"}));
  EXPECT_EQ(store_->set_alias("a", {"b", "v2"}).error().code, ErrorCode::kConflict);
  EXPECT_EQ(store_->set_alias("x", {"best"}).error().code, ErrorCode::kNotFound) << "an alias of an alias";
  EXPECT_EQ(store_->set_alias("../x", {"a"}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(store_->set_alias("x:y", {"a"}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(import("best", small_model('c')).error().code, ErrorCode::kConflict);
  ASSERT_TRUE(store_->remove({"a"}));
  EXPECT_TRUE(store_->aliases()->empty()) << "aliases go with their model";
  EXPECT_EQ(store_->remove_alias("best").error().code, ErrorCode::kNotFound);
  dir_.write("store/aliases.json", "[1");
  EXPECT_FALSE(store_->aliases());
  EXPECT_TRUE(store_->find("b:v2"));
}

TEST_F(StoreTest, BlobPathFollowsNoLink) {
  const auto imported = import("a", small_model());
  const auto blob = *store_->blob_path(imported->digest);
  fs::remove(blob);
  EXPECT_EQ(store_->blob_path(imported->digest).error().code, ErrorCode::kNotFound);
  fs::create_symlink("/etc/passwd", blob);
  EXPECT_FALSE(store_->blob_path(imported->digest));
  fs::rename(store_->root() / "blobs", store_->root() / "elsewhere");
  fs::create_directory_symlink("elsewhere", store_->root() / "blobs");
  EXPECT_FALSE(store_->blob_path(imported->digest));
}

TEST_F(StoreTest, VerifyNoticesRot) {
  const auto imported = import("a", small_model());
  const auto blob = *store_->blob_path(imported->digest);
  std::string content = testing::read_all(blob);
  content.back() ^= 1;
  fs::remove(blob);
  dir_.write("store/blobs/" + imported->digest.file_name(), content);
  const auto verified = store_->verify(imported->digest, {}, never());
  ASSERT_FALSE(verified);
  EXPECT_THAT(verified.error().message, HasSubstr(sha256_of(content).to_string()));
  ASSERT_TRUE(import("a", small_model())) << "importing again mends it";
  EXPECT_TRUE(store_->verify(imported->digest, {}, never()));
}

TEST_F(StoreTest, GcCollectsOnlyItsOwnLeftovers) {
  ASSERT_TRUE(import("a", small_model()));
  dir_.write("store/blobs/" + sha256_of("x").file_name(), "orphan");
  dir_.write("store/blobs/notes.txt", "mine");
  dir_.write("store/partial/import-1.tmp", "crashed");
  dir_.write("store/partial/k.part", "resumable");
  dir_.write("store/partial/k.json", "{}");
  dir_.write("store/manifests/a/.tmp-1", "crashed");
  const auto busy = open_regular(dir_.write("store/partial/import-2.tmp", "busy"), false);
  ASSERT_TRUE(try_lock(busy->get()));
  auto report = store_->gc();
  ASSERT_TRUE(report);
  EXPECT_EQ(report->files, 3u);
  EXPECT_EQ(report->bytes, 6u + 7 + 7);
  EXPECT_EQ(store_->gc({.partial_downloads = true})->files, 2u);
  EXPECT_TRUE(fs::exists(store_->root() / "partial/import-2.tmp"));
  EXPECT_TRUE(fs::exists(store_->root() / "blobs/notes.txt"));
  EXPECT_TRUE(store_->find("a"));
}

TEST_F(StoreTest, AnUnreadableManifestHidesNothingElse) {
  ASSERT_TRUE(import("a", small_model('a')));
  ASSERT_TRUE(import("b", small_model('b')));
  dir_.write("store/manifests/a/latest.json", R"({"schema":1,"name":"b","version":"latest"})");
  const auto listing = store_->list();
  EXPECT_EQ(listing->models.size(), 1u);
  EXPECT_EQ(listing->problems.size(), 1u);
  EXPECT_EQ(store_->gc().error().code, ErrorCode::kConflict);
  ASSERT_TRUE(store_->remove({"b"}));
  EXPECT_EQ(blobs(), 2u) << "kept while a manifest cannot be read";
  ASSERT_TRUE(store_->remove({"a"})) << "a broken model can be removed";
  EXPECT_EQ(blobs(), 1u) << "its version could be read and named its file";
  EXPECT_EQ(store_->gc()->files, 1u);
}

TEST_F(StoreTest, SettingsStayWithTheModel) {
  ASSERT_TRUE(import("a", small_model(), {.settings = json::object{{"context", 4096}}}));
  EXPECT_EQ(*store_->find("a")->settings, (json::object{{"context", 4096}}));
  ASSERT_TRUE(store_->set_settings({"a"}, std::nullopt));
  EXPECT_FALSE(store_->find("a")->settings);
}

TEST_F(StoreTest, ManyThreadsOneStore) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    const auto source = dir_.write("in/" + std::to_string(i), small_model(static_cast<char>('a' + i % 2)));
    threads.emplace_back([this, i, source] {
      for (int round = 0; round < 5; ++round) {
        const ModelName name{"m" + std::to_string(i)};
        EXPECT_TRUE(store_->import_file(source, name, {}, {}, never()));
        EXPECT_TRUE(store_->list());
        EXPECT_TRUE(store_->remove(name));
        EXPECT_TRUE(store_->gc());
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(blobs() + partials(), 0u);
}

TEST(Manifest, SurvivesAsText) {
  const std::string bytes = testing::read_all(std::string(LLM_TESTDATA) + "/gguf_fuzz/valid_bert.gguf");
  Manifest manifest;
  manifest.name = {"org/x", "v1"};
  manifest.digest = sha256_of("x");
  manifest.size = UINT64_MAX;
  manifest.source = "hf:a/b:\"c\"@d";
  manifest.facts = *parse_gguf(std::as_bytes(std::span(bytes)), bytes.size());
  manifest.settings = json::object{{"k", nullptr}};
  EXPECT_EQ(*parse_manifest(json::write(to_json(manifest))), manifest);
}

TEST(Manifest, RefusesWhatIsNotOurs) {
  const auto broken = [](std::string_view key, json::value value) {
    Manifest manifest;
    manifest.name = {"a", "b"};
    auto document = to_json(manifest);
    document[key] = std::move(value);
    return parse_manifest(json::write(document));
  };
  EXPECT_TRUE(broken("schema", 1));
  EXPECT_TRUE(broken("schema", 2));
  EXPECT_EQ(broken("schema", 3).error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(broken("digest", "sha256:../../etc/passwd").error().pointer, "/digest");
  EXPECT_EQ(broken("name", "../x").error().pointer, "/name");
  EXPECT_EQ(broken("version", 3).error().pointer, "/version");
  EXPECT_EQ(broken("size", -1).error().pointer, "/size");
  EXPECT_EQ(broken("facts", nullptr).error().pointer, "/facts");
  EXPECT_EQ(broken("settings", "x").error().pointer, "/settings");
  EXPECT_FALSE(parse_manifest("[]"));
  EXPECT_FALSE(parse_manifest("{"));
}

}  // namespace
}  // namespace llm::models
