#include "models/bundle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/bundle_format.h"
#include "models/repository_under_test.h"

namespace llm::models {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::never;
using testing::small_model;

class BundleTest : public ::testing::Test {
 protected:
  void SetUp() override {
    from_ = std::move(*ModelStore::open({dir_.path() / "from", 1}, from_files_));
    to_ = std::move(*ModelStore::open({dir_.path() / "to", 1}, to_files_));
    const auto imported =
        from_->import_file(dir_.write("m.gguf", small_model('m')), {"org/m", "v1"}, {.notes = "ours"}, {}, never());
    ASSERT_TRUE(imported);
    manifest_ = *imported;
    bundle_ = dir_.path() / "bundle";
  }
  Result<Manifest> write(const std::string& model = "org/m:v1") {
    return export_bundle(*from_, model, bundle_, {}, never());
  }
  Result<Manifest> read(BundleImport options = {}) { return import_bundle(*to_, bundle_, options, {}, never()); }
  void expect_nothing() {
    EXPECT_TRUE(to_->list()->models.empty());
    ASSERT_TRUE(to_->gc({.partial_downloads = true}));
    EXPECT_EQ(testing::count_files(to_->root() / "blobs") + testing::count_files(to_->root() / "partial"), 0u);
  }
  fs::path blob() const { return bundle_ / "blobs" / manifest_.digest.file_name(); }
  // A repository without a hub.
  Manifest repository() {
    testing::write_repository(dir_, "repo");
    auto pin = *from_->pin("x", {});
    Manifest manifest;
    manifest.name = {"repo", "latest"};
    manifest.kind = ModelKind::kRepository;
    for (const auto* path : {"1_Pooling/config.json", "config.json", "model-00001-of-00002.safetensors",
                             "tokenizer.json", "tokenizer_config.json"}) {
      const auto file = dir_.path() / "repo" / path;
      manifest.files.push_back(
          {path, *from_->add_blob(pin, file, ImportMethod::kCopy, {}, {}, never()), fs::file_size(file)});
      manifest.size += fs::file_size(file);
    }
    manifest.digest = files_digest(manifest.files);
    EXPECT_TRUE(from_->publish(manifest, false));
    pin.release();
    return manifest;
  }

