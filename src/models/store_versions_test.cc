#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/store.h"
#include "models/test_support.h"

namespace llm::models {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::never;
using ::testing::SizeIs;
using testing::small_model;

class VersionsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto opened = ModelStore::open({dir_.path() / "store", 1}, files_);
    ASSERT_TRUE(opened) << opened.error().message;
    store_ = std::move(*opened);
  }
  // A version of `name` whose file is told by `filler`.
  Manifest import(const std::string& name, char filler) {
    auto imported = store_->import_file(dir_.write("in.gguf", small_model(filler)), *parse_model_name(name),
                                        {.replace = true, .source = std::string(1, filler)}, {}, never());
    EXPECT_TRUE(imported) << imported.error().message;
    return imported.value_or(Manifest{});
  }
  std::string current(const std::string& name) {
    const auto found = store_->find(name);
    return found ? found->source : found.error().message;
  }
  std::size_t blobs() const { return testing::count_files(store_->root() / "blobs"); }
  std::size_t version_files() const { return testing::count_files(store_->root() / "versions"); }

  testing::TempDir dir_;
  testing::FailingFileSystem files_;
  std::unique_ptr<ModelStore> store_;
};

TEST_F(VersionsTest, EachChangeMakesAVersionThatStays) {
  const Manifest a = import("m", 'a');
  const Manifest b = import("m", 'b');
  const auto settings = store_->set_settings({"m"}, json::object{{"context", 4096}});
  ASSERT_TRUE(settings);
  const auto notes = store_->set_notes({"m"}, "for the night shift");
  ASSERT_TRUE(notes);
  EXPECT_EQ(notes->settings, settings->settings);
  const auto list = store_->versions({"m"});
  ASSERT_TRUE(list) << list.error().message;
  EXPECT_EQ(list->current, *notes);
  EXPECT_THAT(list->versions, SizeIs(4));
  EXPECT_EQ(list->versions.front(), *notes);
  ASSERT_THAT(list->history, SizeIs(3));
  EXPECT_EQ(list->history[0].version, a.version());
  EXPECT_EQ(list->history[1].version, b.version());
  EXPECT_EQ(list->history[2].version, settings->version());
  EXPECT_EQ(blobs(), 2u);
  for (const auto& version : list->versions) EXPECT_EQ(*store_->find(version.version_text()), version);
}

TEST_F(VersionsTest, TheSameAgainIsNoNewVersion) {
  const Manifest a = import("m", 'a');
  EXPECT_EQ(import("m", 'a'), a);
  EXPECT_THAT(store_->versions({"m"})->versions, SizeIs(1));
  EXPECT_THAT(store_->versions({"m"})->history, SizeIs(0));
}