  testing::TempDir dir_;
  testing::FailingFileSystem from_files_;
  testing::FailingFileSystem to_files_;
  std::unique_ptr<ModelStore> from_;
  std::unique_ptr<ModelStore> to_;
  Manifest manifest_;
  fs::path bundle_;
};

TEST_F(BundleTest, OutAndIn) {
  EXPECT_FALSE(is_bundle(bundle_));
  const auto exported = write();
  ASSERT_TRUE(exported) << exported.error().message;
  EXPECT_TRUE(is_bundle(bundle_));
  EXPECT_EQ(testing::count_files(bundle_), 4u);
  EXPECT_THAT(testing::read_all(bundle_ / "README.txt"), HasSubstr("apache-2.0"));
  const auto imported = read();
  ASSERT_TRUE(imported) << imported.error().message;
  EXPECT_EQ(*imported, manifest_) << "the same version, with its facts";
  EXPECT_TRUE(to_->verify(manifest_.digest, {}, never()));
  EXPECT_TRUE(read()) << "again";
  EXPECT_EQ(read({.name = ModelName{"other", "x"}})->version(), manifest_.version());
  EXPECT_EQ(testing::count_files(to_->root() / "partial"), 0u);
  EXPECT_EQ(testing::count_files(from_->root() / "partial"), 0u);
  EXPECT_TRUE(write()) << "over the same version";
  ASSERT_TRUE(from_->set_notes({"org/m", "v1"}, "changed"));
  EXPECT_EQ(write().error().code, ErrorCode::kConflict) << "another version";
}

TEST_F(BundleTest, AWholeRepository) {
  const Manifest manifest = repository();
  ASSERT_TRUE(write("repo"));
  const auto imported = read();
  ASSERT_TRUE(imported) << imported.error().message;
  EXPECT_EQ(imported->version(), manifest.version());
  EXPECT_EQ(imported->facts.architecture, "LlamaForCausalLM") << "from the files themselves";
  EXPECT_EQ(testing::read_all(*to_->repository_path(*imported) / "config.json"), testing::kSmallConfig);
}

TEST_F(BundleTest, AnythingWrongIsSeenBeforeItIsVisible) {
  const auto spoil = [&](const fs::path& path, const std::function<void(std::string&)>& change) {
    std::string text = testing::read_all(path);
    change(text);
    dir_.write(fs::relative(path, dir_.path()).string(), text);
  };
  const auto flip = [](std::string& text) { text.back() ^= 1; };
  const std::vector<std::pair<std::string, std::function<void()>>> damages{
      {"blob", [&] { spoil(blob(), flip); }},
      {"short blob", [&] { spoil(blob(), [](std::string& text) { text.pop_back(); }); }},
      {"manifest", [&] { spoil(bundle_ / "manifest.json", flip); }},
      {"readme", [&] { spoil(bundle_ / "README.txt", flip); }},
      {"no sums", [&] { fs::remove(bundle_ / "SHA256SUMS"); }},
      {"no blob", [&] { fs::remove(blob()); }},
      {"link instead of a blob",
       [&] {
         fs::rename(blob(), dir_.path() / "elsewhere");
         fs::create_symlink(dir_.path() / "elsewhere", blob());
       }},
      {"link instead of a folder",
       [&] {
         fs::rename(bundle_ / "blobs", dir_.path() / "blobs-elsewhere");
         fs::create_directory_symlink(dir_.path() / "blobs-elsewhere", bundle_ / "blobs");
       }},
      {"path that leaves",
       [&] {
         spoil(bundle_ / "SHA256SUMS",
               [](std::string& text) { text += std::string(64, '0') + "  ../../etc/passwd\n"; });
       }},
      {"forged manifest",
       [&] {
         spoil(bundle_ / "manifest.json", [](std::string& text) { text.replace(text.find("ours"), 4, "evil"); });
         BundleSums sums = *parse_sums(testing::read_all(bundle_ / "SHA256SUMS"));
         sums["manifest.json"] = sha256_of(testing::read_all(bundle_ / "manifest.json"));
         spoil(bundle_ / "SHA256SUMS", [&](std::string& text) { text = write_sums(sums); });
       }},
  };
  for (const auto& [name, damage] : damages) {
    fs::remove_all(bundle_);
    ASSERT_TRUE(write());
    damage();
    const auto imported = read();
    ASSERT_FALSE(imported) << name;
    expect_nothing();
  }
}

TEST_F(BundleTest, OtherThingsAreLeftAlone) {
  dir_.write("bundle/letter.txt", "mine");
  EXPECT_EQ(write().error().code, ErrorCode::kConflict);
  EXPECT_EQ(testing::count_files(bundle_), 1u);
  EXPECT_EQ(write("none").error().code, ErrorCode::kNotFound);
  bundle_ = dir_.path() / "no/such/place";
  EXPECT_FALSE(write());
  EXPECT_FALSE(read());
}

TEST_F(BundleTest, TakenNames) {
  ASSERT_TRUE(write());
  ASSERT_TRUE(to_->import_file(dir_.write("x", small_model('x')), {"org/m", "v1"}, {}, {}, never()));
  EXPECT_EQ(read().error().code, ErrorCode::kAlreadyExists);
  ASSERT_TRUE(read({.replace = true}));
  EXPECT_EQ(to_->find("org/m:v1")->digest, manifest_.digest);
  ASSERT_TRUE(to_->rollback("org/m:v1"));
}

TEST_F(BundleTest, NoSpace) {
  ASSERT_TRUE(write());
  to_files_.fake_free = 100;
  EXPECT_EQ(read().error().code, ErrorCode::kDiskFull);
  expect_nothing();
  fs::remove_all(bundle_);
  from_files_.fake_free = 100;
  EXPECT_EQ(write().error().code, ErrorCode::kDiskFull);
  EXPECT_FALSE(fs::exists(bundle_ / "SHA256SUMS"));
}

// Every disk call fails once, on the way out and on the way in: the next attempt completes it.
TEST_F(BundleTest, DiskFullAtAnyCall) {
  repository();
  const auto each_call = [&](testing::FailingFileSystem& files, const std::function<Result<Manifest>()>& work,
                             const std::function<void()>& between) {
    for (int n = 1;; ++n) {
      between();
      files.calls = 0;
      files.fail_at = n;
      const auto first = work();
      const bool failed_once = files.calls >= n;
      files.fail_at = 0;
      if (!first) ASSERT_EQ(first.error().code, ErrorCode::kDiskFull) << first.error().message;
      const auto second = work();
      ASSERT_TRUE(second) << "call " << n << ": " << second.error().message;
      if (!failed_once) return;
      ASSERT_LT(n, 400);
    }
  };
  each_call(from_files_, [&] { return write("repo"); }, [&] { fs::remove_all(bundle_); });
  each_call(
      to_files_,
      [&] {
        auto imported = read();
        if (const auto listed = to_->list(); listed) {
          for (const auto& model : listed->models) {
            for (const auto& digest : model.blobs()) EXPECT_TRUE(to_->verify(digest, {}, never()));
          }
        }
        return imported;
      },
      [&] {
        if (to_->find("repo")) EXPECT_TRUE(to_->remove({"repo"}));
        EXPECT_TRUE(to_->gc({.partial_downloads = true}));
        EXPECT_EQ(testing::count_files(to_->root() / "blobs"), 0u);
      });
}

TEST_F(BundleTest, ACancelledImportGoesOn) {
  ASSERT_TRUE(write());
  std::atomic<bool> cancelled{false};
  const auto stopped = import_bundle(*to_, bundle_, {}, [&](const Progress&) { cancelled = true; }, cancelled);
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, ErrorCode::kCancelled);
  EXPECT_TRUE(to_->list()->models.empty());
  EXPECT_TRUE(read());
}

TEST(BundleSumsText, OnlyItsOwnPaths) {
  const std::string hex(64, 'a');
  EXPECT_TRUE(parse_sums(hex + "  manifest.json\n" + hex + " *blobs/sha256-" + hex + "\r\n"));
  for (const std::string& bad :
       {hex + "  /etc/passwd", hex + "  blobs/../x", hex + "  blobs/sha256-" + std::string(64, 'b'),
        hex + " manifest.json", hex, std::string("x"), hex + "  manifest.json\n" + hex + "  manifest.json"}) {
    EXPECT_EQ(parse_sums(bad).error().code, ErrorCode::kMalformed) << bad;
  }
}

}  // namespace
}  // namespace llm::models