TEST_F(VersionsTest, FindsByDigits) {
  const Manifest a = import("m:x", 'a');
  import("m:x", 'b');
  const std::string digits = a.version().hex();
  EXPECT_EQ(store_->find("m:x@sha256:" + digits)->source, "a");
  EXPECT_EQ(store_->find("m:x@sha256:" + digits.substr(0, 12))->source, "a");
  EXPECT_EQ(store_->find("m:x@sha256:" + digits.substr(0, 11)).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(store_->find("m@sha256:" + digits).error().code, ErrorCode::kNotFound) << "another tag";
  const auto none = store_->find("m:x@sha256:000000000000");
  EXPECT_EQ(none.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(none.error().message, HasSubstr("llm-mcp versions m:x"));
}

TEST_F(VersionsTest, PromoteAndRollBackATag) {
  const Manifest a = import("m", 'a');
  import("m", 'b');
  import("m", 'c');
  ASSERT_TRUE(store_->promote(a.version_text(), "m"));
  EXPECT_EQ(*store_->find("m"), a) << "the very version, not another one with the same file";
  ASSERT_TRUE(store_->rollback("m"));
  EXPECT_EQ(current("m"), "c");
  ASSERT_TRUE(store_->rollback("m"));
  EXPECT_EQ(current("m"), "b");
  ASSERT_TRUE(store_->rollback("m:latest"));
  EXPECT_EQ(current("m"), "a");
  const auto more = store_->rollback("m");
  ASSERT_FALSE(more);
  EXPECT_EQ(more.error().code, ErrorCode::kConflict);
  EXPECT_THAT(store_->versions({"m"})->versions, SizeIs(3)) << "all can be promoted again";
}

TEST_F(VersionsTest, PromoteToAnotherTagAndToAnAlias) {
  const Manifest a = import("m:staging", 'a');
  ASSERT_TRUE(store_->promote("m:staging", "m:prod"));
  EXPECT_EQ(store_->find("m:prod")->version(), a.version());
  ASSERT_TRUE(store_->promote("m:staging", "best")) << "neither a model nor an alias: a new alias";
  import("m:staging", 'b');
  EXPECT_EQ(current("best"), "a") << "an alias that was promoted to stays with its version";
  EXPECT_EQ(current("m:prod"), "a");
  ASSERT_TRUE(store_->promote("m:staging", "best"));
  EXPECT_EQ(current("best"), "b");
  ASSERT_TRUE(store_->rollback("best"));
  EXPECT_EQ(current("best"), "a");
  EXPECT_EQ(store_->rollback("best").error().code, ErrorCode::kConflict);
  EXPECT_EQ(store_->promote("m:staging", "best:x").error().code, ErrorCode::kConflict);
  EXPECT_EQ(store_->promote("m:none", "best").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(store_->promote("m:staging", "../x").error().code, ErrorCode::kInvalidArgument);
}

TEST_F(VersionsTest, HistoryHasAnEnd) {
  for (int i = 0; i < 25; ++i) import("m", static_cast<char>('a' + i % 2));
  EXPECT_THAT(store_->versions({"m"})->history, SizeIs(kLongestHistory));
  import("n", 'x');
  for (int i = 0; i < 25; ++i) ASSERT_TRUE(store_->set_alias("best", {i % 2 == 0 ? "m" : "n"}));
  EXPECT_THAT(store_->alias_records()->at("best").history, SizeIs(kLongestHistory));
}

TEST_F(VersionsTest, SplitsAndShadows) {
  const Manifest a = import("a", 'a');
  import("b:v2", 'b');
  ASSERT_TRUE(store_->set_alias(
      "prod", Alias{{{"a@sha256:" + a.version().hex().substr(0, 20), 95}, {"b:v2", 5}}, {{"b:v2", 0.1}}, {}}));
  const auto record = store_->alias_records()->at("prod");
  EXPECT_THAT(record.targets, ElementsAre(AliasTarget{a.version_text(), 95}, AliasTarget{"b:v2", 5}));
  EXPECT_THAT(record.shadow, ElementsAre(AliasTarget{"b:v2", 0.1}));
  EXPECT_EQ(store_->aliases()->at("prod"), (ModelName{"a", "latest"}));
  EXPECT_EQ(current("prod"), "a");
  const auto code = [&](Alias wanted) { return store_->set_alias("x", std::move(wanted)).error(); };
  EXPECT_EQ(code({{}, {}, {}}).pointer, "/targets");
  EXPECT_EQ(code({{{"a", 0}}, {}, {}}).pointer, "/targets");
  EXPECT_EQ(code({{{"a", -1}}, {}, {}}).pointer, "/targets/0/weight");
  EXPECT_EQ(code({{{"a", 1}, {"a:latest", 1}}, {}, {}}).pointer, "/targets/1/model");
  EXPECT_EQ(code({{{"a", 1}}, {{"b:v2", 1.5}}, {}}).pointer, "/shadow/0/weight");
  EXPECT_EQ(code({{{"prod", 1}}, {}, {}}).code, ErrorCode::kNotFound) << "an alias of an alias";
  ASSERT_TRUE(store_->remove({"a"}));
  EXPECT_THAT(store_->alias_records()->at("prod").targets, ElementsAre(AliasTarget{"b:v2", 5}));
  ASSERT_TRUE(store_->remove({"b", "v2"}));
  EXPECT_TRUE(store_->alias_records()->empty());
}

TEST_F(VersionsTest, RemoveOneVersion) {
  const Manifest a = import("m", 'a');
  const Manifest b = import("m", 'b');
  const auto ref = [](const Manifest& manifest) { return *parse_version_ref(manifest.version_text()); };
  EXPECT_EQ(store_->remove_version(ref(b)).error().code, ErrorCode::kConflict) << "the current one";
  ASSERT_TRUE(store_->promote(a.version_text(), "old"));
  EXPECT_THAT(store_->remove_version(ref(a)).error().message, HasSubstr("`old`"));
  ASSERT_TRUE(store_->remove_alias("old"));
  ASSERT_TRUE(store_->remove_version(ref(a)));
  EXPECT_EQ(blobs(), 1u);
  EXPECT_THAT(store_->versions({"m"})->history, SizeIs(0));
  EXPECT_EQ(store_->remove_version(ref(a)).error().code, ErrorCode::kNotFound);
}

TEST_F(VersionsTest, RemoveTakesAllVersions) {
  import("m", 'a');
  import("m", 'b');
  import("n", 'b');
  ASSERT_TRUE(store_->remove({"m"}));
  EXPECT_EQ(blobs(), 1u) << "the other name keeps its file";
  EXPECT_EQ(version_files(), 1u);
  EXPECT_EQ(store_->gc()->files, 0u);
}

// What earlier gateways wrote: no versions/, schema 1, plain texts in aliases.json.
TEST_F(VersionsTest, AnOlderStoreIsReadAndUpgraded) {
  Manifest a = import("m", 'a');
  fs::remove_all(store_->root() / "versions");
  json::object old = to_json(a);
  old["schema"] = 1;
  for (const auto* key : {"revision", "creator", "notes", "kind"}) old.erase(key);
  dir_.write("store/manifests/m/latest.json", json::write(old));
  dir_.write("store/aliases.json", R"({"best":"m:latest"})");
  store_ = std::move(*ModelStore::open({dir_.path() / "store", 1}, files_));
  EXPECT_EQ(*store_->find("best"), a);
  EXPECT_EQ(*store_->find(a.version_text()), a);
  EXPECT_THAT(store_->versions({"m"})->versions, ElementsAre(a));
  EXPECT_EQ(version_files(), 0u) << "reading changes nothing";
  import("m", 'b');
  EXPECT_EQ(version_files(), 2u);
  ASSERT_TRUE(store_->rollback("m"));
  EXPECT_EQ(*store_->find("m"), a);
  import("n", 'c');
  ASSERT_TRUE(store_->set_alias("best", {"n"}));
  ASSERT_TRUE(store_->rollback("best"));
  EXPECT_EQ(current("best"), "a");
}

TEST_F(VersionsTest, AChangedVersionFileIsNotBelieved) {
  const Manifest a = import("m", 'a');
  import("m", 'b');
  const auto file = store_->root() / "versions/m/latest" / (a.version().hex() + ".json");
  Manifest forged = a;
  forged.source = "elsewhere";
  dir_.write(fs::relative(file, dir_.path()).string(), json::write(to_json(forged)));
  EXPECT_EQ(store_->find(a.version_text()).error().code, ErrorCode::kMalformed);
  EXPECT_THAT(store_->versions({"m"})->problems, SizeIs(1));
  EXPECT_EQ(store_->gc().error().code, ErrorCode::kConflict) << "its blob may be needed";
  EXPECT_EQ(store_->rollback("m").error().code, ErrorCode::kMalformed);
  EXPECT_EQ(current("m"), "b");
}

TEST_F(VersionsTest, GcKeepsWhatIsReferredTo) {
  const Manifest a = import("m", 'a');
  const Manifest b = import("m", 'b');
  import("m", 'c');
  EXPECT_EQ(store_->gc({.versions = true})->files, 0u) << "the history leads to them";
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(store_->rollback("m"));  // back to a; nothing leads to b and c now
  EXPECT_EQ(store_->gc()->files, 0u) << "versions only go when asked for";
  const auto dry = store_->gc({.versions = true, .dry_run = true});
  EXPECT_EQ(dry->files, 4u) << "two versions and their blobs";
  EXPECT_EQ(dry->bytes > 2 * small_model().size(), true);
  EXPECT_EQ(blobs(), 3u);
  EXPECT_EQ(store_->gc({.versions = true, .dry_run = true, .in_use = {"m"}})->files, 0u)
      << "an engine runs one of them";
  EXPECT_EQ(store_->gc({.versions = true, .dry_run = true, .in_use = {b.version_text() + "#1"}})->files, 2u);
  EXPECT_EQ(store_->gc({.versions = true, .dry_run = true, .in_use = {b.digest.to_string()}})->files, 3u);
  ASSERT_TRUE(store_->set_alias("canary", Alias{{{"m", 1}}, {{b.version_text(), 1}}, {}}));
  const auto real = store_->gc({.versions = true});
  EXPECT_EQ(real->files, 2u) << "c goes, the shadow stays";
  EXPECT_EQ(store_->find(b.version_text())->source, "b");
  EXPECT_EQ(*store_->find("m"), a);
}

TEST_F(VersionsTest, GcKeepsWhatIsPinned) {
  import("m", 'a');
  const Digest extra = sha256_of("extra");
  auto pin = store_->pin("work", {});
  ASSERT_TRUE(pin) << pin.error().message;
  ASSERT_TRUE(store_->add_blob(*pin, dir_.write("x", "extra"), ImportMethod::kCopy, extra, {}, never()));
  EXPECT_EQ(store_->gc({.partial_downloads = true, .versions = true})->files, 0u) << "under way";
  EXPECT_EQ(store_->pin("work", {}).error().code, ErrorCode::kConflict);
  *pin = *store_->pin("other", {});  // the first one is dropped as if its process had died
  EXPECT_EQ(store_->gc()->files, 0u) << "to be taken up again";
  {
    const auto again = store_->pin("work", {});
    ASSERT_TRUE(again);
    EXPECT_TRUE(again->digests().contains(extra));
  }
  pin->release();
  EXPECT_EQ(store_->gc({.partial_downloads = true})->files, 2u) << "the pin and the blob";
  EXPECT_FALSE(store_->blob_path(extra));
  EXPECT_EQ(blobs(), 1u);
}

// Every disk call of every change fails once: what was there before or after the change is there, and nothing else.
TEST_F(VersionsTest, AnyFailingDiskCallLeavesASoundStore) {
  const Manifest a = import("m", 'a');
  const Manifest b = import("m", 'b');
  import("n", 'n');
  const std::vector<std::pair<std::string, std::function<bool()>>> changes{
      {"settings", [&] { return store_->set_settings({"m"}, json::object{{"context", 1}}).has_value(); }},
      {"promote", [&] { return store_->promote(a.version_text(), "m").has_value(); }},
      {"promote to alias", [&] { return store_->promote(a.version_text(), "best").has_value(); }},
      {"rollback", [&] { return store_->rollback("m").has_value(); }},
      {"split", [&] { return store_->set_alias("best", Alias{{{"m", 1}, {"n", 1}}, {}, {}}).has_value(); }},
      {"rollback alias", [&] { return store_->rollback("best").has_value(); }},
  };
  const auto copy = dir_.path() / "copy";
  for (const auto& [name, change] : changes) {
    if (name == "rollback alias") ASSERT_TRUE(store_->promote("n", "best"));
    fs::remove_all(copy);
    fs::copy(store_->root(), copy, fs::copy_options::recursive);
    for (int n = 1;; ++n) {
      fs::remove_all(store_->root());
      fs::copy(copy, store_->root(), fs::copy_options::recursive);
      const auto before = std::pair{store_->versions({"m"})->current, *store_->alias_records()};
      files_.calls = 0;
      files_.fail_at = n;
      const bool done = change();
      const bool failed_once = files_.calls >= n;
      files_.fail_at = 0;
      ASSERT_EQ(done, !failed_once) << name << ", call " << n;
      const auto list = store_->versions({"m"});
      ASSERT_TRUE(list && list->problems.empty()) << name << ", call " << n;
      const auto aliases = store_->alias_records();
      ASSERT_TRUE(aliases) << name << ", call " << n;
      for (const auto& version : list->versions) {
        ASSERT_TRUE(store_->blob_path(version.digest)) << name << ", call " << n;
      }
      for (const auto& entry : list->history) ASSERT_TRUE(store_->find(VersionRef{{"m"}, entry.version.hex()}));
      for (const auto& [alias, record] : *aliases) ASSERT_TRUE(store_->find(alias)) << name << ", call " << n;
      ASSERT_EQ(store_->gc()->files, 0u) << name << ", call " << n;
      ASSERT_EQ(store_->find(b.version_text())->source, "b") << name << ", call " << n;
      if (!failed_once) break;
      ASSERT_LT(n, 100);
    }
    ASSERT_TRUE(store_->set_alias("best", {"n"}));
  }
}

TEST_F(VersionsTest, TheVersionIsThatOfTheContents) {
  Manifest manifest = import("m", 'a');
  manifest.settings = *json::parse(R"({"b":{"y":1.5,"x":[1]},"a":18446744073709551615})")->if_object();
  const auto version = manifest.version();
  Manifest other = manifest;
  other.name = {"elsewhere", "v9"};
  other.facts = {};
  other.settings = *json::parse(R"({"a":18446744073709551615,"b":{"x":[1],"y":1.5}})")->if_object();
  EXPECT_EQ(other.version(), version);
  EXPECT_EQ(parse_manifest(json::write(to_json(manifest)))->version(), version);
  const auto differs = [&](auto change) {
    Manifest changed = manifest;
    change(changed);
    return changed.version() != version;
  };
  EXPECT_TRUE(differs([](Manifest& m) { m.source = "x"; }));
  EXPECT_TRUE(differs([](Manifest& m) { m.revision = "x"; }));
  EXPECT_TRUE(differs([](Manifest& m) { m.license = "x"; }));
  EXPECT_TRUE(differs([](Manifest& m) { m.creator = "x"; }));
  EXPECT_TRUE(differs([](Manifest& m) { m.notes = "x"; }));
  EXPECT_TRUE(differs([](Manifest& m) { m.created = "x"; }));
  EXPECT_TRUE(differs([](Manifest& m) { m.digest = sha256_of("x"); }));
  EXPECT_TRUE(differs([](Manifest& m) { m.settings.reset(); }));
}

}  // namespace
}  // namespace llm::models
